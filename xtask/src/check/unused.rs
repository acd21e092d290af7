//! Checks that the code of each package names every dependency that the package declares.
//!
//! A dependency that is declared only for its features is listed in the manifest, in the format of cargo-machete:
//! `[package.metadata.cargo-machete]`, `ignored = ["NAME"]`. An unnecessary entry in that list is an error too.

use std::collections::BTreeSet;
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, Result, anyhow, bail};
use proc_macro2::{TokenStream, TokenTree};
use serde_json::Value;

use super::files::{read, rust_files};
use crate::cargo::{metadata, root};

/// Checks the whole workspace.
pub(super) fn check() -> Result<()> {
    let metadata = metadata()?;
    let packages = metadata["packages"].as_array().context("`cargo metadata` names no packages")?;
    let mut broken = Vec::new();
    let mut declared = BTreeSet::new();
    for package in packages {
        let manifest = package["manifest_path"].as_str().context("a package without a manifest")?;
        let folder = Path::new(manifest).parent().context("a manifest lies in a folder")?;
        let mut used = BTreeSet::new();
        for part in ["src", "tests", "benches", "examples"].map(|part| folder.join(part)) {
            for file in if part.is_dir() { rust_files(&part)? } else { Vec::new() } {
                let tokens = TokenStream::from_str(&read(&file)?)
                    .map_err(|error| anyhow!("{}: {error}", file.display()))?;
                collect(tokens, &mut used);
            }
        }
        broken.extend(unused(package, &used));
        declared.extend(dependencies(package).map(str::to_owned));
    }
    let manifest = read(&root().join("Cargo.toml"))?;
    let left_over = shared(&manifest).filter(|name| !declared.contains(*name));
    broken.extend(left_over.map(|name| format!("no package uses {name} of [workspace.dependencies]")));
    if !broken.is_empty() {
        bail!("unused dependencies:\n  {}", broken.join("\n  "));
    }
    Ok(())
}

/// The names under which a package's code knows its dependencies, with hyphens.
fn dependencies(package: &Value) -> impl Iterator<Item = &str> {
    let all = package["dependencies"].as_array().into_iter().flatten();
    all.filter_map(|dependency| dependency["rename"].as_str().or_else(|| dependency["name"].as_str()))
}

fn unused(package: &Value, used: &BTreeSet<String>) -> Vec<String> {
    let name = package["name"].as_str().unwrap_or_default();
    let is_used = |dependency: &str| used.contains(&dependency.replace('-', "_"));
    let ignored = package["metadata"]["cargo-machete"]["ignored"].as_array();
    let ignored: BTreeSet<&str> = ignored.into_iter().flatten().filter_map(Value::as_str).collect();
    let dependencies: BTreeSet<&str> = dependencies(package).collect();
    let unused =
        dependencies.iter().filter(|dependency| !is_used(dependency) && !ignored.contains(*dependency));
    let needless = ignored.iter().filter(|entry| is_used(entry) || !dependencies.contains(*entry));
    unused
        .map(|dependency| format!("{name} does not use {dependency}"))
        .chain(needless.map(|entry| format!("{name} ignores {entry}, which it uses or does not declare")))
        .collect()
}

/// Adds the names with which paths begin.
fn collect(tokens: TokenStream, used: &mut BTreeSet<String>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let is_colon = |at: Option<usize>| {
        let token = at.and_then(|at| tokens.get(at));
        matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == ':')
    };
    for (at, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Ident(name) => {
                let imported = at > 0 && matches!(&tokens[at - 1], TokenTree::Ident(word) if word == "use");
                let continues = is_colon(at.checked_sub(1)) && is_colon(at.checked_sub(2));
                let begins = is_colon(Some(at + 1)) && is_colon(Some(at + 2)) && !continues;
                if imported || begins {
                    used.insert(name.to_string());
                }
            }
            TokenTree::Group(group) => collect(group.stream(), used),
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

/// The names in `[workspace.dependencies]`.
fn shared(manifest: &str) -> impl Iterator<Item = &str> {
    let lines = manifest.lines().skip_while(|line| line.trim() != "[workspace.dependencies]").skip(1);
    let lines = lines.take_while(|line| !line.starts_with('['));
    lines
        .filter(|line| line.starts_with(char::is_alphanumeric))
        .filter_map(|line| Some(line.split_once('=')?.0.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_workspace_uses_its_dependencies() {
        check().unwrap();
    }

    #[test]
    fn names_count_where_a_path_begins() {
        let code = "use one; use two::{a, b::c}; // three::x\nfn f(four: u8) { five::g(\"six::x\"); x::seven::y(); \
                    println!(\"{}\", eight::z); let _: nine::T; } use { ten::x };";
        let mut used = BTreeSet::new();
        collect(TokenStream::from_str(code).unwrap(), &mut used);
        for name in ["one", "two", "five", "eight", "nine", "ten"] {
            assert!(used.contains(name), "{name}");
        }
        for name in ["three", "four", "six", "seven"] {
            assert!(!used.contains(name), "{name}");
        }
    }

    #[test]
    fn unused_and_needlessly_ignored_dependencies_are_named() {
        let package = json!({
            "name": "p",
            "dependencies": [
                { "name": "serde-json" }, { "name": "log" }, { "name": "anchor" }, { "name": "x", "rename": "y" },
            ],
            "metadata": { "cargo-machete": { "ignored": ["anchor", "y", "gone"] } },
        });
        let used = ["serde_json", "y"].map(String::from).into();
        assert_eq!(
            unused(&package, &used),
            [
                "p does not use log",
                "p ignores gone, which it uses or does not declare",
                "p ignores y, which it uses or does not declare"
            ]
        );
    }

    #[test]
    fn shared_dependencies_are_read_from_the_manifest() {
        let text = "[workspace]\nx = 1\n\n[workspace.dependencies]\na = \"1\"\n# no\nb-c = { version = \"1\", features = [\n  \"d\",\n] }\n\n[other]\ne = 1\n";
        assert_eq!(shared(text).collect::<Vec<_>>(), ["a", "b-c"]);
    }
}
