//! A training run at the bottom of a terminal: the loss, the scores, the device, the end. Messages scroll up above.

mod plot;
mod view;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use unbraid_train::{Event, Flow, Listener, RunFolder, TrainConfig};

use crate::panel;
use crate::progress::told;
use crate::report::History;
use view::View;

/// Time between drawings at least.
const INTERVAL: Duration = Duration::from_millis(100);

/// Bytes of `metrics.jsonl` that the curves of a resumed run begin with, at most: some ten thousand steps.
const MOST_HISTORY: u64 = 8 << 20;

/// Shows the events of a run. Dropping it removes it from the screen.
pub(crate) struct Dashboard {
    view: View,
    /// The metrics of a resumed run, until its first event.
    metrics: Option<PathBuf>,
    drawn: Option<Instant>,
    stop_requested: fn() -> bool,
}

impl Dashboard {
    /// A dashboard that stops the run at the next event after `stop_requested` has become true.
    pub(crate) fn new(config: &TrainConfig, resumed: bool, stop_requested: fn() -> bool) -> Self {
        let seconds = config.batch_size as f64 * config.segment_seconds;
        let metrics = resumed.then(|| RunFolder::new(&config.run).metrics());
        Self { view: View::new(seconds), metrics, drawn: None, stop_requested }
    }

    fn draw(&mut self, now: bool) {
        if now || self.drawn.is_none_or(|drawn| drawn.elapsed() >= INTERVAL) {
            let (rows, columns) = panel::size();
            panel::show(self.view.lines(rows, columns));
            self.drawn = Some(Instant::now());
        }
    }

    /// Shows what the run did before `step`.
    fn remember(&mut self, step: u64) {
        if let Some(metrics) = self.metrics.take() {
            let history = History::parse(&end_of(&metrics));
            self.view.remember(&history, step);
        }
    }
}

/// The last lines of a file. Their first one may be cut.
fn end_of(path: &Path) -> String {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|mut file| {
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(MOST_HISTORY)))?;
        file.read_to_end(&mut bytes)
    });
    // Without the file, the curves begin with this process.
    read.map(|_| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

impl Listener for Dashboard {
    fn event(&mut self, event: &Event<'_>) -> Flow {
        match event {
            Event::Step(step) => {
                self.remember(step.step);
                self.view.step(step);
                self.draw(step.progress >= 1.0);
            }
            Event::Song { name, done, total } => {
                self.view.scores_song(name, *done, *total);
                self.draw(true);
            }
            Event::Validation(validation) => {
                self.remember(validation.step);
                self.view.validation(validation);
                told(event);
                self.draw(true);
            }
            Event::Message(_) | Event::Saved { .. } => told(event),
        }
        if (self.stop_requested)() { Flow::Stop } else { Flow::Continue }
    }
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        // A panic has written its message below the lines.
        if !std::thread::panicking() {
            panel::hide();
        }
    }
}
