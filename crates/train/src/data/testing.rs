//! Small data sets for the tests of this crate.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::path::Path;
use unbraid_audio::{AudioWriter, Format};

pub(crate) const STEMS: [&str; 2] = ["drums", "vocals"];

pub(crate) fn stems() -> Vec<String> {
    STEMS.map(String::from).to_vec()
}

/// Writes a wav file of `frames` samples.
pub(crate) fn write(path: &Path, rate: u32, frames: usize, mut sample: impl FnMut(usize) -> f32) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut writer = AudioWriter::create(path, Format::Wav32f, rate).unwrap();
    let left: Vec<f32> = (0..frames).map(&mut sample).collect();
    let right = left.iter().map(|x| 0.5 * x).collect();
    writer.write(&[left, right]).unwrap();
    writer.finish().unwrap();
}

/// `tracks` songs, `train/song-I/STEM.wav`: the drums are noise bursts, the vocals a low tone.
pub(crate) fn data_set(root: &Path, tracks: usize, rate: u32, frames: usize) {
    for i in 0..tracks {
        let mut rng = ChaCha8Rng::seed_from_u64(i as u64);
        let folder = root.join(format!("train/song-{i}"));
        write(&folder.join("drums.wav"), rate, frames, |n| {
            0.3 * rng.random_range(-1.0..1.0f32) * (1.0 - (n % 2000) as f32 / 2000.0)
        });
        let step = 0.02 + 0.004 * i as f32;
        write(&folder.join("vocals.wav"), rate, frames, |n| 0.3 * (n as f32 * step).sin());
    }
}
