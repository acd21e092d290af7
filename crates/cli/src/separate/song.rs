//! Separates one song.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::bail;
use unbraid_audio::{AudioError, AudioReader, Format, Notice, ReadOptions, Stereo, Tags, WriteOptions};
use unbraid_model::weights::Loaded;
use unbraid_model::{Separator, SeparatorOptions};

use crate::advice::advised;
use crate::interrupt;
use crate::output::{self, notice};
use crate::progress::SongProgress;

use super::cut::Cut;
use super::outputs::Output;
use super::rate::{StemRate, StemWriter};
use super::report::{SongReport, text};
use super::songs::{Song, Source};
use super::spool::spool;
use super::staging::Staging;
use super::stem_file::{self, Finished, Peaks};
use super::sum::Sum;
use super::targets::Target;

/// What is the same for all songs.
pub(super) struct Job<'a> {
    pub(super) loaded: &'a Loaded,
    pub(super) options: SeparatorOptions,
    pub(super) read: ReadOptions,
    pub(super) cut: Cut,
    pub(super) rate: StemRate,
    pub(super) format: Format,
    pub(super) clip: Peaks,
    /// Whether the song's tags are carried over.
    pub(super) tags: bool,
    /// The folder of all stems.
    pub(super) out: &'a Path,
    /// Whether existing stems are replaced.
    pub(super) replace: bool,
}

/// What was learned about a song while its stems were written.
struct Written {
    files: Finished,
    sum: Sum,
    /// Frames at the model's rate.
    frames: u64,
    song_rate: u32,
    stem_rate: u32,
    notices: Vec<Notice>,
}

impl Job<'_> {
    /// Separates `song`. Its stems appear at `targets`.
    pub(super) fn separate(
        &self,
        song: &Song,
        targets: &[Target],
        label: &str,
    ) -> anyhow::Result<SongReport> {
        let began = Instant::now();
        let paths: Vec<_> = targets.iter().map(|target| target.path.as_path()).collect();
        let outputs: Vec<_> = targets.iter().map(|target| &target.output).collect();
        let mut reader = self.open(song)?;
        // Most bad files fail at the first block, so it is read before anything is created.
        let first = self.first_block(&mut reader)?;
        let folder = Staging::beside(&paths, self.out)?;
        let names: Vec<_> = (0..targets.len()).map(|index| index.to_string()).collect();
        let staged: Vec<_> = names.iter().map(|name| folder.path().join(name)).collect();
        let tags = self.read_tags(song);
        let written = self.write(reader, first, &outputs, &staged, &tags, label);
        let written = written.map_err(|error| in_place_of(&staged, &paths, error))?;
        let files: Vec<_> = names.into_iter().zip(paths.iter().copied()).collect();
        folder.publish(&files, self.replace)?;

        let report = self.report(song, written, paths.iter().map(|path| text(path)).collect(), began);
        self.print(&report, targets);
        Ok(report)
    }

    /// Separates `song` and writes its only stem to standard output when it is complete.
    pub(super) fn separate_to_stdout(&self, song: &Song, stem: &Output, label: &str) -> anyhow::Result<()> {
        let mut reader = self.open(song)?;
        let first = self.first_block(&mut reader)?;
        let folder = Staging::create(&std::env::temp_dir())?;
        let staged = [folder.path().join("stem")];
        self.write(reader, first, &[stem], &staged, &self.read_tags(song), label)?;
        output::copy(File::open(&staged[0])?)
    }

    fn open(&self, song: &Song) -> anyhow::Result<AudioReader> {
        let rate = self.loaded.config.sample_rate;
        let mut reader = match song.source {
            Source::File => AudioReader::open(&song.path, rate, self.read)?,
            Source::Pipe | Source::StandardInput => {
                let extension = song.path.extension().and_then(|extension| extension.to_str());
                AudioReader::from_source(Box::new(spool(song, rate)?), extension, rate, self.read)?
            }
        };
        let first = self.cut.first(rate);
        if first > 0 {
            reader.seek(first)?;
        }
        self.format.check_rate(self.stem_rate(&reader))?;
        if let Some(frames) = self.frames(&reader) {
            let stems = frames as f64 * f64::from(self.stem_rate(&reader)) / f64::from(rate);
            self.format.check_length(stems as u64)?;
        }
        Ok(reader)
    }

    /// The number of frames to separate, at the model's rate. `None` if the file does not state its length.
    fn frames(&self, reader: &AudioReader) -> Option<u64> {
        let rate = self.loaded.config.sample_rate;
        let end = reader.frames()?.min(self.cut.past(rate).unwrap_or(u64::MAX));
        Some(end.saturating_sub(self.cut.first(rate)))
    }

    fn stem_rate(&self, reader: &AudioReader) -> u32 {
        match self.rate {
            StemRate::Model => self.loaded.config.sample_rate,
            StemRate::Song => reader.source().sample_rate,
            StemRate::Hz(hertz) => hertz,
        }
    }

    fn first_block(&self, reader: &mut AudioReader) -> anyhow::Result<Stereo> {
        let block = self.next_block(reader, 0)?;
        if block[0].is_empty() && self.cut.start() > 0.0 {
            let fact = format!("the song ends before {} s", self.cut.start());
            return Err(advised(fact, "Choose an earlier `--start`."));
        }
        Ok(block)
    }

    /// The next second of the song, after `done` frames. It is empty at the end.
    fn next_block(&self, reader: &mut AudioReader, done: u64) -> Result<Stereo, AudioError> {
        let rate = self.loaded.config.sample_rate;
        let left = self.cut.past(rate).map_or(u64::MAX, |past| past - self.cut.first(rate) - done);
        reader.read(u64::from(rate).min(left) as usize)
    }

    /// Separates the rest of `reader`, which begins with `block`, into the files `paths`.
    fn write(
        &self,
        mut reader: AudioReader,
        mut block: Stereo,
        outputs: &[&Output],
        paths: &[PathBuf],
        tags: &Tags,
        label: &str,
    ) -> anyhow::Result<Written> {
        let rate = self.loaded.config.sample_rate;
        let stem_rate = self.stem_rate(&reader);
        let open = |(path, output): (&PathBuf, &&Output)| {
            let tags = tags.for_stem(&output.name);
            let options = WriteOptions { tags, ..WriteOptions::new(self.format, stem_rate) };
            StemWriter::create(path, options, self.clip, rate)
        };
        let mut stems = Stems {
            outputs,
            writers: paths.iter().zip(outputs).map(open).collect::<Result<_, _>>()?,
            mixture: Stereo::default(),
            sum: Sum::default(),
        };
        let mut separator = Separator::new(self.loaded.model.clone(), self.options)?;
        let mut progress = SongProgress::new(label, self.frames(&reader).map(|frames| frames as f64));
        let mut frames = 0;
        while !block[0].is_empty() {
            if interrupt::requested() {
                bail!("interrupted");
            }
            frames += block[0].len() as u64;
            stems.wait_for(&block);
            stems.write(&pollster::block_on(separator.push(&block))?)?;
            progress.set(frames as f64);
            block = self.next_block(&mut reader, frames)?;
        }
        stems.write(&pollster::block_on(separator.finish())?)?;

        let song_rate = reader.source().sample_rate;
        let stem_frames = if stem_rate == song_rate {
            let end = reader.decoded().min(self.cut.past(song_rate).unwrap_or(u64::MAX));
            end.saturating_sub(self.cut.first(song_rate))
        } else {
            (frames as f64 * f64::from(stem_rate) / f64::from(rate)).round() as u64
        };
        let finish = |writer: StemWriter| writer.finish(stem_frames);
        let files = stems.writers.into_iter().map(finish).collect::<Result<_, _>>()?;
        let files = stem_file::finish(files)?;
        let notices = reader.notices().to_vec();
        Ok(Written { files, sum: stems.sum, frames, song_rate, stem_rate, notices })
    }

    /// The tags for the stems. A song whose tags cannot be read is separated all the same. Those of a pipe are not read.
    fn read_tags(&self, song: &Song) -> Tags {
        if !self.tags || song.source != Source::File {
            return Tags::default();
        }
        let (tags, problem) = Tags::read(&song.path);
        if let Some(problem) = problem {
            notice(format_args!("{}: {problem}", song.path.display()));
        }
        tags
    }

    fn report(&self, song: &Song, written: Written, stems: Vec<String>, began: Instant) -> SongReport {
        SongReport {
            song: text(&song.path),
            stems,
            song_sample_rate: written.song_rate,
            sample_rate: written.stem_rate,
            start_seconds: self.cut.start(),
            audio_seconds: written.frames as f64 / f64::from(self.loaded.config.sample_rate),
            wall_seconds: began.elapsed().as_secs_f64(),
            clipped: written.files.clipped,
            gain_db: written.files.gain_db,
            sum_snr_db: written.sum.snr_db(),
            notices: written.notices.iter().map(ToString::to_string).collect(),
        }
    }

    fn print(&self, report: &SongReport, targets: &[Target]) {
        let song = &report.song;
        for fact in &report.notices {
            notice(format_args!("{song}: {fact}"));
        }
        let folder = targets.first().and_then(|target| target.path.parent()).unwrap_or(self.out).display();
        let (audio, wall) = (report.audio_seconds, report.wall_seconds);
        notice(format_args!("{folder}: {audio:.1} s of music in {wall:.1} s"));
        if let Some(snr) = report.sum_snr_db {
            notice(format_args!("all stems of {song} add up to the mixture with an SNR of {snr:.1} dB"));
        }
        if let Some(gain) = report.gain_db.filter(|&gain| gain < 0.0) {
            notice(format_args!("all stems of {song} were lowered by {:.2} dB, to full scale", -gain));
        }
        for (target, &count) in targets.iter().zip(&report.clipped) {
            if count > 0 {
                let name = &target.output.name;
                notice(format_args!(
                    "{name}: {count} samples were clipped at full scale; `--clip rescale` lowers all stems, and \
                     `--format wav32f` keeps them"
                ));
            }
        }
    }
}

/// The error of writing a temporary file, with the name of the file that it would have become.
fn in_place_of(staged: &[PathBuf], paths: &[&Path], error: anyhow::Error) -> anyhow::Error {
    match error.downcast::<AudioError>() {
        Ok(AudioError { path, problem }) => {
            let index = staged.iter().position(|staged| Some(staged) == path.as_ref());
            let path = index.map_or(path, |index| Some(paths[index].to_owned()));
            AudioError { path, problem }.into()
        }
        Err(error) => error,
    }
}

/// The stems that are being written.
struct Stems<'a> {
    outputs: &'a [&'a Output],
    writers: Vec<StemWriter>,
    /// The part of the mixture whose stems are not finished yet.
    mixture: Stereo,
    sum: Sum,
}

impl Stems<'_> {
    /// Keeps a block of the mixture until its stems are finished.
    fn wait_for(&mut self, block: &Stereo) {
        for (waiting, new) in self.mixture.iter_mut().zip(block) {
            waiting.extend(new);
        }
    }

    /// Writes finished samples, and drops the part of the mixture that belongs to them.
    fn write(&mut self, stems: &[Stereo]) -> anyhow::Result<()> {
        let Some(finished) = stems.first().map(|stem| stem[0].len()) else { return Ok(()) };
        let mixture = self.mixture.each_mut().map(|waiting| waiting.drain(..finished).collect());
        self.sum.add(&mixture, stems);
        for (writer, output) in self.writers.iter_mut().zip(self.outputs) {
            let stem = &stems[output.stem];
            if output.rest {
                let rest = |side: usize| mixture[side].iter().zip(&stem[side]).map(|(m, s)| m - s).collect();
                writer.write(&[rest(0), rest(1)])?;
            } else {
                writer.write(stem)?;
            }
        }
        Ok(())
    }
}
