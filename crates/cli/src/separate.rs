//! `unbraid separate`: separates songs into stems. The stems of a song appear all at once or not at all.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use clap::Args;
use serde::Serialize;
use unbraid_audio::{AudioError, AudioReader, AudioWriter, Format, ReadOptions, Stereo};
use unbraid_base::file::sync_folder;
use unbraid_model::weights::{self, Loaded};
use unbraid_model::{ModelConfig, Separator, SeparatorOptions};
use unbraid_ops::device;

use crate::advice::advised;
use crate::device::DeviceArgument;
use crate::interrupt;
use crate::output::{notice, print};
use crate::progress::song_bar;

fn above_zero(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if seconds > 0.0 && f64::is_finite(seconds) => Ok(seconds),
        _ => Err("give a number of seconds above 0".into()),
    }
}

/// How songs are cut into segments for the network.
#[derive(Debug, Args)]
pub(crate) struct Segmentation {
    /// Share of a segment that the next one overlaps, from 0 to 0.75. More is smoother and slower
    #[arg(long, value_name = "SHARE", default_value_t = SeparatorOptions::DEFAULT_OVERLAP)]
    overlap: f32,
    /// Length of a segment in seconds, by default as in training. Longer segments can lower the quality
    #[arg(long, value_name = "SECONDS", value_parser = above_zero)]
    segment: Option<f64>,
}

impl Segmentation {
    pub(crate) fn options(&self, loaded: &Loaded) -> SeparatorOptions {
        // Each segment in progress needs its own memory.
        const MOST_AT_ONCE: usize = 4;
        let seconds = self.segment.unwrap_or_else(|| loaded.segment_seconds());
        let segment = (seconds * f64::from(loaded.config.sample_rate)).round() as usize;
        let batch = device::workers(&loaded.model.device()).min(MOST_AT_ONCE);
        SeparatorOptions { segment, overlap: self.overlap, batch }
    }
}

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
    /// File format: wav16, wav24, wav32f (keeps samples above full scale) or flac (24 bits)
    #[arg(long, value_name = "FORMAT", default_value_t = Format::Wav16)]
    format: Format,
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

/// One file to write.
#[derive(Debug, Clone)]
struct Output {
    /// The file name without its extension.
    name: String,
    /// Index of the stem in the network's output.
    stem: usize,
    /// Whether the file holds the mixture minus the stem.
    rest: bool,
}

#[derive(Debug, Serialize)]
struct SeparationReport {
    device: String,
    model: String,
    songs: Vec<SongReport>,
}

#[derive(Debug, Serialize)]
struct SongReport {
    // JSON is UTF-8, and a path may be in another encoding, so these are strings.
    song: String,
    stems: Vec<String>,
    audio_seconds: f64,
    wall_seconds: f64,
    /// Samples beyond full scale, per stem. Integer formats clip them.
    clipped: Vec<u64>,
}

impl Arguments {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let targets = self.targets()?;
        let (device, info) = self.device.open()?;
        let loaded = weights::load(&self.model, &device)?;
        let outputs = self.outputs(&loaded.config)?;
        for target in &targets {
            self.refuse_existing(target, &outputs)?;
        }
        let mut songs = Vec::new();
        for (song, target) in self.songs.iter().zip(&targets) {
            let separated = self.separate(song, target, &loaded, &outputs);
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

    fn outputs(&self, config: &ModelConfig) -> anyhow::Result<Vec<Output>> {
        let stem = |name: &String| {
            let found = config.stems.iter().position(|stem| stem == name);
            found.with_context(|| {
                format!("the model has no stem '{name}'; it has {}", config.stems.join(", "))
            })
        };
        if let Some(name) = &self.two_stems {
            let stem = stem(name)?;
            let rest = Output { name: format!("no_{name}"), stem, rest: true };
            return Ok(vec![Output { name: name.clone(), stem, rest: false }, rest]);
        }
        let names = if self.stems.is_empty() { &config.stems } else { &self.stems };
        let mut outputs: Vec<Output> = Vec::new();
        for name in names {
            ensure!(outputs.iter().all(|output| output.name != *name), "--stems names '{name}' twice");
            outputs.push(Output { name: name.clone(), stem: stem(name)?, rest: false });
        }
        Ok(outputs)
    }

    fn path(&self, folder: &Path, output: &Output) -> PathBuf {
        folder.join(format!("{}.{}", output.name, self.format.extension()))
    }

    fn refuse_existing(&self, target: &Path, outputs: &[Output]) -> anyhow::Result<()> {
        for path in outputs.iter().map(|output| self.path(target, output)) {
            if !self.force && path.exists() {
                let advice = "`--force` replaces it. `--out DIR` writes to another folder.";
                return Err(advised(format_args!("{} exists", path.display()), advice));
            }
        }
        Ok(())
    }

    fn separate(
        &self,
        song: &Path,
        target: &Path,
        loaded: &Loaded,
        outputs: &[Output],
    ) -> anyhow::Result<SongReport> {
        let began = Instant::now();
        // Checked again: on a file system that treats two names as one, an earlier song may have created it.
        self.refuse_existing(target, outputs)?;
        let rate = loaded.config.sample_rate;
        let mut reader = AudioReader::open(song, rate, ReadOptions::NEARLY_COMPLETE)?;
        if let Some(frames) = reader.frames() {
            self.format.check_length(frames)?;
        }
        // Most bad files fail at the first block, so it is read before anything is created.
        let mut block = reader.read(rate as usize)?;
        let shortest = loaded.model.least_samples();
        ensure!(
            block[0].len() >= shortest,
            "the song has {} samples, and the network needs at least {shortest}",
            block[0].len(),
        );

        let folder = Staging::create(target)?;
        let open = |output| AudioWriter::create(&self.path(folder.path(), output), self.format, rate);
        let mut writers = outputs.iter().map(open).collect::<Result<Vec<_>, _>>()?;
        let mut separator = Separator::new(loaded.model.clone(), self.segmentation.options(loaded))?;
        let label = song.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let bar = song_bar(label, reader.frames());

        // The part of the mixture whose stems are not finished yet.
        let mut mixture: Stereo = Default::default();
        let mut samples = 0;
        while !block[0].is_empty() {
            if interrupt::requested() {
                bail!("interrupted");
            }
            for (waiting, new) in mixture.iter_mut().zip(&block) {
                waiting.extend(new);
            }
            samples += block[0].len();
            let stems = pollster::block_on(separator.push(&block))?;
            write(&mut writers, outputs, &mut mixture, &stems)?;
            bar.set_position(samples as u64);
            block = reader.read(rate as usize)?;
        }
        let stems = pollster::block_on(separator.finish())?;
        write(&mut writers, outputs, &mut mixture, &stems)?;
        let clipped = writers.into_iter().map(AudioWriter::finish).collect::<Result<Vec<_>, _>>()?;
        bar.finish_and_clear();
        let names: Vec<_> = outputs.iter().map(|output| self.path(Path::new(""), output)).collect();
        folder.publish(target, &names)?;

        let audio_seconds = samples as f64 / f64::from(rate);
        let wall_seconds = began.elapsed().as_secs_f64();
        let shown = target.display();
        notice(format_args!("{shown}: {audio_seconds:.1} s of music in {wall_seconds:.1} s"));
        for (output, &count) in outputs.iter().zip(&clipped) {
            if count > 0 {
                let name = &output.name;
                notice(format_args!(
                    "{name}: {count} samples were clipped at full scale; `--format wav32f` keeps them"
                ));
            }
        }
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let stems = names.iter().map(|name| text(&target.join(name))).collect();
        Ok(SongReport { song: text(song), stems, audio_seconds, wall_seconds, clipped })
    }
}

/// Writes finished samples, and drops the part of the mixture that belongs to them.
fn write(
    writers: &mut [AudioWriter],
    outputs: &[Output],
    mixture: &mut Stereo,
    stems: &[Stereo],
) -> anyhow::Result<()> {
    let Some(finished) = stems.first().map(|stem| stem[0].len()) else { return Ok(()) };
    for (writer, output) in writers.iter_mut().zip(outputs) {
        let stem = &stems[output.stem];
        if output.rest {
            let rest = |side: usize| mixture[side].iter().zip(&stem[side]).map(|(m, s)| m - s).collect();
            writer.write(&[rest(0), rest(1)])?;
        } else {
            writer.write(stem)?;
        }
    }
    for side in mixture {
        side.drain(..finished);
    }
    Ok(())
}

/// A hidden folder next to the target. The stems are made in it, and it is removed unless they are published.
struct Staging {
    folder: tempfile::TempDir,
    /// Folders that did not exist before, innermost first. They are removed if the stems are not published.
    created: Vec<PathBuf>,
}

impl Staging {
    fn create(target: &Path) -> anyhow::Result<Self> {
        let parent =
            target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let created =
            parent.ancestors().take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists());
        let created = created.map(Path::to_owned).collect();
        let writable = || format!("cannot write to the folder {}", parent.display());
        fs::create_dir_all(parent).with_context(writable)?;
        let folder =
            tempfile::Builder::new().prefix(".unbraid-").tempdir_in(parent).with_context(writable)?;
        Ok(Self { folder, created })
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Moves the stems into the target. A target that does not exist yet appears with all its stems.
    fn publish(mut self, target: &Path, names: &[PathBuf]) -> anyhow::Result<()> {
        let failed = || format!("cannot move the stems to {}", target.display());
        if target.exists() {
            for name in names {
                fs::rename(self.path().join(name), target.join(name)).with_context(failed)?;
            }
            sync_folder(target);
        } else {
            // The temporary folder is private. The stems' folder has ordinary permissions.
            let staged = self.path().join("stems");
            fs::create_dir(&staged).with_context(failed)?;
            for name in names {
                fs::rename(self.path().join(name), staged.join(name)).with_context(failed)?;
            }
            sync_folder(&staged);
            fs::rename(&staged, target).with_context(failed)?;
            if let Some(parent) = self.path().parent() {
                sync_folder(parent);
            }
        }
        self.created.clear();
        Ok(())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // Ignores errors, because this cleans up after another error. The created folders contain the temporary one.
        fs::remove_dir_all(self.folder.path()).ok();
        for folder in &self.created {
            fs::remove_dir(folder).ok();
        }
    }
}
