//! Songs that are made while a run needs them, so that none is heard for long.
//!
//! This crate does not make songs. A front end registers a function that does. The songs of a series have numbers, and a
//! maker gives the same song for the same number. Segment `k` takes its excerpts from a window of songs that moves on
//! with `k`. The data therefore depend on the seed and on `k` alone. Songs are made on the threads of the loader, by the
//! first that needs them, and the newest are kept.

use crate::data::dataset::{
    DataError, DataOptions, Dataset, Excerpt, Series, TrackBlock, TrackInfo, TrackReader,
};
use crate::data::recipe::Recipe;
use crate::data::source::add;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use unbraid_base::Stereo;

/// Songs from which a segment draws.
const WINDOW: u64 = 16;

/// Songs that are kept: the window, and those that it has left while slower threads still need them.
const KEPT: usize = WINDOW as usize + 4;

/// Segments that a song is used for, on average.
const EXCERPTS: f64 = 8.0;

/// Songs for validation, if no folder has some.
pub(crate) const VALIDATION: u64 = 4;

/// Excerpts that are drawn before a quiet one is taken.
const TRIES: usize = 8;

/// The reason why a song cannot be made.
pub type MakeError = Box<dyn std::error::Error + Send + Sync>;

/// Makes the songs of a series. The same number gives the same song.
pub trait SongMaker: Send + Sync {
    /// The names of the stems of every song.
    fn stems(&self) -> Vec<String>;

    /// Song number `index` for training: one signal per stem, all equally long, within ±1.
    ///
    /// # Errors
    /// If the song cannot be made.
    fn song(&self, index: u64) -> Result<Vec<Stereo>, MakeError>;

    /// Song number `index` for validation. It is not among those for training.
    ///
    /// # Errors
    /// If the song cannot be made.
    fn validation_song(&self, index: u64) -> Result<Vec<Stereo>, MakeError>;
}

/// Prepares the songs of a recipe at a sample rate in Hz, for a seed.
pub type MakeSongs = fn(&Recipe, u32, u64) -> Result<Box<dyn SongMaker>, MakeError>;

static MAKERS: OnceLock<MakeSongs> = OnceLock::new();

/// Registers the function that makes the songs of recipes in this process. The first registration counts.
pub fn register_song_makers(make: MakeSongs) {
    MAKERS.set(make).ok();
}

/// A song in memory: the model's stems with 16 bits per sample, `[s][c][n]`.
struct Made(Vec<[Vec<i16>; 2]>);

/// The place of a song. It is empty until a thread has made the song.
type Place = Arc<Mutex<Option<Arc<Made>>>>;

/// A series of songs, for a model's stems.
struct Endless {
    maker: Box<dyn SongMaker>,
    /// The model's stem of each of the maker's stems.
    places: Vec<Option<usize>>,
    stems: usize,
    /// The recipe with the names of its files and folders without their parents: data may move.
    name: String,
    /// The recipe as people wrote it.
    text: String,
    /// Share of the excerpts that come from it.
    share: f64,
    /// Segments for which a song is used.
    excerpts: f64,
    /// Songs by their numbers, the most recently used last.
    kept: Mutex<VecDeque<(u64, Place)>>,
}

impl Endless {
    /// Prepares the songs of a recipe, which are a `share` of all excerpts.
    ///
    /// # Errors
    /// If no maker is registered, an option has no meaning, or the songs lack a stem.
    fn open(
        recipe: &Recipe,
        share: f64,
        stems: &[String],
        (rate, seed): (u32, u64),
        options: &DataOptions,
    ) -> Result<Self, DataError> {
        let failed = |source| DataError::Recipe { recipe: recipe.to_string(), source };
        let excerpts = recipe.number("excerpts").map_err(failed)?.unwrap_or(EXCERPTS);
        if excerpts <= 0.0 {
            return Err(failed("excerpts must be above 0".into()));
        }
        let make = MAKERS.get().ok_or_else(|| failed("this program makes no songs".into()))?;
        let maker = make(&recipe.without(&["excerpts", "validation"]), rate, seed).map_err(failed)?;
        let place = |name: &String| {
            let stem = options.stems_map.get(name).unwrap_or(name);
            stems.iter().position(|known| known == stem)
        };
        let places: Vec<Option<usize>> = maker.stems().iter().map(place).collect();
        let missing = (0..stems.len()).find(|stem| !places.contains(&Some(*stem)));
        if let Some(stem) = missing.filter(|_| !options.missing_is_silent) {
            let known = maker.stems().join(", ");
            return Err(failed(format!("its songs have no stem {}, only {known}", stems[stem]).into()));
        }
        let bare = |path: &PathBuf| path.file_name().map_or_else(|| path.clone(), PathBuf::from);
        let (name, text) = (recipe.map_paths(bare).to_string(), recipe.to_string());
        Ok(Self { maker, places, stems: stems.len(), name, text, share, excerpts, kept: Mutex::default() })
    }

    /// Song number `index`. Another thread that needs the same song waits until it is made.
    fn song(&self, index: u64) -> Result<Arc<Made>, DataError> {
        let place = {
            let mut kept = lock(&self.kept);
            let known = kept.iter().position(|(known, _)| *known == index);
            let entry = known.and_then(|known| kept.remove(known)).unwrap_or_else(|| (index, Arc::default()));
            let place = Arc::clone(&entry.1);
            kept.push_back(entry);
            if kept.len() > KEPT {
                kept.pop_front();
            }
            place
        };
        let mut place = lock(&place);
        if let Some(song) = &*place {
            return Ok(Arc::clone(song));
        }
        let song = Arc::new(self.made(self.maker.song(index))?);
        *place = Some(Arc::clone(&song));
        Ok(song)
    }

    /// The model's stems of a song.
    fn made(&self, song: Result<Vec<Stereo>, MakeError>) -> Result<Made, DataError> {
        let song = song.map_err(|source| DataError::Recipe { recipe: self.text.clone(), source })?;
        let frames = song[0][0].len();
        let mut stems = vec![[vec![0.0; frames], vec![0.0; frames]]; self.stems];
        for (place, signal) in self.places.iter().zip(&song) {
            if let Some(place) = place {
                add(&mut stems[*place], signal);
            }
        }
        let rounded = |x: &f32| (x * 32_768.0).round() as i16; // saturates
        let rounded = |stem: &Stereo| stem.each_ref().map(|side| side.iter().map(rounded).collect());
        Ok(Made(stems.iter().map(rounded).collect()))
    }
}

impl Series for Endless {
    fn name(&self) -> &str {
        &self.name
    }

    fn share(&self) -> f64 {
        self.share
    }

    fn excerpt(&self, wanted: &Excerpt) -> Result<Vec<Stereo>, DataError> {
        let mut rng = ChaCha8Rng::seed_from_u64(wanted.random);
        let samples = wanted.samples;
        let first = (wanted.segment as f64 * self.share / self.excerpts) as u64;
        let mut tries = 0;
        loop {
            let song = self.song(first + rng.random_range(0..WINDOW))?;
            let start = rng.random_range(0..=song.frames().saturating_sub(samples));
            let stems = wanted.stems.clone().map(|stem| song.read(stem, start, samples));
            let stems: Vec<Stereo> = stems.collect();
            let sum = |stem: &Stereo| stem.iter().flatten().map(|x| x.abs()).sum::<f32>();
            let loudest = stems.iter().map(sum).fold(0.0, f32::max) / (2 * samples).max(1) as f32;
            tries += 1;
            if loudest >= wanted.level || tries == TRIES {
                return Ok(stems);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A thread that has panicked leaves a place empty or filled.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Made {
    fn frames(&self) -> usize {
        self.0[0][0].len()
    }

    /// `samples` of a stem from sample `start` on. Beyond the end there is silence.
    fn read(&self, stem: usize, start: usize, samples: usize) -> Stereo {
        self.0[stem].each_ref().map(|side| {
            let end = (start + samples).min(side.len());
            let heard = side.get(start..end).unwrap_or_default();
            let mut signal: Vec<f32> = heard.iter().map(|x| f32::from(*x) / 32_768.0).collect();
            signal.resize(samples, 0.0);
            signal
        })
    }
}

/// A series of songs as a data set, whose tracks are its songs for validation.
pub(crate) struct EndlessSongs {
    endless: Arc<Endless>,
    songs: Vec<Arc<Made>>,
    tracks: Vec<TrackInfo>,
}

impl EndlessSongs {
    /// Prepares the songs of a recipe, which are a `share` of all excerpts. The songs for validation are made at once:
    /// `validation`, unless the recipe says how many.
    ///
    /// # Errors
    /// If no maker is registered, an option has no meaning, the songs lack a stem, or one cannot be made.
    pub(crate) fn open(
        recipe: &Recipe,
        share: f64,
        validation: u64,
        stems: &[String],
        rate_and_seed: (u32, u64),
        options: &DataOptions,
    ) -> Result<Self, DataError> {
        let failed = |source| DataError::Recipe { recipe: recipe.to_string(), source };
        let count = recipe.number("validation").map_err(failed)?.map_or(validation, |count| count as u64);
        let endless = Endless::open(recipe, share, stems, rate_and_seed, options)?;
        let make = |index| endless.made(endless.maker.validation_song(index)).map(Arc::new);
        let songs: Vec<Arc<Made>> = (0..count).into_par_iter().map(make).collect::<Result<_, _>>()?;
        let track = |(index, song): (usize, &Arc<Made>)| TrackInfo {
            name: format!("{} {}", recipe.scheme, index + 1),
            frames: song.frames() as u64,
        };
        let tracks = songs.iter().enumerate().map(track).collect();
        Ok(Self { endless: Arc::new(endless), songs, tracks })
    }
}

impl Dataset for EndlessSongs {
    fn tracks(&self) -> &[TrackInfo] {
        &self.tracks
    }

    fn stems(&self) -> usize {
        self.endless.stems
    }

    fn held_out(&self) -> usize {
        self.tracks.len()
    }

    fn series(&self) -> Vec<Arc<dyn Series>> {
        vec![Arc::clone(&self.endless) as Arc<dyn Series>]
    }

    fn read(&self, track: usize, stem: usize, start: u64, samples: usize) -> Result<Stereo, DataError> {
        Ok(self.songs[track].read(stem, start as usize, samples))
    }

    fn open(&self, track: usize) -> Result<Box<dyn TrackReader>, DataError> {
        Ok(Box::new(MadeReader { song: Arc::clone(&self.songs[track]), at: 0 }))
    }
}

struct MadeReader {
    song: Arc<Made>,
    at: usize,
}

impl TrackReader for MadeReader {
    fn read(&mut self, frames: usize) -> Result<TrackBlock, DataError> {
        let stems: Vec<Stereo> = (0..self.song.0.len()).map(|s| self.song.read(s, self.at, frames)).collect();
        self.at += frames;
        let mut mixture = [vec![0.0; frames], vec![0.0; frames]];
        stems.iter().for_each(|stem| add(&mut mixture, stem));
        Ok(TrackBlock { mixture, stems })
    }
}

#[cfg(test)]
mod tests;
