//! A browser's device: WebGPU, opened without blocking, with its errors collected.
//!
//! A browser reports no GPU error where it occurs: a kernel that does not compile is skipped, and the next read returns
//! the buffer's old contents, which look valid. So every error is collected, from wgpu's callbacks and from burn's log
//! ([`note_error`]), and callers must call [`WebGpu::check`] after every read, before they use the numbers.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::Device;
use burn::tensor::wgpu::{WgpuSetup, wgpu};

use super::properties::{Features, Limits, check_adapter};
use crate::runtime::kernel::{self, Kernel};

/// The reason why WebGPU is not available, or its failure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WebGpuError {
    /// The browser has no WebGPU, or does not allow it on this page.
    #[error("this browser offers no WebGPU")]
    Missing,
    /// The browser has WebGPU, but offers no adapter.
    #[error("the browser found no GPU it trusts: {0}")]
    NoAdapter(String),
    /// The adapter's limits are too small for the kernels, or its results are known to be wrong.
    #[error("the GPU is not used: {0}")]
    Untrusted(String),
    /// The browser refused to open the adapter.
    #[error("the browser could not open the GPU: {0}")]
    Unavailable(String),
    /// The browser cannot compile a kernel.
    #[error("the browser refused the kernel {kernel}: {reason}")]
    Kernel {
        /// The kernel's specialisation.
        kernel: String,
        /// The browser's message.
        reason: String,
    },
    /// Queued work failed on the GPU. Values that were read since the last check are undefined.
    #[error("the GPU failed: {0}")]
    Failed(String),
}

/// Errors since the last [`WebGpu::check`].
static ERRORS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Names and sources of kernels.
type Kernels = Vec<(String, String)>;

thread_local! {
    /// Names of all kernels given to [`note_kernel`], and the kernels that are not validated yet.
    static KERNELS: RefCell<(HashSet<String>, Kernels)> = RefCell::default();
}

/// Records an error of the GPU for [`WebGpu::check`]. The program's logger must call it: burn logs kernels that do not
/// compile, and does not report them in another way.
pub fn note_error(error: &str) {
    // burn appends the kernel's source.
    let error = error.split("\n--- shader source").next().unwrap_or_default().to_owned();
    ERRORS.lock().unwrap_or_else(PoisonError::into_inner).push(error);
}

/// Records a launched kernel for [`WebGpu::validate_kernels`].
pub(crate) fn note_kernel(kernel: &impl Kernel) {
    let name = format!("{kernel:?}");
    KERNELS.with_borrow_mut(|(seen, pending)| {
        if seen.insert(name.clone()) {
            pending.push((name, kernel::source(kernel)));
        }
    });
}

/// An open WebGPU device.
#[derive(Debug)]
pub struct WebGpu {
    /// The device for tensors.
    pub device: Device,
    /// Whether it is emulated on the CPU (SwiftShader), as reported by the browser.
    pub software: bool,
    /// The adapter's limits, all of which the device has.
    pub limits: Limits,
    /// Its optional features.
    pub features: Features,
    gpu: wgpu::Device,
}

impl WebGpu {
    /// Opens the browser's best GPU with all of its limits and features. Each call opens a new device, which a lost
    /// device requires.
    ///
    /// # Errors
    /// [`WebGpuError`] if there is no GPU, or it is too small.
    pub async fn open() -> Result<Self, WebGpuError> {
        if !wgpu::util::is_browser_webgpu_supported().await {
            return Err(WebGpuError::Missing);
        }
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
            backends: wgpu::Backends::BROWSER_WEBGPU,
            ..wgpu::InstanceDescriptor::new_without_display_handle()
        });
        let best = wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::HighPerformance,
            ..Default::default()
        };
        let adapter = instance.request_adapter(&best).await;
        let adapter = adapter.map_err(|error| WebGpuError::NoAdapter(error.to_string()))?;
        let (info, allowed, offered) = (adapter.get_info(), adapter.limits(), adapter.features());
        let limits = Limits::new(&allowed);
        check_adapter(&info.name, &info.driver_info, &limits).map_err(WebGpuError::Untrusted)?;

        let request = wgpu::DeviceDescriptor {
            required_features: offered,
            required_limits: allowed,
            ..Default::default()
        };
        let refused = |error: &dyn std::fmt::Display| WebGpuError::Unavailable(error.to_string());
        let (gpu, queue) = adapter.request_device(&request).await.map_err(|error| refused(&error))?;
        ERRORS.lock().unwrap_or_else(PoisonError::into_inner).clear();
        KERNELS.take();
        let backend = wgpu::Backend::BrowserWebGpu;
        let setup = WgpuSetup { instance, adapter, device: gpu.clone(), queue, backend };
        let device = Device::wgpu_options().setup(setup).init().map_err(|error| refused(&error))?;
        // Replaces burn's handler, which panics. burn writes the loss of a device to its log.
        gpu.on_uncaptured_error(Arc::new(|error: wgpu::Error| note_error(&error.to_string())));
        let features = Features::new(offered);
        Ok(Self { device, software: info.device_type == wgpu::DeviceType::Cpu, limits, features, gpu })
    }

    /// Checks for errors since the last call. Call it after every read, before the numbers are used.
    ///
    /// # Errors
    /// [`WebGpuError::Failed`] with all recorded errors.
    pub fn check(&self) -> Result<(), WebGpuError> {
        let errors = std::mem::take(&mut *ERRORS.lock().unwrap_or_else(PoisonError::into_inner));
        if errors.is_empty() { Ok(()) } else { Err(WebGpuError::Failed(errors.join("; "))) }
    }

    /// Compiles each of our kernels that was launched since the last call, each in a separate error scope.
    ///
    /// # Errors
    /// [`WebGpuError::Kernel`] for the first kernel that the browser refuses.
    pub async fn validate_kernels(&self) -> Result<(), WebGpuError> {
        let pending = KERNELS.with_borrow_mut(|(_, pending)| std::mem::take(pending));
        for (kernel, source) in pending {
            let scope = self.gpu.push_error_scope(wgpu::ErrorFilter::Validation);
            let module = self.gpu.create_shader_module(wgpu::ShaderModuleDescriptor {
                label: Some(&kernel),
                source: wgpu::ShaderSource::Wgsl(source.into()),
            });
            let pipeline = wgpu::ComputePipelineDescriptor {
                label: Some(&kernel),
                layout: None,
                module: &module,
                entry_point: Some("main"),
                compilation_options: wgpu::PipelineCompilationOptions::default(),
                cache: None,
            };
            drop(self.gpu.create_compute_pipeline(&pipeline));
            if let Some(error) = scope.pop().await {
                return Err(WebGpuError::Kernel { kernel, reason: error.to_string() });
            }
        }
        Ok(())
    }

    /// Test hook: destroys the device, as a failing driver does.
    pub fn destroy(&self) {
        self.gpu.destroy();
    }
}
