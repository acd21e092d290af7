//! `unbraid separate`: separates songs into stems. The stems of a song appear all at once or not at all.

mod cut;
mod outputs;
mod rate;
mod report;
mod segmentation;
mod song;
mod songs;
mod spool;
mod staging;
mod stem_file;
mod sum;
mod targets;
mod template;

use std::collections::HashSet;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use anyhow::{anyhow, ensure};
use clap::Args;
use unbraid_audio::{Format, ReadOptions};

use crate::advice::advised;
use crate::device::{DeviceArgument, out_of_memory};
use crate::interrupt;
use crate::models::ModelArgument;
use crate::output::{be_quiet, notice, print};
use crate::shard::ShardArgument;

use cut::Cut;
use outputs::Output;
use rate::StemRate;
use report::{Entry, Failure, Report, named, text};
pub(crate) use segmentation::Segmentation;
use song::Job;
use songs::{Found, Song, Source};
use stem_file::Peaks;
use targets::{Existing, NameCheck, Naming, Target, to_write};
use template::Template;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Songs: files, folders with their subfolders, pipes, or - for standard input
    ///
    /// Formats: wav, w64, caf, aiff, au, flac, mp3, ogg and opus, m4a, mp4 and mov (AAC-LC, ALAC), aac, webm and mkv, with
    /// up to 8 channels. A folder's stems keep its structure: the stems of Music/CD/song.mp3 go to DIR/Music/CD/song.
    /// From a folder, only files with the extension of an audio format are taken. Hidden files and the folder of the
    /// stems are passed over. Of two songs with the same name, the second one becomes "song (2)". A pipe is stored in
    /// the temporary folder, which TMPDIR names.
    #[arg(required = true, value_name = "SONG")]
    songs: Vec<PathBuf>,
    #[command(flatten)]
    model: ModelArgument,
    /// Folder for the stems, or - to write one stem to standard output when it is complete
    #[arg(long, value_name = "DIR", default_value = "separated")]
    out: PathBuf,
    /// Names of the files below the folder of the stems, without extension. {song}, {stem}, {folder} (of the song) and
    /// {model} are replaced
    #[arg(long, value_name = "TEMPLATE", default_value = "{song}/{stem}")]
    name: Template,
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
    clip: Option<Peaks>,
    /// Leave out the song's tags and cover
    #[arg(long)]
    no_tags: bool,
    /// Sample rate of the stems: model (that of the model, 44100 Hz for the built-in one), song (that of each song, with
    /// exactly its length) or a number in Hz. There are no frequencies above half of the model's rate in any case
    #[arg(long, value_name = "RATE", default_value_t = StemRate::Model)]
    sample_rate: StemRate,
    #[command(flatten)]
    cut: Cut,
    /// Separate what an incomplete file holds. Without this flag, a file may lack less than a second, with a warning,
    /// as recordings of radio streams do, and other incomplete files are refused
    #[arg(long)]
    allow_truncated: bool,
    /// Replace existing stems
    #[arg(long)]
    force: bool,
    /// Keep existing stems, and separate only songs that lack some. Stems are recognised by their names
    #[arg(long, conflicts_with = "force")]
    skip_existing: bool,
    #[command(flatten)]
    part: ShardArgument,
    /// Print a JSON report
    #[arg(long)]
    json: bool,
    /// Print errors only
    #[arg(long)]
    quiet: bool,
    #[command(flatten)]
    segmentation: Segmentation,
    #[command(flatten)]
    device: DeviceArgument,
}

/// A song with the stems that are to be written, or the path of what cannot be separated with the reason.
type Planned = Result<(Song, Vec<Target>), (PathBuf, anyhow::Error)>;

impl Arguments {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        if self.quiet {
            be_quiet();
        }
        let mut report = Report::default();
        let result = self.separate(&mut report);
        if self.json {
            report.interrupted = interrupt::requested();
            if report.songs.is_empty() {
                report.error = result.as_ref().err().map(Failure::of);
            }
            print(serde_json::to_string_pretty(&report)?)?;
        }
        result
    }

    fn separate(&self, report: &mut Report) -> anyhow::Result<()> {
        let clip = Peaks::for_format(self.clip, self.format)?;
        if !self.cut.is_valid() {
            return Err(advised("the part to separate is empty", "`--end` must be later than `--start`."));
        }
        let found = songs::find(&self.songs, &self.out);
        self.check_streams(&found)?;
        if let Some(shard) = self.part.shard {
            notice(shard.summary(found.len()));
        }
        let (device, info) = self.device.open()?;
        let loaded = self.model.load(&device)?;
        report.device = Some(info.name);
        report.model = Some(loaded.config.name.clone());
        let outputs = outputs::choose(&loaded.config, &self.stems, self.two_stems.as_ref())?;
        let job = Job {
            loaded: &loaded,
            options: self.segmentation.options(&loaded),
            read: if self.allow_truncated { ReadOptions::ANY_LENGTH } else { ReadOptions::NEARLY_COMPLETE },
            cut: self.cut,
            rate: self.sample_rate,
            format: self.format,
            clip,
            tags: !self.no_tags,
            out: &self.out,
            replace: self.force,
        };
        if self.to_stdout() {
            return to_stdout(&job, found, &outputs);
        }
        let planned = self.plan(found, &outputs, &loaded.config.name)?;
        self.separate_all(&job, planned, report)
    }

    fn to_stdout(&self) -> bool {
        self.out.as_os_str() == "-"
    }

    /// Refuses uses of standard input and output that cannot work.
    fn check_streams(&self, found: &[Found]) -> anyhow::Result<()> {
        let reads = |song: &Song| song.source == Source::StandardInput;
        if found.iter().flatten().any(reads) && io::stdin().is_terminal() {
            let advice = "Pipe a song into the program, or name a file.";
            return Err(advised("standard input is a terminal", advice));
        }
        if self.to_stdout() {
            ensure!(found.len() == 1, "standard output can take one song, not {}", found.len());
            ensure!(self.part.shard.is_none(), "standard output cannot take a part of the songs (--shard)");
            ensure!(!self.json, "standard output cannot take both a stem and the report of --json");
            if io::stdout().is_terminal() {
                let advice = "Redirect it to a file or to a program, or choose a folder with `--out DIR`.";
                return Err(advised("standard output is a terminal", advice));
            }
        }
        Ok(())
    }

    fn existing(&self) -> Existing {
        match (self.force, self.skip_existing) {
            (true, _) => Existing::Replace,
            (_, true) => Existing::Skip,
            _ => Existing::Refuse,
        }
    }

    /// Chooses the files of all songs, so that every shard gives a song the same names, and checks those that this process writes.
    fn plan(&self, found: Vec<Found>, outputs: &[Output], model: &str) -> anyhow::Result<Vec<Planned>> {
        let naming =
            Naming { out: &self.out, template: &self.name, model, extension: self.format.extension() };
        naming.check(found.len(), outputs.len())?;
        let mut taken = HashSet::new();
        let mut names = NameCheck::create(&self.out)?;
        let mut files = |song: &Song, own: bool| {
            let targets = naming.targets(song, outputs, &mut taken)?;
            if !own {
                return Ok(targets);
            }
            let targets = to_write(targets, self.existing())?;
            targets.iter().try_for_each(|target| names.check(target))?;
            Ok(targets)
        };
        let mut plan = |song: Song, own| match files(&song, own) {
            Ok(targets) => Ok((song, targets)),
            Err(error) => Err((song.path, error)),
        };
        let planned = found.into_iter().enumerate().filter_map(|(place, found)| {
            let own = self.part.shard.is_none_or(|shard| shard.holds(place));
            let planned = found.and_then(|song| plan(song, own));
            own.then_some(planned)
        });
        Ok(planned.collect())
    }

    /// Separates the songs one after another, and goes on after one that fails.
    fn separate_all(&self, job: &Job<'_>, planned: Vec<Planned>, report: &mut Report) -> anyhow::Result<()> {
        let total = planned.len();
        for (index, planned) in planned.into_iter().enumerate() {
            let path = match &planned {
                Ok((song, _)) => &song.path,
                Err((path, _)) => path,
            };
            let song = text(path);
            if interrupt::requested() || out_of_memory().is_some() {
                report.songs.push(Entry::Unfinished { song });
                continue;
            }
            let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
            let label = if total > 1 { format!("[{}/{total}] {name}", index + 1) } else { name.into_owned() };
            let result = planned
                .map_err(|(_, error)| error)
                .and_then(|(song, targets)| self.separate_one(job, &song, targets, &label));
            let error = match result {
                Ok(entry) => {
                    report.songs.push(entry);
                    continue;
                }
                Err(error) => out_of_memory().unwrap_or(error),
            };
            let failure = Failure::of(&error);
            report.songs.push(if interrupt::requested() {
                Entry::Unfinished { song: song.clone() }
            } else {
                if total > 1 {
                    notice(format_args!("failed: {}", named(&song, &failure.error)));
                }
                Entry::Failed { song: song.clone(), failure }
            });
            if total == 1 {
                let names_song = error.to_string().starts_with(&song);
                return Err(if names_song {
                    error
                } else {
                    error.context(format!("{song} was not separated"))
                });
            }
        }
        if !report.is_complete() {
            return Err(anyhow!(report.table()));
        }
        if total > 1 {
            notice(report.table());
        }
        Ok(())
    }

    fn separate_one(
        &self,
        job: &Job<'_>,
        song: &Song,
        targets: Vec<Target>,
        label: &str,
    ) -> anyhow::Result<Entry> {
        // Checked again: on a file system that treats two names as one, an earlier song may have created it.
        let targets = to_write(targets, self.existing())?;
        if targets.is_empty() {
            notice(format_args!("{}: its stems exist", song.path.display()));
            return Ok(Entry::Skipped { song: text(&song.path) });
        }
        Ok(Entry::Separated(job.separate(song, &targets, label)?))
    }
}

fn to_stdout(job: &Job<'_>, found: Vec<Found>, outputs: &[Output]) -> anyhow::Result<()> {
    let [stem] = outputs else {
        let fact = format!("standard output can take one stem, not {}", outputs.len());
        return Err(advised(fact, "Choose it with `--stems`."));
    };
    for found in found {
        let song = found.map_err(|(_, error)| error)?;
        let label = Path::new(song.path.file_name().unwrap_or_default()).display().to_string();
        job.separate_to_stdout(&song, stem, &label).map_err(|error| out_of_memory().unwrap_or(error))?;
    }
    Ok(())
}
