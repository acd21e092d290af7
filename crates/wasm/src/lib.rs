//! The interface of the model and the audio decoder for the page's worker.
//!
//! A `Session` holds a device and a model. A `Separation` returns a song's stems block by block. An `Overview` returns
//! the song's waveform. All of it runs in one dedicated worker. Without a GPU, a `Pool` of further workers computes
//! segments at the same time, each with a `Helper`. Files are read in chunks, and finished blocks leave the heap, so
//! memory does not grow with the song. The crate is empty on targets other than wasm.
#![cfg(target_family = "wasm")]

mod engine;
mod error;
mod overview;
mod pool;
mod separation;
mod session;
mod source;

pub use error::Failure;
pub use overview::Overview;
pub use pool::{Helper, Pool};
pub use separation::Separation;
pub use session::Session;

use js_sys::{Function, Reflect};
use unbraid_ops::device::note_error;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};

/// Writes warnings and errors to the console, and passes errors of burn to the device, which reports them to the job.
struct Logger;

impl log::Log for Logger {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::Level::Warn
    }

    fn log(&self, record: &log::Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let line = format!("{}: {}", record.target(), record.args());
        console("warn", &line);
        if record.level() == log::Level::Error {
            note_error(&line);
        }
    }

    fn flush(&self) {}
}

/// Runs once, when the module is loaded.
#[wasm_bindgen(start)]
fn start() {
    std::panic::set_hook(Box::new(|info| console("error", &info.to_string())));
    // It cannot fail, because the program has no other logger.
    if log::set_logger(&Logger).is_ok() {
        log::set_max_level(log::LevelFilter::Warn);
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

/// The compiled module. Helpers instantiate it without compiling it again.
#[wasm_bindgen(js_name = compiledModule)]
pub fn compiled_module() -> JsValue {
    wasm_bindgen::module()
}

/// Bytes of the module's memory. It never shrinks, so this is its peak.
#[wasm_bindgen(js_name = heapBytes)]
pub fn heap_bytes() -> f64 {
    let memory = wasm_bindgen::memory().dyn_into::<js_sys::WebAssembly::Memory>();
    let buffer = memory.ok().and_then(|memory| memory.buffer().dyn_into::<js_sys::ArrayBuffer>().ok());
    buffer.map_or(0.0, |buffer| f64::from(buffer.byte_length()))
}
