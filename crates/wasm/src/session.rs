//! A session of the page's worker: a device, and the model on it.

use std::rc::Rc;

use js_sys::JSON;
use serde_json::json;
use unbraid_model::ModelConfig;
use unbraid_model::weights::{Loaded, Provenance};
use unbraid_ops::device::WebGpu;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use web_sys::File;

use crate::engine::{ComputeDevice, Engine};
use crate::error::Failure;
use crate::pool::Pool;
use crate::separation::{Range, Separation};

/// A device, and the model on it. A worker opens one session at its start.
#[wasm_bindgen]
pub struct Session {
    /// The device while no model is on it.
    idle: Option<ComputeDevice>,
    engine: Option<Rc<Engine>>,
    is_gpu: bool,
    software: bool,
    note: Option<String>,
}

#[wasm_bindgen]
impl Session {
    /// Opens a device: "gpu", "cpu" or "auto". "auto" is the GPU, or the CPU if there is no GPU or only a software
    /// adapter, which is slower than the CPU path.
    ///
    /// # Errors
    /// An `Error` of kind "device" for "gpu" if there is no GPU.
    pub async fn open(device: String) -> Result<Self, Failure> {
        let session =
            |idle, is_gpu, software, note| Self { idle: Some(idle), engine: None, is_gpu, software, note };
        let cpu = |reason: String| {
            session(
                ComputeDevice::Cpu,
                false,
                false,
                Some(format!("{reason}. The CPU takes longer than a GPU.")),
            )
        };
        match device.as_str() {
            "cpu" => Ok(session(ComputeDevice::Cpu, false, false, None)),
            "gpu" => {
                let gpu = WebGpu::open().await?;
                let note = "The browser runs WebGPU on the CPU. A real GPU is much faster.";
                let (software, note) = (gpu.software, gpu.software.then(|| note.to_owned()));
                Ok(session(ComputeDevice::Gpu(gpu), true, software, note))
            }
            _ => Ok(match WebGpu::open().await {
                Ok(gpu) if gpu.software => cpu("The browser's WebGPU is a software adapter".to_owned()),
                Ok(gpu) => session(ComputeDevice::Gpu(gpu), true, false, None),
                Err(error) => cpu(sentence(&error.to_string())),
            }),
        }
    }

    /// "gpu" or "cpu".
    #[wasm_bindgen(getter)]
    pub fn kind(&self) -> String {
        if self.is_gpu { "gpu" } else { "cpu" }.to_owned()
    }

    /// Whether the GPU is a software adapter, which runs on the CPU.
    #[wasm_bindgen(getter)]
    pub fn software(&self) -> bool {
        self.software
    }

    /// A sentence for the user if the device is slower than a real GPU.
    #[wasm_bindgen(getter)]
    pub fn note(&self) -> Option<String> {
        self.note.clone()
    }

    /// Replaces the model by the weights file in `bytes`. If the GPU rejects a kernel, or its result differs from the
    /// CPU's, the session changes to the CPU. [`Session::kind`] shows the device afterwards.
    ///
    /// Returns `{name, stems, sampleRate, parameters, provenance, bytes}`.
    ///
    /// # Errors
    /// An `Error` of kind "model" for a file that cannot be used. The previous model is dropped in any case.
    #[wasm_bindgen(js_name = setModel)]
    pub async fn set_model(&mut self, bytes: Vec<u8>) -> Result<JsValue, Failure> {
        self.clear();
        let size = bytes.len();
        let device = self.idle.take().unwrap_or(ComputeDevice::Cpu);
        let mut made = Engine::new(device, bytes.clone()).await;
        // A GPU that was lost while nothing ran fails only now. It may work after it is opened again. If the browser
        // now offers a software adapter instead, the CPU is faster.
        if matches!(made, Err((Failure::Device(_), ComputeDevice::Gpu(_))))
            && let Ok(gpu) = WebGpu::open().await
            && gpu.software == self.software
        {
            made = Engine::new(ComputeDevice::Gpu(gpu), bytes.clone()).await;
        }
        let (engine, loaded) = match made {
            Ok(made) => made,
            Err((Failure::Device(reason), ComputeDevice::Gpu(_))) => {
                (self.is_gpu, self.software) = (false, false);
                self.note = Some(format!("The GPU cannot be used: {reason}. The CPU takes longer."));
                Engine::new(ComputeDevice::Cpu, bytes).await.map_err(|(failure, device)| {
                    self.idle = Some(device);
                    failure
                })?
            }
            Err((failure, device)) => {
                self.idle = Some(device);
                return Err(failure);
            }
        };
        self.engine = Some(Rc::new(engine));
        describe(&loaded, size)
    }

    /// Drops the model.
    pub fn clear(&mut self) {
        if let Some(engine) = self.engine.take() {
            // A separation that was not freed still owns the engine. Then the session has no device, and uses the CPU.
            self.idle = Rc::into_inner(engine).map(Engine::into_device);
        }
    }

    /// The model's sample rate in Hz. 44100 without a model.
    #[wasm_bindgen(getter, js_name = sampleRate)]
    pub fn sample_rate(&self) -> u32 {
        self.engine.as_ref().map_or(44_100, |engine| engine.sample_rate())
    }

    /// Begins to separate a song from the second `from` to the second `to`, or to the song's end. The workers of `pool`
    /// compute segments too.
    ///
    /// # Errors
    /// An `Error` of kind "file" if the song cannot be read, or of kind "model" if there is no model.
    pub fn separate(
        &self,
        file: &File,
        from: f64,
        to: Option<f64>,
        pool: Option<Pool>,
    ) -> Result<Separation, Failure> {
        let engine = self.engine.clone();
        let engine =
            engine.ok_or_else(|| Failure::Model("There is no model yet. Choose one first.".to_owned()))?;
        Separation::new(engine, file, Range { from, to }, pool)
    }

    /// Bytes of GPU memory in use. `undefined` on the CPU.
    #[wasm_bindgen(js_name = gpuBytes)]
    pub fn gpu_bytes(&self) -> Option<f64> {
        self.engine.as_ref()?.gpu_bytes().map(|bytes| bytes as f64)
    }

    /// For tests: destroys the GPU's device, as a failing driver does.
    #[wasm_bindgen(js_name = loseDevice)]
    pub fn lose_device(&self) {
        if let Some(engine) = &self.engine {
            engine.lose_device();
        }
    }
}

/// `text` with a capital first letter.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn describe(loaded: &Loaded, bytes: usize) -> Result<JsValue, Failure> {
    let ModelConfig { name, stems, sample_rate, .. } = &loaded.config;
    let Provenance { tool, date, data, steps, seed, scores, notes, .. } = &loaded.provenance;
    let mut provenance = serde_json::Map::new();
    for (key, value) in [("tool", tool), ("date", date), ("data", data), ("notes", notes)] {
        if !value.is_empty() {
            provenance.insert(key.to_owned(), value.as_str().into());
        }
    }
    for (key, value) in [("steps", *steps), ("seed", *seed)] {
        provenance.insert(key.to_owned(), value.into());
    }
    for (key, value) in scores {
        provenance.insert(key.clone(), format!("{value:.2} dB").into());
    }
    let text = json!({
        "name": name, "stems": stems, "sampleRate": sample_rate, "parameters": loaded.config.parameters(),
        "provenance": provenance, "bytes": bytes,
    });
    JSON::parse(&text.to_string())
        .map_err(|_| Failure::Model("the model's description cannot be passed to the page".to_owned()))
}
