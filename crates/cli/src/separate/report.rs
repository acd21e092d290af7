//! What happened to each song: the JSON report, and the table at the end.

use std::path::Path;

use serde::Serialize;

use crate::advice;

/// The report of `--json`.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    pub(super) device: Option<String>,
    pub(super) model: Option<String>,
    pub(super) songs: Vec<Entry>,
    /// Whether Ctrl-C ended the work.
    pub(super) interrupted: bool,
    /// The reason why no song was tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<Failure>,
}

/// One song of the report.
#[derive(Debug, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub(super) enum Entry {
    Separated(SongReport),
    /// All its stems existed.
    Skipped {
        song: String,
    },
    Failed {
        song: String,
        #[serde(flatten)]
        failure: Failure,
    },
    /// The work ended before it was separated.
    Unfinished {
        song: String,
    },
}

/// An error and its advice.
#[derive(Debug, Serialize)]
pub(super) struct Failure {
    pub(super) error: String,
    advice: Option<String>,
}

impl Failure {
    pub(super) fn of(error: &anyhow::Error) -> Self {
        Self { error: advice::fact(error), advice: advice::advice(error).map(str::to_owned) }
    }
}

/// A song that was separated.
#[derive(Debug, Serialize)]
pub(super) struct SongReport {
    pub(super) song: String,
    pub(super) stems: Vec<String>,
    /// The sample rate of the song's file, in Hz.
    pub(super) song_sample_rate: u32,
    /// The sample rate of the stems, in Hz.
    pub(super) sample_rate: u32,
    /// The time in the song at which the stems begin.
    pub(super) start_seconds: f64,
    pub(super) audio_seconds: f64,
    pub(super) wall_seconds: f64,
    /// Clipped samples, per stem.
    pub(super) clipped: Vec<u64>,
    /// The gain of all stems in dB, if they are rescaled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) gain_db: Option<f64>,
    /// The signal-to-noise ratio of the sum of all stems against the mixture. `null` if one of them is silent.
    pub(super) sum_snr_db: Option<f64>,
    /// What the file lacks, and what was assumed about it.
    pub(super) notices: Vec<String>,
}

/// A path for the report. JSON is UTF-8, and a path may be in another encoding.
pub(super) fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// An error of a song, with the song's name. Many errors begin with it.
pub(super) fn named(song: &str, error: &str) -> String {
    if error.starts_with(song) { error.to_owned() } else { format!("{song}: {error}") }
}

impl Report {
    /// The numbers of songs, and those that failed with their errors.
    pub(super) fn table(&self) -> String {
        let count = |wanted: fn(&Entry) -> bool| self.songs.iter().filter(|entry| wanted(entry)).count();
        let total = self.songs.len();
        let mut lines =
            vec![format!("{} of {total} songs separated", count(|e| matches!(e, Entry::Separated(_))))];
        for (name, count) in [
            ("had their stems already", count(|e| matches!(e, Entry::Skipped { .. }))),
            ("failed", count(|e| matches!(e, Entry::Failed { .. }))),
            ("unfinished", count(|e| matches!(e, Entry::Unfinished { .. }))),
        ] {
            if count > 0 {
                lines[0] += &format!(", {count} {name}");
            }
        }
        for entry in &self.songs {
            if let Entry::Failed { song, failure: Failure { error, advice } } = entry {
                lines.push(format!("  {}", named(song, error)));
                lines.extend(advice.as_ref().map(|advice| format!("    help: {advice}")));
            }
        }
        lines.join("\n")
    }

    /// Whether every song has its stems.
    pub(super) fn is_complete(&self) -> bool {
        self.songs.iter().all(|entry| matches!(entry, Entry::Separated(_) | Entry::Skipped { .. }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_counts_songs_and_names_failures() {
        let song = |name: &str| name.to_owned();
        let failure = Failure { error: "b.mp3: the file is empty".into(), advice: Some("Copy it.".into()) };
        let report = Report {
            songs: vec![
                Entry::Skipped { song: song("a.mp3") },
                Entry::Failed { song: song("b.mp3"), failure },
                Entry::Unfinished { song: song("c.mp3") },
            ],
            ..Report::default()
        };
        let expected = "0 of 3 songs separated, 1 had their stems already, 1 failed, 1 unfinished\n  \
                        b.mp3: the file is empty\n    help: Copy it.";
        assert_eq!(report.table(), expected);
        assert!(!report.is_complete());
    }
}
