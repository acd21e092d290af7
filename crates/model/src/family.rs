//! The registry of network families.
//!
//! To add a family: write a module in this folder whose network implements [`Family`], give it a variant in
//! [`FamilyConfig`] and in [`Network`], and follow the compiler to the matches in this file. Add a standard network under
//! `configs/model/` and its name to [`STANDARD_NETWORKS`]. No other code changes.

pub mod roformer;
pub mod tfswa;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::de::Error as _;
use serde::{Deserialize, Serialize};
use toml::Spanned;
use toml::de::{DeTable, Deserializer, ValueDeserializer};

use crate::config::{Config, MAX_PARAMETERS, ModelConfigError, SHARED, wrong};
use crate::execution::Execution;
use crate::network::Family;
use crate::plain_words::plain_words;
use roformer::{Bands, Roformer, RoformerConfig};
use tfswa::config::TfswaConfig;
use tfswa::network::Tfswa;

/// Names of the standard networks, the files under `configs/model/`. The largest is first.
pub const STANDARD_NETWORKS: [&str; 7] = [
    "tfswa_unet",
    "tfswa_unet_base",
    "tfswa_unet_small",
    "tfswa_unet_tiny",
    "bs_roformer",
    "mel_band_roformer",
    "bs_roformer_small",
];

/// Names of the families, as in the field `family` of a configuration.
const FAMILIES: &[&str] = &["tfswa_unet", "bs_roformer", "mel_band_roformer"];

/// A network of any family, without its weights.
///
/// It is untrusted until [`ModelConfig::validate`] has passed. [`ModelConfig::from_toml`] and
/// [`ModelConfig::standard`] return valid ones only.
pub type ModelConfig = Config<FamilyConfig>;

/// The family of a network, with the configuration fields that only this family has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "family", rename_all = "snake_case")]
pub enum FamilyConfig {
    /// The TFSWA U-Net.
    TfswaUnet(TfswaConfig),
    /// The BS-RoFormer. Its bands are [`Bands::Bins`].
    BsRoformer(RoformerConfig),
    /// The Mel-Band RoFormer. Its bands are [`Bands::Mel`].
    MelBandRoformer(RoformerConfig),
}

impl FamilyConfig {
    /// The fields of a TFSWA network; `None` for another family.
    pub fn tfswa(&self) -> Option<&TfswaConfig> {
        match self {
            Self::TfswaUnet(own) => Some(own),
            Self::BsRoformer(_) | Self::MelBandRoformer(_) => None,
        }
    }

    /// The fields of a RoFormer; `None` for another family.
    pub fn roformer(&self) -> Option<&RoformerConfig> {
        match self {
            Self::BsRoformer(own) | Self::MelBandRoformer(own) => Some(own),
            Self::TfswaUnet(_) => None,
        }
    }
}

impl From<RoformerConfig> for FamilyConfig {
    /// The family that has such bands.
    fn from(own: RoformerConfig) -> Self {
        match own.bands {
            Bands::Bins(_) => Self::BsRoformer(own),
            Bands::Mel(_) => Self::MelBandRoformer(own),
        }
    }
}

/// A network of any family, with its weights.
///
/// The names of its parameters do not contain the family, because a weights file stores it in the configuration.
#[derive(Module, Debug)]
pub enum Network {
    /// A TFSWA U-Net.
    TfswaUnet(Tfswa),
    /// A BS-RoFormer or a Mel-Band RoFormer.
    Roformer(Roformer),
}

impl ModelConfig {
    /// Parses and validates a configuration file.
    ///
    /// # Errors
    /// [`ModelConfigError`] names the line or the field, and the bounds.
    pub fn from_toml(text: &str) -> Result<Self, ModelConfigError> {
        let config = parse(text).map_err(|mut error| {
            error.set_input(Some(text));
            ModelConfigError::Syntax(plain_words(error.to_string().trim_end()))
        })?;
        config.validate()?;
        Ok(config)
    }

    /// The standard network of this name, one of [`STANDARD_NETWORKS`].
    ///
    /// # Errors
    /// [`ModelConfigError::UnknownNetwork`] for any other name.
    pub fn standard(name: &str) -> Result<Self, ModelConfigError> {
        let text = match name {
            "tfswa_unet" => include_str!("../../../configs/model/tfswa_unet.toml"),
            "tfswa_unet_base" => include_str!("../../../configs/model/tfswa_unet_base.toml"),
            "tfswa_unet_small" => include_str!("../../../configs/model/tfswa_unet_small.toml"),
            "tfswa_unet_tiny" => include_str!("../../../configs/model/tfswa_unet_tiny.toml"),
            "bs_roformer" => include_str!("../../../configs/model/bs_roformer.toml"),
            "mel_band_roformer" => include_str!("../../../configs/model/mel_band_roformer.toml"),
            "bs_roformer_small" => include_str!("../../../configs/model/bs_roformer_small.toml"),
            _ => {
                return Err(ModelConfigError::UnknownNetwork {
                    name: name.to_owned(),
                    known: &STANDARD_NETWORKS,
                });
            }
        };
        Self::from_toml(text)
    }

    /// Checks every field against its bounds and against the others. It does not allocate the network, and no
    /// arithmetic in it can overflow.
    ///
    /// # Errors
    /// [`ModelConfigError::Field`] for the first field that is wrong.
    pub fn validate(&self) -> Result<(), ModelConfigError> {
        self.validate_shared()?;
        match &self.family {
            FamilyConfig::TfswaUnet(own) => Tfswa::validate(&self.with(own.clone()))?,
            FamilyConfig::BsRoformer(own) | FamilyConfig::MelBandRoformer(own) => {
                if FamilyConfig::from(own.clone()) != self.family {
                    let reason =
                        "bs_roformer has a list of bands, and mel_band_roformer has a number of bands";
                    return wrong("bands", reason.to_owned());
                }
                Roformer::validate(&self.with(own.clone()))?;
            }
        }
        let parameters = self.parameters();
        if parameters > MAX_PARAMETERS { Err(ModelConfigError::Size(parameters)) } else { Ok(()) }
    }

    /// Number of parameters, counted without building the network. The configuration must be valid, except for the
    /// number itself.
    pub fn parameters(&self) -> usize {
        match &self.family {
            FamilyConfig::TfswaUnet(own) => Tfswa::parameters(&self.with(own.clone())),
            FamilyConfig::BsRoformer(own) | FamilyConfig::MelBandRoformer(own) => {
                Roformer::parameters(&self.with(own.clone()))
            }
        }
    }

    /// Frames, bins (or bands) and channels of the tokens at every resolution, finest first, for a mixture of
    /// `samples`.
    pub fn planes(&self, samples: usize) -> Vec<[usize; 3]> {
        match &self.family {
            FamilyConfig::TfswaUnet(own) => Tfswa::planes(&self.with(own.clone()), samples),
            FamilyConfig::BsRoformer(own) | FamilyConfig::MelBandRoformer(own) => {
                Roformer::planes(&self.with(own.clone()), samples)
            }
        }
    }

    /// The network with initial weights and the default [`Execution`]. The weights are lazy: the device's random
    /// generator draws them at their first use.
    ///
    /// # Panics
    /// If the configuration is not valid.
    pub fn init(&self, device: &Device) -> Network {
        self.validate().unwrap_or_else(|error| panic!("an invalid configuration: {error}"));
        match &self.family {
            FamilyConfig::TfswaUnet(own) => Network::TfswaUnet(Tfswa::new(self.with(own.clone()), device)),
            FamilyConfig::BsRoformer(own) | FamilyConfig::MelBandRoformer(own) => {
                Network::Roformer(Roformer::new(self.with(own.clone()), device))
            }
        }
    }
}

/// Parses a configuration file. The shared fields and the family's fields are parsed separately, each with its
/// position in the text, so that errors name the line. serde's buffer for flattened and tagged fields would lose
/// the positions.
fn parse(text: &str) -> Result<ModelConfig, toml::de::Error> {
    let mut own = DeTable::parse(text)?;
    let mut shared = Spanned::new(own.span(), DeTable::new());
    for name in SHARED {
        if let Some((key, value)) = own.get_mut().remove_entry(name) {
            shared.get_mut().insert(key, value);
        }
    }
    let family = match own.get_mut().remove("family") {
        Some(family) => String::deserialize(ValueDeserializer::from(family))?,
        // A file of an earlier version: there was one family, and the chunk sizes were part of the network.
        None => {
            for name in ["tsa_chunk_size", "fsa_chunk_size"] {
                own.get_mut().remove(name);
            }
            "tfswa_unet".to_owned()
        }
    };
    let shared = Config::<()>::deserialize(Deserializer::from(shared))?;
    let own = Deserializer::from(own);
    let family = match family.as_str() {
        "tfswa_unet" => FamilyConfig::TfswaUnet(TfswaConfig::deserialize(own)?),
        "bs_roformer" => FamilyConfig::BsRoformer(RoformerConfig::deserialize(own)?),
        "mel_band_roformer" => FamilyConfig::MelBandRoformer(RoformerConfig::deserialize(own)?),
        unknown => return Err(toml::de::Error::unknown_variant(unknown, FAMILIES)),
    };
    Ok(shared.with(family))
}

impl Network {
    /// The configuration that the network was built from.
    pub fn config(&self) -> ModelConfig {
        match self {
            Self::TfswaUnet(network) => {
                let config = network.config();
                config.with(FamilyConfig::TfswaUnet(config.family.clone()))
            }
            Self::Roformer(network) => {
                let config = network.config();
                config.with(config.family.clone().into())
            }
        }
    }

    /// How the network is executed.
    pub fn execution(&self) -> Execution {
        match self {
            Self::TfswaUnet(network) => network.execution(),
            Self::Roformer(network) => network.execution(),
        }
    }

    /// Sets how the network is executed.
    #[must_use]
    pub fn with_execution(self, execution: Execution) -> Self {
        match self {
            Self::TfswaUnet(network) => Self::TfswaUnet(network.with_execution(execution)),
            Self::Roformer(network) => Self::Roformer(network.with_execution(execution)),
        }
    }

    /// The device of the weights.
    pub fn device(&self) -> Device {
        self.devices().swap_remove(0)
    }

    /// Minimum number of samples that [`Network::forward`] accepts.
    pub fn least_samples(&self) -> usize {
        match self {
            Self::TfswaUnet(network) => network.least_samples(),
            Self::Roformer(network) => network.least_samples(),
        }
    }

    /// `mixture [b, 2, n]` → stems `[b, s, 2, n]`, `n` at least [`Network::least_samples`].
    ///
    /// # Panics
    /// If the mixture is not stereo or too short.
    pub fn forward(&self, mixture: Tensor<3>) -> Tensor<4> {
        match self {
            Self::TfswaUnet(network) => network.forward(mixture),
            Self::Roformer(network) => network.forward(mixture),
        }
    }
}

#[cfg(test)]
mod tests;
