//! `unbraid data`: creates and checks data sets.

mod check;

use std::path::PathBuf;

use clap::Subcommand;
use unbraid_base::counted;
use unbraid_synth::Options;

use crate::output::notice;
use crate::progress::SongProgress;

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
}

impl Verb {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let (out, tracks, seconds, seed) = match self {
            Self::Check(arguments) => return arguments.run(),
            Self::Synth { out, tracks, seconds, seed } => (out, tracks, seconds, seed),
        };
        let (train, test) = Options::divide(tracks);
        let mut progress = SongProgress::new("generating songs", Some(tracks as f64));
        let options = Options { train, test, seconds, seed, rate: 44_100 };
        let result = unbraid_synth::write_dataset(&out, &options, &mut |done, _| progress.set(done as f64));
        drop(progress);
        result?;
        let out = out.display();
        let train = counted(train as u64, "song");
        notice(format_args!("wrote {train} for training and {test} for testing, {seconds} s each, to {out}"));
        Ok(())
    }
}
