//! `unbraid data`: creates and checks data sets.

mod check;

use std::path::{Path, PathBuf};

use anyhow::{anyhow, ensure};
use clap::{Args, Subcommand};
use unbraid_base::counted;
use unbraid_synth::{MidiOptions, MidiReport, MidiSongs, Options, STEMS, Vocals, find_files};

use crate::advice::advised;
use crate::interrupt;
use crate::output::notice;
use crate::progress::SongProgress;
use crate::song_makers::{AUDIO, MIDI};

pub(crate) use check::renamed;

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Find the faults of a data set: rates, lengths, sums, silence, clipping, duplicates, shifts, signs, damaged files
    Check(check::Arguments),
    /// Create synthetic songs in the MUSDB18-HQ layout: drums, bass, other and a singing voice
    Synth {
        /// A new or empty folder
        out: PathBuf,
        /// Number of songs. A fifth of them, at least one, are for testing
        #[arg(long, value_name = "N", default_value_t = 20)]
        tracks: usize,
        /// Length of each song in seconds
        #[arg(long, default_value_t = 30.0)]
        seconds: f64,
        /// Seed of the songs. The same seed gives the same songs
        #[arg(long, value_name = "N", default_value_t = 0)]
        seed: u64,
    },
    /// Render General MIDI songs with SoundFonts in the MUSDB18-HQ layout
    ///
    /// Channel 10 becomes the drums, programs 33 to 40 the bass, all else other. Each song draws SoundFonts, timing,
    /// levels and effects. A fifth of the songs are for testing. No file serves for both training and testing.
    Midi(Midi),
}

#[derive(Debug, Args)]
pub(crate) struct Midi {
    /// MIDI files, or folders with their subfolders
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// SoundFonts: sf2 or sf3. Each stem of a song is played by one of them
    #[arg(long = "soundfont", required = true, value_name = "FILE", num_args = 1..)]
    fonts: Vec<PathBuf>,
    /// A new or empty folder
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Number of songs. If there are more songs than files, files are used again in other versions. By default each
    /// file becomes one song
    #[arg(long, value_name = "N")]
    tracks: Option<usize>,
    /// The longest length of a song in seconds, up to 600. A random part of a longer song is taken
    #[arg(long, default_value_t = 120.0)]
    seconds: f64,
    /// Seed of the songs. The same seed gives the same songs
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// The vocals: singer (the synthetic one of `data synth`; its melody does not follow the song), none (silence), or a
    /// folder of recordings, whose phrases are laid over the songs
    #[arg(long, value_name = "WHAT", default_value = "singer")]
    vocals: PathBuf,
}

/// Lines about songs that have no track. A collection can hold thousands of damaged files.
const LINES: usize = 30;

impl Verb {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Synth { out, tracks, seconds, seed } => synth(&out, tracks, seconds, seed),
            Self::Check(arguments) => arguments.run(),
            Self::Midi(arguments) => arguments.run(),
        }
    }
}

fn synth(out: &Path, tracks: usize, seconds: f64, seed: u64) -> anyhow::Result<()> {
    let (train, test) = Options::divide(tracks);
    let mut progress = SongProgress::new("generating songs", Some(tracks as f64));
    let options = Options { train, test, seconds, seed, rate: 44_100 };
    let mut written = 0;
    let result = unbraid_synth::write_dataset(out, &options, &mut |done, _| {
        written = done;
        progress.set(done as f64);
        !interrupt::requested()
    });
    drop(progress);
    let out = out.display();
    ensure!(result?, "interrupted: {written} of {tracks} songs are in {out}, each of them complete");
    let train = counted(train as u64, "song");
    notice(format_args!("wrote {train} for training and {test} for testing, {seconds} s each, to {out}"));
    Ok(())
}

impl Midi {
    fn run(self) -> anyhow::Result<()> {
        let files = find_files(&self.files, &MIDI);
        if files.is_empty() {
            let advice = "Name files, or folders that contain files with the extension mid, midi or kar.";
            return Err(advised("there are no MIDI files", advice));
        }
        let vocals = match self.vocals.to_str() {
            Some("singer") => Vocals::Singer,
            Some("none") => Vocals::None,
            _ => {
                let takes = find_files(std::slice::from_ref(&self.vocals), &AUDIO);
                if takes.is_empty() {
                    let fact = format!("{} contains no recordings", self.vocals.display());
                    return Err(advised(fact, "`--vocals` takes singer, none, or a folder of audio files."));
                }
                Vocals::Takes(takes)
            }
        };
        let sung = vocals != Vocals::None;
        let tracks = self.tracks.unwrap_or(files.len());
        let options = MidiOptions { seed: self.seed, seconds: self.seconds, rate: 44_100, vocals };
        let songs = MidiSongs::open(files, &self.fonts, options)?;
        let mut progress = SongProgress::new("rendering songs", Some(tracks as f64));
        let shown = &mut |done, _| {
            progress.set(done as f64);
            !interrupt::requested()
        };
        let result = unbraid_synth::write_midi_dataset(&self.out, &songs, tracks, shown);
        drop(progress);
        let report = result?;
        self.tell(&report, sung);
        let done = report.train + report.test;
        ensure!(report.complete, "interrupted: {done} of {tracks} songs were written, each of them complete");
        if report.failed.is_empty() {
            return Ok(());
        }
        Err(anyhow!("{} could not be rendered", counted(report.failed.len() as u64, "file")))
    }

    fn tell(&self, report: &MidiReport, sung: bool) {
        let failed = report.failed.iter().map(|error| format!("failed: {error}"));
        let silent = report.silent.iter().map(|file| format!("skipped: {} is silent", file.display()));
        for line in failed.chain(silent).take(LINES) {
            notice(line);
        }
        let more = (report.failed.len() + report.silent.len()).saturating_sub(LINES);
        if more > 0 {
            notice(format_args!("and {}", counted(more as u64, "more file")));
        }
        let train = counted(report.train as u64, "song");
        let (test, minutes, out) = (report.test, report.seconds / 60.0, self.out.display());
        notice(format_args!(
            "wrote {train} for training and {test} for testing, {minutes:.1} minutes, to {out}"
        ));
        let asked = STEMS.iter().zip(report.without).filter(|(stem, _)| sung || **stem != "vocals");
        for (stem, count) in asked.filter(|(_, count)| *count > 0) {
            notice(format_args!("{stem}: silent in {}", counted(count as u64, "song")));
        }
    }
}
