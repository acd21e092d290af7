//! The devices of this machine, listed and chosen.
//!
//! Adapters are listed and opened through wgpu itself, on one graphics API: the first with a real GPU, or else the
//! first with anything. burn is handed the open device: of its own accord it would ask for all that the adapter allows.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use burn::tensor::{DType, Device};
use cubecl::wgpu::{RuntimeOptions, WgpuDevice, WgpuSetup, try_init_device};

use super::{DeviceKind, Features, Limits, MemoryRefused, judge, memory_refused, note_memory_refused};

/// What a user asks for, as `auto`, `cpu`, `gpu` or `gpu:N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Choice {
    /// The best trusted GPU, or else the CPU. Never a software adapter.
    #[default]
    Auto,
    /// The CPU, through Flex.
    Cpu,
    /// The adapter with this index in [`list`]; without one, the best trusted GPU, or else a trusted software
    /// adapter.
    Gpu(Option<usize>),
}

impl FromStr for Choice {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        let unknown = || DeviceError::Unknown(text.to_owned());
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "gpu" => Ok(Self::Gpu(None)),
            _ => {
                let index = text.strip_prefix("gpu:").ok_or_else(unknown)?;
                // usize's own parser would let "+1" pass.
                let digits = !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit());
                digits.then(|| index.parse().ok()).flatten().map(|n| Self::Gpu(Some(n))).ok_or_else(unknown)
            }
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Gpu(None) => f.write_str("gpu"),
            Self::Gpu(Some(index)) => write!(f, "gpu:{index}"),
        }
    }
}

/// Why no device can be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// Not a device's name.
    #[error("`{0}` is not a device: write auto, cpu, gpu, or gpu:N with N from `unbraid doctor`")]
    Unknown(String),
    /// wgpu finds nothing to compute on.
    #[error("no GPU was found. {MISSING}. `--device cpu` works without")]
    NoAdapter,
    /// Fewer adapters than that.
    #[error("there is no gpu:{index}: `unbraid doctor` lists {count}, counted from 0")]
    NoSuchAdapter {
        /// The index asked for.
        index: usize,
        /// Adapters of this machine.
        count: usize,
    },
    /// Present, but known to be wrong or too small.
    #[error("{name} is not used: {reason}")]
    Untrusted {
        /// The adapter's name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The driver refused.
    #[error("{name} could not be opened: {reason}. Update its driver, or use `--device cpu`")]
    Unavailable {
        /// The adapter's name.
        name: String,
        /// What wgpu says.
        reason: String,
    },
}

#[cfg(target_os = "linux")]
const MISSING: &str = "Install the Vulkan loader (libvulkan1 on Debian and Ubuntu, vulkan-loader on Fedora, \
                       vulkan-icd-loader on Arch) and your GPU's Vulkan driver (mesa-vulkan-drivers for AMD and \
                       Intel, NVIDIA's own driver for NVIDIA)";
#[cfg(target_os = "windows")]
const MISSING: &str = "Install your GPU vendor's current driver: it brings Vulkan and Direct3D 12";
#[cfg(not(any(target_os = "linux", target_os = "windows")))]
const MISSING: &str = "This machine offers neither Metal nor Vulkan";

/// A device of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceInfo {
    /// What to ask for to get it: `cpu` or `gpu:N`.
    pub choice: Choice,
    /// Its name, as the driver gives it.
    pub name: String,
    /// What kind of hardware it is.
    pub kind: DeviceKind,
    /// What computes on it: Flex, or the graphics API (Vulkan, Metal, Dx12).
    pub backend: String,
    /// The driver's name, empty where none is told.
    pub driver: String,
    /// The driver's version, empty where none is told.
    pub driver_version: String,
    /// Limits of an adapter; a CPU has none.
    pub limits: Option<Limits>,
    /// What it can do beyond the necessary.
    pub features: Features,
    /// Whether results on it can be relied on, and why not.
    pub trusted: Result<(), String>,
}

/// All devices: the adapters in the order of their indices, then the CPU. Found once a process.
pub fn list() -> Vec<DeviceInfo> {
    let adapters = machine().adapters.iter().map(|adapter| adapter.info.clone());
    adapters.chain([cpu()]).collect()
}

/// What device a choice means. It is not opened, and nothing of its memory taken.
///
/// # Errors
/// Where there is none, or it is not trusted. `Auto` and `Cpu` do not fail.
pub fn find(choice: Choice) -> Result<DeviceInfo, DeviceError> {
    Ok(adapter(choice)?.map_or_else(cpu, |adapter| adapter.info.clone()))
}

/// The device a choice means, ready for tensors, and what it is.
///
/// # Errors
/// Those of [`find`], and where its driver fails.
pub fn select(choice: Choice) -> Result<(Device, DeviceInfo), DeviceError> {
    Ok(match adapter(choice)? {
        Some(adapter) => (Device::new(adapter.open()?), adapter.info.clone()),
        None => (Device::flex(), cpu()),
    })
}

/// The adapter a choice means; `None`: the CPU.
fn adapter(choice: Choice) -> Result<Option<&'static Adapter>, DeviceError> {
    let adapters = &machine().adapters;
    let trusted = |adapter: &&Adapter| adapter.info.trusted.is_ok();
    // `min_by_key` keeps the first of equals.
    let best = || adapters.iter().filter(trusted).min_by_key(|adapter| adapter.info.kind);
    let adapter = match choice {
        Choice::Cpu => return Ok(None),
        Choice::Auto => match best().filter(|adapter| adapter.info.kind != DeviceKind::Software) {
            Some(adapter) => adapter,
            None => return Ok(None),
        },
        Choice::Gpu(None) => best().or(adapters.first()).ok_or(DeviceError::NoAdapter)?,
        Choice::Gpu(Some(_)) if adapters.is_empty() => return Err(DeviceError::NoAdapter),
        Choice::Gpu(Some(index)) => {
            adapters.get(index).ok_or(DeviceError::NoSuchAdapter { index, count: adapters.len() })?
        }
    };
    let DeviceInfo { name, trusted, .. } = adapter.info.clone();
    trusted.map_err(|reason| DeviceError::Untrusted { name, reason })?;
    Ok(Some(adapter))
}

struct Machine {
    adapters: Vec<Adapter>,
    /// Kept for good: Vulkan loaders crash where an instance goes while another thread makes one.
    _instances: Vec<wgpu::Instance>,
}

struct Adapter {
    info: DeviceInfo,
    instance: wgpu::Instance,
    adapter: wgpu::Adapter,
    opened: Mutex<Option<WgpuDevice>>,
}

/// Storage buffers of a kernel: twice as many as WebGPU promises. burn fuses the concatenation of as many tensors as a
/// GPU allows, and an H100 allows all of a network's parameters: that one kernel was not ready after 110 s.
const STORAGE_BUFFERS: u32 = 16;

/// Percent of the memory that a driver says this process can use, where it does say so, past which none is asked for:
/// beyond it a driver may go on in the host's memory instead of refusing.
const MEMORY_BUDGET: u8 = 97;

impl Adapter {
    /// Opens it, once, and hands it to burn.
    fn open(&self) -> Result<WgpuDevice, DeviceError> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(device) = &*opened {
            return Ok(device.clone());
        }
        let unavailable = |reason: &dyn fmt::Display| DeviceError::Unavailable {
            name: self.info.name.clone(),
            reason: reason.to_string(),
        };
        let adapter = self.adapter.clone();
        let mut limits = adapter.limits();
        limits.max_storage_buffers_per_shader_stage =
            limits.max_storage_buffers_per_shader_stage.min(STORAGE_BUFFERS);
        // Experiments have to be asked for with an acknowledgement of their risks, and none is needed.
        let unwanted = wgpu::Features::MAPPABLE_PRIMARY_BUFFERS | wgpu::Features::all_experimental_mask();
        let request = wgpu::DeviceDescriptor {
            required_features: adapter.features() - unwanted,
            required_limits: limits,
            // burn's pools take large blocks themselves.
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            ..Default::default()
        };
        let (device, queue) = cubecl::future::block_on(adapter.request_device(&request))
            .map_err(|error| unavailable(&error))?;
        let backend = adapter.get_info().backend;
        let gpu = device.clone();
        let setup = WgpuSetup { instance: self.instance.clone(), adapter, device, queue, backend };
        let device =
            try_init_device(setup, RuntimeOptions::default()).map_err(|error| unavailable(&error))?;
        gpu.on_uncaptured_error(Arc::new(|error| fail(&error)));
        Ok(opened.insert(device).clone())
    }
}

/// In place of burn's own handler, which panics whatever the error. Where memory is exhausted, what needed it fails after
/// it, and that is no error of its own.
fn fail(error: &wgpu::Error) {
    if let wgpu::Error::OutOfMemory { .. } = error {
        note_memory_refused(MemoryRefused::Exhausted);
    }
    assert!(memory_refused().is_some(), "wgpu error: {error}");
}

fn machine() -> &'static Machine {
    static MACHINE: OnceLock<Machine> = OnceLock::new();
    MACHINE.get_or_init(|| {
        let (mut found, mut instances) = (Vec::new(), Vec::new());
        for &api in apis() {
            let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
                backends: api.into(),
                memory_budget_thresholds: wgpu::MemoryBudgetThresholds {
                    for_resource_creation: Some(MEMORY_BUDGET),
                    for_device_loss: None,
                },
                ..wgpu::InstanceDescriptor::new_without_display_handle()
            });
            let adapters = cubecl::future::block_on(instance.enumerate_adapters(api.into()));
            instances.push(instance.clone());
            let real = adapters.iter().any(|adapter| adapter.get_info().device_type != wgpu::DeviceType::Cpu);
            if real || found.is_empty() {
                found = adapters.into_iter().map(|adapter| (instance.clone(), adapter)).collect();
            }
            if real {
                break;
            }
        }
        let adapters = found.into_iter().enumerate();
        let adapters = adapters.map(|(index, (instance, adapter))| Adapter {
            info: describe(index, &adapter),
            instance,
            adapter,
            opened: Mutex::new(None),
        });
        Machine { adapters: adapters.collect(), _instances: instances }
    })
}

/// Graphics APIs to look at, best first. OpenGL is left out: its drivers compile WGSL the least faithfully.
fn apis() -> &'static [wgpu::Backend] {
    if cfg!(target_vendor = "apple") {
        &[wgpu::Backend::Metal]
    } else if cfg!(windows) {
        &[wgpu::Backend::Vulkan, wgpu::Backend::Dx12]
    } else {
        &[wgpu::Backend::Vulkan]
    }
}

/// The adapter with an index of all.
fn describe(index: usize, adapter: &wgpu::Adapter) -> DeviceInfo {
    let (info, limits, features) = (adapter.get_info(), adapter.limits(), adapter.features());
    let kind = match info.device_type {
        wgpu::DeviceType::DiscreteGpu => DeviceKind::Discrete,
        wgpu::DeviceType::IntegratedGpu => DeviceKind::Integrated,
        wgpu::DeviceType::VirtualGpu => DeviceKind::Virtual,
        wgpu::DeviceType::Other => DeviceKind::Other,
        wgpu::DeviceType::Cpu => DeviceKind::Software,
    };
    let limits = Limits {
        binding: limits.max_storage_buffer_binding_size,
        buffer: limits.max_buffer_size,
        workgroup_memory: limits.max_compute_workgroup_storage_size,
        invocations: limits.max_compute_invocations_per_workgroup,
        storage_buffers: limits.max_storage_buffers_per_shader_stage,
    };
    let trusted = judge(&info.name, &info.driver_info, &limits);
    DeviceInfo {
        choice: Choice::Gpu(Some(index)),
        name: info.name,
        kind,
        backend: format!("{:?}", info.backend),
        driver: info.driver,
        driver_version: info.driver_info,
        limits: Some(limits),
        features: Features {
            f16: features.contains(wgpu::Features::SHADER_F16),
            subgroups: features.contains(wgpu::Features::SUBGROUP),
            timestamps: features.contains(wgpu::Features::TIMESTAMP_QUERY),
        },
        trusted,
    }
}

fn cpu() -> DeviceInfo {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    // Only Linux tells a name without a system call of its own.
    let told = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = told.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let name = name.map_or(std::env::consts::ARCH, |(_, name)| name.trim());
    DeviceInfo {
        choice: Choice::Cpu,
        name: format!("{name}, {threads} threads"),
        kind: DeviceKind::Cpu,
        backend: "Flex".to_owned(),
        driver: String::new(),
        driver_version: String::new(),
        limits: None,
        features: Features {
            f16: Device::flex().supports_dtype(DType::F16),
            subgroups: false,
            timestamps: false,
        },
        trusted: Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::catch_unwind;

    #[test]
    fn exhausted_memory_is_noted_and_what_follows_from_it_is_not() {
        let validation = || wgpu::Error::Validation { source: "of nothing".into(), description: "x".into() };
        assert!(catch_unwind(|| fail(&validation())).is_err());
        assert_eq!(memory_refused(), None);
        fail(&wgpu::Error::OutOfMemory { source: "no more".into() });
        assert_eq!(memory_refused(), Some(MemoryRefused::Exhausted));
        fail(&validation());
    }

    #[test]
    fn choices_are_read_and_written_alike() {
        for text in ["auto", "cpu", "gpu", "gpu:0", "gpu:17"] {
            assert_eq!(text.parse::<Choice>().map(|choice| choice.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "GPU", "gpu:", "gpu:-1", "gpu:+1", "gpu:1x", "gpu:99999999999999999999", "cuda"] {
            assert_eq!(text.parse::<Choice>(), Err(DeviceError::Unknown(text.to_owned())));
        }
    }

    #[test]
    fn every_machine_has_a_trusted_cpu_and_auto_is_never_software() {
        let devices = list();
        assert_eq!(
            devices.last().map(|info| (info.kind, info.trusted.clone())),
            Some((DeviceKind::Cpu, Ok(())))
        );
        let (device, info) = select(Choice::Cpu).unwrap();
        assert_eq!((device, info.choice), (Device::flex(), Choice::Cpu));
        assert_ne!(select(Choice::Auto).unwrap().1.kind, DeviceKind::Software);
        let count = devices.len() - 1;
        assert!(select(Choice::Gpu(Some(count))).is_err());
    }
}
