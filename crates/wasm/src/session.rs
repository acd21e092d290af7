//! A device, and the model on it.

use std::rc::Rc;

use js_sys::JSON;
use serde_json::json;
use unbraid_model::ModelConfig;
use unbraid_model::weights::{Loaded, Provenance};
use unbraid_ops::device::WebGpu;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use web_sys::File;

use crate::engine::{Engine, Unit};
use crate::error::Failure;
use crate::separation::{Range, Separation};

/// What a worker holds from its start on.
#[wasm_bindgen]
pub struct Session {
    /// The device while no model is on it.
    idle: Option<Unit>,
    engine: Option<Rc<Engine>>,
    is_gpu: bool,
    software: bool,
    note: Option<String>,
}

#[wasm_bindgen]
impl Session {
    /// Opens a device: "gpu", "cpu", or "auto" for the GPU unless it is none or a software adapter, which is slower
    /// than the CPU path.
    ///
    /// # Errors
    /// An `Error` of kind "device" where a GPU was asked for and there is none.
    pub async fn open(device: String) -> Result<Self, Failure> {
        let session =
            |idle, is_gpu, software, note| Self { idle: Some(idle), engine: None, is_gpu, software, note };
        let cpu = |reason: String| {
            session(
                Unit::Cpu,
                false,
                false,
                Some(format!("{reason}, so the CPU computes; that takes longer.")),
            )
        };
        match device.as_str() {
            "cpu" => Ok(session(Unit::Cpu, false, false, None)),
            "gpu" => {
                let gpu = WebGpu::open().await?;
                let note = "The browser computes WebGPU on the CPU; a real GPU is much faster.";
                let (software, note) = (gpu.software, gpu.software.then(|| note.to_owned()));
                Ok(session(Unit::Gpu(gpu), true, software, note))
            }
            _ => Ok(match WebGpu::open().await {
                Ok(gpu) if gpu.software => cpu("The browser's WebGPU is a software adapter".to_owned()),
                Ok(gpu) => session(Unit::Gpu(gpu), true, false, None),
                Err(error) => cpu(sentence(&error.to_string())),
            }),
        }
    }

    /// "gpu" or "cpu".
    #[wasm_bindgen(getter)]
    pub fn kind(&self) -> String {
        if self.is_gpu { "gpu" } else { "cpu" }.to_owned()
    }

    /// Whether the GPU is computed on the CPU.
    #[wasm_bindgen(getter)]
    pub fn software(&self) -> bool {
        self.software
    }

    /// A sentence for the person, where the device is not what one would wish for.
    #[wasm_bindgen(getter)]
    pub fn note(&self) -> Option<String> {
        self.note.clone()
    }

    /// Takes a weights file as the model, in place of any before. A GPU that refuses its kernels, or computes
    /// something else than the CPU, is left for the CPU; ask [`Session::kind`] afterwards.
    ///
    /// Returns `{name, stems, sampleRate, parameters, provenance, bytes}`.
    ///
    /// # Errors
    /// An `Error` of kind "model" for a file that cannot be used; the model before it is gone too.
    #[wasm_bindgen(js_name = setModel)]
    pub async fn set_model(&mut self, bytes: Vec<u8>) -> Result<JsValue, Failure> {
        self.clear();
        let size = bytes.len();
        let unit = self.idle.take().unwrap_or(Unit::Cpu);
        let mut made = Engine::new(unit, bytes.clone()).await;
        // A GPU that was lost while nothing ran shows it only now; opened again, it may work. A software adapter in its
        // place is slower than the CPU.
        if matches!(made, Err((Failure::Device(_), Unit::Gpu(_))))
            && let Ok(gpu) = WebGpu::open().await
            && gpu.software == self.software
        {
            made = Engine::new(Unit::Gpu(gpu), bytes.clone()).await;
        }
        let (engine, loaded) = match made {
            Ok(made) => made,
            Err((Failure::Device(reason), Unit::Gpu(_))) => {
                (self.is_gpu, self.software) = (false, false);
                self.note = Some(format!(
                    "The GPU cannot be used ({reason}), so the CPU computes; that takes longer."
                ));
                Engine::new(Unit::Cpu, bytes).await.map_err(|(failure, unit)| {
                    self.idle = Some(unit);
                    failure
                })?
            }
            Err((failure, unit)) => {
                self.idle = Some(unit);
                return Err(failure);
            }
        };
        self.engine = Some(Rc::new(engine));
        describe(&loaded, size)
    }

    /// Drops the model.
    pub fn clear(&mut self) {
        if let Some(engine) = self.engine.take() {
            // A separation that was not freed holds on to it; then a device is opened anew.
            self.idle = Rc::into_inner(engine).map(Engine::into_unit);
        }
    }

    /// The model's samples per second; 44100 without a model.
    #[wasm_bindgen(getter, js_name = sampleRate)]
    pub fn sample_rate(&self) -> u32 {
        self.engine.as_ref().map_or(44_100, |engine| engine.sample_rate())
    }

    /// Begins to separate a song from one second to another (its end, if not given).
    ///
    /// # Errors
    /// An `Error` of kind "file" where the song cannot be read, or "model" without a model.
    pub fn separate(
        &self,
        file: &File,
        from: f64,
        to: Option<f64>,
        overlap: f32,
    ) -> Result<Separation, Failure> {
        let engine = self.engine.clone();
        let engine =
            engine.ok_or_else(|| Failure::Model("There is no model yet. Choose one first.".to_owned()))?;
        Separation::new(engine, file, Range { from, to }, overlap)
    }

    /// Bytes of the GPU's memory that are taken; nothing on the CPU.
    #[wasm_bindgen(js_name = gpuBytes)]
    pub fn gpu_bytes(&self) -> Option<f64> {
        self.engine.as_ref()?.gpu_bytes().map(|bytes| bytes as f64)
    }

    /// For tests: ends the GPU's device, as a driver that fails does.
    #[wasm_bindgen(js_name = loseDevice)]
    pub fn lose_device(&self) {
        if let Some(engine) = &self.engine {
            engine.lose_device();
        }
    }
}

/// With a capital at its beginning.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn describe(loaded: &Loaded, bytes: usize) -> Result<JsValue, Failure> {
    let ModelConfig { name, stems, sample_rate, .. } = &loaded.config;
    let Provenance { tool, date, data, steps, seed, segment_seconds: _, scores, notes } = &loaded.provenance;
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
    JSON::parse(&text.to_string()).map_err(|_| Failure::Model("its description is not text".to_owned()))
}
