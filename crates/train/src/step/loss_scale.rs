//! Dynamic loss scaling (Micikevicius et al., arXiv:1710.03740, section 3.2).
//!
//! Gradients in f16 are often smaller than the smallest number that f16 represents. The loss, and with it every
//! gradient, is therefore multiplied by a factor before the backward pass, and the parameters' f32 gradients are
//! divided by the factor. If a gradient overflows f16, the update is skipped and the factor is halved. After
//! [`PATIENCE`] steps without overflow the factor is doubled.

use serde::{Deserialize, Serialize};
use unbraid_model::Precision;

const FIRST: f64 = 65_536.0;
const LARGEST: f64 = 16_777_216.0;
/// Steps without overflow before the factor is doubled.
const PATIENCE: u32 = 500;

/// The factor of the loss, and the state that its changes depend on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LossScale {
    factor: f64,
    /// Steps since the last change or overflow.
    clean: u32,
}

impl LossScale {
    /// The initial state. `None` if the precision needs no scaling.
    pub(crate) fn of(precision: Precision) -> Option<Self> {
        (precision == Precision::F16).then_some(Self { factor: FIRST, clean: 0 })
    }

    /// The factor. It is a power of two, so that scaling does not round.
    pub fn factor(self) -> f64 {
        self.factor
    }

    /// Whether the factor can be halved.
    pub(crate) fn can_fall(self) -> bool {
        self.factor > 1.0
    }

    /// The state after a step whose gradient was `finite` or not.
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
    fn the_factor_falls_at_once_and_rises_after_many_good_steps() {
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
