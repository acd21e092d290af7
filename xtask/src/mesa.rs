//! Gets the software Vulkan driver (Mesa's llvmpipe) that runs the WGSL kernels on a machine without a GPU.
//!
//! Mesa 22 computes wrong convolution gradients, so only Mesa 25 or newer is worth testing on. Debian 12
//! has that in its backports; Debian 13 and newer, and Ubuntu 24.04 with its updates, have it at hand.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::apt::{Admin, installed, output, runs};
use crate::cargo::say;

/// The first Mesa whose llvmpipe computed what it should in our measurements.
const OLDEST_MESA: u32 = 25;
const DRIVER: &str = "mesa-vulkan-drivers";
const LOADER: &str = "libvulkan1";

/// Installs llvmpipe where that can be done without asking; elsewhere says what is missing.
///
/// Missing drivers are no error: the cases that need them show as skipped.
pub(crate) fn ensure() {
    match provide() {
        Ok(state) => say(&state),
        Err(error) => {
            say(&format!(
                "Software Vulkan driver not available: {error:#}. The GPU cases will show as skipped."
            ));
        }
    }
}

fn provide() -> Result<String> {
    if !cfg!(target_os = "linux") {
        return Ok("GPU cases use this machine's own graphics driver; nothing to install.".into());
    }
    if !(runs("dpkg-query") && runs("apt-get")) {
        return Ok(format!(
            "GPU cases need a GPU, or Mesa {OLDEST_MESA} or newer with its Vulkan drivers and the Vulkan loader \
             (Fedora: mesa-vulkan-drivers vulkan-loader; Arch: vulkan-swrast vulkan-icd-loader). \
             Where they are missing these cases show as skipped."
        ));
    }
    if let Some(ready) = ready() {
        return Ok(ready);
    }
    let admin = Admin::find(&format!(
        "{DRIVER} {OLDEST_MESA} or newer and {LOADER} are missing, and installing them takes root; \
         `sudo apt-get install {DRIVER} {LOADER}` does it where the system is new enough \
         (Debian 12: with `-t bookworm-backports`)"
    ))?;
    say(&format!(
        "Installing the software Vulkan driver ({DRIVER} >= {OLDEST_MESA}, {LOADER}) for the GPU cases."
    ));
    admin.run(&["apt-get", "-o", "Acquire::Retries=3", "-q", "update"])?;
    let offer = match newest_offer()? {
        Some(offer) => offer,
        None => {
            add_backports(&admin)?;
            newest_offer()?
                .with_context(|| format!("no package source offers Mesa {OLDEST_MESA} or newer"))?
        }
    };
    let mut install = vec!["apt-get", "-o", "Acquire::Retries=3", "-o", "Dpkg::Use-Pty=0", "-q"];
    install.extend(["install", "-y", "--no-install-recommends"]);
    if offer.suite.ends_with("-backports") {
        install.extend(["-t", &offer.suite]);
    }
    install.extend([DRIVER, LOADER]);
    admin.run(&install)?;
    ready().with_context(|| format!("after the installation {DRIVER} is still older than {OLDEST_MESA}"))
}

/// A line saying that driver and loader are installed and new enough.
fn ready() -> Option<String> {
    let driver =
        installed(DRIVER).filter(|version| major(version).is_some_and(|major| major >= OLDEST_MESA))?;
    let loader = installed(LOADER)?;
    Some(format!("Software Vulkan driver ready: {DRIVER} {driver}, {LOADER} {loader}."))
}

/// The leading number of a Debian version, its epoch left aside: `1:25.0.7-2~bpo12+1` gives 25.
fn major(version: &str) -> Option<u32> {
    let upstream = version.split_once(':').map_or(version, |(_, rest)| rest);
    upstream.split('.').next()?.parse().ok()
}

/// A version of the driver that a package source has, and the suite it comes from.
#[derive(Debug, PartialEq)]
struct Offer {
    version: u32,
    suite: String,
}

fn newest_offer() -> Result<Option<Offer>> {
    Ok(newest_in(&output(&["apt-cache", "madison", DRIVER])?))
}

/// Reads `apt-cache madison`: lines of `package | version | URI suite/component architecture Packages`.
/// A plain suite goes before backports: it upgrades less of the machine.
fn newest_in(madison: &str) -> Option<Offer> {
    let offer = |line: &str| {
        let mut fields = line.split('|').map(str::trim).skip(1);
        let version = major(fields.next()?)?;
        let suite = fields.next()?.split_whitespace().nth(1)?.split('/').next()?.to_owned();
        (version >= OLDEST_MESA).then_some(Offer { version, suite })
    };
    madison
        .lines()
        .filter_map(offer)
        .max_by_key(|offer| (!offer.suite.ends_with("-backports"), offer.version))
}

/// Adds the machine's own Debian mirror's backports, beside its other sources.
fn add_backports(admin: &Admin) -> Result<()> {
    let release = fs::read_to_string("/etc/os-release").context("cannot read /etc/os-release")?;
    let field = |name: &str| {
        release.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim_matches('"'))
    };
    let codename = field("VERSION_CODENAME=").unwrap_or_default();
    if field("ID=") != Some("debian") || codename.is_empty() {
        bail!("this system's package sources only have a Mesa older than {OLDEST_MESA}");
    }
    let (extension, text) = sources()?
        .iter()
        .find_map(|(extension, text)| Some((extension.clone(), backports(extension, text, codename)?)))
        .with_context(|| format!("found no source of {codename} packages under /etc/apt to copy"))?;
    let target = format!("/etc/apt/sources.list.d/unbraid-{codename}-backports.{extension}");
    say(&format!("Adding Debian's backports as {target}."));
    let draft = std::env::temp_dir().join(format!("unbraid-backports-{}", std::process::id()));
    fs::write(&draft, text).with_context(|| format!("cannot write {}", draft.display()))?;
    let placed = admin.run(&["install", "-m", "644", &draft.to_string_lossy(), &target]);
    fs::remove_file(&draft).ok();
    placed?;
    admin.run(&["apt-get", "-o", "Acquire::Retries=3", "-q", "update"])
}

/// All apt source files: their extension (`list` or `sources`) and text.
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

/// The first source of `codename`'s packages in an apt source file, rewritten to its backports.
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
    fn the_plain_suite_goes_before_backports_and_old_versions_are_no_offer() {
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
    fn a_stanza_is_copied_with_the_backports_suite_alone() {
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
