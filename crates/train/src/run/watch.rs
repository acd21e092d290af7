//! What a run remembers in order to notice that it no longer improves.

use serde::{Deserialize, Serialize};

/// The share by which the mean loss must fall to have moved.
const MOVEMENT: f64 = 0.01;

/// The course of the validations and of the loss. It is part of a checkpoint.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Watch {
    /// Validations since the best one.
    pub(crate) stale: u64,
    /// Validations without an improvement since the last one that improved or reduced the learning rate.
    pub(crate) on_plateau: u64,
    /// Seconds that validations have taken, and seconds of the last one.
    pub(crate) validating: [f64; 2],
    /// Sum of the losses of the present block of steps, and their number.
    sum: f64,
    count: u64,
    /// Mean of the last block whose loss had moved.
    reference: Option<f64>,
    /// Whether a notice has been given since then.
    told: bool,
}

impl Watch {
    /// Notes a validation that was the `best` so far or not. Returns whether a plateau of `patience` validations calls
    /// for a lower learning rate.
    pub(crate) fn validated(&mut self, best: bool, patience: u64) -> bool {
        if best {
            (self.stale, self.on_plateau) = (0, 0);
            return false;
        }
        self.stale += 1;
        self.on_plateau += 1;
        let reduce = self.on_plateau >= patience;
        if reduce {
            self.on_plateau = 0;
        }
        reduce
    }

    /// Notes the seconds of a validation.
    pub(crate) fn took(&mut self, seconds: f64) {
        self.validating = [self.validating[0] + seconds, seconds];
    }

    /// Whether another validation, if it takes as long as the last one, keeps within `share` of the time. `elapsed` is
    /// the time of the run in seconds. Without a validation so far there is nothing to estimate from.
    pub(crate) fn has_time(&self, share: f64, elapsed: f64) -> bool {
        let [spent, last] = self.validating;
        share >= 1.0 || spent + last <= share * (elapsed + last)
    }

    /// Notes the loss of a step. After each block of `over` steps, returns the mean losses of the last block that had
    /// moved and of this one, if this one has not moved and no notice has been given since. `over` is not 0.
    pub(crate) fn loss(&mut self, loss: f64, over: u64) -> Option<[f64; 2]> {
        self.sum += loss;
        self.count += 1;
        if self.count < over {
            return None;
        }
        let mean = self.sum / self.count as f64;
        (self.sum, self.count) = (0.0, 0);
        match self.reference {
            Some(before) if before - mean < MOVEMENT * before.abs() => {
                let told = std::mem::replace(&mut self.told, true);
                (!told).then_some([before, mean])
            }
            _ => {
                (self.reference, self.told) = (Some(mean), false);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plateau_is_reported_after_its_patience_and_begins_again() {
        let mut watch = Watch::default();
        let reductions: Vec<bool> = [true, false, false, false, false, true, false, false]
            .into_iter()
            .map(|best| watch.validated(best, 2))
            .collect();
        assert_eq!(reductions, [false, false, true, false, true, false, false, true]);
        assert_eq!(watch.stale, 2);
    }

    #[test]
    fn validations_keep_within_their_share_of_the_time() {
        let mut watch = Watch::default();
        assert!(watch.has_time(0.01, 0.0), "the first is always made");
        watch.took(10.0);
        assert!(!watch.has_time(0.1, 180.0) && watch.has_time(0.1, 190.0));
        assert!(watch.has_time(1.0, 10.0));
    }

    /// Also for a loss below 0, such as an SI-SDR.
    #[test]
    fn a_loss_that_does_not_move_is_told_once() {
        for offset in [0.0, -20.0] {
            let mut watch = Watch::default();
            let mut told = Vec::new();
            // Falls, rests at 7, then falls slowly.
            let course = |step: u64| match step {
                0..30 => 10.0 - step as f64 / 10.0,
                30..100 => 7.0,
                _ => 7.0 - (step - 100) as f64 / 50.0,
            };
            for step in 0..200 {
                let wobble = if step % 2 == 0 { 0.5 } else { -0.5 };
                if let Some([before, mean]) = watch.loss(offset + course(step) + wobble, 10) {
                    assert!((before - mean).abs() < 0.2, "{before} {mean}");
                    told.push(step);
                }
            }
            assert_eq!(told.len(), 1, "{told:?}");
            assert!((39..60).contains(&told[0]), "{told:?}");
        }
    }
}
