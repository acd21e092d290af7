//! The settings whose value is one of several names.

use crate::settings::setting::{Kind, SettingType};
use serde::{Deserialize, Serialize};

/// The rule that turns gradients into updates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerKind {
    /// AdamW for every parameter.
    AdamW,
    /// Muon for the matrices of linear layers, AdamW for the rest.
    Muon,
}

impl SettingType for OptimizerKind {
    const KIND: Kind = Kind::Choice(&["adamw", "muon"]);
}

/// The course of the learning rate after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScheduleKind {
    /// Half a period of a cosine, which ends with the run.
    Cosine,
    /// Multiplied by a factor at equal intervals.
    Step,
    /// Multiplied by a factor when the validation no longer improves.
    Plateau,
    /// The same rate.
    Constant,
}

impl SettingType for ScheduleKind {
    const KIND: Kind = Kind::Choice(&["cosine", "step", "plateau", "constant"]);
}

/// The metric that compares two validations. Both are means over the stems, in dB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Metric {
    /// The ratio over whole songs, averaged over the songs.
    Usdr,
    /// The median of the ratios over seconds, then the median over the songs.
    Csdr,
}

impl SettingType for Metric {
    const KIND: Kind = Kind::Choice(&["usdr", "csdr"]);
}

/// What a stem without a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MissingStems {
    /// A fault of the data set.
    Fault,
    /// Silent.
    Silent,
}

impl SettingType for MissingStems {
    const KIND: Kind = Kind::Choice(&["fault", "silent"]);
}
