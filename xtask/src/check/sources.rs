//! Source files: no import cycles inside a crate, and no file of more than 400 lines.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::files::{read, rust_files};
use super::modules::Modules;
use crate::cargo::{metadata, root};

/// Maximum number of lines of a Rust file, including its tests.
const MOST_LINES: usize = 400;

/// Folders with the Rust files of the workspace.
const FOLDERS: [&str; 3] = ["crates", "tests", "xtask"];

/// Checks both rules for the whole workspace.
pub(super) fn check() -> Result<()> {
    let mut broken = cycles()?;
    broken.extend(long_files()?);
    if !broken.is_empty() {
        bail!("files that break the rules of this workspace:\n  {}", broken.join("\n  "));
    }
    Ok(())
}

/// The import cycles of every library, program and integration test of the workspace.
fn cycles() -> Result<Vec<String>> {
    let metadata = metadata()?;
    let packages = metadata["packages"].as_array().context("`cargo metadata` names no packages")?;
    let mut found = BTreeSet::new();
    for target in packages.iter().flat_map(|package| package["targets"].as_array()).flatten() {
        let path = Path::new(target["src_path"].as_str().context("a target without a source file")?);
        found.extend(cycles_below(path)?.iter().map(Cycle::shown));
    }
    Ok(found.into_iter().collect())
}

/// Files that all import each other, directly or through others: a strongly connected component.
#[derive(Debug, PartialEq)]
struct Cycle {
    files: Vec<PathBuf>,
    /// The shortest cycle.
    shortest: Vec<PathBuf>,
}

impl Cycle {
    fn shown(&self) -> String {
        let name = |path: &PathBuf| path.strip_prefix(root()).unwrap_or(path).display().to_string();
        let way: Vec<String> = self.shortest.iter().chain(self.shortest.first()).map(name).collect();
        let others: Vec<String> =
            self.files.iter().filter(|file| !self.shortest.contains(file)).map(name).collect();
        let others = if others.is_empty() {
            String::new()
        } else {
            format!(" (also in this component: {})", others.join(", "))
        };
        format!("import cycle: {}{others}", way.join(" → "))
    }
}

/// The import cycles of one crate, given its root file.
fn cycles_below(root: &Path) -> Result<Vec<Cycle>> {
    let modules = Modules::read(root)?;
    let mut imports: BTreeMap<&Path, BTreeSet<&Path>> = BTreeMap::new();
    for (from, to) in modules.imports() {
        imports.entry(from).or_default().insert(to);
    }
    let mut cycles = Vec::new();
    let mut seen = BTreeSet::new();
    for &file in imports.keys() {
        let mut files = reached(&imports, file);
        files.retain(|other| reached(&imports, other).contains(file));
        if files.contains(file) && seen.insert(files.clone()) {
            let ways = files.iter().filter_map(|file| way_back(&imports, file));
            let shortest = ways.min_by_key(Vec::len).unwrap_or_default();
            let owned = |path: &Path| path.to_owned();
            cycles.push(Cycle {
                files: files.into_iter().map(owned).collect(),
                shortest: shortest.into_iter().map(owned).collect(),
            });
        }
    }
    Ok(cycles)
}

type Imports<'a> = BTreeMap<&'a Path, BTreeSet<&'a Path>>;

/// All files that a file imports, directly or through others.
fn reached<'a>(imports: &Imports<'a>, file: &'a Path) -> BTreeSet<&'a Path> {
    let mut reached = BTreeSet::new();
    let mut waiting = vec![file];
    while let Some(next) = waiting.pop() {
        waiting.extend(imports.get(next).into_iter().flatten().filter(|to| reached.insert(**to)));
    }
    reached
}

/// The shortest cycle through a file. The file is not repeated at the end.
fn way_back<'a>(imports: &Imports<'a>, file: &'a Path) -> Option<Vec<&'a Path>> {
    let mut seen = BTreeSet::new();
    let mut waiting = VecDeque::from([vec![file]]);
    while let Some(way) = waiting.pop_front() {
        for &next in imports.get(way.last()?).into_iter().flatten() {
            if next == file {
                return Some(way);
            }
            if seen.insert(next) {
                waiting.push_back(way.iter().copied().chain([next]).collect());
            }
        }
    }
    None
}

fn long_files() -> Result<Vec<String>> {
    let mut long = Vec::new();
    for folder in FOLDERS {
        for file in rust_files(&root().join(folder))? {
            let lines = read(&file)?.lines().count();
            if lines > MOST_LINES {
                let name = file.strip_prefix(root()).unwrap_or(&file).display();
                long.push(format!("{name} has {lines} lines; at most {MOST_LINES} are allowed"));
            }
        }
    }
    Ok(long)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_workspace_has_no_import_cycle_and_no_long_file() {
        check().unwrap();
    }

    /// Writes the files of a crate and returns its import cycles as file names.
    fn cycles_of(files: &[(&str, &str)]) -> Vec<Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let cycles = cycles_below(&folder.path().join(files[0].0)).unwrap();
        let name = |path: PathBuf| path.strip_prefix(&folder).unwrap().display().to_string();
        cycles.into_iter().map(|cycle| cycle.files.into_iter().map(name).collect()).collect()
    }

    #[test]
    fn a_child_that_imports_from_the_parent_that_uses_it_is_a_cycle() {
        let child = ("child.rs", "use super::Item;\n");
        assert_eq!(
            cycles_of(&[("lib.rs", "mod child;\npub use child::Other;\npub struct Item;"), child]),
            [["child.rs", "lib.rs"]]
        );
        // A declaration alone is no import.
        assert!(cycles_of(&[("lib.rs", "mod child;\npub struct Item;"), child]).is_empty());
        // A path in a body is.
        assert_eq!(
            cycles_of(&[("lib.rs", "mod child;\nfn f() { println!(\"{}\", child::g()); }"), child]),
            [["child.rs", "lib.rs"]]
        );
    }

    #[test]
    fn trees_of_imports_lead_to_the_files_that_define_their_modules() {
        let files = [
            ("main.rs", "mod a;\nmod b;\n"),
            ("a/mod.rs", "pub mod deep;\n"),
            ("a/deep.rs", "use crate::{b::{self, c::Thing as Other}, std};\n"),
            ("b.rs", "pub mod c;\n"),
            ("b/c.rs", "use super::super::a::deep::*;\n"),
        ];
        assert_eq!(cycles_of(&files), [["a/deep.rs", "b/c.rs"]]);
    }

    #[test]
    fn a_module_that_was_imported_is_followed_in_bodies() {
        let files = [
            ("lib.rs", "mod a;\nmod b;\n"),
            ("a.rs", "use crate::b;\nfn f() -> b::c::Thing { loop {} }\n"),
            ("b.rs", "pub mod c;\n"),
            ("b/c.rs", "pub struct Thing(crate::a::Inner);\n"),
        ];
        assert_eq!(cycles_of(&files), [["a.rs", "b/c.rs"]]);
    }

    #[test]
    fn tests_comments_strings_and_visibilities_are_no_imports() {
        let a = "//! See [`crate::b`].\n/* crate::b::x */\npub(in crate::b) const A: &str = \"crate::b::x\";\n\
                 #[cfg(test)]\nuse crate::b::{x, y};\n#[cfg(test)]\nmod tests { use crate::b::x; }\n\
                 #[cfg(test)]\nfn f<A, B>() { crate::b::x() }\nstruct S { #[cfg(test)] x: crate::b::X, y: u8 }\n\
                 #[cfg(test)]\nmod more;\n#[test]\nfn t() { crate::b::x() }";
        let files = [("lib.rs", "mod a;\nmod b;"), ("a.rs", a), ("b.rs", "use crate::a::A;")];
        assert!(cycles_of(&files).is_empty());
        let not_test = "#[cfg(not(test))]\nuse crate::b::x;";
        assert_eq!(cycles_of(&[files[0], ("a.rs", not_test), files[2]]), [["a.rs", "b.rs"]]);
    }

    #[test]
    fn a_module_has_a_file_for_each_of_its_conditions() {
        let files = [
            (
                "lib.rs",
                "#[cfg(unix)]\n#[path = \"one.rs\"]\nmod place;\n#[cfg(windows)]\n#[path = \"two.rs\"]\nmod place;\nmod user;",
            ),
            ("one.rs", ""),
            ("two.rs", "use crate::user::U;"),
            ("user.rs", "use crate::place::P;\nmod inline { use super::U; }"),
        ];
        assert_eq!(cycles_of(&files), [["two.rs", "user.rs"]]);
    }

    #[test]
    fn the_shortest_cycle_is_shown_and_the_other_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        file("lib.rs", "mod a; mod b; mod c;");
        file("a.rs", "use crate::b::B; use crate::c::C;");
        file("b.rs", "use crate::c::C; use crate::a::A;");
        file("c.rs", "use crate::a::A;");
        let cycles = cycles_below(&folder.path().join("lib.rs")).unwrap();
        let [cycle] = &cycles[..] else { panic!("{cycles:?}") };
        assert_eq!((cycle.files.len(), cycle.shortest.len()), (3, 2));
        assert!(cycle.shown().contains("also in this component: "), "{}", cycle.shown());
    }
}
