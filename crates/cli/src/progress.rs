//! Progress bars on a terminal. If standard error is not a terminal, an occasional line replaces the bar.

use std::time::{Duration, Instant};

use indicatif::{DecimalBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use unbraid_train::{Event, Flow, Listener, StepEvent};

use crate::output::notice;

/// Time between lines if there is no bar.
const LINE_INTERVAL: Duration = Duration::from_secs(15);

/// Positions of the bar. The number exceeds the columns of any terminal.
const POSITIONS: u64 = 10_000;

/// A bar over a song, with the percentage and the remaining time. `length` is in the caller's unit.
pub(crate) fn song_bar(label: String, length: Option<u64>) -> ProgressBar {
    let bar = length.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    let template = "{msg} {wide_bar} {percent}% {eta} left";
    bar.set_style(ProgressStyle::with_template(template).expect("the template is valid"));
    bar.set_message(label);
    bar
}

/// Shows a training run or an evaluation.
pub(crate) struct Screen {
    bar: ProgressBar,
    last_line: Option<Instant>,
    stop_requested: fn() -> bool,
}

impl Screen {
    /// A screen that stops the work at the next event after `stop_requested` has become true.
    pub(crate) fn new(stop_requested: fn() -> bool) -> Self {
        let bar = ProgressBar::with_draw_target(Some(POSITIONS), ProgressDrawTarget::stderr());
        bar.set_style(ProgressStyle::with_template("{wide_bar} {msg}").expect("the template is valid"));
        Self { bar, last_line: None, stop_requested }
    }

    fn line(&self, line: &str) {
        self.bar.suspend(|| notice(line));
    }

    fn step(&mut self, step: &StepEvent) {
        let skipped = if step.skipped > 0 { format!(" ({} skipped)", step.skipped) } else { String::new() };
        let terms = step.losses.iter().map(|(name, value)| format!("{name} {value:.4}"));
        let text = format!(
            "step {} loss {:.4} ({}){skipped} {:.1}× real time {} (peak {}) {} left",
            step.step,
            step.loss,
            terms.collect::<Vec<_>>().join(", "),
            step.speed,
            DecimalBytes(step.memory.taken),
            DecimalBytes(step.memory.peak),
            minutes(step.remaining),
        );
        self.bar.set_position((step.progress * POSITIONS as f64) as u64);
        let due = self.last_line.is_none_or(|last| last.elapsed() >= LINE_INTERVAL);
        if self.bar.is_hidden() && due {
            notice(format_args!("{:3.0} % {text}", 100.0 * step.progress));
            self.last_line = Some(Instant::now());
        }
        self.bar.set_message(text);
    }
}

fn minutes(seconds: f64) -> String {
    let seconds = seconds.max(0.0) as u64;
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

impl Listener for Screen {
    fn event(&mut self, event: &Event<'_>) -> Flow {
        match event {
            Event::Message(message) => self.line(message),
            Event::Step(step) => self.step(step),
            Event::Song { name, done, total } => {
                self.line(&format!("song {} of {total}: {name}", done + 1));
            }
            Event::Validation(validation) => {
                let scores =
                    validation.stems.iter().map(|(stem, scores)| format!("{stem} {:.2}", scores.usdr));
                let scores = scores.collect::<Vec<_>>().join(", ");
                let silent = validation.silent.iter().map(|(stem, silent)| {
                    let leak = silent.leak.map_or_else(String::new, |leak| format!(", leak {leak:.2} dB"));
                    format!("; {stem} is silent in {} of {}{leak}", silent.songs, validation.songs)
                });
                let silent: String = silent.collect();
                let best = if validation.best { "; the best so far" } else { "" };
                let step = validation.step;
                self.line(&match validation.usdr {
                    Some(usdr) => {
                        format!("validation at step {step}: uSDR {usdr:.2} dB ({scores}){silent}{best}")
                    }
                    None => format!("validation at step {step}: no score{silent}"),
                });
            }
            Event::Saved { step, path } => self.line(&format!("step {step}: wrote {}", path.display())),
        }
        if (self.stop_requested)() { Flow::Stop } else { Flow::Continue }
    }
}
