//! Dynamic loss scaling (Micikevicius et al., arXiv:1710.03740, section 3.2).
//!
//! Gradients of f16 tokens are often below the smallest number that f16 holds. The loss is multiplied by a factor, and
//! with it every gradient; what becomes of the parameters' gradients in f32 is divided by it again. Where the largest
//! of them leave f16's range, the step's update is left out and the factor halved; after long without, it is doubled.

use serde::{Deserialize, Serialize};
use unbraid_model::Precision;

const FIRST: f64 = 65_536.0;
const LARGEST: f64 = 16_777_216.0;
/// Steps without overflow after which a larger factor is tried.
const PATIENCE: u32 = 500;

/// The factor, and what it depends on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LossScale {
    factor: f64,
    /// Steps since it changed.
    clean: u32,
}

impl LossScale {
    /// Where a run in this precision begins; `None` where nothing needs scaling.
    pub(crate) fn of(precision: Precision) -> Option<Self> {
        (precision == Precision::F16).then_some(Self { factor: FIRST, clean: 0 })
    }

    /// What the loss is multiplied by: a power of two, so that nothing is rounded.
    pub fn factor(self) -> f64 {
        self.factor
    }

    /// Whether a smaller factor can be tried.
    pub(crate) fn can_fall(self) -> bool {
        self.factor > 1.0
    }

    /// After a step whose gradient was finite, or was not.
    pub(crate) fn after(self, finite: bool) -> Self {
        match (finite, self.clean + 1) {
            (false, _) => Self { factor: (self.factor / 2.0).max(1.0), clean: 0 },
            (true, PATIENCE) => Self { factor: (self.factor * 2.0).min(LARGEST), clean: 0 },
            (true, clean) => Self { clean, ..self },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn falls_at_once_and_rises_with_patience() {
        assert_eq!(LossScale::of(Precision::F32), None);
        let first = LossScale::of(Precision::F16).unwrap();
        let fallen = first.after(false).after(false);
        assert_eq!(fallen.factor(), FIRST / 4.0);
        let mut scale = fallen;
        for _ in 1..PATIENCE {
            scale = scale.after(true);
        }
        assert_eq!(scale.factor(), FIRST / 4.0);
        assert_eq!(scale.after(true).factor(), FIRST / 2.0);
        assert_eq!(scale.after(false).factor(), FIRST / 8.0);
        let lowest = (0..100).fold(first, |scale, _| scale.after(false));
        assert!(lowest.factor() == 1.0 && !lowest.can_fall());
        let highest = (0..100 * PATIENCE).fold(first, |scale, _| scale.after(true));
        assert_eq!(highest.factor(), LARGEST);
    }
}
