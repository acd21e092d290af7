//! The cases.
//!
//! Every output is filled with NaN before its kernel runs, so that a missing element is visible. Elementwise operations
//! come before and after each of ours, forward and backward, so that with fusion, fused kernels surround ours. The
//! native driver runs every case with fusion and without it.

pub mod attention;
pub mod linear;
pub mod stft;
pub mod sums;
mod target;
pub mod tokenwise;

pub use target::Target;

use burn::tensor::ExecutionError;

use crate::host::Precision;
use crate::report::Check;

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
    /// Sums over rows, forward and backward.
    Sum(sums::SumCase),
}

impl Case {
    /// Unique name.
    pub fn name(&self) -> String {
        match self {
            Self::Attention(case) => case.name(),
            Self::Stft(case) => case.name(),
            Self::Token(case) => case.name(),
            Self::Linear(case) => case.name(),
            Self::Sum(case) => case.name(),
        }
    }

    fn precision(&self) -> Precision {
        match self {
            Self::Attention(case) => case.precision,
            Self::Stft(case) => case.precision,
            Self::Token(case) => case.precision,
            Self::Linear(case) => case.precision,
            Self::Sum(_) => Precision::F32,
        }
    }

    /// The reason why the case cannot run on a target, if there is one.
    pub fn obstacle(&self, target: &Target) -> Option<&'static str> {
        if !target.device.supports_dtype(self.precision().dtype()) {
            return Some("the device has no f16");
        }
        match self {
            // One of these kernels took more than 80 CPU seconds to compile.
            Self::Attention(case) if target.software && case.width > 64 => {
                Some("heads wider than 64 compile for minutes on a software adapter")
            }
            _ => None,
        }
    }

    /// Runs the case and measures all its results.
    ///
    /// # Errors
    /// If the device fails.
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
            Self::Sum(case) => case.run(target).await,
        }
    }
}

/// Every case.
pub fn all() -> Vec<Case> {
    let attention = attention::cases().into_iter().map(Case::Attention);
    let stft = stft::cases().into_iter().map(Case::Stft);
    let tokens = tokenwise::cases().into_iter().map(Case::Token);
    let linear = linear::cases().into_iter().map(Case::Linear);
    let sums = sums::cases().into_iter().map(Case::Sum);
    attention.chain(stft).chain(tokens).chain(linear).chain(sums).collect()
}
