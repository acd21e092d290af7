//! Helper workers: the page's pool as this module sees it, and the model in a helper.

use burn::tensor::Device;
use js_sys::{Array, Float32Array, Promise};
use unbraid_base::Stereo;
use unbraid_model::weights;
use unbraid_model::{Network, SegmentModel};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen_futures::JsFuture;

use crate::error::Failure;

#[wasm_bindgen]
extern "C" {
    /// The class `Pool` of web/pool.js.
    pub type Pool;

    /// The number of helpers that may compute.
    #[wasm_bindgen(method, getter)]
    pub(crate) fn workers(this: &Pool) -> u32;

    #[wasm_bindgen(method, js_name = run)]
    fn run_promise(this: &Pool, left: Float32Array, right: Float32Array) -> Promise;
}

impl Pool {
    /// Gives a segment to the pool, which starts its helpers. They compute at the same time as this worker.
    pub(crate) fn run(&self, [left, right]: &Stereo) -> Running {
        Running(self.run_promise(Float32Array::from(&left[..]), Float32Array::from(&right[..])))
    }
}

/// A segment that a helper computes.
pub(crate) struct Running(Promise);

impl Running {
    /// The stems. `None` if no helper is left.
    pub(crate) async fn stems(self) -> Option<Vec<Stereo>> {
        let stems = JsFuture::from(self.0).await.ok().filter(JsValue::is_object)?;
        Some(Array::from(&stems).iter().map(|stem| from_js(&stem)).collect())
    }
}

/// A model on the CPU that computes single segments in a helper.
#[wasm_bindgen]
pub struct Helper {
    network: Network,
}

#[wasm_bindgen]
impl Helper {
    /// Loads the weights file in `bytes`.
    ///
    /// # Errors
    /// An `Error` of kind "model".
    #[wasm_bindgen(constructor)]
    pub fn new(bytes: &[u8]) -> Result<Self, Failure> {
        Ok(Self { network: weights::from_bytes(bytes, &Device::flex())?.model })
    }

    /// The stems of a segment, `[[left, right], …]` of `Float32Array`s, each in its own buffer.
    ///
    /// # Errors
    /// An `Error` of kind "device".
    pub async fn run(&self, left: Vec<f32>, right: Vec<f32>) -> Result<Array, Failure> {
        let stems = self.network.run(vec![[left, right]]).await;
        let stems = stems.map_err(|error| Failure::Device(error.to_string()))?;
        Ok(stems.iter().flatten().map(to_js).collect())
    }
}

/// `[left, right]` of `Float32Array`s, each in its own buffer.
pub(crate) fn to_js(stereo: &Stereo) -> JsValue {
    stereo.iter().map(|channel| Float32Array::from(&channel[..])).collect::<Array>().into()
}

fn from_js(stereo: &JsValue) -> Stereo {
    let channels = Array::from(stereo);
    [0, 1].map(|channel| Float32Array::from(channels.get(channel)).to_vec())
}
