//! The part of a network's configuration that all families share, with its bounds.

use serde::{Deserialize, Serialize};
use unbraid_ops::{Stft, StftError};

/// Maximum number of parameters of a network: 2 GiB in f32. It bounds the memory that an untrusted file can claim.
pub const MAX_PARAMETERS: usize = 1 << 29;

/// Waveform channels of every mixture and stem.
pub(crate) const STEREO: usize = 2;

/// The fields of [`Config`] that are not the family's.
pub(crate) const SHARED: [&str; 5] = ["name", "stems", "sample_rate", "n_fft", "hop_length"];

/// The reason why a configuration is refused. The message names the field and its bounds.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ModelConfigError {
    /// Not TOML, or a field is missing, unknown, or of the wrong type.
    #[error("the model configuration cannot be read: {0}")]
    Syntax(String),
    /// A value is outside its bounds, or contradicts another value.
    #[error("model configuration, field `{field}`: {reason}")]
    Field {
        /// The field's name.
        field: &'static str,
        /// The reason, with the bounds.
        reason: String,
    },
    /// The network is too large.
    #[error(
        "the model configuration describes {0} parameters, more than the {MAX_PARAMETERS} that are allowed"
    )]
    Size(usize),
    /// No standard network has this name.
    #[error("there is no network {name:?}; the standard networks are {list}", list = known.join(", "))]
    UnknownNetwork {
        /// The unknown name.
        name: String,
        /// The names that exist.
        known: &'static [&'static str],
    },
}

/// Everything needed to build a network, without its weights: the fields that all families share, and `F`, the
/// fields of one family.
///
/// A configuration file holds both in one table, with the family's name in the field `family`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Config<F> {
    /// The network's name, as in its weights file's name.
    pub name: String,
    /// Names of the stems, in the order of the network's output. They become file names.
    pub stems: Vec<String>,
    /// Sample rate of the waveforms that the network was made for, in Hz.
    pub sample_rate: u32,
    /// Samples of an STFT frame.
    pub n_fft: usize,
    /// Samples from one STFT frame to the next.
    pub hop_length: usize,
    /// The family's fields.
    #[serde(flatten)]
    pub family: F,
}

impl<F> Config<F> {
    /// The same shared fields, with `family` as the family's fields.
    pub(crate) fn with<G>(&self, family: G) -> Config<G> {
        Config {
            name: self.name.clone(),
            stems: self.stems.clone(),
            sample_rate: self.sample_rate,
            n_fft: self.n_fft,
            hop_length: self.hop_length,
            family,
        }
    }

    /// Checks the shared fields. It allocates little, and no arithmetic in it can overflow.
    pub(crate) fn validate_shared(&self) -> Result<(), ModelConfigError> {
        if !is_plain_name(&self.name) {
            return wrong("name", format!("{:?} is not {PLAIN_NAME}", self.name));
        }
        within("stems", self.stems.len(), 1, 16)?;
        for (index, stem) in self.stems.iter().enumerate() {
            if !is_plain_name(stem) {
                return wrong("stems", format!("{stem:?} is not {PLAIN_NAME}"));
            }
            if self.stems[..index].iter().any(|earlier| earlier.eq_ignore_ascii_case(stem)) {
                return wrong("stems", format!("{stem:?} is named twice"));
            }
        }
        within("sample_rate", self.sample_rate as usize, 8_000, 192_000)?;
        match Stft::new(self.n_fft, self.hop_length) {
            Ok(_) => {}
            Err(error @ StftError::Size(_)) => return wrong("n_fft", error.to_string()),
            Err(error @ StftError::Hop { .. }) => return wrong("hop_length", error.to_string()),
        }
        // A shorter hop multiplies the frames, and the memory with them, without a gain.
        within("hop_length", self.hop_length, self.n_fft.div_ceil(16), self.n_fft / 4)
    }
}

const PLAIN_NAME: &str = "1 to 64 letters, digits, `-` or `_`";

/// Names become file names, so they hold only characters that every file system takes.
fn is_plain_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_')
}

/// Refuses `field`.
pub(crate) fn wrong<T>(field: &'static str, reason: String) -> Result<T, ModelConfigError> {
    Err(ModelConfigError::Field { field, reason })
}

/// Refuses `field` if `value` is not in the range `least` to `most`.
pub(crate) fn within(
    field: &'static str,
    value: usize,
    least: usize,
    most: usize,
) -> Result<(), ModelConfigError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    wrong(field, format!("{value} is not in the range {least} to {most}"))
}
