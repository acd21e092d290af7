//! Bars on the terminal. Where standard error is no terminal, a line now and then instead.

use std::fmt::Display;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use anyhow::Context;
use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use unbraid_train::{Event, Flow, Listener, StepEvent};

use crate::interrupt;

/// A line on standard error. What shows it may be gone, as `tee` is at Ctrl-C and a terminal with its connection: then
/// it is lost, and the work goes on.
pub(crate) fn tell(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// A result on standard output. Whoever reads it may stop before its end, as `head` does: then it has what it wanted.
pub(crate) fn print(text: impl Display) -> anyhow::Result<()> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to standard output"),
    }
}

/// A bar over audio: position in seconds, and how long it still takes.
pub(crate) fn song_bar(label: String, samples: Option<u64>) -> ProgressBar {
    let bar = samples.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    let template = "{msg} {wide_bar} {percent}% {eta} left";
    bar.set_style(ProgressStyle::with_template(template).expect("the template is valid"));
    bar.set_message(label);
    bar
}

/// Shows a training run or an evaluation.
pub(crate) struct Screen {
    bar: ProgressBar,
    last_line: Option<Instant>,
}

/// Parts of the bar: finer than it is wide.
const PARTS: u64 = 10_000;

impl Screen {
    pub(crate) fn new() -> Self {
        let bar = ProgressBar::with_draw_target(Some(PARTS), ProgressDrawTarget::stderr());
        bar.set_style(ProgressStyle::with_template("{wide_bar} {msg}").expect("the template is valid"));
        Self { bar, last_line: None }
    }

    fn say(&self, line: &str) {
        self.bar.suspend(|| tell(line));
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
            HumanBytes(step.memory.taken),
            HumanBytes(step.memory.peak),
            minutes(step.remaining),
        );
        self.bar.set_position((step.progress * PARTS as f64) as u64);
        let due = self.last_line.is_none_or(|last| last.elapsed() >= Duration::from_secs(15));
        if self.bar.is_hidden() && due {
            tell(format_args!("{:3.0} % {text}", 100.0 * step.progress));
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
            Event::Message(message) => self.say(message),
            Event::Step(step) => self.step(step),
            Event::Song { name, done, total } => {
                self.say(&format!("song {} of {total}: {name}", done + 1));
            }
            Event::Validation(validation) => {
                let scores =
                    validation.stems.iter().map(|(stem, scores)| format!("{stem} {:.2}", scores.usdr));
                let best = if validation.best { ", the best so far" } else { "" };
                self.say(&format!(
                    "validation at step {}: uSDR {:.2} dB ({}){best}",
                    validation.step,
                    validation.usdr,
                    scores.collect::<Vec<_>>().join(", "),
                ));
            }
            Event::Saved { step, path } => self.say(&format!("step {step}: wrote {}", path.display())),
        }
        if interrupt::requested() { Flow::Stop } else { Flow::Continue }
    }
}
