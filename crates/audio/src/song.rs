//! Where the song begins and ends in what a decoder gives.

use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::codecs::audio::well_known::CODEC_ID_AAC;
use symphonia::core::formats::Track;

use crate::{mp3::Scan, mp4::Movie};

/// Where the song lies in what the decoder gives, counted in frames from the decoder's first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Song {
    /// Number of the decoder's first frame; 0 but in an ogg that was cut out of a longer one.
    pub(crate) origin: i64,
    pub(crate) start: i64,
    /// One past the last frame; `None` where the file does not tell.
    pub(crate) end: Option<i64>,
}

/// How to get into the middle of a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// What to add to symphonia's time stamps to number frames as [`Song`] does.
    pub(crate) offset: i64,
    /// Frames to decode ahead, so that the decoder's memory is as if it had come from the beginning.
    pub(crate) preroll: i64,
    /// Symphonia refuses to seek past this frame.
    pub(crate) limit: i64,
}

/// Formats whose decoder gives the song and nothing else: flac, aiff, compressed wav.
pub(crate) fn plain(track: &Track) -> (Song, Option<Entry>) {
    let end = track.num_frames.map(to_i64);
    let entry = end.map(|limit| Entry { offset: 0, preroll: 0, limit });
    (Song { origin: 0, start: 0, end }, entry)
}

pub(crate) fn mp3(scan: &Scan, track: &Track) -> (Song, Option<Entry>) {
    let all = to_i64(scan.frames.saturating_mul(scan.frame_samples));
    let delay = i64::from(track.delay.unwrap_or(0));
    let padding = i64::from(track.padding.unwrap_or(0));
    // More frames than the tag promises: files joined end to end, and the tag's padding lies at the first seam.
    let joined = scan.promised.is_some_and(|promised| scan.frames > promised);
    let end = if joined { all } else { all - padding };
    // Symphonia's length is the tag's, or a guess from the first frames' size.
    let limit = track.num_frames.map_or(0, to_i64);
    // A frame needs up to 511 bytes of frames before it (some 24 of the smallest mono kind), and one frame for the overlap.
    let preroll = 32 * to_i64(scan.frame_samples);
    (
        Song { origin: 0, start: delay, end: Some(end.max(delay)) },
        Some(Entry { offset: delay, preroll, limit }),
    )
}

/// No entry: symphonia cannot number the frames of an ogg's last page without the page before.
pub(crate) fn ogg(track: &Track) -> Song {
    // Vorbis' first packet only prepares the second. Symphonia's stamps count it, its decoder does not give it.
    let origin = track.start_ts.get().saturating_add(i64::from(track.delay.unwrap_or(0)));
    let start = origin.max(0);
    Song { origin, start, end: track.num_frames.map(|end| to_i64(end).max(start)) }
}

pub(crate) fn mp4(
    movie: &Movie,
    track: &Track,
    codec: &AudioCodecParameters,
    sample_rate: u32,
) -> (Song, Option<Entry>) {
    let rate = u128::from(sample_rate);
    let edit = movie.edits.iter().find(|(id, _)| *id == track.id).map(|(_, edit)| *edit).unwrap_or_default();
    let samples = |time: u64, scale: u64| {
        let scale = u128::from(scale.max(1));
        i64::try_from((u128::from(time) * rate * 2 + scale) / (scale * 2)).unwrap_or(i64::MAX)
    };
    // The sum of all packets' durations, where it is in samples and told in one place.
    let coded = track.num_frames.filter(|_| !movie.fragmented).map(to_i64);
    let is_aac = codec.codec == CODEC_ID_AAC;
    let (start, end) = if let Some((delay, length)) = movie.gapless.filter(|_| is_aac) {
        (to_i64(delay), Some(to_i64(delay).saturating_add(to_i64(length))))
    } else {
        let start = samples(edit.start, edit.timescale);
        let end = edit.length.map(|(length, scale)| {
            let told = start.saturating_add(samples(length, scale));
            // An edit's length is rounded to the movie's time unit, often a millisecond. Where the packets end
            // within that unit, they are the exact answer.
            let unit = samples(1, scale).max(1);
            coded.filter(|coded| (coded - told).abs() <= unit).unwrap_or(told)
        });
        (start, end.or(coded))
    };
    let end = match (end, coded) {
        (Some(end), Some(coded)) => Some(end.min(coded)),
        (end, _) => end,
    };
    let entry = coded.map(|limit| Entry { offset: 0, preroll: if is_aac { 3 * 1024 } else { 0 }, limit });
    (Song { origin: 0, start, end: end.map(|end| end.max(start)) }, entry)
}

fn to_i64(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
