//! What a network is: its configuration, its bounds, and its presets.

use burn::tensor::Device;
use serde::{Deserialize, Serialize};
use unbraid_ops::{MAX_HEAD_WIDTH, Stft, StftError};

use crate::network::{self, Tfswa};

/// Most parameters a network may have: 1 GiB in f32. Bounds what an untrusted file can make us allocate.
pub const MAX_PARAMETERS: usize = 1 << 28;

/// Names of the presets, largest first.
pub const PRESETS: [&str; 3] = ["tfswa_unet", "tfswa_unet_small", "tfswa_unet_tiny"];

/// Why a configuration is refused. The message names the field and says what it may be.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ConfigError {
    /// Not TOML, a field missing, unknown, or of the wrong type.
    #[error("the model configuration cannot be read: {0}")]
    Syntax(String),
    /// A value outside its bounds, or one that contradicts another.
    #[error("model configuration, field `{field}`: {reason}")]
    Field {
        /// The field's name.
        field: &'static str,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// Not one of [`PRESETS`].
    #[error("there is no preset {0:?}; presets are {list}", list = PRESETS.join(", "))]
    Preset(String),
}

/// How a token of a time or frequency sequence knows its place in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Positional {
    /// Queries and keys are rotated by their position (rotary embedding).
    Rotary,
    /// It does not.
    None,
}

/// A TFSWA U-Net, whole: everything needed to build it, and nothing that is learned.
///
/// Untrusted until [`ModelConfig::validate`] has passed; [`ModelConfig::from_toml`] and
/// [`ModelConfig::preset`] give validated ones only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// The network's name, as in its weights file's name.
    pub name: String,
    /// Names of the stems, in the order of the network's output. They become file names.
    pub stems: Vec<String>,
    /// Samples per second of the waveforms it was made for.
    pub sample_rate: u32,
    /// Samples of an STFT frame.
    pub n_fft: usize,
    /// Samples from frame to frame.
    pub hop_length: usize,
    /// Equal parts the bins are cut into, stacked as channels.
    pub subbands: usize,
    /// Channels at each resolution, finest first; the last is the bottleneck's.
    pub dims: Vec<usize>,
    /// TFSWA blocks at each resolution, on the way down and again on the way up.
    pub depths: Vec<usize>,
    /// Attention heads, the same at every resolution.
    pub num_heads: usize,
    /// Frames and bins of an attention window.
    pub window_size: [usize; 2],
    /// Hidden channels of an MLP, as a multiple of its channels.
    pub mlp_ratio: usize,
    /// Positions of time and frequency attention. Windows have a relative-position bias in any case.
    pub positional: Positional,
    /// Bins (of every item of the batch) taken through a time sub-layer at once; 0 takes all.
    pub tsa_chunk_size: usize,
    /// Frames (of every item of the batch) taken through a frequency sub-layer at once; 0 takes all.
    pub fsa_chunk_size: usize,
}

impl ModelConfig {
    /// Parses and validates as a whole.
    ///
    /// # Errors
    /// [`ConfigError`] names the line or the field, and what it may be.
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text).map_err(|error| ConfigError::Syntax(error.to_string()))?;
        config.validate()?;
        Ok(config)
    }

    /// One of [`PRESETS`], which are the files under `configs/model/`.
    ///
    /// # Errors
    /// [`ConfigError::Preset`] for a name that is not one.
    pub fn preset(name: &str) -> Result<Self, ConfigError> {
        let text = match name {
            "tfswa_unet" => include_str!("../../../configs/model/tfswa_unet.toml"),
            "tfswa_unet_small" => include_str!("../../../configs/model/tfswa_unet_small.toml"),
            "tfswa_unet_tiny" => include_str!("../../../configs/model/tfswa_unet_tiny.toml"),
            _ => return Err(ConfigError::Preset(name.to_owned())),
        };
        Self::from_toml(text)
    }

    /// Checks every field against its bounds and against the others. Cheap, allocates nothing of the
    /// network, and no arithmetic in it can overflow.
    ///
    /// # Errors
    /// [`ConfigError::Field`] for the first field that is wrong.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.validate_names()?;
        within("sample_rate", self.sample_rate as usize, 8_000, 192_000)?;
        self.validate_spectrum()?;
        self.validate_stages()?;
        within("mlp_ratio", self.mlp_ratio, 1, 8)?;
        within("tsa_chunk_size", self.tsa_chunk_size, 0, 1 << 20)?;
        within("fsa_chunk_size", self.fsa_chunk_size, 0, 1 << 20)?;
        let parameters = self.parameters();
        if parameters > MAX_PARAMETERS {
            return wrong(
                "dims",
                format!(
                    "with these depths the network has {parameters} parameters, more than {MAX_PARAMETERS}"
                ),
            );
        }
        Ok(())
    }

    fn validate_names(&self) -> Result<(), ConfigError> {
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
        Ok(())
    }

    fn validate_spectrum(&self) -> Result<(), ConfigError> {
        match Stft::new(self.n_fft, self.hop_length) {
            Ok(_) => {}
            Err(error @ StftError::Size(_)) => return wrong("n_fft", error.to_string()),
            Err(error @ StftError::Hop { .. }) => return wrong("hop_length", error.to_string()),
        }
        let n_fft = self.n_fft;
        // A shorter hop than this multiplies frames, and memory with them, to no gain.
        within("hop_length", self.hop_length, n_fft.div_ceil(16), n_fft / 4)?;
        within("subbands", self.subbands, 1, 64)?;
        if !(n_fft / 2).is_multiple_of(self.subbands) {
            return wrong("subbands", format!("{} does not divide n_fft / 2 = {}", self.subbands, n_fft / 2));
        }
        Ok(())
    }

    fn validate_stages(&self) -> Result<(), ConfigError> {
        within("dims", self.dims.len(), 1, 6)?;
        if self.depths.len() != self.dims.len() {
            return wrong(
                "depths",
                format!("has {} entries, dims has {}", self.depths.len(), self.dims.len()),
            );
        }
        within("num_heads", self.num_heads, 1, 64)?;
        for &channels in &self.dims {
            within("dims", channels, 4, 1024)?;
            if !channels.is_multiple_of(self.num_heads) {
                return wrong("dims", format!("{channels} does not divide into {} heads", self.num_heads));
            }
            let head_width = channels / self.num_heads;
            if head_width > MAX_HEAD_WIDTH {
                return wrong(
                    "num_heads",
                    format!(
                        "{channels} channels in {} heads make a head of {head_width}; at most {} fit",
                        self.num_heads, MAX_HEAD_WIDTH
                    ),
                );
            }
            if self.positional == Positional::Rotary && head_width % 2 == 1 {
                return wrong(
                    "num_heads",
                    format!(
                        "rotary positions need an even head width; {channels} channels give {head_width}"
                    ),
                );
            }
        }
        for &depth in &self.depths {
            within("depths", depth, 1, 32)?;
        }
        for side in self.window_size {
            within("window_size", side, 1, 32)?;
        }
        Ok(())
    }

    /// Number of learned values, counted without building anything.
    pub fn parameters(&self) -> usize {
        network::parameters(self)
    }

    /// The network with fresh weights. They are drawn when first used, by the device's random generator.
    ///
    /// # Panics
    /// If the configuration does not validate.
    pub fn init(&self, device: &Device) -> Tfswa {
        Tfswa::new(self, device)
    }

    /// STFT bins a token row covers, padded so that every resolution halves evenly.
    pub(crate) fn padded_bins(&self) -> usize {
        (self.n_fft / 2 / self.subbands).next_multiple_of(self.unit())
    }

    /// Tokens of the finest resolution that make one of the coarsest, per axis.
    pub(crate) fn unit(&self) -> usize {
        1 << (self.dims.len() - 1)
    }
}

const PLAIN_NAME: &str = "1 to 64 letters, digits, `-` or `_`";

/// Names become file names, so only what is safe in one on every system.
fn is_plain_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_')
}

fn wrong<T>(field: &'static str, reason: String) -> Result<T, ConfigError> {
    Err(ConfigError::Field { field, reason })
}

fn within(field: &'static str, value: usize, least: usize, most: usize) -> Result<(), ConfigError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    wrong(field, format!("{value} is not from {least} to {most}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiny() -> ModelConfig {
        ModelConfig::preset("tfswa_unet_tiny").expect("a preset")
    }

    fn field_of(config: &ModelConfig) -> Option<&'static str> {
        match config.validate() {
            Ok(()) => None,
            Err(ConfigError::Field { field, .. }) => Some(field),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn presets_are_valid_and_of_the_promised_size() {
        for name in PRESETS {
            assert_eq!(ModelConfig::preset(name).unwrap().name, name);
        }
        let size = |name| ModelConfig::preset(name).unwrap().parameters();
        assert!((12_000_000..16_000_000).contains(&size("tfswa_unet")), "{}", size("tfswa_unet"));
        assert!((1_000_000..3_000_000).contains(&size("tfswa_unet_small")), "{}", size("tfswa_unet_small"));
        assert!(size("tfswa_unet_tiny") < 500_000, "{}", size("tfswa_unet_tiny"));
        assert_eq!(tiny().subbands, 16);
        assert!(matches!(ModelConfig::preset("../../etc/passwd"), Err(ConfigError::Preset(_))));
    }

    #[test]
    fn toml_round_trip_and_unknown_fields() {
        let text = toml::to_string(&tiny()).unwrap();
        assert_eq!(ModelConfig::from_toml(&text).unwrap(), tiny());
        let unknown = ModelConfig::from_toml(&format!("{text}\nwindow = 3\n")).unwrap_err();
        assert!(unknown.to_string().contains("window"), "{unknown}");
        let missing =
            text.lines().filter(|line| !line.starts_with("hop_length")).collect::<Vec<_>>().join("\n");
        let missing = ModelConfig::from_toml(&missing).unwrap_err();
        assert!(missing.to_string().contains("hop_length"), "{missing}");
        assert!(ModelConfig::from_toml(&text.replace("n_fft = ", "n_fft = -")).is_err());
    }

    #[test]
    fn every_field_is_bounded_and_named() {
        type Change = fn(&mut ModelConfig);
        let cases: [(&str, Change); 30] = [
            ("name", |c| c.name = String::new()),
            ("name", |c| c.name = "a/b".into()),
            ("stems", |c| c.stems.clear()),
            ("stems", |c| c.stems[0] = "../vocals".into()),
            ("stems", |c| c.stems[0] = "a".repeat(65)),
            ("stems", |c| c.stems[1] = c.stems[0].to_uppercase()),
            ("stems", |c| c.stems = (0..17).map(|i| format!("s{i}")).collect()),
            ("sample_rate", |c| c.sample_rate = 0),
            ("sample_rate", |c| c.sample_rate = u32::MAX),
            ("n_fft", |c| c.n_fft = 0),
            ("n_fft", |c| c.n_fft = 2047),
            ("n_fft", |c| c.n_fft = 1022),
            ("n_fft", |c| c.n_fft = usize::MAX),
            ("n_fft", |c| c.n_fft = 375),
            ("hop_length", |c| c.hop_length = 0),
            ("hop_length", |c| c.hop_length = c.n_fft / 4 + 1),
            ("subbands", |c| c.subbands = 0),
            ("subbands", |c| c.subbands = 3),
            ("dims", |c| c.dims.clear()),
            ("dims", |c| c.dims[0] = usize::MAX),
            ("dims", |c| c.dims[0] += 1),
            ("depths", |c| c.depths[0] = 0),
            ("depths", |c| c.depths[0] = usize::MAX),
            ("depths", |c| c.depths.push(1)),
            ("num_heads", |c| c.num_heads = 0),
            ("num_heads", |c| c.num_heads = c.dims[0]),
            ("window_size", |c| c.window_size = [0, 8]),
            ("window_size", |c| c.window_size = [8, usize::MAX]),
            ("mlp_ratio", |c| c.mlp_ratio = 0),
            ("tsa_chunk_size", |c| c.tsa_chunk_size = usize::MAX),
        ];
        for (index, (field, change)) in cases.into_iter().enumerate() {
            let mut config = tiny();
            change(&mut config);
            assert_eq!(field_of(&config), Some(field), "case {index}");
        }
    }

    #[test]
    fn the_largest_fields_together_are_refused_by_parameter_count() {
        let mut config = tiny();
        config.dims = vec![1024; 6];
        config.depths = vec![32; 6];
        config.num_heads = 64;
        config.mlp_ratio = 8;
        assert_eq!(field_of(&config), Some("dims"));
    }

    #[test]
    fn odd_head_width_is_fine_without_rotary() {
        let mut config = tiny();
        config.num_heads = config.dims[0];
        config.dims = vec![config.dims[0]; config.dims.len()];
        config.positional = Positional::None;
        assert_eq!(field_of(&config), None);
    }
}
