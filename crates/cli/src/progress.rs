//! Progress of songs, training runs and evaluations. A song has a bar on a terminal, and an occasional line elsewhere.

use std::time::{Duration, Instant};

use indicatif::{DecimalBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use unbraid_train::{Event, Flow, Listener, StepEvent};

use crate::output::{is_quiet, notice, printable};

/// Time between lines if there is no bar.
const LINE_INTERVAL: Duration = Duration::from_secs(15);

/// Positions of the bar. The number exceeds the columns of any terminal.
const POSITIONS: u64 = 10_000;

/// Progress over a song: a bar on a terminal, otherwise a line now and then.
pub(crate) struct SongProgress {
    bar: ProgressBar,
    label: String,
    length: Option<f64>,
    /// Percentage and time of the last line.
    shown: (f64, Instant),
}

impl SongProgress {
    /// `length` is in the caller's unit. `None`: it is unknown.
    pub(crate) fn new(label: &str, length: Option<f64>) -> Self {
        let label = printable(label);
        let target = if is_quiet() { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(length.map(|_| POSITIONS), target);
        let template = if length.is_some() {
            "{msg} {wide_bar} {percent}% {eta} left"
        } else {
            "{spinner} {msg} {elapsed}"
        };
        bar.set_style(ProgressStyle::with_template(template).expect("the template is valid"));
        bar.set_message(label.clone());
        Self { bar, label, length, shown: (0.0, Instant::now()) }
    }

    /// Shows that the work has reached `position`.
    pub(crate) fn set(&mut self, position: f64) {
        let share = self.length.filter(|length| *length > 0.0).map(|length| (position / length).min(1.0));
        self.bar.set_position(share.map_or(0, |share| (share * POSITIONS as f64) as u64));
        let percent = 100.0 * share.unwrap_or(0.0);
        let (shown, last) = self.shown;
        if self.bar.is_hidden() && line_is_due(percent - shown, last.elapsed()) {
            match share {
                Some(_) => notice(format_args!("{}: {percent:.0} %", self.label)),
                None => notice(format_args!("{}: in progress", self.label)),
            }
            self.shown = (percent, Instant::now());
        }
    }
}

/// Whether a line is due `percent` and `time` after the last one: after 10 % if they took more than a second, and
/// after 10 s.
fn line_is_due(percent: f64, time: Duration) -> bool {
    time >= Duration::from_secs(10) || (percent >= 10.0 && time >= Duration::from_secs(1))
}

impl Drop for SongProgress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Tells of a training run or an evaluation in lines.
pub(crate) struct Lines {
    last_line: Option<Instant>,
    stop_requested: fn() -> bool,
}

impl Lines {
    /// Lines about a run that stops at the next event after `stop_requested` has become true.
    pub(crate) fn new(stop_requested: fn() -> bool) -> Self {
        Self { last_line: None, stop_requested }
    }

    fn step(&mut self, step: &StepEvent) {
        if self.last_line.is_some_and(|last| last.elapsed() < LINE_INTERVAL) {
            return;
        }
        let skipped = if step.skipped > 0 { format!(" ({} skipped)", step.skipped) } else { String::new() };
        let terms = step.losses.iter().map(|(name, value)| format!("{name} {value:.4}"));
        notice(format_args!(
            "{:3.0} % step {} loss {:.4} ({}){skipped} {:.1}× real time {} (peak {}) {} left",
            100.0 * step.progress,
            step.step,
            step.loss,
            terms.collect::<Vec<_>>().join(", "),
            step.speed,
            DecimalBytes(step.memory.taken),
            DecimalBytes(step.memory.peak),
            minutes(step.remaining),
        ));
        self.last_line = Some(Instant::now());
    }
}

fn minutes(seconds: f64) -> String {
    let seconds = seconds.max(0.0) as u64;
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

impl Listener for Lines {
    fn event(&mut self, event: &Event<'_>) -> Flow {
        match event {
            Event::Step(step) => self.step(step),
            Event::Song { name, done, total } => {
                notice(format_args!("song {} of {total}: {name}", done + 1));
            }
            Event::Message(_) | Event::Validation(_) | Event::Saved { .. } => told(event),
        }
        if (self.stop_requested)() { Flow::Stop } else { Flow::Continue }
    }
}

/// Writes a line about a message, a validation or a file. Other events have none.
pub(crate) fn told(event: &Event<'_>) {
    match event {
        Event::Message(message) => notice(message),
        Event::Validation(validation) => {
            let scores = validation.stems.iter().map(|(stem, scores)| format!("{stem} {:.2}", scores.usdr));
            let scores = scores.collect::<Vec<_>>().join(", ");
            let silent = validation.silent.iter().map(|(stem, silent)| {
                let leak = silent.leak.map_or_else(String::new, |leak| format!(", leak {leak:.2} dB"));
                format!("; {stem} is silent in {} of {}{leak}", silent.songs, validation.songs)
            });
            let silent: String = silent.collect();
            let best = if validation.best { "; the best so far" } else { "" };
            let step = validation.step;
            notice(match validation.usdr {
                Some(usdr) => {
                    format!("validation at step {step}: uSDR {usdr:.2} dB ({scores}){silent}{best}")
                }
                None => format!("validation at step {step}: no score{silent}"),
            });
        }
        Event::Saved { step, path } => notice(format_args!("step {step}: wrote {}", path.display())),
        Event::Step(_) | Event::Song { .. } => {}
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, line_is_due};

    #[test]
    fn lines_are_rare() {
        let due = |percent, milliseconds| line_is_due(percent, Duration::from_millis(milliseconds));
        assert!(due(10.0, 1000) && due(0.1, 10_000));
        assert!(!due(100.0, 900) && !due(9.9, 9900));
    }
}
