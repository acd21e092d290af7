//! Converts between any two sample rates without a shift in time.
//!
//! The filter is a windowed sinc (Blackman-Harris squared), applied by FFT, block by block. Both rates are integers,
//! so output sample `k` lies exactly at input time `k * from / to` and no position is rounded. A block that starts at a
//! block boundary of the whole file gives the same bits as in a conversion of the whole file.

use rubato::audioadapter_buffers::direct::SequentialSliceOfVecs;
use rubato::{Fft, FixedSync, Resampler as _, WindowFunction};
use unbraid_base::Stereo;

/// Minimum length of the sinc in samples of the lower rate. With 1024 the pass band reaches 0.98 of the lower Nyquist
/// frequency.
const SINC: usize = 1024;

/// Converts a stream of stereo to another sample rate. Output sample 0 is at the time of input sample 0.
pub struct Resampler {
    fft: Fft<f32>,
    from: u32,
    to: u32,
    block_in: usize,
    block_out: usize,
    /// Input frames converted so far, counted from the beginning of the file.
    taken: u64,
    /// The next frame to output.
    position: u64,
    /// Output frames still to be dropped: the filter's delay, or the preroll after a seek.
    skip: usize,
    input: Stereo,
    block: Stereo,
}

impl Resampler {
    /// A converter from `from` to `to` Hz.
    ///
    /// # Panics
    /// If a rate is 0.
    pub fn new(from: u32, to: u32) -> Self {
        let divisor = gcd(from, to);
        let (step_in, step_out) = ((from / divisor) as usize, (to / divisor) as usize);
        // The delay is half a block. An even number of steps makes it an integer number of samples at both rates.
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

    /// The output length of `frames` input frames, rounded to the nearest integer.
    pub(crate) fn length(&self, frames: u64) -> u64 {
        converted_length(frames, self.from, self.to)
    }

    /// The sample rate of the input.
    pub(crate) fn from(&self) -> u32 {
        self.from
    }

    /// Makes `frame` the next output frame. Returns the number of the next input frame.
    pub(crate) fn seek(&mut self, frame: u64) -> u64 {
        let delayed = frame + (self.block_out / 2) as u64;
        // A block of output depends on its own block of input and on the previous one.
        let first = (delayed / self.block_out as u64).saturating_sub(1);
        self.fft.reset();
        self.input.iter_mut().for_each(Vec::clear);
        self.taken = first * self.block_in as u64;
        self.position = frame;
        self.skip = (delayed - first * self.block_out as u64) as usize;
        self.taken
    }

    /// Takes a block of any length and appends the output that is complete.
    pub fn push(&mut self, block: &Stereo, out: &mut Stereo) {
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

    /// Appends the rest, up to the output length of all input frames.
    pub(crate) fn finish(&mut self, out: &mut Stereo) {
        self.finish_at(self.length(self.taken + self.input[0].len() as u64), out);
    }

    /// Appends the rest, up to a length of `total` frames since the beginning. The input is followed by silence.
    ///
    /// A conversion there and back can give a length that is one frame off, because both lengths are rounded. `total`
    /// corrects it.
    pub fn finish_at(&mut self, total: u64, out: &mut Stereo) {
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

    /// Converts the input block that starts at `start`.
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

/// The length of `frames` frames after a conversion of the rate, rounded to the nearest integer.
pub(crate) fn converted_length(frames: u64, from: u32, to: u32) -> u64 {
    let (frames, from, to) = (u128::from(frames), u128::from(from), u128::from(to));
    u64::try_from((frames * to * 2 + from) / (from * 2)).unwrap_or(u64::MAX)
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}
