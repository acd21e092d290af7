//! Stems of a digitally silent channel are silent.
//!
//! The network's features of a bin hold both channels, so a song on the left only leaves a trace on the right. A
//! channel whose samples are exactly zero for a while holds nothing, so its stems are set to zero there. They fade
//! over a few milliseconds at both ends of the silence, so that no step is heard. A shorter run of zeros changes
//! nothing: waveforms cross zero, and quiet passages of 16 bits have many zeros.

use std::collections::VecDeque;
use std::ops::Range;

use unbraid_base::Stereo;

/// The shortest silence in seconds. It exceeds half a period of the lowest audible tone.
const LEAST_SECONDS: f64 = 0.05;

/// Length of a fade in seconds.
const FADE_SECONDS: f64 = 0.005;

/// The zeros of a channel.
#[derive(Debug, Clone, Default)]
struct Zeros {
    /// Number of zeros at the end of the samples so far.
    trailing: usize,
    /// Complete runs that are long enough, oldest first, until their stems were returned.
    runs: VecDeque<Range<usize>>,
}

/// Sets the stems of silent channels to zero. Keeps back stems whose silence is not known yet: those of less than
/// 50 ms.
#[derive(Debug)]
pub(super) struct Silence {
    least: usize,
    fade: usize,
    channels: [Zeros; 2],
    /// Samples of the song so far.
    seen: usize,
    /// Whether the song has ended.
    ended: bool,
    /// Stems that were finished and not returned yet.
    held: Vec<Stereo>,
    /// Number of samples that were returned.
    returned: usize,
}

impl Silence {
    pub(super) fn new(sample_rate: u32, stems: usize) -> Self {
        let samples = |seconds: f64| (seconds * f64::from(sample_rate)).ceil() as usize;
        Self {
            least: samples(LEAST_SECONDS),
            fade: samples(FADE_SECONDS),
            channels: Default::default(),
            seen: 0,
            ended: false,
            held: vec![Stereo::default(); stems],
            returned: 0,
        }
    }

    /// Takes the song's next samples.
    pub(super) fn observe(&mut self, block: &Stereo) {
        for (zeros, block) in self.channels.iter_mut().zip(block) {
            for (index, &sample) in block.iter().enumerate() {
                if sample == 0.0 {
                    zeros.trailing += 1;
                    continue;
                }
                let end = self.seen + index;
                if zeros.trailing >= self.least {
                    zeros.runs.push_back(end - zeros.trailing..end);
                }
                zeros.trailing = 0;
            }
        }
        self.seen += block[0].len();
    }

    /// Ends the song. A song that is shorter than the shortest silence may be silent too.
    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    /// Takes the stems that are finished, and returns those whose silence is known.
    pub(super) fn apply(&mut self, stems: Vec<Stereo>) -> Vec<Stereo> {
        for (held, stem) in self.held.iter_mut().flatten().zip(stems.into_iter().flatten()) {
            if held.is_empty() {
                *held = stem;
            } else {
                held.extend(stem);
            }
        }
        let held = self.held.first().map_or(0, |stem| stem[0].len());
        let end = (self.returned + held).min(self.known()).max(self.returned);
        for side in 0..self.channels.len() {
            let open = self.open_run(side);
            let mut runs = std::mem::take(&mut self.channels[side].runs);
            for run in runs.iter().chain(&open) {
                self.mute(side, run, end);
            }
            runs.retain(|run| run.end > end);
            self.channels[side].runs = runs;
        }
        let count = end - self.returned;
        self.returned = end;
        self.held
            .iter_mut()
            .map(|stem| {
                stem.each_mut().map(|channel| {
                    let rest = channel.split_off(count);
                    std::mem::replace(channel, rest)
                })
            })
            .collect()
    }

    /// The zeros at the end of the channel so far, if they are silence. Their end is not known before the song's end.
    fn open_run(&self, side: usize) -> Option<Range<usize>> {
        let trailing = self.channels[side].trailing;
        let whole = self.ended && trailing == self.seen;
        (trailing >= self.least || whole).then(|| self.seen - trailing..usize::MAX)
    }

    /// The first sample whose silence is not known yet.
    fn known(&self) -> usize {
        let known = |side: usize| match self.channels[side].trailing {
            _ if self.ended => self.seen,
            // The silence may end with the next sample, and would fade before.
            trailing if trailing >= self.least => self.seen - self.fade,
            trailing => self.seen - trailing,
        };
        known(0).min(known(1))
    }

    /// Mutes a channel of the held stems in the part of `run` that is returned next, before sample `end`.
    fn mute(&mut self, side: usize, run: &Range<usize>, end: usize) {
        let first = run.start.max(self.returned);
        for index in first..run.end.min(end) {
            // Nothing precedes the song, so a song that begins with silence does not fade there.
            let after = if run.start == 0 { usize::MAX } else { index - run.start + 1 };
            let distance = after.min(run.end - index).min(self.fade + 1);
            let gain = (self.fade + 1 - distance) as f32 / (self.fade + 1) as f32;
            for stem in &mut self.held {
                stem[side][index - self.returned] *= gain;
            }
        }
    }
}
