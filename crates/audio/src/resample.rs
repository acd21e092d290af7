//! From any sample rate to any other, aligned to the sample.
//!
//! A windowed sinc (Blackman-Harris squared), applied as a product of spectra, block by block. Both rates are
//! whole numbers, so output sample `k` lies exactly at input time `k * from / to`: no position is rounded, and a
//! block that begins where a block begins in the whole file comes out with the same bits.

use rubato::audioadapter_buffers::direct::SequentialSliceOfVecs;
use rubato::{Fft, FixedSync, Resampler as _, WindowFunction};

use crate::Stereo;

/// Least length of the sinc in samples of the lower rate. 1024 keeps everything to 0.98 of the lower band edge.
const SINC: usize = 1024;

/// Streaming converter of stereo from one sample rate to another.
pub(crate) struct Resampler {
    fft: Fft<f32>,
    from: u32,
    to: u32,
    block_in: usize,
    block_out: usize,
    /// Frames taken in, counted from the beginning of the file.
    taken: u64,
    /// The next frame to give out.
    position: u64,
    /// Frames still to be dropped: the filter's delay, or the run-in after a seek.
    skip: usize,
    input: Stereo,
    block: Stereo,
}

impl Resampler {
    pub(crate) fn new(from: u32, to: u32) -> Self {
        let divisor = gcd(from, to);
        let (step_in, step_out) = ((from / divisor) as usize, (to / divisor) as usize);
        // An even number of steps makes the delay, half a block, a whole number of samples on both sides.
        let steps = SINC.div_ceil(step_in.min(step_out)).next_multiple_of(2);
        let (block_in, block_out) = (steps * step_in, steps * step_out);
        let fft = Fft::new_custom(
            from as usize,
            to as usize,
            block_in,
            1,
            2,
            WindowFunction::BlackmanHarris2,
            FixedSync::Both,
        )
        .expect("rates and block are positive");
        assert_eq!((fft.input_frames_next(), fft.output_frames_next()), (block_in, block_out));
        let skip = fft.output_delay();
        assert_eq!(skip, block_out / 2, "the sinc is centred in its block");
        let block = [vec![0.0; block_out], vec![0.0; block_out]];
        Self {
            fft,
            from,
            to,
            block_in,
            block_out,
            taken: 0,
            position: 0,
            skip,
            input: Stereo::default(),
            block,
        }
    }

    /// Length at the new rate of `frames` at the old one, rounded to nearest.
    pub(crate) fn length(&self, frames: u64) -> u64 {
        let (frames, from, to) = (u128::from(frames), u128::from(self.from), u128::from(self.to));
        u64::try_from((frames * to * 2 + from) / (from * 2)).unwrap_or(u64::MAX)
    }

    /// Makes `frame` the next to come out. Answers which frame must be put in next.
    pub(crate) fn seek(&mut self, frame: u64) -> u64 {
        let delayed = frame + (self.block_out / 2) as u64;
        // A block of output needs its own block of input and the one before.
        let first = (delayed / self.block_out as u64).saturating_sub(1);
        self.fft.reset();
        self.input.iter_mut().for_each(Vec::clear);
        self.taken = first * self.block_in as u64;
        self.position = frame;
        self.skip = (delayed - first * self.block_out as u64) as usize;
        self.taken
    }

    /// Takes in a block of any length and appends what is ready.
    pub(crate) fn push(&mut self, block: &Stereo, out: &mut Stereo) {
        for (input, block) in self.input.iter_mut().zip(block) {
            input.extend_from_slice(block);
        }
        let whole = self.input[0].len() / self.block_in * self.block_in;
        for start in (0..whole).step_by(self.block_in) {
            self.convert(start, out);
        }
        self.input.iter_mut().for_each(|input| drop(input.drain(..whole)));
        self.taken += whole as u64;
    }

    /// Appends the rest, up to the length that the frames taken in amount to.
    pub(crate) fn finish(&mut self, out: &mut Stereo) {
        let total = self.length(self.taken + self.input[0].len() as u64);
        while self.position < total {
            let before = self.position;
            self.input.iter_mut().for_each(|input| input.resize(self.block_in, 0.0));
            self.convert(0, out);
            self.input.iter_mut().for_each(Vec::clear);
            let excess = self.position.saturating_sub(total.max(before)) as usize;
            self.position -= excess as u64;
            out.iter_mut().for_each(|channel| channel.truncate(channel.len() - excess));
        }
    }

    /// Converts the block of input that begins at `start`.
    fn convert(&mut self, start: usize, out: &mut Stereo) {
        let end = start + self.block_in;
        let block = [0, 1].map(|channel| self.input[channel][start..end].to_vec());
        let input =
            SequentialSliceOfVecs::new(&block[..], 2, self.block_in).expect("a block of two channels");
        let mut output = SequentialSliceOfVecs::new_mut(&mut self.block[..], 2, self.block_out)
            .expect("a block of two channels");
        self.fft.process_into_buffer(&input, &mut output, None).expect("blocks have the resampler's sizes");
        let skipped = self.skip.min(self.block_out);
        self.skip -= skipped;
        self.position += (self.block_out - skipped) as u64;
        for (out, block) in out.iter_mut().zip(&self.block) {
            out.extend_from_slice(&block[skipped..]);
        }
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}
