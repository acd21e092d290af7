//! The training loss: a weighted sum of named terms.
//!
//! ```text
//! L = Σ weight · term(estimate, target)
//! ```
//! Each term is a file of this folder and a row of `TERMS`. `term.rs` defines the interface of a term. The settings
//! give each term's weight under its name. The name reaches the progress line, the step's event and `metrics.jsonl` (as
//! `loss_NAME`) without any other change.
//!
//! The setting `stem_weights` multiplies the values of a stem in every term, except in `mixture`.
//!
//! Where only the sum of some stems is known, the terms compare it with the sum of the estimates (`sources.rs`).
//!
//! The terms of |x| define the derivative of |x| at 0 as 0, so a perfect estimate (or digital silence) gives a zero
//! gradient and not a NaN.

mod magnitude;
mod mixture;
mod mse;
mod si_sdr;
mod sources;
mod spectral;
pub mod term;
mod waveform;

use crate::data::grouping::Grouping;
use crate::loss::term::{Comparison, LossError, LossFunction};
use crate::settings::config::TrainConfig;
use burn::tensor::{Tensor, TensorData};

type Build = fn(&TrainConfig) -> Result<Box<dyn LossFunction>, LossError>;

/// A term that the settings can name.
pub(crate) struct Registered {
    pub(crate) name: &'static str,
    /// What the term measures, for help texts.
    pub(crate) meaning: &'static str,
    build: Build,
}

/// All terms. The loss adds them in this order, regardless of their order in the settings.
pub(crate) const TERMS: &[Registered] = &[
    Registered { name: "waveform", meaning: "L1 loss of the waveform", build: waveform::build },
    Registered { name: "spectral", meaning: "L1 loss of the complex spectrograms", build: spectral::build },
    Registered {
        name: "magnitude",
        meaning: "L1 loss of the magnitude spectrograms",
        build: magnitude::build,
    },
    Registered { name: "mse", meaning: "mean squared error of the waveform", build: mse::build },
    Registered { name: "si_sdr", meaning: "negative SI-SDR in dB", build: si_sdr::build },
    Registered { name: "mixture", meaning: "L1 loss of the sum of all estimates", build: mixture::build },
];

struct Term {
    name: &'static str,
    weight: f64,
    function: Box<dyn LossFunction>,
}

/// The loss of a batch.
#[derive(Debug, Clone)]
pub struct LossValues {
    /// The weighted sum, which training minimises: `[1]`.
    pub total: Tensor<1>,
    /// The terms without their weights, `[1]` each, in the order of [`Loss::names`].
    pub terms: Vec<Tensor<1>>,
}

/// The loss of a run. Terms of weight 0 are not computed and not reported.
pub struct Loss {
    terms: Vec<Term>,
    /// A factor of each stem, in the network's order. `None`: 1 for every stem.
    stem_weights: Option<Vec<f64>>,
}

impl Loss {
    /// Builds the terms that have a weight.
    ///
    /// # Errors
    /// If a name is unknown, no weight is above 0, or a term's settings cannot be used.
    pub fn new(config: &TrainConfig) -> Result<Self, LossError> {
        let known = || TERMS.iter().map(|term| term.name);
        if let Some(name) = config.loss.keys().find(|name| known().all(|known| known != *name)) {
            return Err(LossError::Unknown { name: name.clone(), known: known().collect() });
        }
        let mut terms = Vec::new();
        for &Registered { name, build, .. } in TERMS {
            let weight = config.loss.get(name).copied().unwrap_or(0.0);
            if weight != 0.0 {
                terms.push(Term { name, weight, function: build(config)? });
            }
        }
        if terms.is_empty() { Err(LossError::NoTerm) } else { Ok(Self { terms, stem_weights: None }) }
    }

    /// The same loss with the settings' weights of the `stems` of a network. A stem without a weight has 1.
    ///
    /// # Errors
    /// If the settings name another stem, or every weight is 0.
    pub fn for_stems(self, config: &TrainConfig, stems: &[String]) -> Result<Self, LossError> {
        if let Some(name) = config.stem_weights.keys().find(|name| !stems.contains(name)) {
            return Err(LossError::UnknownStem { name: name.clone(), stems: stems.to_vec() });
        }
        let weights: Vec<f64> =
            stems.iter().map(|stem| config.stem_weights.get(stem).copied().unwrap_or(1.0)).collect();
        if weights.iter().all(|weight| *weight == 0.0) {
            return Err(LossError::NoStem);
        }
        let stem_weights = weights.iter().any(|weight| *weight != 1.0).then_some(weights);
        Ok(Self { stem_weights, ..self })
    }

    /// Minimum length in samples of the signals that [`Loss::forward`] compares.
    pub fn least_samples(&self) -> usize {
        self.terms.iter().map(|term| term.function.least_samples()).max().unwrap_or(1)
    }

    /// The names of the terms.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.terms.iter().map(|term| term.name)
    }

    /// The loss of `estimate` against `target`, both `[b, s, c, n]`.
    pub fn forward(&self, estimate: Tensor<4>, target: Tensor<4>) -> LossValues {
        self.forward_sources(estimate, target, None)
    }

    /// Like [`Loss::forward`], for items of which some stems may be known only as a sum, which `target` has at the first
    /// of these stems. A sum counts like a stem, with the mean of its stems' weights.
    pub(crate) fn forward_sources(
        &self,
        estimate: Tensor<4>,
        target: Tensor<4>,
        groupings: Option<&[Grouping]>,
    ) -> LossValues {
        let weights = self.stem_weights.clone();
        let signals = match groupings {
            None => Comparison::new(estimate, target).with_stem_weights(weights),
            Some(groupings) => {
                let [b, s, _, _] = estimate.dims();
                let factors = TensorData::new(sources::factors(groupings, weights.as_deref()), [b, s]);
                let factors = Tensor::from_data(factors, &estimate.device());
                Comparison::new(sources::sums(&estimate, groupings), target).with_factors(factors)
            }
        };
        let mut total: Option<Tensor<1>> = None;
        let mut terms = Vec::with_capacity(self.terms.len());
        for term in &self.terms {
            let value = term.function.value(&signals);
            let weighted = value.clone().mul_scalar(term.weight);
            total = Some(match total {
                Some(sum) => sum + weighted,
                None => weighted,
            });
            terms.push(value);
        }
        LossValues { total: total.expect("built with at least one term"), terms }
    }
}

#[cfg(test)]
mod gradients;
#[cfg(test)]
mod tests;
