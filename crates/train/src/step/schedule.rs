//! The course of the learning rate over a run.
//!
//! ```text
//! rate     = min((step + 1) / (warmup_steps + 1), 1) · base
//! cosine:    base = final + (from − final) · (1 + cos(π · share)) / 2
//! step:      base = max(from · decay_factor^⌊steps / decay_interval⌋, final)
//! plateau:   base = max(from · decay_factor^reductions, final)
//! constant:  base = from
//! ```
//! `from` is the rate at the start of the course. It is `learning_rate` for a new run. `share` is the completed share of
//! the course in steps or in time, whichever is larger. With a time budget the cosine therefore ends with the time on
//! every machine. `steps` counts from the start of the course. Validations without an improvement cause the reductions.
//!
//! A run that continues with other settings gets a new course, which starts at the rate that the run had reached. The rate
//! has no jump then. The limits of the run are part of a cosine's settings only.

use crate::settings::config::{ScheduleKind, TrainConfig};
use serde::{Deserialize, Serialize};

/// A place in a run.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Position {
    /// Completed steps.
    pub step: u64,
    /// Seconds of the run, without interruptions.
    pub elapsed: f64,
}

/// The formula of the course, with the settings that only this formula has.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Course {
    /// Falls until the end of the run.
    #[default]
    Cosine,
    /// Falls by a factor at equal intervals.
    Step {
        /// Factor of a reduction.
        factor: f64,
        /// Steps between reductions.
        interval: u64,
    },
    /// Falls by a factor when [`Schedule::reduced`] is called.
    Plateau {
        /// Factor of a reduction.
        factor: f64,
        /// Reductions so far.
        reductions: u32,
    },
    /// Does not change.
    Constant,
}

impl Course {
    fn new(config: &TrainConfig) -> Self {
        let factor = config.decay_factor;
        match config.schedule {
            ScheduleKind::Cosine => Self::Cosine,
            ScheduleKind::Step => Self::Step { factor, interval: config.decay_interval },
            ScheduleKind::Plateau => Self::Plateau { factor, reductions: 0 },
            ScheduleKind::Constant => Self::Constant,
        }
    }

    /// The same course at its beginning.
    fn fresh(self) -> Self {
        match self {
            Self::Plateau { factor, .. } => Self::Plateau { factor, reductions: 0 },
            other => other,
        }
    }
}

/// The course of the learning rate: the settings that it was made from, and where it starts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// Steps after which the run ends.
    pub steps: u64,
    /// Minutes after which the run ends.
    pub max_minutes: Option<f64>,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Learning rate at the end of the run.
    pub final_learning_rate: f64,
    /// Where the course starts. It is the beginning of the run, unless the run went on with other limits.
    pub start: Position,
    /// Learning rate at the start, without the warm-up.
    pub from: f64,
    /// The formula. Absent in files of older versions, which had the cosine only.
    #[serde(default)]
    pub course: Course,
}

impl Schedule {
    /// The course of a new run.
    pub fn new(config: &TrainConfig) -> Self {
        Self {
            steps: config.steps,
            max_minutes: config.max_minutes,
            learning_rate: config.learning_rate,
            final_learning_rate: config.final_learning_rate,
            start: Position::default(),
            from: config.learning_rate,
            course: Course::new(config),
        }
    }

    /// The course of a run that has followed `self` and goes on at `position` with the settings `config`.
    ///
    /// The same settings keep the course. Another `learning_rate` gives the course of a run that had this rate from its
    /// beginning. Other settings of the course (the limits of the run belong to the cosine's) give a course that starts
    /// here, at the rate of `self`.
    #[must_use]
    pub fn continued(self, config: &TrainConfig, position: Position) -> Self {
        let fresh = Self::new(config);
        let mut unchanged =
            Self { start: fresh.start, from: fresh.from, course: self.course.fresh(), ..self };
        if fresh.course != Course::Cosine {
            (unchanged.steps, unchanged.max_minutes) = (fresh.steps, fresh.max_minutes);
        }
        if unchanged == fresh {
            Self { steps: fresh.steps, max_minutes: fresh.max_minutes, ..self }
        } else if fresh.learning_rate == self.learning_rate {
            Self { start: position, from: self.base_rate(position), ..fresh }
        } else if fresh.course == self.course.fresh() {
            Self { course: self.course, ..fresh }
        } else {
            fresh
        }
    }

    /// The course after a validation that has called for a lower rate. Only [`Course::Plateau`] changes.
    #[must_use]
    pub fn reduced(self) -> Self {
        match self.course {
            Course::Plateau { factor, reductions } => {
                Self { course: Course::Plateau { factor, reductions: reductions + 1 }, ..self }
            }
            _ => self,
        }
    }

    /// The learning rate of the step after `position`.
    pub fn rate(&self, warmup_steps: u64, position: Position) -> f64 {
        let warmup = ((position.step + 1) as f64 / (warmup_steps + 1) as f64).min(1.0);
        warmup * self.base_rate(position)
    }

    /// The rate without the warm-up.
    pub(crate) fn base_rate(&self, position: Position) -> f64 {
        let (from, end) = (self.from, self.final_learning_rate);
        let reduced =
            |factor: f64, times: u64| (from * factor.powi(times.min(1 << 20) as i32)).max(end.min(from));
        match self.course {
            Course::Cosine => {
                let cosine = 0.5 + 0.5 * (std::f64::consts::PI * self.share(position)).cos();
                end + (from - end) * cosine
            }
            Course::Step { factor, interval } => {
                reduced(factor, position.step.saturating_sub(self.start.step) / interval.max(1))
            }
            Course::Plateau { factor, reductions } => reduced(factor, reductions.into()),
            Course::Constant => from,
        }
    }

    /// Completed share of the course, 0 to 1.
    fn share(&self, position: Position) -> f64 {
        let share = |done: f64, whole: f64| if whole > 0.0 { (done / whole).clamp(0.0, 1.0) } else { 1.0 };
        let steps = share(
            position.step.saturating_sub(self.start.step) as f64,
            self.steps.saturating_sub(self.start.step) as f64,
        );
        let time = self
            .max_minutes
            .map(|minutes| share(position.elapsed - self.start.elapsed, 60.0 * minutes - self.start.elapsed));
        time.map_or(steps, |time| time.max(steps))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> TrainConfig {
        TrainConfig {
            steps: 100,
            learning_rate: 1.0,
            final_learning_rate: 0.1,
            warmup_steps: 9,
            ..Default::default()
        }
    }

    fn at(step: u64, elapsed: f64) -> Position {
        Position { step, elapsed }
    }

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-12, "{a} against {b}");
    }

    #[test]
    fn the_rate_rises_then_falls_to_its_end() {
        let schedule = Schedule::new(&config());
        close(schedule.rate(9, at(0, 0.0)), 0.1);
        assert!(schedule.rate(9, at(9, 0.0)) > 0.97);
        close(schedule.rate(9, at(50, 0.0)), 0.55);
        close(schedule.rate(9, at(100, 0.0)), 0.1);
        close(schedule.rate(9, at(170, 0.0)), 0.1);
    }

    #[test]
    fn the_limit_that_is_closer_determines_the_rate() {
        let schedule = Schedule::new(&TrainConfig { max_minutes: Some(10.0), ..config() });
        close(schedule.rate(9, at(20, 300.0)), 0.55);
        close(schedule.rate(9, at(50, 60.0)), 0.55);
        close(schedule.rate(9, at(20, 600.0)), 0.1);
    }

    #[test]
    fn the_same_settings_keep_the_course() {
        let schedule = Schedule::new(&config());
        assert_eq!(schedule.continued(&config(), at(40, 9.0)), schedule);
        let longer = TrainConfig { steps: 200, ..config() };
        let continued = schedule.continued(&longer, at(40, 9.0));
        assert_eq!(continued.continued(&longer, at(90, 20.0)), continued);
    }

    /// More steps, fewer steps, and a time limit, in the middle of a run and at its end.
    #[test]
    fn other_limits_leave_the_rate_without_a_jump() {
        let schedule = Schedule::new(&config());
        for step in [5, 30, 70, 100] {
            let position = at(step, 60.0);
            for changed in [
                TrainConfig { steps: 200, ..config() },
                TrainConfig { steps: 101, ..config() },
                TrainConfig { max_minutes: Some(5.0), steps: 400, ..config() },
                TrainConfig { final_learning_rate: 0.01, steps: 150, ..config() },
            ] {
                let continued = schedule.continued(&changed, position);
                close(continued.rate(9, position), schedule.rate(9, position));
                close(continued.rate(9, at(changed.steps, 60.0)), changed.final_learning_rate);
                if let Some(minutes) = changed.max_minutes {
                    let end = at(step.max(10), 60.0 * minutes);
                    close(continued.rate(9, end), changed.final_learning_rate);
                }
            }
        }
        // A run that is extended twice has no jump either.
        let twice = schedule.continued(&TrainConfig { steps: 200, ..config() }, at(60, 0.0));
        let before = twice.rate(9, at(120, 0.0));
        let twice = twice.continued(&TrainConfig { steps: 900, ..config() }, at(120, 0.0));
        close(twice.rate(9, at(120, 0.0)), before);
    }

    #[test]
    fn another_learning_rate_scales_the_course() {
        let schedule = Schedule::new(&config());
        let halved = TrainConfig { learning_rate: 0.5, final_learning_rate: 0.05, ..config() };
        let continued = schedule.continued(&halved, at(50, 1.0));
        close(continued.rate(9, at(50, 1.0)), schedule.rate(9, at(50, 1.0)) / 2.0);
    }

    fn with(schedule: ScheduleKind) -> TrainConfig {
        TrainConfig { schedule, decay_factor: 0.5, decay_interval: 30, ..config() }
    }

    #[test]
    fn a_step_schedule_falls_at_equal_intervals_down_to_its_floor() {
        let schedule = Schedule::new(&with(ScheduleKind::Step));
        close(schedule.rate(9, at(0, 0.0)), 0.1);
        for (step, rate) in [(29, 1.0), (30, 0.5), (59, 0.5), (60, 0.25), (120, 0.1), (1_000_000, 0.1)] {
            close(schedule.rate(9, at(step, 1e9)), rate);
        }
    }

    #[test]
    fn a_plateau_falls_when_it_is_told_to_and_a_constant_never() {
        let plateau = Schedule::new(&with(ScheduleKind::Plateau));
        close(plateau.rate(9, at(4, 0.0)), 0.5);
        close(plateau.rate(9, at(99, 0.0)), 1.0);
        close(plateau.reduced().rate(9, at(99, 0.0)), 0.5);
        close((0..9).fold(plateau, |schedule, _| schedule.reduced()).rate(9, at(9, 0.0)), 0.1);
        let constant = Schedule::new(&with(ScheduleKind::Constant));
        assert_eq!(constant.reduced(), constant);
        close(constant.rate(9, at(1_000_000, 1e9)), 1.0);
    }

    /// Only the cosine depends on the end of the run.
    #[test]
    fn other_limits_change_no_course_without_an_end() {
        for kind in [ScheduleKind::Step, ScheduleKind::Plateau, ScheduleKind::Constant] {
            let schedule = Schedule::new(&with(kind)).reduced();
            let longer = TrainConfig { steps: 900, max_minutes: Some(3.0), ..with(kind) };
            let continued = schedule.continued(&longer, at(50, 7.0));
            for step in [50, 70, 100, 400] {
                close(continued.rate(9, at(step, 7.0)), schedule.rate(9, at(step, 7.0)));
            }
            assert_eq!(continued.continued(&longer, at(80, 9.0)), continued);
            // Another rate keeps the reductions.
            let doubled = TrainConfig { learning_rate: 2.0, final_learning_rate: 0.2, ..longer };
            let faster = continued.continued(&doubled, at(60, 7.0));
            close(faster.rate(9, at(60, 7.0)), 2.0 * schedule.rate(9, at(60, 7.0)));
        }
    }

    #[test]
    fn another_kind_of_schedule_leaves_the_rate_without_a_jump() {
        use ScheduleKind::{Constant, Cosine, Plateau, Step};
        for [from, to] in [[Cosine, Step], [Step, Plateau], [Plateau, Constant], [Constant, Cosine]] {
            let (schedule, position) = (Schedule::new(&with(from)).reduced(), at(40, 1.0));
            let continued = schedule.continued(&with(to), position);
            close(continued.rate(9, position), schedule.rate(9, position));
            assert_eq!(continued.continued(&with(to), at(70, 2.0)), continued);
        }
    }

    #[test]
    fn schedules_of_earlier_versions_are_cosines() {
        let schedule = Schedule::new(&config());
        let mut json = serde_json::to_value(schedule).unwrap();
        json.as_object_mut().unwrap().remove("course").unwrap();
        assert_eq!(serde_json::from_value::<Schedule>(json).unwrap(), schedule);
    }
}
