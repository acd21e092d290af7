//! `unbraid data`.

use std::path::PathBuf;

use clap::Subcommand;
use unbraid_synth::Options;

use crate::progress::{song_bar, tell};

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Invent songs in the MUSDB18-HQ layout: drums, bass, other and a sung-like voice. The same seed gives the
    /// same songs.
    Synth {
        /// A new or empty folder.
        out: PathBuf,
        /// Songs in all; a fifth of them, at least one, are for testing.
        #[arg(long, default_value_t = 20)]
        tracks: usize,
        /// Length of a song.
        #[arg(long, default_value_t = 30.0)]
        seconds: f64,
        /// Chooses the songs.
        #[arg(long, default_value_t = 0)]
        seed: u64,
    },
}

impl Verb {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let Self::Synth { out, tracks, seconds, seed } = self;
        let (train, test) = Options::divide(tracks);
        let bar = song_bar("inventing songs".into(), Some(tracks as u64));
        let options = Options { train, test, seconds, seed, rate: 44_100 };
        let result =
            unbraid_synth::write_dataset(&out, &options, &mut |done, _| bar.set_position(done as u64));
        bar.finish_and_clear();
        result?;
        let out = out.display();
        tell(format_args!("{train} songs to train on and {test} to test on, {seconds} s each, in {out}"));
        Ok(())
    }
}
