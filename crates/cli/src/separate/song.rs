//! Separates one song.

use std::path::Path;
use std::time::Instant;

use anyhow::{bail, ensure};
use unbraid_audio::{AudioReader, Format, ReadOptions, Stereo, Tags, WriteOptions};
use unbraid_model::weights::Loaded;
use unbraid_model::{Separator, SeparatorOptions};

use crate::advice::advised;
use crate::interrupt;
use crate::output::notice;
use crate::progress::song_bar;

use super::outputs::Output;
use super::report::SongReport;
use super::staging::Staging;
use super::stem_file::{self, Clip, Finished, StemFile};

/// What is the same for all songs.
#[derive(Clone, Copy)]
pub(super) struct Job<'a> {
    pub(super) loaded: &'a Loaded,
    pub(super) outputs: &'a [Output],
    pub(super) options: SeparatorOptions,
    pub(super) format: Format,
    pub(super) clip: Clip,
    /// Whether the song's tags are carried over.
    pub(super) tags: bool,
    /// Whether existing stems are replaced.
    pub(super) force: bool,
}

impl Job<'_> {
    /// Refuses to replace stems in `target`.
    pub(super) fn refuse_existing(&self, target: &Path) -> anyhow::Result<()> {
        for path in self.outputs.iter().map(|output| output.path(target, self.format)) {
            if !self.force && path.exists() {
                let advice = "`--force` replaces it. `--out DIR` writes to another folder.";
                return Err(advised(format_args!("{} exists", path.display()), advice));
            }
        }
        Ok(())
    }

    /// Separates `song` into the folder `target`.
    pub(super) fn separate(&self, song: &Path, target: &Path) -> anyhow::Result<SongReport> {
        let began = Instant::now();
        let Self { loaded, outputs, format, .. } = *self;
        // Checked again: on a file system that treats two names as one, an earlier song may have created it.
        self.refuse_existing(target)?;
        let rate = loaded.config.sample_rate;
        format.check_rate(rate)?;
        let mut reader = AudioReader::open(song, rate, ReadOptions::NEARLY_COMPLETE)?;
        if let Some(frames) = reader.frames() {
            format.check_length(frames)?;
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
        let tags = self.read_tags(song);
        let open = |output: &Output| {
            let tags = tags.for_stem(&output.name);
            let options = WriteOptions { tags, ..WriteOptions::new(format, rate) };
            StemFile::create(&output.path(folder.path(), format), options, self.clip)
        };
        let mut writers = outputs.iter().map(open).collect::<Result<Vec<_>, _>>()?;
        let mut separator = Separator::new(loaded.model.clone(), self.options)?;
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
        let Finished { clipped, gain_db } = stem_file::finish(writers)?;
        bar.finish_and_clear();
        let names: Vec<_> = outputs.iter().map(|output| output.path(Path::new(""), format)).collect();
        folder.publish(target, &names)?;

        let audio_seconds = samples as f64 / f64::from(rate);
        let wall_seconds = began.elapsed().as_secs_f64();
        let shown = target.display();
        notice(format_args!("{shown}: {audio_seconds:.1} s of music in {wall_seconds:.1} s"));
        if let Some(gain) = gain_db.filter(|&gain| gain < 0.0) {
            notice(format_args!("all stems were lowered by {:.2} dB, to full scale", -gain));
        }
        for (output, &count) in outputs.iter().zip(&clipped) {
            if count > 0 {
                let name = &output.name;
                notice(format_args!(
                    "{name}: {count} samples were clipped at full scale; `--clip rescale` lowers all stems, and \
                     `--format wav32f` keeps them"
                ));
            }
        }
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let stems = names.iter().map(|name| text(&target.join(name))).collect();
        Ok(SongReport { song: text(song), stems, audio_seconds, wall_seconds, clipped, gain_db })
    }

    /// The tags for the stems. A song whose tags cannot be read is separated all the same.
    fn read_tags(&self, song: &Path) -> Tags {
        if !self.tags {
            return Tags::default();
        }
        let (tags, problem) = Tags::read(song);
        if let Some(problem) = problem {
            notice(format_args!("{}: {problem}", song.display()));
        }
        tags
    }
}

/// Writes finished samples, and drops the part of the mixture that belongs to them.
fn write(
    writers: &mut [StemFile],
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
