//! Building blocks of synthesis: band-limited oscillators, modal synthesis, plucked strings, envelopes.

use unbraid_effects::filter::one_pole;
use unbraid_effects::math::{cos_turns, sin_turns};
use unbraid_effects::random::Random;

/// The polyBLEP residual (Välimäki and Huovilainen, 2007), which band-limits a step of a sampled oscillator. The step
/// is at phase 0. `phase` is in periods, and `step` in periods per sample.
pub(crate) fn poly_blep(phase: f64, step: f64) -> f64 {
    if phase < step {
        let x = phase / step;
        x + x - x * x - 1.0
    } else if phase > 1.0 - step {
        let x = (phase - 1.0) / step;
        x * x + x + x + 1.0
    } else {
        0.0
    }
}

/// A sawtooth within ±1, or a pulse with steps of 2 and without offset, band-limited by polyBLEP.
pub(crate) struct Oscillator {
    phase: f64,
    /// The duty cycle of a pulse. `None` for a sawtooth.
    pub(crate) width: Option<f64>,
}

impl Oscillator {
    pub(crate) fn new(phase: f64, width: Option<f64>) -> Self {
        Self { phase, width }
    }

    /// The next sample, at a frequency of `step` periods per sample.
    pub(crate) fn next(&mut self, step: f64) -> f32 {
        self.phase += step;
        if self.phase >= 1.0 {
            self.phase -= 1.0;
        }
        let saw = |p: f64| 2.0 * p - 1.0 - poly_blep(p, step);
        match self.width {
            None => saw(self.phase) as f32,
            Some(width) => {
                let other = self.phase + 1.0 - width;
                let other = if other >= 1.0 { other - 1.0 } else { other };
                (saw(self.phase) - saw(other)) as f32
            }
        }
    }
}

/// One mode: an exponentially decaying partial.
#[derive(Clone, Copy)]
pub(crate) struct Mode {
    pub(crate) hertz: f64,
    pub(crate) gain: f64,
    /// Time constant of the decay in seconds.
    pub(crate) tau: f64,
}

/// Modal synthesis: adds each mode to `out` as a decaying sine from phase 0. Modes above 0.45 of the sample rate are
/// omitted because they would alias.
pub(crate) fn render_modes(out: &mut [f32], modes: &[Mode], rate: f64) {
    let audible: Vec<&Mode> = modes.iter().filter(|m| m.hertz < 0.45 * rate).collect();
    // Four recursions run in parallel, because a single one is bound by the latency of its multiply and add.
    for group in audible.chunks(4) {
        // y[n] = a y[n−1] − b y[n−2], with initial values such that y[0] = 0 and y[1] = gain · r · sin ω.
        let (mut a, mut b, mut previous, mut current) = ([0.0; 4], [0.0; 4], [0.0; 4], [0.0; 4]);
        let mut longest = 0.0f64;
        for (k, mode) in group.iter().enumerate() {
            let turns = mode.hertz / rate;
            let radius = libm::exp(-1.0 / (mode.tau * rate));
            a[k] = 2.0 * radius * cos_turns(turns);
            b[k] = radius * radius;
            previous[k] = -mode.gain * sin_turns(turns) / radius;
            longest = longest.max(mode.tau);
        }
        // After ten time constants a mode has decayed by 87 dB.
        let end = ((longest * 10.0 * rate) as usize).min(out.len());
        for slot in &mut out[..end] {
            *slot += ((current[0] + current[1]) + (current[2] + current[3])) as f32;
            for k in 0..4 {
                (previous[k], current[k]) = (current[k], a[k] * current[k] - b[k] * previous[k]);
            }
        }
    }
}

/// Parameters of a plucked string.
pub(crate) struct Pluck {
    pub(crate) hertz: f64,
    /// Time in which the fundamental decays by 60 dB, in seconds.
    pub(crate) decay: f64,
    /// From 0 (soft finger) to 1 (hard pick).
    pub(crate) brightness: f64,
    /// The plucking point as a fraction of the string's length.
    pub(crate) position: f64,
}

/// A plucked string after Karplus and Strong (1983), tuned with an all-pass filter after Jaffe and Smith (1983).
///
/// The excitation is a pulse with some noise. It circulates in a delay loop of one period with a low-pass filter. The
/// output peaks at about ±1.
pub(crate) fn pluck(string: &Pluck, samples: usize, rate: f64, random: &mut Random) -> Vec<f32> {
    // The loop's low-pass s·x[n−1] + (1 − s)·x[n] delays low partials by s samples.
    let damping = 0.5 - 0.42 * string.brightness;
    let period = rate / string.hertz - damping;
    let mut length = period as usize;
    let mut fraction = period - length as f64;
    // An all-pass filter with a delay near 0 resonates at the Nyquist frequency. Therefore its delay is 0.2 to 1.2
    // samples.
    if fraction < 0.2 {
        length -= 1;
        fraction += 1.0;
    }
    let allpass = ((1.0 - fraction) / (1.0 + fraction)) as f32;
    let loss = libm::exp2(-9.965_784_284_662_087 / (string.decay * string.hertz)) as f32;
    let (new, old) = (loss * (1.0 - damping) as f32, loss * damping as f32);

    // The width of a finger attenuates the partials above the second, that of a pick those above the thirtieth.
    let corner = string.hertz * libm::exp2(1.0 + 4.0 * string.brightness);
    let burst_pole = one_pole(1.0 / (std::f64::consts::TAU * corner), rate);
    let mut burst: Vec<f32> = (0..length).map(|_| 0.6 * random.noise()).collect();
    burst[0] += (length as f32).sqrt();
    // The loop is periodic: the first round initialises the filter's state, the second filters.
    let mut low = 0.0;
    for round in 0..2 {
        for slot in &mut burst {
            low = burst_pole * low + (1.0 - burst_pole) * *slot;
            if round == 1 {
                *slot = low;
            }
        }
    }
    // Plucking at a point removes the partials that have a node there.
    let back = ((string.position * length as f64) as usize).clamp(1, length.saturating_sub(1).max(1));
    let straight = burst.clone();
    for (i, slot) in burst.iter_mut().enumerate() {
        *slot -= straight[(i + length - back) % length];
    }
    let mean = burst.iter().sum::<f32>() / length as f32;
    let peak = burst.iter().fold(1e-9f32, |p, x| p.max((x - mean).abs()));
    for slot in &mut burst {
        *slot = (*slot - mean) / peak;
    }

    let mut out = Vec::with_capacity(samples);
    let (mut at, mut last_in, mut last_out, mut last_loop) = (0, 0.0, 0.0, 0.0);
    for _ in 0..samples {
        let x = burst[at];
        out.push(x);
        let damped = new * x + old * last_loop;
        last_loop = x;
        let tuned = allpass * damped + last_in - allpass * last_out;
        (last_in, last_out) = (damped, tuned);
        burst[at] = tuned;
        at = if at + 1 == length { 0 } else { at + 1 };
    }
    out
}

/// An ADSR envelope. Times are in seconds.
#[derive(Clone, Copy)]
pub(crate) struct Envelope {
    pub(crate) attack: f64,
    pub(crate) decay: f64,
    pub(crate) sustain: f32,
    pub(crate) release: f64,
}

impl Envelope {
    /// Length in samples of a note that is held for `gate` seconds.
    pub(crate) fn samples(&self, gate: f64, rate: f64) -> usize {
        ((gate + self.release) * rate) as usize + 1
    }

    /// The level of each sample: linear attack, exponential decay, smooth-step release to zero.
    pub(crate) fn levels(&self, gate: f64, rate: f64) -> impl Iterator<Item = f32> + use<> {
        let attack = (self.attack * rate).max(1.0) as f32;
        let fall = one_pole(self.decay, rate);
        let (sustain, gate, release) =
            (self.sustain, (gate * rate) as usize, (self.release * rate).max(1.0) as f32);
        let (mut level, mut rising) = (0.0f32, true);
        (0usize..).map(move |n| {
            if rising {
                level += 1.0 / attack;
                if level >= 1.0 {
                    level = 1.0;
                    rising = false;
                }
            } else {
                level = sustain + (level - sustain) * fall;
            }
            if n < gate {
                return level;
            }
            let left = (1.0 - (n - gate) as f32 / release).max(0.0);
            level * left * left * (3.0 - 2.0 * left)
        })
    }
}

/// Fades in the first `attack` seconds and fades out the last `release` seconds, linearly.
pub(crate) fn fade_edges(sound: &mut [f32], attack: f64, release: f64, rate: f64) {
    let len = sound.len();
    let (rise, fall) = (((attack * rate) as usize).min(len), ((release * rate) as usize).min(len));
    for (i, x) in sound.iter_mut().take(rise).enumerate() {
        *x *= i as f32 / rise as f32;
    }
    for (i, x) in sound.iter_mut().rev().take(fall).enumerate() {
        *x *= i as f32 / fall as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::pitch_of;

    const RATE: f64 = 44_100.0;

    /// Power at one frequency (Goertzel, through a Hann window).
    fn power(sound: &[f32], hertz: f64) -> f64 {
        let n = sound.len() as f64;
        let (mut re, mut im) = (0.0, 0.0);
        for (i, x) in sound.iter().enumerate() {
            let window = 0.5 - 0.5 * (std::f64::consts::TAU * i as f64 / n).cos();
            let angle = std::f64::consts::TAU * hertz * i as f64 / RATE;
            re += f64::from(*x) * window * angle.cos();
            im += f64::from(*x) * window * angle.sin();
        }
        (re * re + im * im) / (n * n)
    }

    #[test]
    fn oscillators_suppress_aliasing() {
        // Harmonic 25 of 1801 Hz is 45 025 Hz. Without band-limiting its alias at 925 Hz is 28 dB below the
        // fundamental.
        for width in [None, Some(0.5)] {
            let mut oscillator = Oscillator::new(0.0, width);
            let sound: Vec<f32> = (0..44_100).map(|_| oscillator.next(1801.0 / RATE)).collect();
            let ratio = 10.0 * (power(&sound, 1801.0) / power(&sound, 925.0)).log10();
            assert!(ratio > 60.0, "the alias is only {ratio:.1} dB below the fundamental");
        }
    }

    #[test]
    fn plucked_strings_are_in_tune() {
        let mut random = Random::new(5, 0, 0);
        for hertz in [41.2, 110.0, 246.9, 587.3] {
            for brightness in [0.2, 0.9] {
                let string = Pluck { hertz, decay: 4.0, brightness, position: 0.2 };
                let sound = pluck(&string, 44_100, RATE, &mut random);
                let heard = pitch_of(&sound[8000..8000 + 16_000], RATE, 0.7 * hertz, 1.4 * hertz);
                let cents = 1200.0 * (heard / hertz).log2();
                assert!(cents.abs() < 8.0, "{hertz} Hz is off by {cents:.1} cents");
            }
        }
    }

    #[test]
    fn modes_have_their_frequency_and_decay() {
        let mut sound = vec![0.0; 44_100];
        render_modes(&mut sound, &[Mode { hertz: 1000.0, gain: 0.5, tau: 0.2 }], RATE);
        let peak = |range: std::ops::Range<usize>| sound[range].iter().fold(0.0f32, |p, x| p.max(x.abs()));
        assert!(sound[0] == 0.0 && (peak(0..100) - 0.5).abs() < 0.01);
        let fall = peak(8820..8920) / peak(0..100);
        assert!((fall - 0.368).abs() < 0.01, "{fall}");
        assert!(power(&sound, 1000.0) > 1000.0 * power(&sound, 1100.0));
    }
}
