//! Tests of the public interface.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue must panic")]

mod bad_input;
mod boxes;
mod common;
mod decode;
mod ffmpeg;
mod flac;
mod length;
mod lossy;
mod mp3;
mod mp4;
mod ogg;
mod relatives;
mod resample;
mod surround;
mod tags;
mod tools;
mod write;

/// Training reads on worker threads, so readers move between threads.
#[test]
fn readers_and_writers_can_change_threads() {
    fn is_send<T: Send>() {}
    is_send::<unbraid_audio::AudioReader>();
    is_send::<unbraid_audio::AudioWriter>();
    is_send::<unbraid_audio::AudioError>();
}
