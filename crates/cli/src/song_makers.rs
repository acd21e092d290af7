//! The songs that training makes as it needs them: the recipes `synth:` and `midi:` of the setting `data`.

use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use unbraid_base::Stereo;
use unbraid_synth::{MidiOptions, MidiSongs, RATES, STEMS, Vocals, find_files, song};
use unbraid_train::{MakeError, Recipe, SongMaker};

/// Extensions of MIDI files.
pub(crate) const MIDI: [&str; 3] = ["mid", "midi", "kar"];

/// Extensions of recordings of voices.
pub(crate) const AUDIO: [&str; 9] = ["wav", "flac", "ogg", "oga", "opus", "mp3", "m4a", "aif", "aiff"];

/// Length of a song in seconds. A song is kept while segments are drawn from it: 0.7 MB per second.
const SECONDS: f64 = 20.0;

/// The first synthetic song for validation. A run does not reach it.
const VALIDATION: u64 = 1 << 48;

/// Other songs that are tried in place of a silent one, and the distance between their numbers.
const TRIES: u64 = 16;
const APART: u64 = 1 << 40;

/// Registers the makers of this file.
pub(crate) fn register() {
    unbraid_train::register_song_makers(|recipe, rate, seed| Ok(make(recipe, rate, seed)?));
}

fn make(recipe: &Recipe, rate: u32, seed: u64) -> anyhow::Result<Box<dyn SongMaker>> {
    let seconds = recipe.number("seconds").map_err(anyhow::Error::from_boxed)?.unwrap_or(SECONDS);
    let known: &[&str] = match recipe.scheme.as_str() {
        "synth" => &["seconds"],
        "midi" => &["seconds", "soundfont", "vocals", "takes"],
        other => bail!("songs can be made by synth: and midi:, not by {other}:"),
    };
    if let Some(key) = recipe.unknown(known) {
        let all = [known, &["excerpts", "validation"]].concat().join(", ");
        bail!("it has no option \"{key}\"; its options are {all}");
    }
    if recipe.scheme == "midi" {
        return Ok(Box::new(midi(recipe, rate, seed, seconds)?));
    }
    ensure!(recipe.path.is_none(), "synth: takes no folder");
    ensure!((1.0..=3600.0).contains(&seconds), "seconds must be from 1 to 3600, not {seconds}");
    let (low, high) = (RATES.start(), RATES.end());
    ensure!(RATES.contains(&rate), "the sample rate is {low} to {high} Hz, not {rate}");
    Ok(Box::new(Synth { rate, seed, seconds }))
}

fn midi(recipe: &Recipe, rate: u32, seed: u64, seconds: f64) -> anyhow::Result<Midi> {
    let folder = recipe.path.clone().context("midi: needs a folder with MIDI files, midi:FOLDER")?;
    ensure!(folder.exists(), "there is no folder or file {}", folder.display());
    let files = find_files(&[folder], &MIDI);
    ensure!(!files.is_empty(), "there are no MIDI files");
    let fonts: Vec<PathBuf> = recipe.values("soundfont").map(PathBuf::from).collect();
    ensure!(!fonts.is_empty(), "midi: needs a SoundFont, soundfont=FILE");
    let takes = recipe.values("takes").map(PathBuf::from).collect::<Vec<_>>();
    let vocals = match recipe.values("vocals").last() {
        _ if !takes.is_empty() => {
            let takes = find_files(&takes, &AUDIO);
            ensure!(!takes.is_empty(), "the folder of takes contains no recordings");
            Vocals::Takes(takes)
        }
        None | Some("singer") => Vocals::Singer,
        Some("none") => Vocals::None,
        Some(other) => bail!("vocals must be singer or none, not \"{other}\""),
    };
    let songs = MidiSongs::open(files, &fonts, MidiOptions { seed, seconds, rate, vocals })?;
    Ok(Midi(songs.divided()))
}

struct Synth {
    rate: u32,
    seed: u64,
    seconds: f64,
}

impl SongMaker for Synth {
    fn stems(&self) -> Vec<String> {
        STEMS.map(String::from).to_vec()
    }

    fn song(&self, index: u64) -> Result<Vec<Stereo>, MakeError> {
        Ok(song(self.seed, index, self.seconds, self.rate).stems.into())
    }

    fn validation_song(&self, index: u64) -> Result<Vec<Stereo>, MakeError> {
        self.song(VALIDATION + index)
    }
}

/// Songs for training, and songs of other files for validation.
struct Midi([MidiSongs; 2]);

impl SongMaker for Midi {
    fn stems(&self) -> Vec<String> {
        STEMS.map(String::from).to_vec()
    }

    fn song(&self, index: u64) -> Result<Vec<Stereo>, MakeError> {
        audible(&self.0[0], index)
    }

    fn validation_song(&self, index: u64) -> Result<Vec<Stereo>, MakeError> {
        audible(&self.0[1], index)
    }
}

/// Song number `index`, or another one if it is silent.
fn audible(songs: &MidiSongs, index: u64) -> Result<Vec<Stereo>, MakeError> {
    for tries in 0..TRIES {
        if let Some(song) = songs.song(index + tries * (APART + 1))? {
            return Ok(song.stems.into());
        }
    }
    Err("the MIDI files are silent".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(text: &str) -> anyhow::Result<Box<dyn SongMaker>> {
        make(&Recipe::parse(text).unwrap(), 8000, 3)
    }

    #[test]
    fn synthetic_songs_depend_on_their_number() {
        let maker = made("synth:?seconds=2").unwrap();
        let song = maker.song(7).unwrap();
        assert!(song.len() == 4 && song.iter().all(|stem| stem[0].len() == 16_000));
        assert!(song == made("synth:?seconds=2").unwrap().song(7).unwrap());
        assert!(song != maker.song(8).unwrap() && song != maker.validation_song(7).unwrap());
        assert_eq!(maker.stems(), STEMS);
    }

    #[test]
    fn wrong_recipes_are_explained() {
        for (text, reason) in [
            ("synth:x", "takes no folder"),
            ("synth:?seconds=0.5", "1 to 3600"),
            ("synth:?seconds=long", "must be a number"),
            ("synth:?length=5", "\"length\"; its options are seconds, excerpts, validation"),
            ("abc:", "not by abc:"),
            ("midi:", "midi:FOLDER"),
            ("midi:/nowhere?soundfont=x", "no folder or file /nowhere"),
        ] {
            let error = made(text).err().unwrap().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
