//! A browser's device: WebGPU, opened without blocking, and watched.
//!
//! Nothing in a browser stops at an error of the GPU: a kernel that does not compile is skipped, and the read after
//! it gives whatever the buffer held, which looks right. So every error is noted, from wgpu's callbacks and from
//! burn's log ([`note_error`]), and whoever reads back asks [`WebGpu::check`] before trusting what came.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::Device;
use burn::tensor::wgpu::{WgpuSetup, wgpu};

use super::{Features, Limits, judge};
use crate::kernel::{self, Kernel};

/// Why WebGPU cannot be used, or what it did wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WebGpuError {
    /// The browser has no WebGPU, or keeps it from this page.
    #[error("this browser offers no WebGPU")]
    Missing,
    /// There is WebGPU and no GPU behind it.
    #[error("the browser found no GPU it trusts: {0}")]
    NoAdapter(String),
    /// Too small for the kernels.
    #[error("the GPU is not used: {0}")]
    Untrusted(String),
    /// The browser refused.
    #[error("the browser could not open the GPU: {0}")]
    Unavailable(String),
    /// A kernel does not compile here.
    #[error("the browser refused the kernel {kernel}: {reason}")]
    Kernel {
        /// Its specialisation.
        kernel: String,
        /// What the browser says.
        reason: String,
    },
    /// The GPU failed at work that was queued: what was read since is not to be trusted.
    #[error("the GPU failed: {0}")]
    Failed(String),
}

/// What went wrong since it was last asked.
static ERRORS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Names and texts of kernels.
type Kernels = Vec<(String, String)>;

thread_local! {
    /// Names of the kernels seen by [`note_kernel`], and those not validated yet.
    static KERNELS: RefCell<(HashSet<String>, Kernels)> = RefCell::default();
}

/// Notes an error of the GPU, for [`WebGpu::check`]. For the program's logger: burn logs the kernels that do not
/// compile, and does not report them otherwise.
pub fn note_error(error: &str) {
    // burn appends the kernel's whole text.
    let error = error.split("\n--- shader source").next().unwrap_or_default().to_owned();
    ERRORS.lock().unwrap_or_else(PoisonError::into_inner).push(error);
}

/// Remembers a kernel that is being launched, so that it can be validated by its name.
pub(crate) fn note_kernel(kernel: &impl Kernel) {
    let name = format!("{kernel:?}");
    KERNELS.with_borrow_mut(|(seen, pending)| {
        if seen.insert(name.clone()) {
            pending.push((name, kernel::source(kernel)));
        }
    });
}

/// WebGPU, open.
#[derive(Debug)]
pub struct WebGpu {
    /// For tensors.
    pub device: Device,
    /// The browser says that it is computed on the CPU (SwiftShader).
    pub software: bool,
    /// What the adapter allows; the device was asked for all of it.
    pub limits: Limits,
    /// What it can do beyond the necessary.
    pub features: Features,
    gpu: wgpu::Device,
}

impl WebGpu {
    /// Opens the browser's best GPU with all that it allows. Each call opens it anew, as it must be once it was lost.
    ///
    /// # Errors
    /// [`WebGpuError`] where there is none, or it is too small.
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
        let limits = Limits {
            binding: allowed.max_storage_buffer_binding_size,
            buffer: allowed.max_buffer_size,
            workgroup_memory: allowed.max_compute_workgroup_storage_size,
            invocations: allowed.max_compute_invocations_per_workgroup,
            storage_buffers: allowed.max_storage_buffers_per_shader_stage,
        };
        judge(&info.name, &info.driver_info, &limits).map_err(WebGpuError::Untrusted)?;

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
        // In place of burn's own, which panics. A lost device burn tells in its log.
        gpu.on_uncaptured_error(Arc::new(|error: wgpu::Error| note_error(&error.to_string())));
        let features = Features {
            f16: offered.contains(wgpu::Features::SHADER_F16),
            subgroups: offered.contains(wgpu::Features::SUBGROUP),
            timestamps: offered.contains(wgpu::Features::TIMESTAMP_QUERY),
        };
        Ok(Self { device, software: info.device_type == wgpu::DeviceType::Cpu, limits, features, gpu })
    }

    /// Whether all went well since the last call. Ask after every read, before its numbers are used.
    ///
    /// # Errors
    /// [`WebGpuError::Failed`] with everything that was noted.
    pub fn check(&self) -> Result<(), WebGpuError> {
        let errors = std::mem::take(&mut *ERRORS.lock().unwrap_or_else(PoisonError::into_inner));
        if errors.is_empty() { Ok(()) } else { Err(WebGpuError::Failed(errors.join("; "))) }
    }

    /// Compiles each of our kernels that was launched since the last call, in an error scope of its own.
    ///
    /// # Errors
    /// [`WebGpuError::Kernel`] for the first that the browser refuses.
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

    /// Ends the device, as a driver that fails does. For tests of what follows.
    pub fn destroy(&self) {
        self.gpu.destroy();
    }
}
