//! The allowed dependencies between the crates of the workspace, so that code and design do not drift apart.

use anyhow::{Result, bail};
use serde_json::Value;

use crate::cargo::metadata;

/// `base ← all`, `ops ← model ← {train, wasm, cli}`, `audio ← {synth, train, wasm, cli}`, `effects ← {synth, train}`,
/// `{synth, train, import} ← cli`, `conformance → {ops, model, browser}`. xtask starts the other programs and uses no
/// crate of the workspace.
const ARROWS: &[(&str, &[&str])] = &[
    ("unbraid-base", &[]),
    ("unbraid-ops", &["unbraid-base"]),
    ("unbraid-audio", &["unbraid-base"]),
    ("unbraid-effects", &["unbraid-base"]),
    ("unbraid-import", &[]),
    ("unbraid-model", &["unbraid-base", "unbraid-ops"]),
    ("unbraid-synth", &["unbraid-base", "unbraid-audio", "unbraid-effects"]),
    ("unbraid-train", &["unbraid-base", "unbraid-ops", "unbraid-model", "unbraid-audio", "unbraid-effects"]),
    ("unbraid-wasm", &["unbraid-base", "unbraid-ops", "unbraid-model", "unbraid-audio"]),
    (
        "unbraid",
        &[
            "unbraid-base",
            "unbraid-ops",
            "unbraid-import",
            "unbraid-model",
            "unbraid-audio",
            "unbraid-synth",
            "unbraid-train",
        ],
    ),
    ("browser", &["unbraid-base"]),
    ("conformance", &["unbraid-base", "unbraid-ops", "unbraid-model", "browser"]),
    ("conformance-web", &["unbraid-ops", "conformance"]),
    ("fuzz", &["unbraid-audio", "unbraid-import", "unbraid-model", "unbraid-synth", "unbraid-train"]),
    ("isa", &["unbraid-base", "unbraid-ops", "unbraid-model", "unbraid-train"]),
    ("xtask", &[]),
];

/// Crates that must not depend on burn and its kernels, so that they build in seconds.
const WITHOUT_BURN: &[&str] = &[
    "unbraid-base",
    "unbraid-audio",
    "unbraid-effects",
    "unbraid-import",
    "unbraid-synth",
    "browser",
    "xtask",
];

/// Checks the dependencies between the crates of the workspace, including those of tests and build scripts.
pub(super) fn check() -> Result<()> {
    let broken = broken(&metadata()?);
    if !broken.is_empty() {
        bail!("dependencies between crates that the design does not allow:\n  {}", broken.join("\n  "));
    }
    Ok(())
}

fn broken(metadata: &Value) -> Vec<String> {
    let packages = metadata["packages"].as_array().map_or(&[][..], Vec::as_slice);
    let name = |value: &Value| value["name"].as_str().unwrap_or_default().to_owned();
    let ours: Vec<String> = packages.iter().map(name).collect();
    if ours.is_empty() {
        return vec!["`cargo metadata` names no packages".into()];
    }
    let mut broken = Vec::new();
    for package in packages {
        let user = name(package);
        let Some((_, allowed)) = ARROWS.iter().find(|(known, _)| *known == user) else {
            broken.push(format!("{user} is new: list in xtask/src/check/arrows.rs which crates it may use"));
            continue;
        };
        for used in package["dependencies"].as_array().into_iter().flatten().map(name) {
            let heavy =
                used.split('-').next().is_some_and(|family| matches!(family, "burn" | "cubecl" | "wgpu"));
            if ours.contains(&used) && !allowed.contains(&used.as_str())
                || heavy && WITHOUT_BURN.contains(&user.as_str())
            {
                broken.push(format!("{user} → {used}"));
            }
        }
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_workspace_has_only_allowed_dependencies() {
        check().unwrap();
    }

    #[test]
    fn forbidden_dependencies_are_named() {
        let package = |name: &str, uses: &[&str]| {
            let uses: Vec<Value> = uses.iter().map(|used| json!({ "name": used })).collect();
            json!({ "name": name, "dependencies": uses })
        };
        let metadata = json!({ "packages": [
            package("unbraid-ops", &["burn", "unbraid-audio"]),
            package("unbraid-audio", &["hound", "burn-flex"]),
            package("unbraid-train", &["unbraid-model", "unbraid-ops"]),
            package("unbraid-model", &["unbraid-ops"]),
            package("xtask", &["clap", "unbraid-model"]),
            package("newcomer", &[]),
        ]});
        let found = broken(&metadata);
        assert_eq!(
            found[..3],
            ["unbraid-ops → unbraid-audio", "unbraid-audio → burn-flex", "xtask → unbraid-model"]
                .map(String::from)
        );
        assert!(found[3].starts_with("newcomer is new"));
        assert_eq!(found.len(), 4);
    }

    #[test]
    fn the_table_is_in_order_and_so_has_no_cycle() {
        let position = |name: &str| ARROWS.iter().position(|(known, _)| *known == name).unwrap();
        for (user, allowed) in ARROWS {
            assert!(allowed.iter().all(|used| position(used) < position(user)), "{user} uses a later crate");
        }
    }
}
