//! Mixes any channel layout down to stereo by ITU-R BS.775.
//!
//! The centre and the surrounds are added to the fronts at -3 dB, and the effects channel (LFE) is left out. The sum is
//! not scaled down. It may exceed full scale, which floats represent.

use std::f32::consts::FRAC_1_SQRT_2;
use std::ops::Range;

use symphonia::core::audio::{Channels, Position};
use unbraid_base::Stereo;

use crate::error::Problem;
use crate::notice::Notice;

/// The largest number of channels, that of 7.1.
pub(crate) const MAX_CHANNELS: usize = 8;

/// The positions of wav and flac by the number of channels, for files that state none.
const DEFAULT: [&[Position]; MAX_CHANNELS] = {
    use Position as P;
    const L: P = P::FRONT_LEFT;
    const R: P = P::FRONT_RIGHT;
    const C: P = P::FRONT_CENTER;
    const BL: P = P::REAR_LEFT;
    const BR: P = P::REAR_RIGHT;
    [
        &[C],
        &[L, R],
        &[L, R, C],
        &[L, R, BL, BR],
        &[L, R, C, BL, BR],
        &[L, R, C, P::LFE1, BL, BR],
        &[L, R, C, P::LFE1, P::REAR_CENTER, P::SIDE_LEFT, P::SIDE_RIGHT],
        &[L, R, C, P::LFE1, BL, BR, P::SIDE_LEFT, P::SIDE_RIGHT],
    ]
};

/// The gains of every channel to the left and to the right.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mixer {
    gains: Vec<[f32; 2]>,
    layout: Option<String>,
}

impl Mixer {
    /// A mixer for channels at `positions`, in their order. One channel goes to both sides, and two are left and right.
    pub(crate) fn new(positions: &[Position]) -> Result<Self, Problem> {
        let count = positions.len();
        if count <= 2 {
            let gains: &[[f32; 2]] = if count == 1 { &[[1.0, 1.0]] } else { &[[1.0, 0.0], [0.0, 1.0]] };
            return Ok(Self { gains: gains.to_vec(), layout: None });
        }
        let gains = positions.iter().map(|&position| gain(position)).collect::<Option<Vec<_>>>();
        let gains = gains.filter(|_| count <= MAX_CHANNELS).ok_or(Problem::Channels(count))?;
        let effects = gains.iter().filter(|&&gain| gain == [0.0; 2]).count();
        Ok(Self { gains, layout: Some(format!("{}.{effects}", count - effects)) })
    }

    /// A mixer for `count` channels of a file that does not state their positions.
    pub(crate) fn of_count(count: usize) -> Result<Self, Problem> {
        Self::new(count.checked_sub(1).and_then(|at| DEFAULT.get(at)).ok_or(Problem::Channels(count))?)
    }

    /// A mixer for `count` channels with the bits of a wav's channel mask, lowest bit first. A mask of fewer bits is no
    /// statement about the channels.
    pub(crate) fn of_mask(count: usize, mask: u32) -> Result<Self, Problem> {
        let positions: Vec<_> = Position::from_bits_retain(u64::from(mask)).iter().take(count).collect();
        if positions.len() < count { Self::of_count(count) } else { Self::new(&positions) }
    }

    /// A mixer for the output of one of symphonia's decoders, whose planes have the order of a wav's channel mask.
    pub(crate) fn of_channels(channels: &Channels) -> Result<Self, Problem> {
        match channels {
            Channels::Positioned(positions) => Self::new(&positions.iter().collect::<Vec<_>>()),
            Channels::Discrete(count) => Self::of_count(usize::from(*count)),
            other if other.count() <= 2 => Self::of_count(other.count()),
            other => Err(Problem::Channels(other.count())),
        }
    }

    /// The number of channels.
    pub(crate) fn channels(&self) -> usize {
        self.gains.len()
    }

    /// Tells that the channels are mixed down. `None` for one or two channels, which are not.
    pub(crate) fn notice(&self) -> Option<Notice> {
        self.layout.clone().map(|layout| Notice::MixedDown { layout })
    }

    /// Appends the frames of `range`. `planes` holds the samples of each channel.
    pub(crate) fn append_planes(&self, planes: &[Vec<f32>], range: Range<usize>, out: &mut Stereo) {
        if self.layout.is_none() {
            for (out, plane) in out.iter_mut().zip([0, self.channels() - 1]) {
                out.extend_from_slice(&planes[plane][range.clone()]);
            }
            return;
        }
        for (side, out) in out.iter_mut().enumerate() {
            let old = out.len();
            out.resize(old + range.len(), 0.0);
            for (plane, gains) in planes.iter().zip(&self.gains).filter(|(_, gains)| gains[side] != 0.0) {
                let samples = &plane[range.clone()];
                out[old..].iter_mut().zip(samples).for_each(|(out, sample)| *out += gains[side] * sample);
            }
        }
    }

    /// Appends interleaved samples of whole frames.
    pub(crate) fn append_interleaved(
        &self,
        mut samples: impl ExactSizeIterator<Item = f32>,
        out: &mut Stereo,
    ) {
        let [left, right] = out;
        match *self.gains.as_slice() {
            [_] => {
                let old = left.len();
                left.extend(samples);
                right.extend_from_slice(&left[old..]);
            }
            [_, _] => {
                let frames = samples.len() / 2;
                left.reserve(frames);
                right.reserve(frames);
                while let (Some(l), Some(r)) = (samples.next(), samples.next()) {
                    left.push(l);
                    right.push(r);
                }
            }
            ref gains => {
                for _ in 0..samples.len() / gains.len() {
                    let mut sum = [0.0; 2];
                    for (&[l, r], sample) in gains.iter().zip(&mut samples) {
                        // A gain of 0 leaves a channel out, whatever it holds.
                        sum[0] += if l == 0.0 { 0.0 } else { l * sample };
                        sum[1] += if r == 0.0 { 0.0 } else { r * sample };
                    }
                    left.push(sum[0]);
                    right.push(sum[1]);
                }
            }
        }
    }
}

/// The gains of a position. `None` if the recommendation does not name it, as those above the listener.
fn gain(position: Position) -> Option<[f32; 2]> {
    use Position as P;
    Some(match position {
        P::FRONT_LEFT | P::FRONT_LEFT_CENTER => [1.0, 0.0],
        P::FRONT_RIGHT | P::FRONT_RIGHT_CENTER => [0.0, 1.0],
        P::FRONT_CENTER => [FRAC_1_SQRT_2; 2],
        P::REAR_LEFT | P::SIDE_LEFT => [FRAC_1_SQRT_2, 0.0],
        P::REAR_RIGHT | P::SIDE_RIGHT => [0.0, FRAC_1_SQRT_2],
        // One surround for both sides: at -3 dB to each of two, which are added at -3 dB.
        P::REAR_CENTER => [0.5; 2],
        P::LFE1 | P::LFE2 => [0.0; 2],
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::f32::consts::FRAC_1_SQRT_2 as H;

    use super::{Mixer, Position};
    use crate::error::Problem;
    use crate::notice::Notice;

    #[test]
    fn every_count_has_its_layout() {
        let layouts = (3..=8).map(|count| Mixer::of_count(count).expect("known").layout.expect("mixed down"));
        assert_eq!(layouts.collect::<Vec<_>>(), ["3.0", "4.0", "5.0", "5.1", "6.1", "7.1"]);
        for count in [1, 2] {
            assert_eq!(Mixer::of_count(count).expect("known").notice(), None);
        }
        for count in [0, 9, 65_535] {
            assert!(matches!(Mixer::of_count(count), Err(Problem::Channels(found)) if found == count));
        }
    }

    #[test]
    fn five_channels_and_effects_have_the_gains_of_the_recommendation() {
        let mixer = Mixer::of_count(6).expect("5.1");
        assert_eq!(mixer.gains, [[1.0, 0.0], [0.0, 1.0], [H, H], [0.0, 0.0], [H, 0.0], [0.0, H]]);
        assert_eq!(mixer.notice(), Some(Notice::MixedDown { layout: "5.1".into() }));
        // What the effects channel holds does not matter.
        let samples = [0.5, -0.25, 0.125, f32::NAN, 1.0, 2.0];
        let mut mixed = [vec![9.0], vec![9.0]];
        mixer.append_interleaved(samples.into_iter(), &mut mixed);
        assert_eq!(mixed, [vec![9.0, 0.5 + H * 0.125 + H], vec![9.0, -0.25 + H * 0.125 + 2.0 * H]]);
        let mut planes = [vec![9.0], vec![9.0]];
        mixer.append_planes(&samples.map(|sample| vec![7.0, sample]), 1..2, &mut planes);
        assert_eq!(planes, mixed);
    }

    #[test]
    fn a_mask_gives_the_order_unless_it_has_too_few_bits() {
        // Front left, front right, effects, rear centre.
        let mixer = Mixer::of_mask(4, 0x10b).expect("3.1");
        assert_eq!(mixer.gains, [[1.0, 0.0], [0.0, 1.0], [0.0, 0.0], [0.5, 0.5]]);
        assert_eq!(mixer.layout.as_deref(), Some("3.1"));
        for mask in [0, 3] {
            assert_eq!(Mixer::of_mask(6, mask).expect("default"), Mixer::of_count(6).expect("5.1"));
        }
        // A mask of two bits of stereo may name any position.
        assert_eq!(Mixer::of_mask(2, 0x60).expect("stereo"), Mixer::of_count(2).expect("stereo"));
        // Two of these channels are above the listener.
        assert!(matches!(Mixer::of_mask(4, 0x5003), Err(Problem::Channels(4))));
        assert!(Mixer::new(&[Position::FRONT_LEFT; 9]).is_err());
    }
}
