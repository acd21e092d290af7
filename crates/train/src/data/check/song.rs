//! The check of one song. Its files are read once, a second at a time, so memory does not grow with their length.

use crate::data::check::align::{Peak, correlate};
use crate::data::check::meter::Meter;
use crate::data::check::report::{Fault, FaultKind, FileCheck};
use crate::data::dataset::DataError;
use crate::data::listing::SongFiles;
use crate::data::songs::LENGTH_SLACK;
use crate::data::source::{Source, add};
use std::path::Path;
use unbraid_audio::{AudioError, AudioReader, Problem};
use unbraid_base::Stereo;

/// Least ratio of the mixture to its difference from the sum of the stems, dB: for uncompressed files, and if a codec
/// has added noise to some.
const LEAST_SUM: [f64; 2] = [30.0, 15.0];

/// The largest ratio that is reported, dB.
const MOST_SUM: f64 = 120.0;

/// Peak of a silent file: −80 dB of full scale, three steps of a 16-bit sample.
const SILENT: f32 = 1e-4;

/// Seconds of the excerpt in which a shift is looked for, and the largest shift.
const EXCERPT: (u64, f64) = (6, 1.0);

/// Least correlation of a stem with its part of the mixture that explains a difference.
const EXPLAINS: f64 = 0.7;

/// A measured file.
pub(super) struct Measured {
    pub(super) source: Source,
    /// `None` for the mixture.
    pub(super) stem: Option<usize>,
    pub(super) rate: u32,
    /// Its length at its own rate. `None` if the file does not state it.
    pub(super) frames: Option<u64>,
    pub(super) meter: Meter,
}

/// The result of a song's check.
pub(super) struct Checked {
    pub(super) name: String,
    pub(super) sum: Option<f64>,
    pub(super) files: Vec<Measured>,
    pub(super) faults: Vec<Fault>,
}

struct Open {
    source: Source,
    stem: Option<usize>,
    /// `None` after an error.
    reader: Option<AudioReader>,
    rate: u32,
    frames: Option<u64>,
    lossy: bool,
    meter: Meter,
}

/// Checks `song`, whose name with its part is `name`. `stems` are the names of the model's stems.
pub(super) fn check(song: &SongFiles, name: &str, root: &Path, stems: &[String]) -> Checked {
    let mut checked = Checked { name: name.to_owned(), sum: None, files: Vec::new(), faults: Vec::new() };
    let mut fault = |kind, file: Option<String>, detail: String| {
        checked.faults.push(Fault { kind, song: name.to_owned(), file, detail });
    };
    let label = |source: &Source| source.name(root);
    let sources =
        song.stems.iter().enumerate().flat_map(|(stem, files)| files.iter().map(move |f| (Some(stem), f)));
    let mut open = Vec::new();
    let mut readable = true;
    for (stem, source) in sources.chain(song.mixture.iter().map(|mixture| (None, mixture))) {
        match opened(source, stem) {
            Ok(file) => open.push(file),
            Err(error) => {
                readable = false;
                fault(kind_of(&error), Some(label(source)), error.problem.to_string());
            }
        }
    }
    let rate = most_common(open.iter().map(|file| file.rate)).unwrap_or(44_100);
    for file in open.iter_mut().filter(|file| file.rate != rate) {
        // The others are read as they are. A file of another rate is resampled to be compared with them.
        file.reader = file.source.open(rate).ok();
    }
    let mut products = Products::new(stems.len());
    loop {
        let mut signals = vec![[vec![0.0; rate as usize], vec![0.0; rate as usize]]; stems.len() + 1];
        let mut ended = true;
        for file in &mut open {
            let Some(reader) = &mut file.reader else { continue };
            match reader.read(rate as usize) {
                Ok(block) if block[0].is_empty() => {}
                Ok(block) => {
                    ended &= block[0].len() < rate as usize;
                    file.meter.push(&block);
                    add(&mut signals[file.stem.unwrap_or(stems.len())], &block);
                }
                Err(error) => {
                    readable = false;
                    file.reader = None;
                    fault(kind_of(&error), Some(label(&file.source)), error.problem.to_string());
                }
            }
        }
        products.push(&signals);
        if ended {
            break;
        }
    }
    let lossy = open.iter().any(|file| file.lossy);
    checked.files = open
        .into_iter()
        .filter(|file| file.reader.is_some())
        .map(|file| Measured {
            source: file.source,
            stem: file.stem,
            rate: file.rate,
            frames: file.frames,
            meter: file.meter,
        })
        .collect();
    for file in &checked.files {
        if file.meter.peak < SILENT {
            fault(
                FaultKind::Silent,
                Some(label(&file.source)),
                format!("its largest sample is {:e}", file.meter.peak),
            );
        } else if let Some(flat) = file.meter.clipped() {
            let detail = format!("{flat} samples lie in flat tops at {:.3} of full scale", file.meter.peak);
            fault(FaultKind::Clipped, Some(label(&file.source)), detail);
        }
    }
    let frames = |file: &&Measured| file.meter.frames;
    let (shortest, longest) =
        (checked.files.iter().min_by_key(frames), checked.files.iter().max_by_key(frames));
    if let (Some(shortest), Some(longest)) = (shortest, longest)
        && longest.meter.frames - shortest.meter.frames > LENGTH_SLACK
    {
        let seconds = |file: &Measured| file.meter.frames as f64 / f64::from(rate);
        let detail = format!(
            "it has {:.3} s and {} has {:.3} s",
            seconds(shortest),
            label(&longest.source),
            seconds(longest)
        );
        fault(FaultKind::Length, Some(label(&shortest.source)), detail);
        readable = false;
    }
    // A stem without a file is reported as missing, and then no sum is expected.
    if !readable
        || song.mixture.is_none()
        || song.grouping.sources().any(|first| song.stems[first].is_empty())
        || products.mixture() <= 0.0
    {
        return checked;
    }
    let sum = products.sum();
    checked.sum = Some(sum);
    if sum < LEAST_SUM[usize::from(lossy)] {
        let explained = explain(song, &products, rate, stems);
        let (kind, file, detail) =
            explained.unwrap_or((FaultKind::Sum, None, "the mixture is not the sum of the stems".into()));
        let detail = format!("{detail} (mixture to difference: {sum:.1} dB)");
        checked.faults.push(Fault { kind, song: name.to_owned(), file, detail });
    }
    checked
}

/// The facts about a file for the report.
pub(super) fn facts(file: &Measured, root: &Path) -> FileCheck {
    FileCheck {
        name: file.source.name(root),
        rate: file.rate,
        seconds: file.frames.unwrap_or(file.meter.frames) as f64 / f64::from(file.rate),
        level: file.meter.level(),
        peak: file.meter.peak,
    }
}

fn opened(source: &Source, stem: Option<usize>) -> Result<Open, AudioError> {
    let (reader, rate) = source.open_at_own_rate()?;
    let (format, frames) = (reader.source().format, reader.source().frames);
    let lossy = !["wav", "w64", "caf", "aiff", "au", "flac", "alac"].iter().any(|name| format.contains(name));
    Ok(Open {
        source: source.clone(),
        stem,
        reader: Some(reader),
        rate,
        frames,
        lossy,
        meter: Meter::default(),
    })
}

fn kind_of(error: &AudioError) -> FaultKind {
    match error.problem {
        Problem::NonFinite { .. } => FaultKind::NotFinite,
        _ => FaultKind::Unreadable,
    }
}

/// The most common number, the smallest of several.
pub(super) fn most_common(numbers: impl Iterator<Item = u32>) -> Option<u32> {
    let mut counts = std::collections::BTreeMap::new();
    for number in numbers {
        *counts.entry(number).or_insert(0_u64) += 1;
    }
    counts
        .into_iter()
        .max_by_key(|(number, count)| (*count, std::cmp::Reverse(*number)))
        .map(|(number, _)| number)
}

/// The inner products of the stems and the mixture, and the energy of each in each second.
struct Products {
    sums: Vec<Vec<f64>>,
    seconds: Vec<Vec<f64>>,
}

impl Products {
    fn new(stems: usize) -> Self {
        Self { sums: vec![vec![0.0; stems + 1]; stems + 1], seconds: vec![Vec::new(); stems + 1] }
    }

    fn push(&mut self, signals: &[Stereo]) {
        for i in 0..signals.len() {
            for j in i..signals.len() {
                let product: f64 = (0..2)
                    .map(|c| {
                        let pairs = signals[i][c].iter().zip(&signals[j][c]);
                        pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>()
                    })
                    .sum();
                self.sums[i][j] += product;
                if i == j {
                    self.seconds[i].push(product);
                } else {
                    self.sums[j][i] += product;
                }
            }
        }
    }

    fn mixture(&self) -> f64 {
        self.sums[self.sums.len() - 1][self.sums.len() - 1]
    }

    /// The mixture relative to its difference from the sum of the stems, dB.
    fn sum(&self) -> f64 {
        let stems = self.sums.len() - 1;
        let sign = |i: usize| if i < stems { -1.0 } else { 1.0 };
        let mut difference = 0.0;
        for (i, row) in self.sums.iter().enumerate() {
            difference += row.iter().enumerate().map(|(j, product)| sign(i) * sign(j) * product).sum::<f64>();
        }
        let ratio = 10.0 * (self.mixture() / difference.max(0.0)).log10();
        ratio.min(MOST_SUM)
    }

    /// The first frame of the excerpt in which signal `i` is loudest.
    fn loudest(&self, i: usize, rate: u32) -> u64 {
        let seconds = &self.seconds[i];
        let window = (EXCERPT.0 as usize).min(seconds.len());
        let energy = |start: &usize| seconds[*start..*start + window].iter().sum::<f64>();
        let start = (0..=seconds.len() - window).max_by(|a, b| energy(a).total_cmp(&energy(b)));
        start.unwrap_or(0) as u64 * u64::from(rate)
    }
}

type Explanation = (FaultKind, Option<String>, String);

/// The reason why the stems do not sum to the mixture, if it is a shift, a sign or a factor: of one stem, or of all.
fn explain(song: &SongFiles, products: &Products, rate: u32, stems: &[String]) -> Option<Explanation> {
    let frames = EXCERPT.0 as usize * rate as usize;
    let most = (EXCERPT.1 * f64::from(rate)) as usize;
    let mut best: Option<(f64, Explanation)> = None;
    for candidate in 0..=stems.len() {
        let start = products.loudest(candidate, rate);
        let signals = excerpt(song, start, frames, rate).ok()?;
        let (parts, mixture) = signals.split_at(stems.len());
        let mut rest = mixture[0].clone();
        let mut signal = [vec![0.0; frames], vec![0.0; frames]];
        for (stem, part) in parts.iter().enumerate() {
            if candidate == stem || candidate == stems.len() {
                add(&mut signal, part);
            } else {
                add(&mut rest, &part.each_ref().map(|channel| channel.iter().map(|x| -x).collect()));
            }
        }
        let Some(peak) = correlate(&rest, &signal, most) else { continue };
        let who = (candidate < stems.len()).then(|| song.grouping.name(candidate, stems));
        if let Some(explanation) = explanation(peak, who, rate)
            && best.as_ref().is_none_or(|(value, _)| peak.value.abs() > *value)
        {
            best = Some((peak.value.abs(), explanation));
        }
    }
    best.map(|(_, explanation)| explanation)
}

/// The fault that a correlation with the mixture shows. `who` is the stem; `None` for the sum of all stems.
fn explanation(peak: Peak, who: Option<String>, rate: u32) -> Option<Explanation> {
    let subject = who.clone().unwrap_or_else(|| "the sum of the stems".into());
    let shift = peak.lag.unsigned_abs();
    let milliseconds = 1000.0 * shift as f64 / f64::from(rate);
    let direction = if peak.lag > 0 { "early" } else { "late" };
    let shifted = format!("{subject} is {shift} samples ({milliseconds:.1} ms) too {direction}");
    // A periodic signal resembles itself at other lags too, though not more.
    let is_shifted = shift > 0 && peak.value.abs() > peak.at_zero.abs() + 0.1;
    if peak.value.abs() < EXPLAINS {
        None
    } else if peak.value < 0.0 {
        let also = if is_shifted { format!("; {shifted}") } else { String::new() };
        Some((FaultKind::Inverted, who, format!("{subject} has the opposite sign in the mixture{also}")))
    } else if is_shifted {
        Some((FaultKind::Misaligned, who, shifted))
    } else if peak.at_zero > 0.98 && (peak.gain - 1.0).abs() > 0.02 {
        let decibels = 20.0 * peak.gain.log10();
        Some((FaultKind::Sum, who, format!("{subject} has another level in the mixture: {decibels:+.1} dB")))
    } else {
        None
    }
}

/// The stems and the mixture from frame `start` on.
fn excerpt(song: &SongFiles, start: u64, frames: usize, rate: u32) -> Result<Vec<Stereo>, DataError> {
    let mut signals = Vec::new();
    for files in song.stems.iter().map(Vec::as_slice).chain([song.mixture.as_slice()]) {
        let mut sum = [vec![0.0; frames], vec![0.0; frames]];
        for file in files {
            add(&mut sum, &file.read(start, frames, rate)?);
        }
        signals.push(sum);
    }
    Ok(signals)
}
