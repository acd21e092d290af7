//! Loops that are too short for the synthesiser.
//!
//! rustysynth goes back by one length of the loop per output sample. If a high note advances by more than that, it reads
//! beyond the samples and panics. A short loop is therefore unrolled: repeated until it is long enough. It sounds the
//! same.

use std::collections::BTreeMap;

use rustysynth::{InstrumentRegion, LoopMode, PresetRegion, SoundFont};

use super::font_problem::FontProblem;
use super::sf3::{GAP, HEADER, number};

/// Samples of a loop that is unrolled, at most. A note that needs more is beyond hearing.
const MOST: f64 = (1 << 15) as f64;

/// Samples that all unrolled loops add, at most.
const MOST_ADDED: usize = 64 << 20;

/// Semitones that the controls of a song may add to the pitch of a note: two octaves.
const BEND: f64 = 24.0;

/// The lowest sample rate of a song in Hz.
const LOWEST_RATE: f64 = 16_000.0;

/// The samples whose loops are too short, and the lengths that they need.
///
/// # Errors
/// If a sample has no rate, or a note needs a loop that cannot be made.
pub(super) fn too_short(font: &SoundFont) -> Result<BTreeMap<usize, usize>, FontProblem> {
    let mut short: BTreeMap<usize, usize> = BTreeMap::new();
    for preset in font.get_presets() {
        for of_preset in preset.get_regions() {
            for region in font.get_instruments()[of_preset.get_instrument_id()].get_regions() {
                let header = &font.get_sample_headers()[region.get_sample_id()];
                if header.get_sample_rate() <= 0 {
                    return Err(FontProblem::Refused("a sample has no sample rate".into()));
                }
                let length = region.get_sample_end_loop() - region.get_sample_start_loop();
                if region.get_sample_modes() == LoopMode::NoLoop || length <= 0 {
                    continue;
                }
                let needed = longest_step(of_preset, region, header.get_sample_rate()).ceil();
                if needed <= f64::from(length) {
                    continue;
                }
                let moved =
                    region.get_start_loop_address_offset() != 0 || region.get_end_loop_address_offset() != 0;
                if moved || needed > MOST {
                    let reason = format!("a loop of {length} samples is too short for its highest note");
                    return Err(FontProblem::Refused(reason));
                }
                let slot = short.entry(region.get_sample_id()).or_default();
                *slot = (*slot).max(needed as usize);
            }
        }
    }
    Ok(short)
}

/// The samples by which the highest note of a region advances per output sample.
fn longest_step(preset: &PresetRegion, region: &InstrumentRegion, rate: i32) -> f64 {
    let highest = preset.get_key_range_end().min(region.get_key_range_end()).min(127);
    let cents = |preset: i32, region: i32| f64::from(preset + region);
    let swings = [
        cents(preset.get_modulation_lfo_to_pitch(), region.get_modulation_lfo_to_pitch()),
        cents(preset.get_vibrato_lfo_to_pitch(), region.get_vibrato_lfo_to_pitch()),
        cents(preset.get_modulation_envelope_to_pitch(), region.get_modulation_envelope_to_pitch()),
    ];
    let swing = swings.iter().map(|cents| cents.abs()).sum::<f64>() / 100.0;
    let scale = cents(preset.get_scale_tuning(), region.get_scale_tuning()) / 100.0;
    let tune = cents(preset.get_coarse_tune(), region.get_coarse_tune())
        + cents(preset.get_fine_tune(), region.get_fine_tune()) / 100.0;
    let lowest = f64::from(preset.get_key_range_start().max(region.get_key_range_start()));
    let root = f64::from(region.get_root_key());
    // With a negative scale, the lowest key is the highest note.
    let key =
        (scale * (f64::from(highest) + swing + BEND - root)).max(scale * (lowest - swing - BEND - root));
    f64::from(rate) / LOWEST_RATE * libm::exp2((key + tune) / 12.0)
}

/// The samples, with those in `short` appended once more with longer loops, and the table of samples with their places.
///
/// # Errors
/// If this would need too much memory, or a sample lies outside of the samples.
pub(super) fn unrolled(
    samples: &[u8],
    table: &[u8],
    short: &BTreeMap<usize, usize>,
) -> Result<(Vec<u8>, Vec<u8>), FontProblem> {
    let (mut bytes, mut table) = (samples.to_vec(), table.to_vec());
    for (&index, &needed) in short {
        let record = &mut table[index * HEADER..(index + 1) * HEADER];
        let [start, end, from, to] = [20, 24, 28, 32].map(|at| number(record, at) as usize);
        let outside = || FontProblem::Refused("a loop lies outside of its sample".into());
        if start > from {
            return Err(outside());
        }
        let part = |range: std::ops::Range<usize>| {
            samples.get(2 * range.start..2 * range.end.max(range.start)).ok_or_else(outside)
        };
        let times = needed.div_ceil(to.checked_sub(from).filter(|length| *length > 0).ok_or_else(outside)?);
        let first = bytes.len() / 2;
        bytes.extend(part(start..to)?);
        for _ in 1..times {
            bytes.extend(part(from..to)?);
        }
        let looped = bytes.len() / 2;
        bytes.extend(part(to..end)?);
        let last = bytes.len() / 2;
        bytes.extend([0; 2 * GAP]);
        if bytes.len() - samples.len() > 2 * MOST_ADDED {
            return Err(FontProblem::TooLarge);
        }
        for (slot, place) in
            record[20..36].chunks_exact_mut(4).zip([first, last, first + from - start, looped])
        {
            slot.copy_from_slice(&(place as u32).to_le_bytes());
        }
    }
    Ok((bytes, table))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustysynth::SampleHeader;
    use unbraid_base::Stereo;

    use crate::midi::fixture::sound_font;
    use crate::midi::font::load;
    use crate::midi::render::render;
    use crate::midi::score::{MidiScore, Note, Part};
    use unbraid_effects::random::Random;

    /// The font of the fixture with another end of its loop. Its sample has a period of 100 samples.
    fn font(end: u32) -> Vec<u8> {
        let mut bytes = sound_font();
        let table = bytes.windows(4).position(|name| name == b"shdr").expect("a table") + 8;
        bytes[table + 32..table + 36].copy_from_slice(&end.to_le_bytes());
        bytes
    }

    fn play(bytes: &[u8], key: u8) -> Stereo {
        let sounds = Arc::new(load(bytes).expect("a good font"));
        let note = Note { start: 0.0, end: 1.0, channel: 0, key, velocity: 100, part: Part::Other };
        let score = MidiScore { notes: vec![note], controls: Vec::new() };
        let mut random = Random::new(1, 0, 0);
        render(&score, Part::Other, 0.0, &sounds, 44_100, 44_100, &mut random).expect("a sound")
    }

    #[test]
    fn a_short_loop_sounds_as_a_long_one() {
        let length = |header: &SampleHeader| header.get_end_loop() - header.get_start_loop();
        let of_font = |bytes: &[u8]| length(&load(bytes).expect("a good font").get_sample_headers()[0]);
        // The highest note goes on by 44100 / 16000 · 2^((127 + 24 − 69) / 12) = 315 samples.
        assert_eq!((of_font(&font(4300)), of_font(&font(200))), (4200, 400));
        for key in [20, 69, 127] {
            let sound = play(&font(200), key);
            assert!(sound == play(&font(4300), key) && sound[0][20_000..].iter().any(|x| *x != 0.0), "{key}");
        }
    }
}
