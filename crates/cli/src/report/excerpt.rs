//! An excerpt of a validation song: what each run's model makes of it, as audio and as pictures.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use burn::tensor::Device;
use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, ensure};
use unbraid_audio::{AudioWriter, Format};
use unbraid_base::{Stereo, snr_db};
use unbraid_model::weights::{self, Loaded};
use unbraid_model::{Separator, SeparatorOptions};
use unbraid_train::{Dataset, TrainConfig, open_training_data};

use super::html::escape;
use super::run::Run;
use super::spectrogram;

/// Audio of the page in seconds, over all players: 10 MB as flac in base64, at 44.1 kHz.
const ALL_SECONDS: f64 = 58.0;

/// The excerpt's length in seconds.
const LONGEST: f64 = 8.0;
const SHORTEST: f64 = 2.0;

/// Seconds of a song in which the excerpt may lie.
const SEARCHED: usize = 300;

/// The section of the page: mixture, and per stem the truth and every run's estimate.
///
/// # Errors
/// If the data set is not there any more, no run has a model, or a separation fails.
pub(super) fn section(runs: &[Run], device: &Device) -> anyhow::Result<String> {
    let models: Vec<(&Run, Loaded)> = runs
        .iter()
        .filter(|run| run.folder.model().is_file())
        .map(|run| Ok((run, weights::load(&run.folder.model(), device)?)))
        .collect::<anyhow::Result<_>>()?;
    let (run, first) = models.first().context("there is no exported model yet")?;
    let (stems, rate) = (&first.config.stems, first.config.sample_rate);
    for (_, loaded) in &models {
        let same = loaded.config.sample_rate == rate && loaded.config.stems == *stems;
        ensure!(same, "the runs have models with different stems or sample rates");
    }
    let players = 1 + stems.len() * (1 + models.len());
    let seconds = (ALL_SECONDS / players as f64).clamp(SHORTEST, LONGEST);
    let Excerpt { song, start, mixture, truth } = excerpt(&run.config, stems, rate, seconds)?;
    let from = format!("{}:{:02}", start / 60, start % 60);
    let mut html = format!(
        "<p>{seconds:.0} s of “{}” from {from}, of the validation songs. SDR: of the excerpt, over both channels.</p>\n\
         <div class=\"cards\">{}</div>\n",
        escape(&song),
        card("mixture", "", &mixture, rate)?
    );
    let mut estimates = Vec::with_capacity(models.len());
    for (run, loaded) in &models {
        estimates.push((run, separate(loaded, &mixture)?));
    }
    for (index, stem) in stems.iter().enumerate() {
        write!(
            html,
            "<h3>{}</h3><div class=\"cards\">{}",
            escape(stem),
            card("truth", "", &truth[index], rate)?
        )?;
        for (run, stems) in &estimates {
            let name = if runs.len() == 1 { "estimate" } else { &run.name };
            let sdr = snr_db(samples(&truth[index]), samples(&stems[index]));
            let note = if sdr.is_finite() { format!("SDR {sdr:.1} dB") } else { String::new() };
            html += &card(name, &note, &stems[index], rate)?;
        }
        html += "</div>\n";
    }
    Ok(html)
}

fn samples(audio: &Stereo) -> impl Iterator<Item = f64> {
    audio.iter().flatten().map(|sample| f64::from(*sample))
}

/// A part of a song.
struct Excerpt {
    song: String,
    /// Its first second.
    start: usize,
    mixture: Stereo,
    truth: Vec<Stereo>,
}

/// The place of the first validation song where its stems sound most.
fn excerpt(config: &TrainConfig, stems: &[String], rate: u32, seconds: f64) -> anyhow::Result<Excerpt> {
    let (dataset, songs) = open_training_data(config, stems, rate)?;
    // Of stems that are known only as a sum there is no truth to hear.
    let known = songs.validation.iter().find(|song| dataset.grouping(**song).is_separate());
    let track = *known.context("no song with all its stems is kept for validation")?;
    let start = liveliest(&*dataset, track, rate, seconds)?;
    let mut reader = dataset.open(track)?;
    for _ in 0..start {
        reader.read(rate as usize)?;
    }
    let frames = (seconds * f64::from(rate)) as usize;
    let left = dataset.tracks()[track].frames.saturating_sub(start as u64 * u64::from(rate));
    let block = reader.read(frames.min(left as usize))?;
    let song = dataset.tracks()[track].name.clone();
    Ok(Excerpt { song, start, mixture: block.mixture, truth: block.stems })
}

/// The second at which the excerpt starts: where the stems' levels, in dB above −60 dBFS, have the largest sum.
fn liveliest(dataset: &dyn Dataset, track: usize, rate: u32, seconds: f64) -> anyhow::Result<usize> {
    let whole = (dataset.tracks()[track].frames / u64::from(rate)) as usize;
    let mut reader = dataset.open(track)?;
    let mut levels = Vec::new();
    for _ in 0..whole.min(SEARCHED) {
        let block = reader.read(rate as usize)?;
        let level = |stem: &Stereo| {
            let power = samples(stem).map(|sample| sample * sample).sum::<f64>() / f64::from(2 * rate);
            (10.0 * power.max(1e-9).log10() + 60.0).max(0.0)
        };
        levels.push(block.stems.iter().map(level).sum::<f64>());
    }
    let length = (seconds.ceil() as usize).min(levels.len()).max(1);
    let sums = levels.windows(length).map(|window| window.iter().sum::<f64>());
    Ok(sums.enumerate().max_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(start, _)| start))
}

fn separate(loaded: &Loaded, mixture: &Stereo) -> anyhow::Result<Vec<Stereo>> {
    let segment = (loaded.segment_seconds() * f64::from(loaded.config.sample_rate)).round() as usize;
    let options = SeparatorOptions { segment, overlap: SeparatorOptions::DEFAULT_OVERLAP, batch: 1 };
    let mut separator = Separator::new(loaded.model.clone(), options)?;
    let mut stems = pollster::block_on(separator.push(mixture))?;
    let rest = pollster::block_on(separator.finish())?;
    for (channel, rest) in stems.iter_mut().flatten().zip(rest.into_iter().flatten()) {
        channel.extend(rest);
    }
    Ok(stems)
}

/// A picture with a player.
fn card(name: &str, note: &str, audio: &Stereo, rate: u32) -> anyhow::Result<String> {
    let picture = STANDARD.encode(spectrogram::png(audio, rate));
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("excerpt.flac");
    let (kind, bytes) = encoded(&path, audio, rate)?;
    let sound = STANDARD.encode(bytes);
    let name = escape(name);
    Ok(format!(
        "<figure class=\"card\"><figcaption><b>{name}</b> <small>{}</small></figcaption>\
         <img alt=\"spectrogram of {name}\" src=\"data:image/png;base64,{picture}\">\
         <audio controls preload=\"metadata\" src=\"data:audio/{kind};base64,{sound}\"></audio></figure>",
        escape(note)
    ))
}

/// The bytes of a flac, or of a wav at a rate that flac cannot have.
fn encoded(path: &Path, audio: &Stereo, rate: u32) -> anyhow::Result<(&'static str, Vec<u8>)> {
    let flac = Format::Flac16.check_rate(rate).is_ok();
    let (kind, format) = if flac { ("flac", Format::Flac16) } else { ("wav", Format::Wav16) };
    let mut writer = AudioWriter::create(path, format, rate)?;
    writer.write(audio)?;
    writer.finish()?;
    Ok((kind, std::fs::read(path)?))
}
