//! `unbraid separate`: separates songs into stems. The stems of a song appear all at once or not at all.

mod outputs;
mod report;
mod segmentation;
mod song;
mod staging;
mod stem_file;

use std::collections::HashSet;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use unbraid_audio::{AudioError, Format};
use unbraid_model::weights;

use crate::advice::advised;
use crate::device::DeviceArgument;
use crate::output::print;

use report::SeparationReport;
pub(crate) use segmentation::Segmentation;
use song::Job;
use stem_file::Clip;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Songs: wav, flac, mp3, ogg (Vorbis), m4a (AAC-LC, ALAC) or aiff
    #[arg(required = true, value_name = "SONG")]
    songs: Vec<PathBuf>,
    /// Weights file, for example runs/first/model.safetensors; web/models/default.safetensors is a demonstration
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// Folder for the stems, which are written to DIR/SONG/STEM.wav or .flac
    #[arg(long, value_name = "DIR", default_value = "separated")]
    out: PathBuf,
    /// Write these stems only, separated by commas
    #[arg(long, value_name = "STEM,…", value_delimiter = ',', conflicts_with = "two_stems")]
    stems: Vec<String>,
    /// Write this stem, and the mixture without it as no_STEM
    #[arg(long, value_name = "STEM")]
    two_stems: Option<String>,
    /// File format: wav16, wav24, wav32f (keeps samples above full scale), flac (24 bits), flac16, mp3 (variable bit
    /// rate, highest quality) or opus (256 kbit/s)
    #[arg(long, value_name = "FORMAT", default_value_t = Format::Wav16)]
    format: Format,
    /// Samples above full scale: clip them, rescale all stems of the song by one factor, or none (only wav32f, where
    /// it is the default)
    #[arg(long, value_name = "HOW", hide_possible_values = true)]
    clip: Option<Clip>,
    /// Leave out the song's tags and cover
    #[arg(long)]
    no_tags: bool,
    /// Replace existing stems
    #[arg(long)]
    force: bool,
    /// Print a JSON report
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    segmentation: Segmentation,
    #[command(flatten)]
    device: DeviceArgument,
}

impl Arguments {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let clip = Clip::for_format(self.clip, self.format)?;
        let targets = self.targets()?;
        let (device, info) = self.device.open()?;
        let loaded = weights::load(&self.model, &device)?;
        let outputs = outputs::choose(&loaded.config, &self.stems, self.two_stems.as_ref())?;
        let job = Job {
            loaded: &loaded,
            outputs: &outputs,
            options: self.segmentation.options(&loaded),
            format: self.format,
            clip,
            tags: !self.no_tags,
            force: self.force,
        };
        for target in &targets {
            job.refuse_existing(target)?;
        }
        let mut songs = Vec::new();
        for (song, target) in self.songs.iter().zip(&targets) {
            let separated = job.separate(song, target);
            songs.push(separated.map_err(|error| {
                // Errors of reading the song name it. Those of writing its stems name a temporary file.
                let audio = error.downcast_ref::<AudioError>();
                if audio.is_some_and(|audio| audio.path.as_deref() == Some(song.as_path())) {
                    return error;
                }
                error.context(format!("{} was not separated", song.display()))
            })?);
        }
        if self.json {
            let report = SeparationReport { device: info.name, model: loaded.config.name, songs };
            print(serde_json::to_string_pretty(&report)?)?;
        }
        Ok(())
    }

    /// One folder per song. No two are the same.
    fn targets(&self) -> anyhow::Result<Vec<PathBuf>> {
        let mut seen = HashSet::new();
        self.songs
            .iter()
            .map(|song| {
                let name = song.file_stem().with_context(|| format!("{} is not a file", song.display()))?;
                let target = self.out.join(name);
                let shown = target.display();
                if !seen.insert(target.clone()) {
                    let advice = "Rename one of them, or separate them with different `--out DIR`.";
                    return Err(advised(format_args!("two songs would be written to {shown}"), advice));
                }
                if !target.is_dir() && target.symlink_metadata().is_ok() {
                    let advice = "`--out DIR` writes to another folder.";
                    return Err(advised(format_args!("{shown} exists and is not a folder"), advice));
                }
                Ok(target)
            })
            .collect()
    }
}
