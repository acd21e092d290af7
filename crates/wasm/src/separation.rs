//! A song's stems, block by block.

use std::rc::Rc;

use js_sys::{Array, Object, Reflect};
use unbraid_audio::AudioReader;
use unbraid_base::Stereo;
use unbraid_model::{Separator, SeparatorOptions};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use web_sys::File;

use crate::engine::{Engine, EngineModel};
use crate::error::Failure;
use crate::pool::{Pool, to_js};
use crate::source;

/// Frames decoded at once.
const DECODED: usize = 1 << 16;

/// Segments for each helper of a pool that are computed ahead. A helper has its next segment when it ends one, and
/// another one waits while this worker sums up stems.
const AHEAD: usize = 3;

/// Seconds of a song to separate.
#[derive(Clone, Copy)]
pub(crate) struct Range {
    pub(crate) from: f64,
    /// The song's end, if `None`.
    pub(crate) to: Option<f64>,
}

/// A running separation. Free it to cancel.
#[wasm_bindgen]
pub struct Separation {
    engine: Rc<Engine>,
    reader: AudioReader,
    /// `None` after the end was reached.
    separator: Option<Separator<EngineModel>>,
    /// Samples between the starts of two segments.
    hop: usize,
    /// The finished stems that were not returned.
    stems: Vec<Stereo>,
    /// The samples that were read and not returned.
    mixture: Stereo,
    /// Frames that remain to be read.
    left: usize,
    /// Frames that were returned.
    done: usize,
    total: Option<usize>,
}

impl Separation {
    pub(crate) fn new(
        engine: Rc<Engine>,
        file: &File,
        range: Range,
        pool: Option<Pool>,
    ) -> Result<Self, Failure> {
        let rate = f64::from(engine.sample_rate());
        let frame = |seconds: f64| (seconds.max(0.0) * rate).round() as usize;
        let (from, to) = (frame(range.from), range.to.map_or(usize::MAX, frame));
        let mut reader = source::open(file, engine.sample_rate())?;
        let end = reader.frames().map(|frames| frames as usize);
        if from >= end.unwrap_or(usize::MAX).min(to) {
            return Err(Failure::File(
                "The chosen part of the song holds no audio. Choose another one.".to_owned(),
            ));
        }
        if from > 0 {
            reader.seek(from as u64)?;
        }
        let total = end.map(|end| end.min(to) - from);
        // The native program uses the same segments, so its stems are the same.
        let segment = frame(engine.segment_seconds());
        let options = SeparatorOptions { segment, overlap: engine.overlap(), batch: 1 };
        let ahead = pool.as_ref().map_or(0, |pool| AHEAD * pool.workers() as usize);
        let separator =
            Separator::new(EngineModel { engine: engine.clone(), pool }, options)?.with_ahead(ahead);
        engine.begin();
        Ok(Self {
            hop: separator.hop(),
            stems: vec![Stereo::default(); engine.stems()],
            engine,
            reader,
            separator: Some(separator),
            mixture: Stereo::default(),
            left: to - from,
            done: 0,
            total,
        })
    }

    /// The next samples of the mixture and the finished stems.
    fn block(&mut self) -> Object {
        let count = self.stems[0][0].len().min(self.hop);
        let take = |stereo: &mut Stereo| -> JsValue {
            to_js(&stereo.each_mut().map(|channel| channel.drain(..count).collect()))
        };
        let block = Object::new();
        let set = |name: &str, value: &JsValue| {
            // Setting a property of a new object cannot fail.
            Reflect::set(&block, &name.into(), value).ok();
        };
        set("start", &(self.done as f64).into());
        set("mixture", &take(&mut self.mixture));
        set("stems", &self.stems.iter_mut().map(take).collect::<Array>());
        self.done += count;
        block
    }
}

#[wasm_bindgen]
impl Separation {
    /// Frames of the whole result, if the file's header contains the number.
    #[wasm_bindgen(getter)]
    pub fn total(&self) -> Option<f64> {
        self.total.map(|total| total as f64)
    }

    /// Frames returned so far.
    #[wasm_bindgen(getter)]
    pub fn done(&self) -> f64 {
        self.done as f64
    }

    /// The failure of the device, if the device was lost and opened again since the last call.
    pub fn recovered(&self) -> Option<String> {
        self.engine.recovered()
    }

    /// Facts about the file that a person should know, as clauses such as "its header does not state its length". All of
    /// them are known when the file was read to its end.
    pub fn notices(&self) -> Vec<String> {
        source::notices(&self.reader)
    }

    /// The next finished block, `{start, mixture: [left, right], stems: [[left, right], …]}` of `Float32Array`s, each
    /// in its own buffer. `undefined` after the last block. A call computes a batch of segments, rarely two, or none if
    /// a part of the last batch was not returned yet. A block is as long as the distance between two segments, except
    /// the last one, so a separation that goes on after any block computes the same segments.
    ///
    /// # Errors
    /// An `Error` of kind "file", "model" or "device". The separation cannot be used after an error.
    pub async fn next(&mut self) -> Result<Option<Object>, Failure> {
        while self.stems[0][0].len() < self.hop {
            let Some(mut separator) = self.separator.take() else { break };
            let wanted = self.left.min(DECODED);
            let block = self.reader.read(wanted)?;
            let count = block[0].len();
            self.left -= count;
            for (mixture, block) in self.mixture.iter_mut().zip(&block) {
                mixture.extend_from_slice(block);
            }
            let stems = if count == 0 {
                separator.finish().await?
            } else {
                let stems = separator.push(&block).await?;
                self.separator = Some(separator);
                stems
            };
            for (stem, new) in self.stems.iter_mut().flatten().zip(stems.into_iter().flatten()) {
                stem.extend(new);
            }
        }
        if self.stems[0][0].is_empty() {
            return Ok(None);
        }
        Ok(Some(self.block()))
    }
}
