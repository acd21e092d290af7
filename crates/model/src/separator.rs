//! Separation of a stream: blocks of samples in, blocks of stems out, by overlapping segments.
//!
//! Segments of equal length start every `segment · (1 − overlap)` samples. The stems of each segment are weighted by a
//! window that fades over the overlap and is never zero. They are summed and divided by the summed weights. If only
//! one segment contributes, as at both ends of the song, its weight cancels. The last segment is moved back so that it
//! ends with the song: it is as long as the others and has as much context.
//!
//! Where a channel of the song is digitally silent, the same channel of every stem is (`silence.rs`).

mod silence;

use std::collections::VecDeque;

use burn::tensor::{ExecutionError, Tensor, TensorData};
use rayon::prelude::*;
use unbraid_base::Stereo;
use unbraid_ops::device;

use crate::config::STEREO;
use crate::family::Network;
use silence::Silence;

/// How a song is cut into segments.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SeparatorOptions {
    /// Samples of a segment.
    pub segment: usize,
    /// Part of a segment that the next segment overlaps, 0 to 0.75.
    pub overlap: f32,
    /// Segments that run at once, 1 to 64.
    pub batch: usize,
}

impl SeparatorOptions {
    /// The usual overlap. It costs a third more work than none.
    pub const DEFAULT_OVERLAP: f32 = 0.25;

    /// The largest overlap.
    pub const MOST_OVERLAP: f32 = 0.75;
}

/// The reason why a separation fails.
#[derive(Debug, thiserror::Error)]
pub enum SeparateError {
    /// An option is out of bounds.
    #[error("{0}")]
    Options(String),
    /// The channels of a block differ in length.
    #[error("a block has {left} samples on the left and {right} on the right")]
    Block {
        /// Samples on the left.
        left: usize,
        /// Samples on the right.
        right: usize,
    },
    /// The song holds NaN or infinity.
    #[error("the song holds a value that is not finite at {seconds:.3} s")]
    Input {
        /// Position in the song.
        seconds: f64,
    },
    /// The network gave NaN or infinity twice for the same segment.
    #[error("the network gave a value that is not finite at {seconds:.3} s, twice")]
    NotFinite {
        /// Position in the song.
        seconds: f64,
    },
    /// The device failed.
    #[error("the device failed: {0}")]
    Device(#[from] ExecutionError),
}

/// A model that a [`Separator`] runs on segments: a network, or a wrapper such as one that recovers from a lost device.
#[expect(async_fn_in_trait, reason = "one thread drives a separation, natively and in a browser's worker")]
pub trait SegmentModel {
    /// Segments whose computation was started.
    type Running;

    /// Number of stems in the output.
    fn stems(&self) -> usize;

    /// Samples per second of the song.
    fn sample_rate(&self) -> u32;

    /// Minimum number of samples of a segment.
    fn least_samples(&self) -> usize;

    /// Starts the computation of segments of equal length. A model that computes on the calling thread computes in
    /// [`SegmentModel::finish`].
    fn start(&self, segments: Vec<Stereo>) -> Self::Running;

    /// For each segment, for each stem, as many samples as the segment has.
    async fn finish(&self, running: Self::Running) -> Result<Vec<Vec<Stereo>>, ExecutionError>;

    /// Segments of equal length → for each segment, for each stem, the same number of samples.
    async fn run(&self, segments: Vec<Stereo>) -> Result<Vec<Vec<Stereo>>, ExecutionError> {
        self.finish(self.start(segments)).await
    }
}

impl SegmentModel for Network {
    type Running = Vec<Stereo>;

    fn stems(&self) -> usize {
        self.config().stems.len()
    }

    fn sample_rate(&self) -> u32 {
        self.config().sample_rate
    }

    fn least_samples(&self) -> usize {
        self.least_samples()
    }

    fn start(&self, segments: Vec<Stereo>) -> Vec<Stereo> {
        segments
    }

    async fn finish(&self, segments: Vec<Stereo>) -> Result<Vec<Vec<Stereo>>, ExecutionError> {
        let workers = device::workers(&self.device()).min(segments.len());
        if workers <= 1 {
            let stems = self.stems_of(&segments).into_data_async().await?;
            // In a browser, the open device reports its failures (`WebGpu::check`).
            #[cfg(not(target_family = "wasm"))]
            if let Some(refused) = device::memory_refused() {
                return Err(ExecutionError::WithContext { reason: refused.to_string() });
            }
            return Ok(self.cut_up(&stems));
        }
        let parts = segments.chunks(segments.len().div_ceil(workers)).map(|part| (self.clone(), part));
        let parts: Vec<_> = parts.collect();
        let run = |(network, part): (Self, _)| network.stems_of(part).try_into_data();
        let parts: Result<Vec<_>, _> = parts.into_par_iter().map(run).collect();
        Ok(parts?.iter().flat_map(|data| self.cut_up(data)).collect())
    }
}

/// Separates a stream of samples. Memory does not grow with the length of the song.
#[derive(Debug)]
pub struct Separator<N: SegmentModel = Network> {
    network: N,
    segment: usize,
    hop: usize,
    batch: usize,
    /// Batches that are computed while later samples are taken.
    ahead: usize,
    /// The batches that were started, oldest first.
    started: VecDeque<Batch<N::Running>>,
    /// Samples from `input_start` on: those of the next segments and of the started ones, and those of the segment
    /// before them.
    input: Stereo,
    input_start: usize,
    /// First sample of the next segment.
    next: usize,
    /// Weighted sums per stem, and the sums of the weights, from sample `finished` on.
    sums: Vec<Stereo>,
    weights: Vec<f32>,
    /// Number of samples that no later segment overlaps.
    finished: usize,
    silence: Silence,
}

/// Segments that are computed at once.
#[derive(Debug)]
struct Batch<R> {
    /// First sample of each segment.
    starts: Vec<usize>,
    running: R,
}

impl<N: SegmentModel> Separator<N> {
    /// A separator at the beginning of a song.
    ///
    /// # Errors
    /// [`SeparateError::Options`] names the option that is out of bounds, and the bounds.
    pub fn new(network: N, options: SeparatorOptions) -> Result<Self, SeparateError> {
        let SeparatorOptions { segment, overlap, batch } = options;
        let (least, most) = (network.least_samples(), 120 * network.sample_rate() as usize);
        let refuse = |reason| Err(SeparateError::Options(reason));
        if !(least..=most).contains(&segment) {
            return refuse(format!(
                "a segment length of {segment} samples is not in the range {least} to {most}"
            ));
        }
        if !(0.0..=SeparatorOptions::MOST_OVERLAP).contains(&overlap) {
            return refuse(format!("an overlap of {overlap} is not in the range 0 to 0.75"));
        }
        if !(1..=64).contains(&batch) {
            return refuse(format!("a batch size of {batch} is not in the range 1 to 64"));
        }
        let shared = (segment as f64 * f64::from(overlap)).round() as usize;
        let sums = vec![Stereo::default(); network.stems()];
        let silence = Silence::new(network.sample_rate(), network.stems());
        Ok(Self {
            network,
            segment,
            hop: segment - shared,
            batch,
            ahead: 0,
            started: VecDeque::new(),
            input: Stereo::default(),
            input_start: 0,
            next: 0,
            sums,
            weights: Vec::new(),
            finished: 0,
            silence,
        })
    }

    /// Lets a model whose [`SegmentModel::start`] returns early compute up to `batches` more while later samples are
    /// taken.
    pub fn with_ahead(self, batches: usize) -> Self {
        Self { ahead: batches, ..self }
    }

    /// Samples between the starts of two segments.
    pub fn hop(&self) -> usize {
        self.hop
    }

    /// Takes the song's next samples, any number of them. Returns, for each stem, the samples that are finished now.
    /// They follow those of earlier calls. There may be none, and all stems have the same number.
    ///
    /// # Errors
    /// [`SeparateError`]. The separator cannot be used after an error.
    pub async fn push(&mut self, block: &Stereo) -> Result<Vec<Stereo>, SeparateError> {
        let [left, right] = block.each_ref().map(Vec::len);
        if left != right {
            return Err(SeparateError::Block { left, right });
        }
        if let Some(index) = (0..left).find(|&i| !(block[0][i].is_finite() && block[1][i].is_finite())) {
            return Err(SeparateError::Input { seconds: self.seconds(self.input_end() + index) });
        }
        self.silence.observe(block);
        let mut output = vec![Stereo::default(); self.sums.len()];
        let mut taken = 0;
        while taken < left {
            // Takes no more samples than a batch needs, so a whole song in one block is not copied at once.
            let needed = self.next + (self.batch - 1) * self.hop + self.segment - self.input_end();
            let end = left.min(taken + needed);
            for (input, block) in self.input.iter_mut().zip(block) {
                input.extend_from_slice(&block[taken..end]);
            }
            taken = end;
            if self.input_end() == self.next + (self.batch - 1) * self.hop + self.segment {
                self.start((0..self.batch).map(|index| self.next + index * self.hop).collect());
                self.next += self.batch * self.hop;
                self.collect(self.ahead, &mut output).await?;
                // The samples of one segment stay: the song's last segment may start right after this one's start.
                let keep = self.started.front().map_or(self.next - self.hop, |batch| batch.starts[0]);
                for channel in &mut self.input {
                    channel.drain(..keep - self.input_start);
                }
                self.input_start = keep;
            }
        }
        Ok(self.silence.apply(output))
    }

    /// Ends the song. Returns the remaining samples: together with those of all calls of [`Separator::push`], as many
    /// as the song has.
    ///
    /// # Errors
    /// Those of [`Separator::push`].
    pub async fn finish(mut self) -> Result<Vec<Stereo>, SeparateError> {
        let end = self.input_end();
        let waiting = (end + self.hop).saturating_sub(self.next + self.segment) / self.hop;
        let mut starts: Vec<_> = (0..waiting).map(|index| self.next + index * self.hop).collect();
        self.next += waiting * self.hop;
        let covered = if self.next > 0 { self.next - self.hop + self.segment } else { 0 };
        if end > covered {
            starts.push(end.saturating_sub(self.segment));
        }
        if !starts.is_empty() {
            self.start(starts);
        }
        let mut output = vec![Stereo::default(); self.sums.len()];
        self.collect(0, &mut output).await?;
        self.give_out(end, &mut output);
        self.silence.end();
        Ok(self.silence.apply(output))
    }

    fn input_end(&self) -> usize {
        self.input_start + self.input[0].len()
    }

    fn seconds(&self, sample: usize) -> f64 {
        sample as f64 / f64::from(self.network.sample_rate())
    }

    fn start(&mut self, starts: Vec<usize>) {
        let segments = starts.iter().map(|&start| self.cut(start)).collect();
        let running = self.network.start(segments);
        self.started.push_back(Batch { starts, running });
    }

    /// Takes the stems of all but the last `ahead` batches. Returns the samples that no later segment overlaps.
    async fn collect(&mut self, ahead: usize, output: &mut [Stereo]) -> Result<(), SeparateError> {
        while self.started.len() > ahead {
            let Some(Batch { starts, running }) = self.started.pop_front() else { break };
            let results = self.network.finish(running).await?;
            for (start, mut stems) in starts.into_iter().zip(results) {
                if first_not_finite(&stems).is_some() {
                    stems = self.network.run(vec![self.cut(start)]).await?.remove(0);
                }
                if let Some(index) = first_not_finite(&stems) {
                    return Err(SeparateError::NotFinite { seconds: self.seconds(start + index) });
                }
                self.add(start, &stems);
                self.give_out(start + self.hop, output);
            }
        }
        Ok(())
    }

    /// A segment of the input. A song that is shorter than the network's minimum is padded with silence.
    fn cut(&self, start: usize) -> Stereo {
        let from = start - self.input_start;
        self.input.each_ref().map(|channel| {
            let mut segment = channel[from..channel.len().min(from + self.segment)].to_vec();
            segment.resize(segment.len().max(self.network.least_samples()), 0.0);
            segment
        })
    }

    /// Adds the weighted stems of the segment at `start`, except samples that were returned or lie past the song's end.
    fn add(&mut self, start: usize, stems: &[Stereo]) {
        let end = self.input_end().min(start + self.segment);
        let length = end - start;
        let fade = (self.segment - self.hop).min(length.div_ceil(2));
        let first = self.finished.max(start);
        let (skip, offset) = (first - start, first - self.finished);
        let reach = end - self.finished;
        // A last segment that was moved back fades in at its first sample that is used, not at its start. It does not
        // fade out, because no segment follows it.
        let after = |index: usize| if skip > 0 { usize::MAX } else { length - index };
        let weight =
            |index: usize| (index + 1 - skip).min(after(index)).min(fade + 1) as f32 / (fade + 1) as f32;

        self.weights.resize(reach.max(self.weights.len()), 0.0);
        for (sum, index) in self.weights[offset..].iter_mut().zip(skip..length) {
            *sum += weight(index);
        }
        for (sum, stem) in self.sums.iter_mut().flatten().zip(stems.iter().flatten()) {
            sum.resize(reach.max(sum.len()), 0.0);
            for (sum, index) in sum[offset..].iter_mut().zip(skip..length) {
                *sum += weight(index) * stem[index];
            }
        }
    }

    /// Moves the samples up to `end` from the sums to the output, as far as there are any.
    fn give_out(&mut self, end: usize, output: &mut [Stereo]) {
        let count = end.saturating_sub(self.finished).min(self.weights.len());
        for (output, sum) in output.iter_mut().flatten().zip(self.sums.iter_mut().flatten()) {
            output.extend(sum.drain(..count).zip(&self.weights).map(|(sum, weight)| sum / weight));
        }
        self.weights.drain(..count);
        self.finished += count;
    }
}

/// Index of the first sample that is NaN or infinite in any stem.
fn first_not_finite(stems: &[Stereo]) -> Option<usize> {
    let bad = |channel: &Vec<f32>| channel.iter().position(|value| !value.is_finite());
    stems.iter().flatten().filter_map(bad).min()
}

impl Network {
    /// Segments of equal length → `[b, s, 2, n]`.
    fn stems_of(&self, segments: &[Stereo]) -> Tensor<4> {
        let samples = segments[0][0].len();
        let values: Vec<f32> = segments.iter().flatten().flatten().copied().collect();
        let data = TensorData::new(values, [segments.len(), STEREO, samples]);
        self.forward(Tensor::from_data(data, &self.device()))
    }

    /// `[b, s, 2, n]` → for each segment, for each stem, its samples.
    fn cut_up(&self, stems: &TensorData) -> Vec<Vec<Stereo>> {
        let samples = stems.shape()[3];
        let values = stems.as_slice::<f32>().expect("the network computes in f32");
        let stereo = |stem: &[f32]| [stem[..samples].to_vec(), stem[samples..].to_vec()];
        let segment = |stems: &[f32]| stems.chunks_exact(STEREO * samples).map(stereo).collect();
        values.chunks_exact(self.stems() * STEREO * samples).map(segment).collect()
    }
}

#[cfg(test)]
mod tests;
