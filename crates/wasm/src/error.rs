//! Failures as the worker receives them: the kind of the cause, and a sentence for the user.

use js_sys::{Error, Reflect};
use unbraid_audio::{AudioError, Problem};
use unbraid_model::SeparateError;
use unbraid_model::weights::WeightsError;
use unbraid_ops::device::WebGpuError;
use wasm_bindgen::JsValue;

/// A failure, by its cause.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The song.
    #[error("{0}")]
    File(String),
    /// The song's format, which the browser's own decoder may know.
    #[error("{0}")]
    Format(String),
    /// The model.
    #[error("{0}")]
    Model(String),
    /// The GPU.
    #[error("{0}")]
    Device(String),
}

impl From<AudioError> for Failure {
    fn from(error: AudioError) -> Self {
        let advice = match &error.problem {
            Problem::Empty | Problem::Truncated(_) => "; copy or download it again",
            Problem::Unsupported(_) | Problem::OtherFormat(_) | Problem::SampleRate(_) => {
                "; convert it to wav or flac first"
            }
            Problem::Channels(_) => "; mix it down to stereo first",
            Problem::Malformed { .. } | Problem::NonFinite { .. } => "; export it again from its source",
            _ => "",
        };
        Self::File(format!("{error}{advice}"))
    }
}

impl From<WeightsError> for Failure {
    fn from(error: WeightsError) -> Self {
        Self::Model(format!(
            "This model cannot be used: {}. Choose a .safetensors file that Unbraid's training exported.",
            error.reason
        ))
    }
}

impl From<WebGpuError> for Failure {
    fn from(error: WebGpuError) -> Self {
        Self::Device(error.to_string())
    }
}

impl From<SeparateError> for Failure {
    fn from(error: SeparateError) -> Self {
        match error {
            SeparateError::NotFinite { .. } => {
                let advice = "Try another model, or the CPU instead of the GPU.";
                Self::Model(format!("The separation failed: {error}. {advice}"))
            }
            SeparateError::Device(error) => Self::Device(error.to_string()),
            SeparateError::Input { .. } => {
                Self::File(format!("{error}. Export the file again from its source, or leave this part out."))
            }
            SeparateError::Options(_) | SeparateError::Block { .. } => Self::File(error.to_string()),
        }
    }
}

impl From<Failure> for JsValue {
    /// An `Error` with the property `kind`: "file", "format", "model" or "device".
    fn from(failure: Failure) -> Self {
        let kind = match failure {
            Failure::File(_) => "file",
            Failure::Format(_) => "format",
            Failure::Model(_) => "model",
            Failure::Device(_) => "device",
        };
        let error = Error::new(&failure.to_string());
        // Setting a property of a new object cannot fail.
        Reflect::set(&error, &"kind".into(), &kind.into()).ok();
        error.into()
    }
}
