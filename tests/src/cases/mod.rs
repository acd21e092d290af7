//! The cases.
//!
//! Every output is filled with NaN before its kernel runs, so that an element left out shows. Elementwise
//! operations stand before and after each of ours, forward and backward, so that where burn fuses, fused kernels
//! surround ours; the native driver runs every case with fusion and without.

pub mod attention;
pub mod linear;
pub mod stft;
pub mod tokenwise;

use std::num::NonZeroUsize;

use burn::tensor::{Device, ExecutionError};

use crate::host::Precision;
use crate::report::Check;

/// What cases run on.
#[derive(Debug, Clone)]
pub struct Target {
    /// burn's device.
    pub device: Device,
    /// A graphics API computed on the CPU: right, but slow to compile for.
    pub software: bool,
}

/// One case: a specialisation of an operation on random inputs.
#[derive(Debug, Clone)]
pub enum Case {
    /// Attention, forward and backward.
    Attention(attention::AttentionCase),
    /// STFT and inverse STFT, forward and backward.
    Stft(stft::StftCase),
    /// Layer normalisation and GELU, forward and backward.
    Token(tokenwise::TokenCase),
    /// A linear map, forward and backward.
    Linear(linear::LinearCase),
}

impl Case {
    /// Unique name.
    pub fn name(&self) -> String {
        match self {
            Self::Attention(case) => case.name(),
            Self::Stft(case) => case.name(),
            Self::Token(case) => case.name(),
            Self::Linear(case) => case.name(),
        }
    }

    fn precision(&self) -> Precision {
        match self {
            Self::Attention(case) => case.precision,
            Self::Stft(case) => case.precision,
            Self::Token(case) => case.precision,
            Self::Linear(case) => case.precision,
        }
    }

    /// Why it cannot run on a target, if so.
    pub fn obstacle(&self, target: &Target) -> Option<&'static str> {
        if !target.device.supports_dtype(self.precision().dtype()) {
            return Some("the device has no f16");
        }
        match self {
            // One kernel took more than 80 CPU-seconds to compile.
            Self::Attention(case) if target.software && case.width > 64 => {
                Some("heads wider than 64 compile for minutes on a software adapter")
            }
            _ => None,
        }
    }

    /// Runs it, and measures all it computes.
    ///
    /// # Errors
    /// Where the device fails.
    pub async fn run(&self, target: &Target) -> Result<Vec<Check>, ExecutionError> {
        if let Some(obstacle) = self.obstacle(target) {
            return Ok(vec![Check::skipped("all", obstacle)]);
        }
        unbraid_ops::poison_outputs(true);
        match self {
            Self::Attention(case) => case.run(target).await,
            Self::Stft(case) => case.run(target).await,
            Self::Token(case) => case.run(target).await,
            Self::Linear(case) => case.run(target).await,
        }
    }
}

/// Every case.
pub fn all() -> Vec<Case> {
    let attention = attention::cases().into_iter().map(Case::Attention);
    let stft = stft::cases().into_iter().map(Case::Stft);
    let tokens = tokenwise::cases().into_iter().map(Case::Token);
    let linear = linear::cases().into_iter().map(Case::Linear);
    attention.chain(stft).chain(tokens).chain(linear).collect()
}

/// Evaluates an operation with two workgroups in a row: a dispatch of more has several rows, as those of large tensors.
async fn in_short_rows<T>(evaluation: impl Future<Output = T>) -> T {
    unbraid_ops::limit_row(NonZeroUsize::new(2));
    let results = evaluation.await;
    unbraid_ops::limit_row(None);
    results
}

/// The results of [`in_short_rows`] beside the others.
fn short_rows(whole: &[f64], rows: &[f64]) -> Check {
    Check::identical("all, in short rows", whole, rows, "two workgroups in a row change no bit")
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}
