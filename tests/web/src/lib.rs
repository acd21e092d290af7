//! The conformance cases in a browser: the library of the native run, on WebGPU or on the CPU path. Empty except on
//! wasm.
#![cfg(target_family = "wasm")]

use burn::tensor::Device;
use conformance::cases::{self, Case, Target};
use conformance::report::{Check, Entry};
use js_sys::{Error, Function, Reflect};
use unbraid_ops::device::{WebGpu, note_error};
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::wasm_bindgen;

/// Records burn's errors, so that they fail the case in which they occur.
struct Logger;

impl log::Log for Logger {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::Level::Error
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            note_error(&format!("{}: {}", record.target(), record.args()));
        }
    }

    fn flush(&self) {}
}

/// Runs once, when the module is loaded.
#[wasm_bindgen(start)]
fn start() {
    std::panic::set_hook(Box::new(|info| console("error", &info.to_string())));
    if log::set_logger(&Logger).is_ok() {
        log::set_max_level(log::LevelFilter::Error);
    }
}

/// Writes a line to the browser's console.
fn console(level: &str, text: &str) {
    let console = Reflect::get(&js_sys::global(), &"console".into());
    let write = console.and_then(|console| Ok((Reflect::get(&console, &level.into())?, console)));
    if let Ok((write, console)) = write
        && let Some(write) = write.dyn_ref::<Function>()
    {
        // A failure of the console cannot be reported.
        write.call1(&console, &text.into()).ok();
    }
}

/// The names of all cases, in order.
#[wasm_bindgen]
pub fn names() -> Vec<String> {
    cases::all().iter().map(Case::name).collect()
}

/// A device and the cases for it.
#[wasm_bindgen]
pub struct Conformance {
    gpu: Option<WebGpu>,
    cases: Vec<Case>,
}

#[wasm_bindgen]
impl Conformance {
    /// Opens "gpu" or "cpu".
    ///
    /// # Errors
    /// An `Error` if WebGPU cannot be used.
    pub async fn open(device: String) -> Result<Self, Error> {
        let gpu = if device == "gpu" {
            Some(WebGpu::open().await.map_err(|error| Error::new(&error.to_string()))?)
        } else {
            None
        };
        Ok(Self { gpu, cases: cases::all() })
    }

    /// Whether the browser computes WebGPU on the CPU.
    #[wasm_bindgen(getter)]
    pub fn software(&self) -> bool {
        self.gpu.as_ref().is_some_and(|gpu| gpu.software)
    }

    /// Limits and features of the GPU, for the report.
    #[wasm_bindgen(getter)]
    pub fn limits(&self) -> String {
        self.gpu.as_ref().map_or_else(String::new, |gpu| format!("{:?}, {:?}", gpu.limits, gpu.features))
    }

    /// Runs the case with an index and returns its checks as JSON: an array of entries of the native report.
    pub async fn run(&self, index: usize) -> String {
        let Some(case) = self.cases.get(index) else { return "[]".to_owned() };
        let device = self.gpu.as_ref().map_or_else(Device::flex, |gpu| gpu.device.clone());
        let target = Target { device, software: self.software() };
        let mut checks = case
            .run(&target)
            .await
            .unwrap_or_else(|error| vec![Check::broken("all", &format!("the device failed: {error:?}"))]);
        if let Some(gpu) = &self.gpu {
            // The output of a kernel that failed validation can look right.
            let sound = match gpu.validate_kernels().await {
                Ok(()) => gpu.check(),
                Err(error) => gpu.check().and(Err(error)),
            };
            if let Err(error) = sound {
                checks = vec![Check::broken("all", &error.to_string())];
            }
        }
        let device = if self.gpu.is_some() { "browser gpu" } else { "browser cpu" };
        let entries: Vec<Entry> = checks
            .into_iter()
            .map(|check| Entry { device: device.into(), fusion: "none".into(), case: case.name(), check })
            .collect();
        serde_json::to_string(&entries).unwrap_or_else(|error| format!("[\"{error}\"]"))
    }
}
