//! Building blocks of sound: band-limited oscillators, filters, resonant modes, strings, envelopes.

use crate::math::{Dice, cos_turns, exp, sin_turns};

/// The share a one-pole smoother keeps of its past, for a time constant in seconds.
pub(crate) fn keep(seconds: f64, rate: f64) -> f32 {
    exp(-1.0 / (seconds.max(1e-5) * rate)) as f32
}

/// The polyBLEP residual (Välimäki and Huovilainen, 2007): what turns a unit step of a sampled
/// oscillator into a band-limited one. `phase` and `step` in turns, the step at phase 0.
pub(crate) fn blep(phase: f64, step: f64) -> f64 {
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

/// A sawtooth in ±1, or a pulse with steps of 2 and no offset, band-limited by polyBLEP.
pub(crate) struct Oscillator {
    phase: f64,
    /// The pulse's duty, or none for a sawtooth.
    pub(crate) width: Option<f64>,
}

impl Oscillator {
    pub(crate) fn new(phase: f64, width: Option<f64>) -> Self {
        Self { phase, width }
    }

    /// The next sample, at `step` turns a sample.
    pub(crate) fn next(&mut self, step: f64) -> f32 {
        self.phase += step;
        if self.phase >= 1.0 {
            self.phase -= 1.0;
        }
        let saw = |p: f64| 2.0 * p - 1.0 - blep(p, step);
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

/// A state-variable filter in its trapezoidal form (Simper, 2013), stable while it is being swept.
#[derive(Clone, Default)]
pub(crate) struct Filter {
    g: f32,
    k: f32,
    a1: f32,
    s1: f32,
    s2: f32,
}

impl Filter {
    /// A filter at `hertz` (held under 0.45 of the rate) with quality `q`.
    pub(crate) fn new(hertz: f64, q: f64, rate: f64) -> Self {
        let mut filter = Self::default();
        filter.tune(hertz, q, rate);
        filter
    }

    /// Moves the filter without a click.
    pub(crate) fn tune(&mut self, hertz: f64, q: f64, rate: f64) {
        let half_turns = (hertz / rate).clamp(1e-5, 0.45) * 0.5;
        self.g = (sin_turns(half_turns) / cos_turns(half_turns)) as f32;
        self.k = (1.0 / q) as f32;
        self.a1 = 1.0 / (1.0 + self.g * (self.g + self.k));
    }

    /// The low-pass and band-pass outputs; the band-pass has unit gain at its centre.
    fn step(&mut self, x: f32) -> (f32, f32) {
        let v3 = x - self.s2;
        let v1 = self.a1 * (self.s1 + self.g * v3);
        let v2 = self.s2 + self.g * v1;
        self.s1 = 2.0 * v1 - self.s1;
        self.s2 = 2.0 * v2 - self.s2;
        (v2, self.k * v1)
    }

    pub(crate) fn low(&mut self, x: f32) -> f32 {
        self.step(x).0
    }

    pub(crate) fn band(&mut self, x: f32) -> f32 {
        self.step(x).1
    }

    pub(crate) fn high(&mut self, x: f32) -> f32 {
        let (low, band) = self.step(x);
        x - band - low
    }
}

/// One decaying partial of a struck body.
#[derive(Clone, Copy)]
pub(crate) struct Mode {
    pub(crate) hertz: f64,
    pub(crate) gain: f64,
    /// Time in seconds to fall by a factor e.
    pub(crate) tau: f64,
}

/// Adds the modes' sound to `out`, each a decaying sine from phase 0. Modes above 0.45 of the rate are
/// left out: they would fold back.
pub(crate) fn ring(out: &mut [f32], modes: &[Mode], rate: f64) {
    let audible: Vec<&Mode> = modes.iter().filter(|m| m.hertz < 0.45 * rate).collect();
    // Four at a time: one recursion alone waits for its own last result most of the time.
    for group in audible.chunks(4) {
        // y[n] = a y[n−1] − b y[n−2], begun so that y[0] = 0 and y[1] = r sin ω.
        let (mut a, mut b, mut previous, mut current) = ([0.0; 4], [0.0; 4], [0.0; 4], [0.0; 4]);
        let mut longest = 0.0f64;
        for (k, mode) in group.iter().enumerate() {
            let turns = mode.hertz / rate;
            let radius = exp(-1.0 / (mode.tau * rate));
            a[k] = 2.0 * radius * cos_turns(turns);
            b[k] = radius * radius;
            previous[k] = -mode.gain * sin_turns(turns) / radius;
            longest = longest.max(mode.tau);
        }
        // After ten time constants a mode has fallen by 87 dB.
        let end = ((longest * 10.0 * rate) as usize).min(out.len());
        for slot in &mut out[..end] {
            *slot += ((current[0] + current[1]) + (current[2] + current[3])) as f32;
            for k in 0..4 {
                (previous[k], current[k]) = (current[k], a[k] * current[k] - b[k] * previous[k]);
            }
        }
    }
}

/// What sets a plucked string apart.
pub(crate) struct Pluck {
    pub(crate) hertz: f64,
    /// Seconds for the fundamental to fall by 60 dB.
    pub(crate) decay: f64,
    /// 0 (dull finger) to 1 (bright pick).
    pub(crate) brightness: f64,
    /// Where it is plucked, as a part of its length.
    pub(crate) position: f64,
}

/// A plucked string (Karplus and Strong, 1983, with Jaffe and Smith's tuning by an all-pass): a pulse
/// and some noise in a loop as long as a period, which loses its highs and then its level. About ±1 at its loudest.
pub(crate) fn pluck(string: &Pluck, samples: usize, rate: f64, dice: &mut Dice) -> Vec<f32> {
    // The loop's low-pass s·x[n−1] + (1 − s)·x[n] delays low partials by s samples.
    let damping = 0.5 - 0.42 * string.brightness;
    let period = rate / string.hertz - damping;
    let mut length = period as usize;
    let mut fraction = period - length as f64;
    // An all-pass delay near zero rings at the Nyquist frequency: it gets between 0.2 and 1.2 samples.
    if fraction < 0.2 {
        length -= 1;
        fraction += 1.0;
    }
    let allpass = ((1.0 - fraction) / (1.0 + fraction)) as f32;
    let loss = crate::math::exp2(-9.965_784_284_662_087 / (string.decay * string.hertz)) as f32;
    let (new, old) = (loss * (1.0 - damping) as f32, loss * damping as f32);

    // A finger's width holds back the partials above the second, a pick's those above the thirtieth.
    let corner = string.hertz * crate::math::exp2(1.0 + 4.0 * string.brightness);
    let burst_keep = keep(1.0 / (std::f64::consts::TAU * corner), rate);
    let mut burst: Vec<f32> = (0..length).map(|_| 0.6 * dice.noise()).collect();
    burst[0] += (length as f32).sqrt();
    // The loop is a circle: once round to settle, once to filter.
    let mut low = 0.0;
    for round in 0..2 {
        for slot in &mut burst {
            low = burst_keep * low + (1.0 - burst_keep) * *slot;
            if round == 1 {
                *slot = low;
            }
        }
    }
    // Plucking at a point takes away the partials that have a node there.
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

/// Attack, decay to a sustained level, release after the gate: times in seconds.
#[derive(Clone, Copy)]
pub(crate) struct Envelope {
    pub(crate) attack: f64,
    pub(crate) decay: f64,
    pub(crate) sustain: f32,
    pub(crate) release: f64,
}

impl Envelope {
    /// Samples from the start of a note with this gate until it is silent.
    pub(crate) fn samples(&self, gate: f64, rate: f64) -> usize {
        ((gate + self.release) * rate) as usize + 1
    }

    /// The level of each sample: linear attack, exponential decay, cosine-shaped release to zero.
    pub(crate) fn levels(&self, gate: f64, rate: f64) -> impl Iterator<Item = f32> + use<> {
        let attack = (self.attack * rate).max(1.0) as f32;
        let fall = keep(self.decay, rate);
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

/// Rounds off the first `attack` and last `release` seconds of a sound that is cut to length.
pub(crate) fn taper(sound: &mut [f32], attack: f64, release: f64, rate: f64) {
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
    fn oscillators_hardly_alias() {
        // Harmonic 25 of 1801 Hz is 45 025 Hz: sampled naively it folds to 925 Hz, 28 dB under the fundamental.
        for width in [None, Some(0.5)] {
            let mut oscillator = Oscillator::new(0.0, width);
            let sound: Vec<f32> = (0..44_100).map(|_| oscillator.next(1801.0 / RATE)).collect();
            let ratio = 10.0 * (power(&sound, 1801.0) / power(&sound, 925.0)).log10();
            assert!(ratio > 60.0, "alias only {ratio:.1} dB under the fundamental");
        }
    }

    #[test]
    fn strings_are_in_tune() {
        let mut dice = Dice::new(5, 0, 0);
        for hertz in [41.2, 110.0, 246.9, 587.3] {
            for brightness in [0.2, 0.9] {
                let string = Pluck { hertz, decay: 4.0, brightness, position: 0.2 };
                let sound = pluck(&string, 44_100, RATE, &mut dice);
                let heard = pitch_of(&sound[8000..8000 + 16_000], RATE, 0.7 * hertz, 1.4 * hertz);
                let cents = 1200.0 * (heard / hertz).log2();
                assert!(cents.abs() < 8.0, "{hertz} Hz came out {cents:.1} cents off");
            }
        }
    }

    #[test]
    fn modes_have_their_pitch_and_decay() {
        let mut sound = vec![0.0; 44_100];
        ring(&mut sound, &[Mode { hertz: 1000.0, gain: 0.5, tau: 0.2 }], RATE);
        let peak = |range: std::ops::Range<usize>| sound[range].iter().fold(0.0f32, |p, x| p.max(x.abs()));
        assert!(sound[0] == 0.0 && (peak(0..100) - 0.5).abs() < 0.01);
        let fall = peak(8820..8920) / peak(0..100);
        assert!((fall - 0.368).abs() < 0.01, "{fall}");
        assert!(power(&sound, 1000.0) > 1000.0 * power(&sound, 1100.0));
    }

    #[test]
    fn filters_pass_their_band() {
        let gain = |hertz: f64, f: &mut dyn FnMut(f32) -> f32| {
            let sound: Vec<f32> =
                (0..8820).map(|n| f(sin_turns(hertz * f64::from(n) / RATE) as f32)).collect();
            sound[4410..].iter().fold(0.0f32, |p, x| p.max(x.abs()))
        };
        let filter = || Filter::new(1000.0, 0.707, RATE);
        let (mut a, mut b, mut c, mut d, mut e) = (filter(), filter(), filter(), filter(), filter());
        assert!((gain(100.0, &mut |x| a.low(x)) - 1.0).abs() < 0.02);
        assert!(gain(8000.0, &mut |x| b.low(x)) < 0.03);
        assert!((gain(8000.0, &mut |x| c.high(x)) - 1.0).abs() < 0.03);
        assert!((gain(1000.0, &mut |x| d.band(x)) - 1.0).abs() < 0.03);
        assert!(gain(100.0, &mut |x| e.band(x)) < 0.2);
    }
}
