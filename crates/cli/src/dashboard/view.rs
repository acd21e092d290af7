//! What the dashboard knows of a run, and its lines.

use console::{Style, truncate_str};
use indicatif::DecimalBytes;
use unbraid_train::{StepEvent, ValidationEvent};

use super::plot::{Course, bars, curve, progress};
use crate::output::printable;
use crate::report::History;

/// Lines of the curve of the loss.
const CURVE: usize = 3;

/// Columns at most. Wider lines are harder to read, and wrap when the terminal becomes narrower.
const WIDEST: usize = 100;

/// Columns before the curves.
const LABEL: usize = 16;

/// Share of a new loss in the displayed one.
const NEWEST: f64 = 0.05;

/// A score over the validations, dB.
struct Score {
    name: String,
    values: Vec<f64>,
}

/// What is known of a run.
pub(super) struct View {
    /// Seconds of audio in a step.
    seconds: f64,
    losses: Course,
    loss: Option<f64>,
    last: Option<StepEvent>,
    /// The mean over the stems, and then the stems.
    scores: Vec<Score>,
    /// The song that is being scored.
    song: Option<String>,
}

impl View {
    pub(super) fn new(seconds: f64) -> Self {
        Self { seconds, losses: Course::new(), loss: None, last: None, scores: Vec::new(), song: None }
    }

    /// Takes the steps and validations before `step`.
    pub(super) fn remember(&mut self, history: &History, step: u64) {
        for earlier in history.steps.iter().filter(|earlier| earlier.step < step) {
            earlier.loss.into_iter().for_each(|loss| self.take_loss(loss));
        }
        for earlier in history.validations.iter().filter(|earlier| earlier.step < step) {
            self.score("average", earlier.mean.usdr);
            for (stem, scores) in &earlier.stems {
                self.score(stem, scores.usdr);
            }
        }
    }

    pub(super) fn step(&mut self, step: &StepEvent) {
        self.take_loss(step.loss);
        self.last = Some(step.clone());
        self.song = None;
    }

    pub(super) fn scores_song(&mut self, name: &str, done: usize, total: usize) {
        self.song = Some(format!("validation: song {} of {total}: {}", done + 1, printable(name)));
    }

    pub(super) fn validation(&mut self, validation: &ValidationEvent) {
        self.song = None;
        self.score("average", validation.usdr);
        for (stem, scores) in &validation.stems {
            self.score(stem, Some(scores.usdr));
        }
    }

    fn take_loss(&mut self, loss: f64) {
        if loss.is_finite() {
            self.loss = Some(self.loss.map_or(loss, |before| before + NEWEST * (loss - before)));
            self.losses.push(loss);
        }
    }

    fn score(&mut self, name: &str, value: Option<f64>) {
        let Some(value) = value.filter(|value| value.is_finite()) else { return };
        match self.scores.iter_mut().find(|score| score.name == name) {
            Some(score) => score.values.push(value),
            None => self.scores.push(Score { name: name.to_owned(), values: vec![value] }),
        }
    }

    /// The lines for a terminal of this size. A low terminal gets fewer of them.
    pub(super) fn lines(&self, rows: usize, columns: usize) -> Vec<String> {
        let width = columns.saturating_sub(1).min(WIDEST);
        let parts = [self.curve(width), self.scores(width), self.state(), vec![self.end(width)]];
        let mut left = (rows / 2).max(1);
        let mut shown = Vec::new();
        // The last parts matter most.
        for part in parts.into_iter().rev() {
            if part.len() > left {
                break;
            }
            left -= part.len();
            shown.push(part);
        }
        shown.into_iter().rev().flatten().map(|line| truncate_str(&line, width, "").into_owned()).collect()
    }

    fn curve(&self, width: usize) -> Vec<String> {
        let Some(loss) = self.loss else { return Vec::new() };
        let lowest = self.losses.means().iter().copied().fold(f64::INFINITY, f64::min);
        let labels = [
            label("loss"),
            bold(&format!("{:<LABEL$}", number(loss))),
            label(&format!("lowest {}", number(lowest))),
        ];
        let lines = curve(self.losses.means(), width.saturating_sub(LABEL), CURVE);
        let line = |(label, line): (String, String)| format!("{label}{}", colour().apply_to(line));
        labels.into_iter().zip(lines).map(line).collect()
    }

    fn scores(&self, width: usize) -> Vec<String> {
        let line = |score: &Score| {
            let [now, best] = [score.values.last(), score.values.iter().max_by(|a, b| a.total_cmp(b))];
            let [now, best] = [now, best].map(|value| value.copied().unwrap_or_default());
            let name = if score.name == "average" { "uSDR" } else { &score.name };
            let name = label(&truncate_str(&printable(name), LABEL - 1, "…"));
            let numbers = format!("{} {}", bold(&format!("{now:6.2}")), dim(&format!("dB, best {best:.2} ")));
            let used = LABEL + 6 + 1 + format!("dB, best {best:.2} ").len();
            let bars = bars(&score.values, width.saturating_sub(used));
            format!("{name}{numbers}{}", colour().apply_to(bars))
        };
        self.scores.iter().map(line).collect()
    }

    fn state(&self) -> Vec<String> {
        let Some(step) = &self.last else { return Vec::new() };
        let mut parts = vec![format!("{} steps/s", number(step.speed / self.seconds))];
        parts.push(format!("{}× real time", number(step.speed)));
        if step.memory.peak > 0 {
            let [taken, peak] = [step.memory.taken, step.memory.peak].map(DecimalBytes);
            parts.push(format!("{taken} (peak {peak})"));
        }
        if step.skipped > 0 {
            parts.push(format!("{} skipped", step.skipped));
        }
        vec![format!("{}{}", label(&format!("rate {:.2e}", step.learning_rate)), parts.join(" · "))]
    }

    /// Where the run is, and when it ends.
    fn end(&self, width: usize) -> String {
        if let Some(song) = &self.song {
            return song.clone();
        }
        let Some(step) = &self.last else { return String::new() };
        let before = format!("step {} of {} ", step.step, step.steps);
        let after = format!(" {:3.0} %  {} left", 100.0 * step.progress, duration(step.remaining));
        let [done, rest] = progress(step.progress, width.saturating_sub(before.len() + after.len()));
        format!("{before}{}{}{after}", colour().apply_to(done), dim(&rest))
    }
}

fn colour() -> Style {
    Style::new().for_stderr().cyan()
}

fn bold(text: &str) -> String {
    Style::new().for_stderr().bold().apply_to(text).to_string()
}

fn dim(text: &str) -> String {
    Style::new().for_stderr().dim().apply_to(text).to_string()
}

fn label(text: &str) -> String {
    dim(&format!("{text:<LABEL$}"))
}

/// A number with four significant digits, as far as they fit.
fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        size if !(1e-3..1e5).contains(&size) => format!("{value:.2e}"),
        size => {
            let whole = size.log10().floor() as i32;
            format!("{value:.*}", (3 - whole).clamp(0, 5) as usize)
        }
    }
}

/// Hours, minutes and seconds.
fn duration(seconds: f64) -> String {
    let seconds = seconds.max(0.0) as u64;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use console::{measure_text_width, strip_ansi_codes};
    use std::collections::BTreeMap;
    use unbraid_train::{MemoryEvent, StemScores};

    fn step(step: u64) -> StepEvent {
        StepEvent {
            step,
            steps: 200,
            progress: step as f64 / 200.0,
            loss: 1.0 / step as f64,
            losses: BTreeMap::new(),
            gradient_norm: 1.0,
            updated: true,
            skipped: 0,
            loss_scale: None,
            learning_rate: 3e-4,
            speed: 8.0,
            memory: MemoryEvent { taken: 3_000_000_000, peak: 4_000_000_000, phases: None },
            elapsed: 60.0,
            remaining: 3700.0,
        }
    }

    fn validation(usdr: f64) -> ValidationEvent {
        let scores = StemScores { usdr, csdr: None, si_sdr: None, baseline_usdr: 0.0 };
        let stems: BTreeMap<_, _> = ["bass", "drums"].map(|stem| (stem.to_owned(), scores)).into();
        ValidationEvent {
            step: 100,
            songs: 1,
            stems,
            silent: BTreeMap::new(),
            usdr: Some(usdr),
            csdr: None,
            baseline_usdr: None,
            best: true,
            elapsed: 1.0,
        }
    }

    fn text(view: &View, rows: usize, columns: usize) -> Vec<String> {
        let lines = view.lines(rows, columns);
        assert!(lines.iter().all(|line| measure_text_width(line) < columns), "{lines:?}");
        lines.iter().map(|line| strip_ansi_codes(line).into_owned()).collect()
    }

    #[test]
    fn everything_that_people_watch_is_shown() {
        let mut view = View::new(4.0);
        assert_eq!(text(&view, 40, 80), [""]);
        (1..=100).for_each(|n| view.step(&step(n)));
        [5.0, 6.5, 6.25].iter().for_each(|usdr| view.validation(&validation(*usdr)));
        let lines = text(&view, 40, 80);
        assert_eq!(lines.len(), 8, "{lines:#?}");
        assert!(lines[0].starts_with("loss") && lines[2].starts_with("lowest 0.01000"), "{lines:#?}");
        assert!(lines[3].starts_with("uSDR") && lines[3].ends_with("6.25 dB, best 6.50 ▁█▇"), "{lines:#?}");
        assert!(lines[4].starts_with("bass") && lines[5].starts_with("drums"), "{lines:#?}");
        assert_eq!(lines[6], "rate 3.00e-4    2.000 steps/s · 8.000× real time · 3.00 GB (peak 4.00 GB)");
        assert!(lines[7].starts_with("step 100 of 200 ━━") && lines[7].ends_with("──  50 %  1:01:40 left"));
        view.scores_song("A \u{1b}[31msong", 1, 3);
        let lines = text(&view, 40, 80);
        assert!(lines[7].starts_with("validation: song 2 of 3: A \u{fffd}[31msong"), "{lines:#?}");
    }

    #[test]
    fn a_small_terminal_gets_what_fits() {
        let mut view = View::new(4.0);
        (1..=100).for_each(|n| view.step(&step(n)));
        view.validation(&validation(5.0));
        for (rows, count) in [(40, 8), (16, 8), (14, 5), (9, 2), (4, 2), (3, 1), (2, 1)] {
            assert_eq!(text(&view, rows, 80).len(), count, "{rows} rows");
        }
        for columns in [10, 30, 500] {
            text(&view, 40, columns);
        }
    }

    #[test]
    fn a_resumed_run_shows_what_it_did_before() {
        let line = |step: u64| format!("{{\"kind\":\"step\",\"step\":{step},\"loss\":0.5}}\n");
        let scored =
            "{\"kind\":\"validation\",\"step\":2,\"stems\":{\"bass\":{\"usdr\":4.0}},\"best\":true}\n";
        let history = History::parse(&format!("cut\"}}\n{}{}{scored}{}", line(1), line(2), line(3)));
        let mut view = View::new(4.0);
        view.remember(&history, 3);
        view.step(&step(3));
        assert_eq!(view.losses.means(), [0.5, 0.5, 1.0 / 3.0]);
        let lines = text(&view, 40, 80);
        assert!(lines[3].starts_with("uSDR") && lines[3].contains("4.00 dB, best 4.00"), "{lines:#?}");
    }
}
