use super::*;

/// A made-up system of files with their contents.
fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a temporary folder");
    for (path, content) in files {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a writable folder");
        fs::write(path, content).expect("a writable folder");
    }
    root
}

fn facts(files: &[(&str, &str)], variables: &[(&str, &str)]) -> String {
    let root = root(files);
    let variable = |name: &str| {
        let found = variables.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    let findings = Probe::new(root.path(), variable).findings();
    findings.iter().map(|Finding { fact, advice }| format!("{fact}: {advice}\n")).collect()
}

const KERNEL: (&str, &str) = (
    "proc/driver/nvidia/version",
    "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024\nGCC version: 12.2.0",
);
const NODE: (&str, &str) = ("dev/nvidia0", "");
const DOCKER: (&str, &str) = (".dockerenv", "");
const LOADER: (&str, &str) = ("usr/lib/x86_64-linux-gnu/libvulkan.so.1.3.239", "");
const X11: (&str, &str) = ("usr/lib/x86_64-linux-gnu/libX11.so.6", "");
const XEXT: (&str, &str) = ("usr/lib64/libXext.so.6.4.0", "");
const NVIDIA_LIBRARY: (&str, &str) = ("usr/lib/x86_64-linux-gnu/libGLX_nvidia.so.0", "");
const NVIDIA_FILE: (&str, &str) = ("etc/vulkan/icd.d/nvidia_icd.json", "{}");
const AMD: (&str, &str) = ("sys/class/drm/card0/device/vendor", "0x1002\n");
const RENDER: (&str, &str) = ("dev/dri/renderD128", "");
const LAVAPIPE: (&str, &str) = ("usr/share/vulkan/icd.d/lvp_icd.x86_64.json", "{}");
const RADEON: (&str, &str) = ("usr/share/vulkan/icd.d/radeon_icd.x86_64.json", "{}");

#[test]
fn a_system_without_a_gpu_lacks_nothing() {
    assert_eq!(facts(&[], &[]), "");
    assert_eq!(facts(&[DOCKER, ("sys/class/drm/version", "drm 1.1.0")], &[]), "");
}

#[test]
fn a_container_without_nvidias_graphics_libraries_is_told_the_variable() {
    let text = facts(&[KERNEL, NODE, DOCKER], &[("NVIDIA_DRIVER_CAPABILITIES", "compute,utility")]);
    assert!(text.contains("NVIDIA_DRIVER_CAPABILITIES=graphics"), "{text}");
    assert!(text.contains("It is now compute,utility."), "{text}");
    assert!(text.contains("libx11-6 and libxext6") && text.contains("libvulkan1"), "{text}");
    let text = facts(&[KERNEL, NODE, DOCKER, LOADER, X11, XEXT, NVIDIA_LIBRARY], &[]);
    assert!(text.starts_with("no file tells the Vulkan loader") && text.lines().count() == 1, "{text}");
    assert_eq!(facts(&[KERNEL, NODE, DOCKER, LOADER, X11, XEXT, NVIDIA_LIBRARY, NVIDIA_FILE], &[]), "");
}

#[test]
fn a_host_is_told_the_package_and_the_version() {
    let text = facts(&[KERNEL, NODE, LOADER, X11, XEXT], &[]);
    assert!(text.contains("libnvidia-gl") && text.contains("version 550.54.15"), "{text}");
    let text = facts(&[("sys/class/drm/card1/device/vendor", "0x10de"), LOADER], &[]);
    assert!(text.contains("kernel driver is not loaded"), "{text}");
}

#[test]
fn a_container_without_the_devices_is_told_how_to_start() {
    let text = facts(&[KERNEL, DOCKER, LOADER], &[]);
    assert!(text.contains("--gpus all") && text.lines().count() == 1, "{text}");
    let text = facts(&[AMD, LOADER, RADEON], &[("KUBERNETES_SERVICE_HOST", "10.0.0.1")]);
    assert!(text.contains("--device /dev/dri") && text.lines().count() == 1, "{text}");
}

#[test]
fn an_amd_gpu_needs_mesas_driver() {
    let text = facts(&[AMD, RENDER, LOADER, LAVAPIPE], &[]);
    assert!(text.contains("the AMD GPU's Vulkan driver is missing: Install mesa-vulkan-drivers"), "{text}");
    assert_eq!(facts(&[AMD, RENDER, LOADER, LAVAPIPE, RADEON], &[]), "");
    let text = facts(&[RENDER, DOCKER], &[]);
    assert!(text.contains("the graphics GPU's Vulkan driver") && text.contains("libvulkan1"), "{text}");
    let text = facts(&[AMD, RENDER, LOADER, RADEON], &[("VK_ICD_FILENAMES", "/x/lvp_icd.json")]);
    assert!(text.contains("restricts Vulkan to the drivers /x/lvp_icd.json"), "{text}");
}

#[test]
fn a_device_that_may_not_be_opened_is_named() {
    let node = PathBuf::from("/dev/dri/renderD128");
    let mut probe = Probe {
        render_nodes: vec![node.clone()],
        refused: vec![node],
        vendors: vec!["0x1002".into()],
        drivers: vec!["radeon_icd.json".into()],
        libraries: vec!["libvulkan.so.1".into()],
        ..Probe::default()
    };
    let [finding] = &probe.findings()[..] else { panic!("one finding") };
    assert_eq!(finding.fact, "this user may not open /dev/dri/renderD128");
    assert!(finding.advice.contains("usermod -aG render"));
    probe.container = true;
    assert!(probe.findings()[0].advice.contains("--group-add"));
}
