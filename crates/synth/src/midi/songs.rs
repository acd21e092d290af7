//! Songs of a series: song `k` of a seed, rendered in memory.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use unbraid_audio::AudioError;
use unbraid_base::Stereo;
use unbraid_effects::Effects;
use unbraid_effects::math::gain_from_db;
use unbraid_effects::random::Random;

use super::font::Font;
use super::font_problem::FontProblem;
use super::score::{MidiProblem, MidiScore, Part};
use super::{render, takes};
use crate::composition::Score;
use crate::dataset::Options;
use crate::song::{RATES, STEMS, finish, remove_offset, sum};
use crate::voice;

/// The lengths that a song may have at most, in seconds. Memory per thread grows with it: about 2 MiB per second.
pub(super) const LIMITS: std::ops::RangeInclusive<f64> = 1.0..=600.0;

/// The release of the last notes, in seconds.
const TAIL: f64 = 1.5;

/// Where the voice comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vocals {
    /// The vocals are silent.
    None,
    /// The singer of [`song`](crate::song). Its key and tempo do not follow the song.
    Singer,
    /// Phrases of these recordings.
    Takes(Vec<PathBuf>),
}

/// The properties of the songs.
#[derive(Clone, Debug)]
pub struct MidiOptions {
    /// Selects the series of songs.
    pub seed: u64,
    /// The longest length of a song in seconds, from 1 to 600. A random part of a longer song is taken.
    pub seconds: f64,
    /// Sample rate in Hz, from 16000 to 192000.
    pub rate: u32,
    /// Where the voice comes from.
    pub vocals: Vocals,
}

/// The reason why a song cannot be rendered.
#[derive(Debug, thiserror::Error)]
pub enum MidiError {
    /// An option is out of range, or files are missing.
    #[error("{0}")]
    Options(String),
    /// A MIDI file cannot be opened.
    #[error("cannot read {}: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A MIDI file is damaged or of no use.
    #[error("cannot render {}: {problem}", .path.display())]
    Midi {
        /// The file.
        path: PathBuf,
        /// The reason.
        problem: MidiProblem,
    },
    /// A SoundFont is damaged or of no use.
    #[error("cannot use the SoundFont {}: {problem}", .path.display())]
    Font {
        /// The file.
        path: PathBuf,
        /// The reason.
        problem: FontProblem,
    },
    /// The synthesiser failed on a song. The SoundFont is damaged.
    #[error("cannot render {} with {}: its samples or loops are damaged", .song.display(), .font.display())]
    Rendering {
        /// The MIDI file.
        song: PathBuf,
        /// The SoundFont.
        font: PathBuf,
    },
    /// A recording of a voice cannot be read. The error names it.
    #[error(transparent)]
    Take(#[from] AudioError),
}

/// A song from a MIDI file.
pub struct MidiSong {
    /// The MIDI file.
    pub file: PathBuf,
    /// Drums, bass, other and vocals ([`STEMS`]), each `[c][n]`, all of equal length, in steps of 2⁻¹⁵.
    pub stems: [Stereo; 4],
}

impl MidiSong {
    /// The exact sum of the stems `[c][n]`, within ±1.
    pub fn mixture(&self) -> Stereo {
        sum(&self.stems)
    }

    /// Whether a stem, as an index of [`STEMS`], is silent.
    pub fn is_silent(&self, stem: usize) -> bool {
        self.stems[stem].iter().flatten().all(|x| *x == 0.0)
    }
}

/// An endless series of songs from MIDI files. It can be shared between threads.
#[derive(Clone)]
pub struct MidiSongs {
    pub(super) files: Vec<PathBuf>,
    fonts: Vec<Font>,
    pub(super) options: MidiOptions,
}

impl MidiSongs {
    /// Reads the SoundFonts. The MIDI files are read when they are rendered.
    ///
    /// # Errors
    /// [`MidiError`] if an option is out of range, if there are no MIDI files or no recordings, if a SoundFont cannot be
    /// used, or if no SoundFont has drums (bank 128), basses (programs 33 to 40 of bank 0) or other instruments.
    pub fn open(files: Vec<PathBuf>, fonts: &[PathBuf], options: MidiOptions) -> Result<Self, MidiError> {
        let wrong = |what: String| Err(MidiError::Options(what));
        if !LIMITS.contains(&options.seconds) {
            let (low, high) = (LIMITS.start(), LIMITS.end());
            return wrong(format!("a song lasts {low} to {high} seconds, not {}", options.seconds));
        }
        if !(16_000..=*RATES.end()).contains(&options.rate) {
            return wrong(format!("the sample rate is 16000 to {} Hz, not {}", RATES.end(), options.rate));
        }
        if files.is_empty() {
            return wrong("there are no MIDI files".into());
        }
        if options.vocals == Vocals::Takes(Vec::new()) {
            return wrong("there are no recordings of vocals".into());
        }
        let read = |path: &PathBuf| {
            Font::read(path).map_err(|problem| MidiError::Font { path: path.clone(), problem })
        };
        let fonts: Vec<Font> = fonts.par_iter().map(read).collect::<Result<_, _>>()?;
        for part in Part::ALL {
            if !fonts.iter().any(|font| font.covers(part)) {
                return wrong(format!("no SoundFont has instruments for the stem {}", STEMS[part as usize]));
            }
        }
        Ok(Self { files, fonts, options })
    }

    /// Divides the files, at random, into a series for training and one for testing, for which a fifth of them are. If
    /// there is only one file, both have it.
    pub fn divided(&self) -> [Self; 2] {
        let order = order(self.options.seed, 0, self.files.len());
        let (train, test) = order.split_at(Options::divide(order.len()).0);
        let of = |files: &[usize]| Self {
            files: files.iter().map(|&file| self.files[file].clone()).collect(),
            ..self.clone()
        };
        [of(train), of(if test.is_empty() { train } else { test })]
    }

    /// Song number `index` of the series, or `None` if it is silent. The files take turns in a random order, and each
    /// song draws its own part of the file, SoundFonts, timing, effects and voice.
    ///
    /// The result depends on the files, the options and `index` only.
    ///
    /// # Errors
    /// [`MidiError`] if the file, or a recording of a voice, cannot be used.
    pub fn song(&self, index: u64) -> Result<Option<MidiSong>, MidiError> {
        let count = self.files.len() as u64;
        let order = order(self.options.seed, index / count, self.files.len());
        self.render(order[(index % count) as usize], index)
    }

    /// Renders a file as song number `index`, or `None` if it is silent.
    pub(super) fn render(&self, file: usize, index: u64) -> Result<Option<MidiSong>, MidiError> {
        let path = &self.files[file];
        let bytes = read_file(path).map_err(|source| MidiError::Read { path: path.clone(), source })?;
        let score = MidiScore::read(&bytes);
        let score = score.map_err(|problem| MidiError::Midi { path: path.clone(), problem })?;
        // Parts 0 to 6 belong to `song`.
        let random = |part: u64| Random::new(self.options.seed, index, 16 + part);
        let (first, last) = score.span();
        let length = last - first + TAIL;
        let spare = length - self.options.seconds;
        let start = first + if spare > 0.0 { random(0).range(0.0, spare) } else { 0.0 };
        let rate = self.options.rate;
        let frames = (length.min(self.options.seconds) * f64::from(rate)).ceil() as usize;
        let mut stems = [(); 4].map(|()| Stereo::default());
        let mut silent = true;
        for part in Part::ALL {
            let mut random = random(1 + part as u64);
            let fonts: Vec<&Font> = self.fonts.iter().filter(|font| font.covers(part)).collect();
            let font = random.pick(&fonts);
            let sound = render::render(&score, part, start, &font.sounds, rate, frames, &mut random);
            let failed = || MidiError::Rendering { song: path.clone(), font: font.path.clone() };
            let sound = sound.ok_or_else(failed)?;
            stems[part as usize] = self.mixed(sound, index, part as usize, &mut random);
            silent &= stems[part as usize][0].iter().chain(&stems[part as usize][1]).all(|x| *x == 0.0);
        }
        if silent {
            return Ok(None);
        }
        let voice = self.voice(frames, &mut random(5))?;
        stems[3] = self.mixed(voice, index, 3, &mut random(6));
        finish(&mut stems, f64::from(rate), &mut random(7));
        Ok(Some(MidiSong { file: path.clone(), stems }))
    }

    fn voice(&self, frames: usize, random: &mut Random) -> Result<Stereo, MidiError> {
        let rate = self.options.rate;
        Ok(match &self.options.vocals {
            Vocals::None => [vec![0.0; frames], vec![0.0; frames]],
            Vocals::Singer => {
                let score = Score::write(frames as f64 / f64::from(rate), random);
                voice::render(&score, f64::from(rate), frames, random).dry
            }
            Vocals::Takes(files) => takes::lay_over(files, rate, frames, random)?,
        })
    }

    /// Sets the level of a stem, and applies effects that are drawn for it. A silent stem stays silent.
    fn mixed(&self, mut sound: Stereo, index: u64, stem: usize, random: &mut Random) -> Stereo {
        let rate = f64::from(self.options.rate);
        let before = level(&sound);
        // −70 dB of full scale is silence.
        if before < 3e-4 {
            sound.iter_mut().for_each(|side| side.fill(0.0));
            return sound;
        }
        sound.iter_mut().for_each(|side| remove_offset(side, rate));
        scale(&mut sound, 0.1 / before);
        let strength = random.range(0.3, 1.0);
        let mut sound =
            Effects::draw(strength, self.options.seed, index, 32 + stem as u64).apply(sound, rate);
        // Levels within 8 dB of each other, so that every stem is worth separating.
        let gain = gain_from_db(random.range(-4.0, 4.0));
        let after = level(&sound);
        scale(&mut sound, 0.1 * gain / after.max(1e-6));
        sound
    }
}

/// The indices of `count` files in a random order.
pub(super) fn order(seed: u64, round: u64, count: usize) -> Vec<usize> {
    let mut random = Random::new(seed, round, 8);
    let mut order: Vec<usize> = (0..count).collect();
    for last in (1..count).rev() {
        order.swap(last, random.below(last + 1));
    }
    order
}

/// Reads a file up to the size that [`MidiScore::read`] accepts, and a byte more.
fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    use io::Read;
    let mut bytes = Vec::new();
    fs::File::open(path)?.take((9 << 20) as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Root mean square over the blocks that are at most 30 dB quieter than the loudest. Pauses do not count.
fn level(sound: &Stereo) -> f64 {
    let powers = || {
        sound[0].chunks(4096).zip(sound[1].chunks(4096)).map(|(l, r)| {
            let total: f64 = l.iter().chain(r).map(|x| f64::from(x * x)).sum();
            total / (2 * l.len()) as f64
        })
    };
    let loudest = powers().fold(0.0, f64::max);
    let heard = powers().filter(|power| *power > 1e-3 * loudest);
    let (count, total) = heard.fold((0.0, 0.0), |(count, total), power| (count + 1.0, total + power));
    (total / f64::max(count, 1.0)).sqrt()
}

fn scale(sound: &mut Stereo, gain: f64) {
    sound.iter_mut().flatten().for_each(|x| *x *= gain as f32);
}
