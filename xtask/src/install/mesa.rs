//! The software Vulkan driver (Mesa's llvmpipe), which runs the WGSL kernels on a machine without a GPU.
//!
//! Mesa 22 computes wrong gradients of convolutions, so the tests need Mesa 25 or newer. Debian 12 has it in its
//! backports; Debian 13 and newer, and Ubuntu 24.04 with its updates, have it in their plain suites.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::apt::{Admin, commands, installed, output};
use super::need::{Missing, Need};
use crate::cargo::{runs, say};

/// The first Mesa whose llvmpipe computed right results in our measurements.
///
/// crates/ops judges the driver that it finds by the same rule. This copy decides about the package before any program
/// of the workspace is built.
const OLDEST_MESA: u32 = 25;
const DRIVER: &str = "mesa-vulkan-drivers";
const LOADER: &str = "libvulkan1";
const TESTS: &str = "the GPU cases";

pub(super) fn missing() -> Option<Missing> {
    // Elsewhere the GPU cases use the machine's own graphics driver.
    if !cfg!(target_os = "linux") || is_installed() {
        return None;
    }
    if !(runs("dpkg-query") && runs("apt-get")) {
        return Some(Missing::ByHand(format!(
            "The GPU cases need a GPU, or Mesa {OLDEST_MESA} or newer with its Vulkan drivers and the Vulkan loader \
             (Fedora: mesa-vulkan-drivers vulkan-loader; Arch: vulkan-swrast vulkan-icd-loader). \
             They are ignored where these are missing."
        )));
    }
    let mut changes = commands(&[DRIVER, LOADER]);
    if !matches!(newest_offer(), Ok(Some(_)))
        && let Ok((target, _)) = backports_file()
    {
        changes.insert(
            1,
            format!("writes {target} if no package source has Mesa {OLDEST_MESA} or newer; apt-get update"),
        );
    }
    Some(Missing::ByApt(Need { tests: TESTS, changes, install }))
}

fn install(admin: &Admin) -> Result<()> {
    admin.update()?;
    let offer = match newest_offer()? {
        Some(offer) => offer,
        None => {
            add_backports(admin)?;
            newest_offer()?.with_context(|| format!("no package source has Mesa {OLDEST_MESA} or newer"))?
        }
    };
    let suite = ["-t", &offer.suite];
    admin.install(if offer.is_backport() { &suite } else { &[] }, &[DRIVER, LOADER])?;
    if !is_installed() {
        bail!("after the installation {DRIVER} is still older than {OLDEST_MESA}");
    }
    Ok(())
}

/// Whether driver and loader are installed and new enough.
fn is_installed() -> bool {
    let driver = installed(DRIVER).and_then(|version| major(&version));
    driver.is_some_and(|major| major >= OLDEST_MESA) && installed(LOADER).is_some()
}

/// The leading number of a Debian version without its epoch: `1:25.0.7-2~bpo12+1` gives 25.
fn major(version: &str) -> Option<u32> {
    let upstream = version.split_once(':').map_or(version, |(_, rest)| rest);
    upstream.split('.').next()?.parse().ok()
}

/// A version of the driver that a package source has, and its suite.
#[derive(Debug, PartialEq)]
struct Offer {
    version: u32,
    suite: String,
}

impl Offer {
    fn is_backport(&self) -> bool {
        self.suite.ends_with("-backports")
    }
}

fn newest_offer() -> Result<Option<Offer>> {
    Ok(newest_in(&output(&["apt-cache", "madison", DRIVER])?))
}

/// Reads `apt-cache madison`: lines of `package | version | URI suite/component architecture Packages`.
/// A plain suite is preferred to backports, because it upgrades less of the machine.
fn newest_in(madison: &str) -> Option<Offer> {
    let offer = |line: &str| {
        let mut fields = line.split('|').map(str::trim).skip(1);
        let version = major(fields.next()?)?;
        let suite = fields.next()?.split_whitespace().nth(1)?.split('/').next()?.to_owned();
        (version >= OLDEST_MESA).then_some(Offer { version, suite })
    };
    madison.lines().filter_map(offer).max_by_key(|offer| (!offer.is_backport(), offer.version))
}

/// The source file for the backports of this machine's own Debian mirror: its path and its text.
fn backports_file() -> Result<(String, String)> {
    let release = fs::read_to_string("/etc/os-release").context("cannot read /etc/os-release")?;
    let field = |name: &str| {
        release.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim_matches('"'))
    };
    let codename = field("VERSION_CODENAME=").unwrap_or_default();
    if field("ID=") != Some("debian") || codename.is_empty() {
        bail!("this system's package sources have no Mesa {OLDEST_MESA} or newer");
    }
    let (extension, text) = sources()?
        .iter()
        .find_map(|(extension, text)| Some((extension.clone(), backports(extension, text, codename)?)))
        .with_context(|| format!("found no source of {codename} packages under /etc/apt to copy"))?;
    Ok((format!("/etc/apt/sources.list.d/unbraid-{codename}-backports.{extension}"), text))
}

fn add_backports(admin: &Admin) -> Result<()> {
    let (target, text) = backports_file()?;
    say(&format!("Adding Debian's backports as {target}"));
    let draft = std::env::temp_dir().join(format!("unbraid-backports-{}", std::process::id()));
    fs::write(&draft, text).with_context(|| format!("cannot write {}", draft.display()))?;
    let placed = admin.run(&["install", "-m", "644", &draft.to_string_lossy(), &target]);
    fs::remove_file(&draft).ok();
    placed?;
    admin.update()
}

/// The extension (`list` or `sources`) and the text of every apt source file.
fn sources() -> Result<Vec<(String, String)>> {
    let mut paths = vec![Path::new("/etc/apt/sources.list").to_owned()];
    if let Ok(folder) = fs::read_dir("/etc/apt/sources.list.d") {
        paths.extend(folder.filter_map(|entry| Some(entry.ok()?.path())));
    }
    paths.sort();
    let mut found = Vec::new();
    for path in paths {
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        if path.is_file() && matches!(extension, "list" | "sources") {
            let text =
                fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            found.push((extension.to_owned(), text));
        }
    }
    Ok(found)
}

/// The first source of `codename`'s packages in an apt source file, rewritten to the backports of that suite.
fn backports(extension: &str, text: &str, codename: &str) -> Option<String> {
    let suite = format!("{codename}-backports");
    if extension == "list" {
        let line = text
            .lines()
            .map(str::trim)
            .find(|line| line.starts_with("deb ") && line.split_whitespace().any(|word| word == codename))?;
        let words = line.split_whitespace().map(|word| if word == codename { suite.as_str() } else { word });
        return Some(words.collect::<Vec<_>>().join(" ") + "\n");
    }
    let lists = |line: &str, key: &str, value: &str| {
        line.split_once(':').is_some_and(|(name, values)| {
            name.eq_ignore_ascii_case(key) && values.split_whitespace().any(|word| word == value)
        })
    };
    let stanza = text.split("\n\n").find(|stanza| {
        stanza.lines().any(|line| lists(line, "Types", "deb"))
            && stanza.lines().any(|line| lists(line, "Suites", codename))
    })?;
    let lines = stanza.lines().filter(|line| !line.starts_with('#')).map(|line| {
        if lists(line, "Suites", codename) { format!("Suites: {suite}") } else { line.to_owned() }
    });
    Some(lines.collect::<Vec<_>>().join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_debian_version_gives_its_major() {
        assert_eq!(major("25.0.7-2~bpo12+1"), Some(25));
        assert_eq!(major("1:26.1.0-1"), Some(26));
        assert_eq!(major("22.3.6-1+deb12u1"), Some(22));
        assert_eq!(major("unknown"), None);
    }

    #[test]
    fn a_plain_suite_is_preferred_to_backports_and_old_versions_are_no_offer() {
        let old =
            "mesa-vulkan-drivers | 22.3.6-1 | http://deb.debian.org/debian bookworm/main amd64 Packages\n";
        let back = "mesa-vulkan-drivers | 25.0.7-2~bpo12+1 | http://deb.debian.org/debian \
                    bookworm-backports/main amd64 Packages\n";
        let plain =
            "mesa-vulkan-drivers | 25.0.7-2 | http://deb.debian.org/debian trixie/main amd64 Packages\n";
        assert_eq!(newest_in(old), None);
        assert_eq!(
            newest_in(&format!("{old}{back}")).map(|offer| offer.suite),
            Some("bookworm-backports".into())
        );
        assert_eq!(newest_in(&format!("{back}{plain}")).map(|offer| offer.suite), Some("trixie".into()));
    }

    #[test]
    fn a_stanza_is_copied_with_only_the_backports_suite() {
        let text = "Types: deb\nURIs: http://deb.debian.org/debian-security\nSuites: bookworm-security\n\
                    Components: main\n\nTypes: deb\n# a note\nURIs: http://mirror/debian\n\
                    Suites: bookworm bookworm-updates\nComponents: main\nSigned-By: /key.gpg\n";
        assert_eq!(
            backports("sources", text, "bookworm").as_deref(),
            Some(
                "Types: deb\nURIs: http://mirror/debian\nSuites: bookworm-backports\nComponents: main\n\
                 Signed-By: /key.gpg\n"
            )
        );
        assert_eq!(backports("sources", text, "trixie"), None);
    }

    #[test]
    fn a_one_line_source_keeps_its_options() {
        let text = "# deb http://x/debian bookworm main\ndeb-src http://x/debian bookworm main\n\
                    deb [signed-by=/key.gpg] http://x/debian bookworm main contrib\n";
        assert_eq!(
            backports("list", text, "bookworm").as_deref(),
            Some("deb [signed-by=/key.gpg] http://x/debian bookworm-backports main contrib\n")
        );
    }
}
