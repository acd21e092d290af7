//! A song's waveform, for the page to draw.

use js_sys::Float32Array;
use unbraid_audio::AudioReader;
use wasm_bindgen::prelude::wasm_bindgen;
use web_sys::File;

use crate::error::Failure;
use crate::source;

/// Samples under one pair of peaks.
const SAMPLES_OF_PEAK: usize = 1024;

/// Pairs per call: about six seconds of audio, so that the worker can react to a stop message soon.
const PEAKS: usize = 256;

/// Reads a whole song and returns its peaks in chunks.
#[wasm_bindgen]
pub struct Overview {
    reader: AudioReader,
    samples: usize,
    done: bool,
}

#[wasm_bindgen]
impl Overview {
    /// Opens a song at a sample rate.
    ///
    /// # Errors
    /// An `Error` of kind "file".
    #[wasm_bindgen(constructor)]
    pub fn new(file: &File, rate: u32) -> Result<Self, Failure> {
        Ok(Self { reader: source::open(file, rate)?, samples: 0, done: false })
    }

    /// Samples of the song, if the file's header contains the number.
    pub fn total(&self) -> Option<f64> {
        self.reader.frames().map(|frames| frames as f64)
    }

    /// Samples read so far. All samples of the song if [`Overview::done`] is true.
    #[wasm_bindgen(getter)]
    pub fn samples(&self) -> f64 {
        self.samples as f64
    }

    /// Whether the end was reached.
    #[wasm_bindgen(getter)]
    pub fn done(&self) -> bool {
        self.done
    }

    /// Facts about the file that a person should know, as clauses such as "its header does not state its length". All of
    /// them are known at the end.
    pub fn notices(&self) -> Vec<String> {
        source::notices(&self.reader)
    }

    /// Pairs of the lowest and the highest value of both channels, one pair per 1024 samples. The last pair may be of
    /// fewer samples.
    ///
    /// # Errors
    /// An `Error` of kind "file" if the file is damaged.
    pub fn next_peaks(&mut self) -> Result<Float32Array, Failure> {
        let [left, right] = self.reader.read(PEAKS * SAMPLES_OF_PEAK)?;
        self.done = left.len() < PEAKS * SAMPLES_OF_PEAK;
        self.samples += left.len();
        let pairs =
            left.chunks(SAMPLES_OF_PEAK).zip(right.chunks(SAMPLES_OF_PEAK)).flat_map(|(left, right)| {
                let both = || left.iter().chain(right).copied();
                [both().fold(f32::INFINITY, f32::min), both().fold(f32::NEG_INFINITY, f32::max)]
            });
        Ok(Float32Array::from(&pairs.collect::<Vec<f32>>()[..]))
    }
}
