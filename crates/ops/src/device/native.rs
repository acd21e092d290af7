//! The devices of this machine: listing and opening.
//!
//! Adapters are listed and opened through wgpu, on one graphics API: the first with a real GPU, or the first with any
//! adapter if there is no real GPU. burn receives the open device, because it would request all of the adapter's
//! limits.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use burn::tensor::{DType, Device};
use cubecl::wgpu::{RuntimeOptions, WgpuDevice, WgpuSetup, try_init_device};

use super::choice::{Choice, DeviceError};
use super::memory::{MemoryRefused, memory_refused, note_memory_refused};
use super::properties::{DeviceKind, Features, Limits, check_adapter};

/// A device of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceInfo {
    /// The choice that selects it: `cpu` or `gpu:N`.
    pub choice: Choice,
    /// Its name, from the driver.
    pub name: String,
    /// The kind of hardware.
    pub kind: DeviceKind,
    /// The backend: Flex, or the graphics API (Vulkan, Metal, Dx12).
    pub backend: String,
    /// The driver's name; empty if unknown.
    pub driver: String,
    /// The driver's version; empty if unknown.
    pub driver_version: String,
    /// The adapter's limits; `None` for the CPU.
    pub limits: Option<Limits>,
    /// Its optional features.
    pub features: Features,
    /// `Ok` if its results can be trusted, otherwise the reason why not.
    pub trusted: Result<(), String>,
}

/// All devices: the adapters in the order of their indices, then the CPU. The machine is searched once per process.
pub fn list() -> Vec<DeviceInfo> {
    let adapters = machine().adapters.iter().map(|adapter| adapter.info.clone());
    adapters.chain([cpu()]).collect()
}

/// The device that a choice selects. Does not open the device and takes none of its memory.
///
/// # Errors
/// If there is no such device, or it is not trusted. `Auto` and `Cpu` do not fail.
pub fn find(choice: Choice) -> Result<DeviceInfo, DeviceError> {
    Ok(adapter(choice)?.map_or_else(cpu, |adapter| adapter.info.clone()))
}

/// The device that a choice selects, ready for tensors, and its description.
///
/// # Errors
/// Those of [`find`], and an error of the driver.
pub fn select(choice: Choice) -> Result<(Device, DeviceInfo), DeviceError> {
    Ok(match adapter(choice)? {
        Some(adapter) => (Device::new(adapter.open()?), adapter.info.clone()),
        None => (Device::flex(), cpu()),
    })
}

/// The adapter that a choice selects; `None` for the CPU.
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

/// The kind of a device that [`select`] opened; `None` for other devices.
pub(crate) fn kind(device: &cubecl::Device) -> Option<DeviceKind> {
    let is_open = |adapter: &&Adapter| {
        let opened = adapter.opened.lock().unwrap_or_else(PoisonError::into_inner);
        opened.as_ref().is_some_and(|opened| cubecl::Device::Wgpu(opened.clone()) == *device)
    };
    Some(MACHINE.get()?.adapters.iter().find(is_open)?.info.kind)
}

struct Machine {
    adapters: Vec<Adapter>,
    /// Never dropped: Vulkan loaders crash if one thread destroys an instance while another creates one.
    _instances: Vec<wgpu::Instance>,
}

struct Adapter {
    info: DeviceInfo,
    instance: wgpu::Instance,
    adapter: wgpu::Adapter,
    opened: Mutex<Option<WgpuDevice>>,
}

/// Limit on the storage buffers of a kernel: twice WebGPU's default. burn fuses the concatenation of as many tensors as
/// the limit allows. The limit of an H100 allows all parameters of a network in one kernel, which did not compile
/// within 110 s.
const STORAGE_BUFFERS: u32 = 16;

/// Percentage of the driver's memory budget for this process, if the driver reports one, above which allocations fail.
/// Beyond the budget a driver may use the host's memory instead of refusing.
const MEMORY_BUDGET: u8 = 97;

impl Adapter {
    /// Opens the adapter on the first call, and registers it with burn.
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
        // Experimental features need an explicit acknowledgement of their risks, and none is used.
        let unwanted = wgpu::Features::MAPPABLE_PRIMARY_BUFFERS | wgpu::Features::all_experimental_mask();
        let request = wgpu::DeviceDescriptor {
            required_features: adapter.features() - unwanted,
            required_limits: limits,
            // burn's pools allocate large blocks themselves.
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
        gpu.on_uncaptured_error(Arc::new(|error| handle_error(&error)));
        Ok(opened.insert(device).clone())
    }
}

/// Replaces burn's handler, which panics on any error. After an out-of-memory error, follow-up validation errors are
/// expected and ignored.
fn handle_error(error: &wgpu::Error) {
    if let wgpu::Error::OutOfMemory { .. } = error {
        note_memory_refused(MemoryRefused::Exhausted);
    }
    assert!(memory_refused().is_some(), "wgpu error: {error}");
}

static MACHINE: OnceLock<Machine> = OnceLock::new();

fn machine() -> &'static Machine {
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

/// Graphics APIs to search, best first. OpenGL is omitted, because its drivers compile WGSL least faithfully.
fn apis() -> &'static [wgpu::Backend] {
    if cfg!(target_vendor = "apple") {
        &[wgpu::Backend::Metal]
    } else if cfg!(windows) {
        &[wgpu::Backend::Vulkan, wgpu::Backend::Dx12]
    } else {
        &[wgpu::Backend::Vulkan]
    }
}

/// Describes the adapter with this index.
fn describe(index: usize, adapter: &wgpu::Adapter) -> DeviceInfo {
    let info = adapter.get_info();
    let kind = match info.device_type {
        wgpu::DeviceType::DiscreteGpu => DeviceKind::Discrete,
        wgpu::DeviceType::IntegratedGpu => DeviceKind::Integrated,
        wgpu::DeviceType::VirtualGpu => DeviceKind::Virtual,
        wgpu::DeviceType::Other => DeviceKind::Other,
        wgpu::DeviceType::Cpu => DeviceKind::Software,
    };
    let limits = Limits::new(&adapter.limits());
    let trusted = check_adapter(&info.name, &info.driver_info, &limits);
    DeviceInfo {
        choice: Choice::Gpu(Some(index)),
        name: info.name,
        kind,
        backend: format!("{:?}", info.backend),
        driver: info.driver,
        driver_version: info.driver_info,
        limits: Some(limits),
        features: Features::new(adapter.features()),
        trusted,
    }
}

fn cpu() -> DeviceInfo {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    // Only Linux has the CPU's name in a file. Other systems show the architecture instead.
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
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
    fn after_exhausted_memory_other_errors_are_ignored() {
        let validation = || wgpu::Error::Validation { source: "of nothing".into(), description: "x".into() };
        assert!(catch_unwind(|| handle_error(&validation())).is_err());
        assert_eq!(memory_refused(), None);
        handle_error(&wgpu::Error::OutOfMemory { source: "no more".into() });
        assert_eq!(memory_refused(), Some(MemoryRefused::Exhausted));
        handle_error(&validation());
    }

    #[test]
    fn the_cpu_is_trusted_and_auto_is_never_a_software_adapter() {
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
