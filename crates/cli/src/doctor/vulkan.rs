//! Why a GPU that the system has is not among the devices: what its Vulkan driver lacks, and how to get it.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// A reason why a GPU cannot be used, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) fact: String,
    pub(super) advice: String,
}

impl Finding {
    fn new(fact: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { fact: fact.into(), advice: advice.into() }
    }
}

/// PCI numbers of NVIDIA.
const NVIDIA: &str = "0x10de";

/// PCI numbers of the vendors whose Vulkan drivers are Mesa's.
const MESA: [(&str, &str); 2] = [("0x1002", "AMD"), ("0x8086", "Intel")];

const LIBRARY_FOLDERS: [&str; 10] = [
    "usr/lib/x86_64-linux-gnu",
    "usr/lib/aarch64-linux-gnu",
    "usr/lib64",
    "usr/lib",
    "lib/x86_64-linux-gnu",
    "lib/aarch64-linux-gnu",
    "lib64",
    "usr/local/lib",
    "usr/local/nvidia/lib64",
    "run/opengl-driver/lib",
];

const DRIVER_FOLDERS: [&str; 4] = [
    "usr/share/vulkan/icd.d",
    "etc/vulkan/icd.d",
    "usr/local/share/vulkan/icd.d",
    "run/opengl-driver/share/vulkan/icd.d",
];

/// What a Linux system shows of its GPUs and of their Vulkan drivers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Probe {
    /// Whether there are `/dev/nvidia0` and the like.
    nvidia_nodes: bool,
    /// The version of NVIDIA's kernel driver, if it is loaded.
    nvidia_driver: Option<String>,
    /// `/dev/dri/renderD128` and the like.
    render_nodes: Vec<PathBuf>,
    /// Those of the render nodes that this user may not open.
    refused: Vec<PathBuf>,
    /// PCI numbers of the vendors of all graphics cards.
    vendors: Vec<String>,
    /// Names of the files that describe Vulkan drivers to the loader.
    drivers: Vec<String>,
    /// Names of the libraries that matter.
    libraries: Vec<String>,
    container: bool,
    /// What NVIDIA's container runtime makes available.
    capabilities: Option<String>,
    /// The variable that restricts the loader to some drivers.
    only_drivers: Option<String>,
}

impl Probe {
    /// Looks at the system under the folder `root`. `variable` reads an environment variable.
    pub(super) fn new(root: &Path, variable: impl Fn(&str) -> Option<String>) -> Self {
        let nodes = names(&root.join("dev"));
        let render_nodes =
            names(&root.join("dev/dri")).into_iter().filter(|name| name.starts_with("renderD"));
        let render_nodes: Vec<PathBuf> = render_nodes.map(|name| root.join("dev/dri").join(name)).collect();
        let is_refused = |node: &&PathBuf| {
            let opened = fs::File::options().read(true).write(true).open(node);
            opened.is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied)
        };
        let refused = render_nodes.iter().filter(is_refused).cloned().collect();
        let cards = names(&root.join("sys/class/drm")).into_iter();
        let vendors = cards.filter_map(|card| {
            let vendor = root.join("sys/class/drm").join(card).join("device/vendor");
            Some(fs::read_to_string(vendor).ok()?.trim().to_owned())
        });
        let mut vendors: Vec<String> = vendors.collect();
        vendors.sort();
        vendors.dedup();
        let version = fs::read_to_string(root.join("proc/driver/nvidia/version")).ok();
        let is_known = |name: &String| LIBRARIES.iter().any(|library| name.starts_with(library));
        let libraries = LIBRARY_FOLDERS.iter().flat_map(|folder| names(&root.join(folder))).filter(is_known);
        let is_driver = |name: &String| name.ends_with(".json");
        let drivers = DRIVER_FOLDERS.iter().flat_map(|folder| names(&root.join(folder))).filter(is_driver);
        Self {
            nvidia_nodes: nodes
                .iter()
                .any(|name| name.strip_prefix("nvidia").is_some_and(|number| number.parse::<u32>().is_ok())),
            nvidia_driver: version.map(|text| nvidia_version(&text)),
            render_nodes,
            refused,
            vendors,
            drivers: drivers.collect(),
            libraries: libraries.collect(),
            container: ["/.dockerenv", "/run/.containerenv", "/run/systemd/container"]
                .iter()
                .any(|path| root.join(&path[1..]).exists())
                || variable("KUBERNETES_SERVICE_HOST").is_some(),
            capabilities: variable("NVIDIA_DRIVER_CAPABILITIES"),
            only_drivers: variable("VK_DRIVER_FILES").or_else(|| variable("VK_ICD_FILENAMES")),
        }
    }

    /// What the GPUs of this system lack to be devices. Empty if there is no GPU.
    pub(super) fn findings(&self) -> Vec<Finding> {
        let nvidia = self.nvidia_nodes || self.nvidia_driver.is_some() || self.has_vendor(NVIDIA);
        let mesa = MESA.iter().find(|(number, _)| self.has_vendor(number)).map(|(_, name)| *name);
        // A container may hide which card a render node belongs to.
        let mesa = mesa.or((!nvidia && !self.render_nodes.is_empty()).then_some("graphics"));
        let mut findings = Vec::new();
        if nvidia {
            findings.extend(self.nvidia());
        }
        if let Some(name) = mesa {
            findings.extend(self.mesa(name));
        }
        if nvidia || mesa.is_some() {
            if !self.has_library("libvulkan.so.1") {
                findings.push(Finding::new(
                    "the Vulkan loader is missing (libvulkan.so.1)",
                    "Install libvulkan1 on Debian and Ubuntu, vulkan-loader on Fedora, or vulkan-icd-loader on Arch.",
                ));
            }
            if let Some(files) = &self.only_drivers {
                findings.push(Finding::new(
                    format!("an environment variable restricts Vulkan to the drivers {files}"),
                    "Unset VK_DRIVER_FILES and VK_ICD_FILENAMES.",
                ));
            }
        }
        findings
    }

    fn nvidia(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        if !self.nvidia_nodes {
            let (fact, advice) = if self.container {
                (
                    "the container has no device of the NVIDIA GPU (/dev/nvidia0)",
                    "Start it with `--gpus all` (Docker with NVIDIA's container toolkit) or with \
                     `--device nvidia.com/gpu=all` (Podman).",
                )
            } else if self.nvidia_driver.is_some() {
                (
                    "there is no device of the NVIDIA GPU (/dev/nvidia0)",
                    "Run `nvidia-modprobe -u -c 0` as root.",
                )
            } else {
                (
                    "NVIDIA's kernel driver is not loaded",
                    "Install NVIDIA's driver (nvidia-driver on Debian, `ubuntu-drivers install` on Ubuntu) and restart.",
                )
            };
            return vec![Finding::new(fact, advice)];
        }
        let version = self.nvidia_driver.as_deref().unwrap_or("of the kernel driver");
        if !self.has_library("libGLX_nvidia.so") {
            let advice = if self.container {
                let now = self.capabilities.as_deref().unwrap_or("not set");
                format!(
                    "Start the container with `-e NVIDIA_DRIVER_CAPABILITIES=graphics,compute,utility`. It is now {now}."
                )
            } else {
                format!("Install libnvidia-gl (Ubuntu) or nvidia-vulkan-icd (Debian) in version {version}.")
            };
            findings
                .push(Finding::new("the NVIDIA GPU's Vulkan driver is missing (libGLX_nvidia.so.0)", advice));
        } else if !self.drivers.iter().any(|name| name.starts_with("nvidia")) {
            findings.push(Finding::new(
                "no file tells the Vulkan loader about NVIDIA's driver (nvidia_icd.json)",
                "Reinstall libnvidia-gl, or write /etc/vulkan/icd.d/nvidia_icd.json with the content \
                 {\"file_format_version\": \"1.0.1\", \"ICD\": {\"library_path\": \"libGLX_nvidia.so.0\", \
                 \"api_version\": \"1.3\"}}.",
            ));
        }
        // NVIDIA's driver does not load without them, even if there is no display. Slim images lack them.
        let missing = ["libX11.so.6", "libXext.so.6"].into_iter().filter(|name| !self.has_library(name));
        let missing: Vec<&str> = missing.collect();
        if !missing.is_empty() {
            findings.push(Finding::new(
                format!("libraries that NVIDIA's Vulkan driver needs are missing ({})", missing.join(", ")),
                "Install libx11-6 and libxext6 on Debian and Ubuntu, or libX11 and libXext on Fedora.",
            ));
        }
        findings
    }

    fn mesa(&self, name: &str) -> Vec<Finding> {
        let mut findings = Vec::new();
        if self.render_nodes.is_empty() {
            let advice = if self.container {
                "Start the container with `--device /dev/dri`."
            } else {
                "Install the GPU's firmware (firmware-amd-graphics or firmware-intel-graphics on Debian, \
                 linux-firmware elsewhere) and restart."
            };
            findings.push(Finding::new(
                format!("there is no device of the {name} GPU (/dev/dri/renderD128)"),
                advice,
            ));
        }
        if let Some(node) = self.refused.first() {
            let advice = if self.container {
                "Start the container with `--group-add` and the number that `stat -c %g` prints for it."
            } else {
                "Join the group of the device with `sudo usermod -aG render $USER`, and log in again."
            };
            findings.push(Finding::new(format!("this user may not open {}", node.display()), advice));
        }
        // lvp is Mesa's software adapter.
        let is_hardware = |name: &String| !name.starts_with("lvp") && !name.starts_with("nvidia");
        if !self.drivers.iter().any(is_hardware) {
            findings.push(Finding::new(
                format!("the {name} GPU's Vulkan driver is missing"),
                "Install mesa-vulkan-drivers on Debian, Ubuntu and Fedora, or vulkan-radeon or vulkan-intel on Arch.",
            ));
        }
        findings
    }

    fn has_vendor(&self, number: &str) -> bool {
        self.vendors.iter().any(|vendor| vendor == number)
    }

    fn has_library(&self, name: &str) -> bool {
        self.libraries.iter().any(|library| library.starts_with(name))
    }
}

const LIBRARIES: [&str; 4] = ["libvulkan.so.1", "libGLX_nvidia.so", "libX11.so.6", "libXext.so.6"];

/// `NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue …` → `550.54.15`.
fn nvidia_version(text: &str) -> String {
    let is_version =
        |word: &&str| word.contains('.') && word.bytes().all(|b| b == b'.' || b.is_ascii_digit());
    text.split_whitespace().find(is_version).unwrap_or("of the kernel driver").to_owned()
}

/// The names in a folder, sorted. None if it cannot be read.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests;
