//! Several models, and several shifts in time of each, whose stems are averaged.

use crate::step::parameters::{pack, unpack};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use unbraid_base::Stereo;
use unbraid_model::{Network, SeparateError, Separator, SeparatorOptions};

/// The longest shift in seconds.
const LONGEST_SHIFT: f64 = 0.5;

/// A model of an ensemble. The network should be without autodiff.
#[derive(Debug, Clone)]
pub struct Member {
    /// The network.
    pub model: Network,
    /// How it cuts songs into segments.
    pub options: SeparatorOptions,
}

/// The reason why models cannot be combined.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnsembleError {
    /// The models have different sample rates, in Hz.
    #[error("the models have different sample rates: {0} Hz and {1} Hz")]
    Rates(u32, u32),
    /// The parameters of different networks have no average.
    #[error("the models have different networks, so their parameters have no average")]
    Networks,
}

/// Models whose stems are averaged. Each stem is averaged over the models that have it.
#[derive(Debug, Clone)]
pub struct Ensemble {
    members: Vec<Member>,
    stems: Vec<String>,
    rate: u32,
    /// Shifts in samples.
    shifts: Vec<usize>,
}

impl Ensemble {
    /// The `members` (at least one), each with `shifts` shifts (at least one). The first shift is 0. The others are
    /// drawn from 0 to 0.5 s with a fixed seed. They move the borders of the segments.
    ///
    /// # Errors
    /// [`EnsembleError::Rates`].
    pub fn new(members: Vec<Member>, shifts: usize) -> Result<Self, EnsembleError> {
        let rate = members[0].model.config().sample_rate;
        let mut stems: Vec<String> = Vec::new();
        for config in members.iter().map(|member| member.model.config()) {
            if config.sample_rate != rate {
                return Err(EnsembleError::Rates(rate, config.sample_rate));
            }
            let new: Vec<String> = config.stems.into_iter().filter(|stem| !stems.contains(stem)).collect();
            stems.extend(new);
        }
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let longest = (LONGEST_SHIFT * f64::from(rate)) as usize;
        let shifts = (0..shifts).map(|k| if k == 0 { 0 } else { rng.random_range(1..=longest) }).collect();
        Ok(Self { members, stems, rate, shifts })
    }

    /// One model without shifts.
    pub(crate) fn single(model: &Network, options: SeparatorOptions) -> Self {
        let member = Member { model: model.clone(), options };
        Self::new(vec![member], 1).expect("one model has one rate")
    }

    /// The stems: those of the first model, then those that only later ones have.
    pub fn stems(&self) -> &[String] {
        &self.stems
    }

    /// Samples per second of the songs.
    pub fn sample_rate(&self) -> u32 {
        self.rate
    }

    /// Starts the separation of a song.
    ///
    /// # Errors
    /// [`SeparateError::Options`].
    pub(crate) fn start(&self) -> Result<Separation, SeparateError> {
        let mut parts = Vec::with_capacity(self.members.len() * self.shifts.len());
        for Member { model, options } in &self.members {
            let stems = model.config().stems;
            let index = |stem| self.stems.iter().position(|own| own == stem).expect("a stem of a member");
            let stems: Vec<usize> = stems.iter().map(index).collect();
            for &shift in &self.shifts {
                let mut separator = Separator::new(model.clone(), *options)?;
                let ready = vec![Stereo::default(); stems.len()];
                let mut output = Output { skip: shift, stems: stems.clone(), ready };
                let silence = [vec![0.0; shift], vec![0.0; shift]];
                output.take(&pollster::block_on(separator.push(&silence))?);
                parts.push((separator, output));
            }
        }
        Ok(Separation { parts, stems: self.stems.len() })
    }
}

/// A song that an ensemble is separating.
pub(crate) struct Separation {
    /// A model with a shift each.
    parts: Vec<(Separator, Output)>,
    stems: usize,
}

/// The output of a model with a shift.
struct Output {
    /// Samples of the shift that have not come out yet.
    skip: usize,
    /// The model's stems as indices of the ensemble's.
    stems: Vec<usize>,
    /// Samples that other parts have not finished yet.
    ready: Vec<Stereo>,
}

impl Output {
    fn take(&mut self, stems: &[Stereo]) {
        let skipped = self.skip.min(stems.first().map_or(0, |stem| stem[0].len()));
        self.skip -= skipped;
        for (ready, stem) in self.ready.iter_mut().flatten().zip(stems.iter().flatten()) {
            ready.extend_from_slice(&stem[skipped..]);
        }
    }
}

impl Separation {
    /// Takes the song's next samples. Returns, for each stem, the samples that all parts have finished.
    ///
    /// # Errors
    /// Those of [`Separator::push`].
    pub(crate) fn push(&mut self, block: &Stereo) -> Result<Vec<Stereo>, SeparateError> {
        for (separator, output) in &mut self.parts {
            output.take(&pollster::block_on(separator.push(block))?);
        }
        Ok(average(self.parts.iter_mut().map(|(_, output)| output).collect(), self.stems))
    }

    /// Ends the song. Returns the remaining samples.
    ///
    /// # Errors
    /// Those of [`Separator::finish`].
    pub(crate) fn finish(self) -> Result<Vec<Stereo>, SeparateError> {
        let mut outputs = Vec::with_capacity(self.parts.len());
        for (separator, mut output) in self.parts {
            output.take(&pollster::block_on(separator.finish())?);
            outputs.push(output);
        }
        Ok(average(outputs.iter_mut().collect(), self.stems))
    }
}

/// The mean of each of `stems` stems over the outputs that have it, of the samples that all outputs have finished.
fn average(outputs: Vec<&mut Output>, stems: usize) -> Vec<Stereo> {
    let frames = outputs.iter().map(|output| output.ready[0][0].len()).min().unwrap_or(0);
    let mut means = vec![[vec![0.0; frames], vec![0.0; frames]]; stems];
    let mut counts = vec![0u16; stems];
    for output in outputs {
        for (&stem, ready) in output.stems.iter().zip(&mut output.ready) {
            counts[stem] += 1;
            for (mean, ready) in means[stem].iter_mut().zip(ready) {
                mean.iter_mut().zip(ready.drain(..frames)).for_each(|(mean, sample)| *mean += sample);
            }
        }
    }
    for (mean, count) in means.iter_mut().zip(counts).filter(|(_, count)| *count > 1) {
        mean.iter_mut().flatten().for_each(|sample| *sample /= f32::from(count));
    }
    means
}

/// A network with the mean of the parameters of `models` (at least one), such as the checkpoints of one run.
///
/// # Errors
/// [`EnsembleError::Networks`].
pub fn average_parameters(models: &[Network]) -> Result<Network, EnsembleError> {
    let [first, others @ ..] = models else { panic!("at least one model") };
    let mut sum = pack(first);
    for model in others {
        if model.config() != first.config() {
            return Err(EnsembleError::Networks);
        }
        sum = sum + pack(model);
    }
    Ok(unpack(first.clone(), &sum.div_scalar(models.len() as f32)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(skip: usize, stems: &[usize]) -> Output {
        Output { skip, stems: stems.to_vec(), ready: vec![Stereo::default(); stems.len()] }
    }

    fn constant(value: f32, frames: usize) -> Stereo {
        [vec![value; frames], vec![-value; frames]]
    }

    /// A stem is averaged over the models that have it, and a shift delays the output only.
    #[test]
    fn stems_are_averaged_where_all_outputs_are_finished() {
        let (mut plain, mut shifted) = (output(0, &[0, 1]), output(3, &[1]));
        plain.take(&[constant(1.0, 5), constant(2.0, 5)]);
        shifted.take(&[constant(9.0, 2)]);
        assert_eq!(average(vec![&mut plain, &mut shifted], 2), [constant(0.0, 0), constant(0.0, 0)]);
        shifted.take(&[[vec![9.0, 4.0, 4.0], vec![9.0, -4.0, -4.0]]]);
        assert_eq!(average(vec![&mut plain, &mut shifted], 2), [constant(1.0, 2), constant(3.0, 2)]);
        assert_eq!((plain.ready[0][0].len(), shifted.ready[0][0].len()), (3, 0));
    }
}
