//! The modules of a crate, the files that define them, and the paths through which they use each other.
//!
//! Sources are read as tokens, so paths in comments and strings do not count. Code that only tests have is omitted.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, anyhow, bail};
use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

use super::files::read;

/// A path of names. The path of a module starts at the crate's root.
type Names = Vec<String>;

/// The modules and paths of a crate.
#[derive(Debug, Default)]
pub(super) struct Modules {
    /// The files of each module: more than one if conditions choose between them.
    files: BTreeMap<Names, BTreeSet<PathBuf>>,
    paths: Vec<Reference>,
    /// For a module and a name imported into it: the path that was imported.
    imported: BTreeMap<(Names, String), Names>,
}

/// A path in the code of a module.
#[derive(Debug)]
struct Reference {
    file: PathBuf,
    module: Names,
    path: Names,
}

/// The position of tokens: their file and module.
#[derive(Clone)]
struct Place {
    file: PathBuf,
    module: Names,
    /// The folder with the files of this module's children.
    folder: PathBuf,
}

impl Modules {
    /// Reads a crate, starting with its root file.
    pub(super) fn read(root: &Path) -> Result<Self> {
        let mut modules = Self::default();
        let folder = root.parent().context("a file lies in a folder")?.to_owned();
        modules.read_file(&Place { file: root.to_owned(), module: Vec::new(), folder })?;
        Ok(modules)
    }

    /// Pairs of different files. The first uses an item of a module that the second defines.
    pub(super) fn imports(&self) -> impl Iterator<Item = (&Path, &Path)> {
        self.paths.iter().flat_map(|Reference { file, module, path }| {
            let target = self
                .absolute(module, path, 8)
                .and_then(|path| (0..=path.len()).rev().find_map(|length| self.files.get(&path[..length])));
            let others = target.into_iter().flatten().filter(move |target| *target != file);
            others.map(move |target| (file.as_path(), target.as_path()))
        })
    }

    /// The same path from the crate's root; `None` if it leads to another crate or names no module. At most `follow`
    /// imports are followed, so that mutual imports terminate.
    fn absolute(&self, module: &[String], path: &[String], follow: usize) -> Option<Names> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => Some(rest.to_vec()),
            "self" => Some([module, rest].concat()),
            "super" => {
                let above = module.split_last()?.1;
                match rest.first().map(String::as_str) {
                    Some("super") => self.absolute(above, rest, follow),
                    _ => Some([above, rest].concat()),
                }
            }
            _ if self.files.contains_key(&[module, std::slice::from_ref(first)].concat()) => {
                Some([module, path].concat())
            }
            _ => {
                let imported = self.imported.get(&(module.to_vec(), first.clone()))?;
                let start = self.absolute(module, imported, follow.checked_sub(1)?)?;
                Some([&start, rest].concat())
            }
        }
    }

    fn read_file(&mut self, place: &Place) -> Result<()> {
        self.files.entry(place.module.clone()).or_default().insert(place.file.clone());
        let tokens = TokenStream::from_str(&read(&place.file)?)
            .map_err(|error| anyhow!("{}: {error}", place.file.display()))?;
        self.walk(place, tokens)
    }

    fn walk(&mut self, place: &Place, tokens: TokenStream) -> Result<()> {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut file_given = None;
        let mut i = 0;
        while let Some(token) = tokens.get(i) {
            if let Some(attribute) = Attribute::at(&tokens, i) {
                if attribute.is_for_tests() {
                    if attribute.inner {
                        return Ok(());
                    }
                    i = end_of_item(&tokens, i + 2);
                    continue;
                }
                file_given = attribute.path().or(file_given);
                i += if attribute.inner { 3 } else { 2 };
                continue;
            }
            i += 1;
            match token {
                TokenTree::Ident(word) if word == "mod" => {
                    if let Some(TokenTree::Ident(name)) = tokens.get(i) {
                        self.module(place, &name.to_string(), tokens.get(i + 1), file_given.take())?;
                        i += 2;
                    }
                }
                // `use<'a>` in a return type contains no module.
                TokenTree::Ident(word) if word == "use" && !is_punct(tokens.get(i), '<') => {
                    let end = i + tokens[i..].iter().take_while(|token| !is_punct(Some(token), ';')).count();
                    self.use_tree(place, &tokens[i..end], &[]);
                    i = end;
                }
                // A visibility: `pub(in crate::a)` uses nothing.
                TokenTree::Ident(word) if word == "pub" => {
                    if matches!(tokens.get(i), Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis)
                    {
                        i += 1;
                    }
                }
                TokenTree::Ident(_) => {
                    let path = path_at(&tokens, i - 1);
                    i += 3 * (path.len() - 1);
                    if path.len() > 1 {
                        self.reference(place, path);
                    }
                }
                TokenTree::Group(group) => self.walk(place, group.stream())?,
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
        }
        Ok(())
    }

    /// `mod name;` or `mod name { … }`; `after` is the token that follows the name.
    fn module(
        &mut self,
        place: &Place,
        name: &str,
        after: Option<&TokenTree>,
        file_given: Option<String>,
    ) -> Result<()> {
        let module = [&place.module[..], &[name.to_owned()]].concat();
        let folder = place.folder.join(name);
        if let Some(TokenTree::Group(body)) = after {
            self.files.entry(module.clone()).or_default().insert(place.file.clone());
            return self.walk(&Place { file: place.file.clone(), module, folder }, body.stream());
        }
        if let Some(given) = file_given {
            let beside = place.file.parent().context("a file lies in a folder")?;
            let file = beside.join(given);
            let folder = file.parent().context("a file lies in a folder")?.to_owned();
            return self.read_file(&Place { file, module, folder });
        }
        let files = [folder.with_extension("rs"), folder.join("mod.rs")];
        match files.into_iter().find(|file| file.exists()) {
            Some(file) => self.read_file(&Place { file, module, folder }),
            None => bail!("{} declares the module {name}, which has no file", place.file.display()),
        }
    }

    /// Records the imports in the tokens after `use`, or between its braces.
    fn use_tree(&mut self, place: &Place, tokens: &[TokenTree], before: &[String]) {
        for tree in tokens.split(|token| is_punct(Some(token), ',')) {
            let mut path = before.to_vec();
            let mut alias = None;
            let mut nested = false;
            let mut words = tree.iter();
            while let Some(word) = words.next() {
                match word {
                    TokenTree::Ident(word) if word == "as" => {
                        alias = words.next().map(ToString::to_string);
                    }
                    TokenTree::Ident(word) => path.push(word.to_string()),
                    TokenTree::Group(group) => {
                        let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                        self.use_tree(place, &inner, &path);
                        nested = true;
                    }
                    TokenTree::Punct(_) | TokenTree::Literal(_) => {}
                }
            }
            if nested || path.is_empty() {
                continue;
            }
            if path.len() > 1 && path.last().is_some_and(|name| name == "self") {
                path.pop();
            }
            if let Some(name) = alias.or_else(|| path.last().cloned()) {
                self.imported.insert((place.module.clone(), name), path.clone());
            }
            self.reference(place, path);
        }
    }

    fn reference(&mut self, place: &Place, path: Names) {
        self.paths.push(Reference { file: place.file.clone(), module: place.module.clone(), path });
    }
}

fn is_punct(token: Option<&TokenTree>, wanted: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == wanted)
}

/// The names of the path that starts at a token, or only the name at the token if it continues another path.
fn path_at(tokens: &[TokenTree], at: usize) -> Names {
    let colons = |at: usize| is_punct(tokens.get(at), ':') && is_punct(tokens.get(at + 1), ':');
    let mut names = vec![tokens[at].to_string()];
    if at >= 2 && colons(at - 2) {
        return names;
    }
    let mut next = at + 1;
    while colons(next)
        && let Some(TokenTree::Ident(name)) = tokens.get(next + 2)
    {
        names.push(name.to_string());
        next += 3;
    }
    names
}

/// `#[…]` or `#![…]`.
struct Attribute<'a> {
    inner: bool,
    content: &'a Group,
}

impl<'a> Attribute<'a> {
    fn at(tokens: &'a [TokenTree], at: usize) -> Option<Self> {
        if !is_punct(tokens.get(at), '#') {
            return None;
        }
        let inner = is_punct(tokens.get(at + 1), '!');
        match tokens.get(at + 1 + usize::from(inner)) {
            Some(TokenTree::Group(content)) if content.delimiter() == Delimiter::Bracket => {
                Some(Self { inner, content })
            }
            _ => None,
        }
    }

    /// `test`, `cfg(test)` or `cfg(all(test, …))`.
    fn is_for_tests(&self) -> bool {
        let words: Vec<TokenTree> = self.content.stream().into_iter().collect();
        match &words[..] {
            [TokenTree::Ident(word)] => word == "test",
            [TokenTree::Ident(word), TokenTree::Group(condition)] if word == "cfg" => {
                demands_tests(condition.stream())
            }
            _ => false,
        }
    }

    /// The file of `path = "file"`.
    fn path(&self) -> Option<String> {
        let words: Vec<TokenTree> = self.content.stream().into_iter().collect();
        match &words[..] {
            [TokenTree::Ident(word), TokenTree::Punct(_), TokenTree::Literal(file)] if word == "path" => {
                Some(file.to_string().trim_matches('"').to_owned())
            }
            _ => None,
        }
    }
}

fn demands_tests(condition: TokenStream) -> bool {
    let words: Vec<TokenTree> = condition.into_iter().collect();
    words.split(|word| is_punct(Some(word), ',')).any(|term| match term {
        [TokenTree::Ident(word)] => word == "test",
        [TokenTree::Ident(word), TokenTree::Group(terms)] if word == "all" => demands_tests(terms.stream()),
        _ => false,
    })
}

/// The index after the item, field, variant or arm that starts at a token.
fn end_of_item(tokens: &[TokenTree], start: usize) -> usize {
    let mut at = start;
    while let Some(attribute) = Attribute::at(tokens, at) {
        at += if attribute.inner { 3 } else { 2 };
    }
    let end = Ending::of(&tokens[at..]);
    while let Some(token) = tokens.get(at) {
        at += 1;
        let ends = match token {
            TokenTree::Punct(punct) => {
                punct.as_char() == ';' || punct.as_char() == ',' && matches!(end, Ending::Comma)
            }
            TokenTree::Group(group) => {
                group.delimiter() == Delimiter::Brace && !matches!(end, Ending::Semicolon)
            }
            TokenTree::Ident(_) | TokenTree::Literal(_) => false,
        };
        if ends {
            break;
        }
    }
    at
}

/// The token that ends a piece of code.
enum Ending {
    /// Only a semicolon: an import or a value, which may hold braces.
    Semicolon,
    /// Braces or a semicolon: any other item.
    Brace,
    /// Braces, a semicolon or a comma: a field, a variant or a match arm.
    Comma,
}

impl Ending {
    fn of(tokens: &[TokenTree]) -> Self {
        const QUALIFIERS: [&str; 5] = ["pub", "unsafe", "async", "extern", "const"];
        const VALUES: [&str; 4] = ["use", "static", "let", "const"];
        const ITEMS: [&str; 8] = ["enum", "fn", "impl", "macro_rules", "mod", "struct", "trait", "type"];
        let words: Vec<String> = tokens
            .iter()
            .filter_map(
                |token| if let TokenTree::Ident(word) = token { Some(word.to_string()) } else { None },
            )
            .take(5)
            .collect();
        let is =
            |list: &[&str], word: Option<&String>| word.is_some_and(|word| list.contains(&word.as_str()));
        let first = words.iter().find(|word| !is(&QUALIFIERS, Some(word)));
        if is(&ITEMS, first) {
            Self::Brace
        } else if is(&VALUES, first) || words.iter().any(|word| word == "const") {
            Self::Semicolon
        } else {
            Self::Comma
        }
    }
}
