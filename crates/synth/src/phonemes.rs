//! Speech sounds as gestures of the vocal tract: what the lungs, folds and tongue do, and for how long.

use crate::math::Dice;

/// Resonances of the tract in Hz.
pub(crate) type Formants = [f64; 5];

/// A vowel: its formants in a tract 17.5 cm long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Vowel(Formants);

/// Rounded means of male speakers (Peterson and Barney, 1952), with F4 and F5 at their neutral places.
static VOWELS: [Vowel; 8] = [
    Vowel([280.0, 2250.0, 2950.0, 3500.0, 4500.0]),
    Vowel([400.0, 2000.0, 2560.0, 3500.0, 4500.0]),
    Vowel([540.0, 1820.0, 2480.0, 3500.0, 4500.0]),
    Vowel([670.0, 1700.0, 2420.0, 3500.0, 4500.0]),
    Vowel([730.0, 1100.0, 2440.0, 3500.0, 4500.0]),
    Vowel([570.0, 850.0, 2410.0, 3400.0, 4500.0]),
    Vowel([310.0, 880.0, 2240.0, 3300.0, 4500.0]),
    Vowel([500.0, 1450.0, 2450.0, 3500.0, 4500.0]),
];
const I: usize = 0;
const U: usize = 6;
/// The neutral vowel, also the shape of a breath.
const SCHWA: usize = 7;

/// A consonant by the way it is made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Consonant {
    /// Turbulence at a narrow place: the centre of its noise in Hz, its level, and the voicing behind it.
    Fricative { hertz: f64, level: f64, voice: f64 },
    /// Breath through the shape of the vowel to come.
    Aspirate,
    /// A closure and its burst; the second formant's locus tells the place.
    Plosive { hertz: f64, locus: f64, voiced: bool },
    /// Voice through the nose.
    Nasal { locus: f64 },
    /// Voice through a tract narrowed, not closed.
    Approximant { formants: [f64; 3] },
}

static CONSONANTS: [Consonant; 19] = [
    Consonant::Fricative { hertz: 6800.0, level: 1.0, voice: 0.0 },
    Consonant::Fricative { hertz: 3200.0, level: 1.0, voice: 0.0 },
    Consonant::Fricative { hertz: 7500.0, level: 0.3, voice: 0.0 },
    Consonant::Fricative { hertz: 6500.0, level: 0.45, voice: 0.35 },
    Consonant::Fricative { hertz: 7000.0, level: 0.15, voice: 0.45 },
    Consonant::Aspirate,
    Consonant::Plosive { hertz: 900.0, locus: 800.0, voiced: false },
    Consonant::Plosive { hertz: 4200.0, locus: 1750.0, voiced: false },
    Consonant::Plosive { hertz: 2000.0, locus: 2100.0, voiced: false },
    Consonant::Plosive { hertz: 800.0, locus: 800.0, voiced: true },
    Consonant::Plosive { hertz: 3800.0, locus: 1750.0, voiced: true },
    Consonant::Plosive { hertz: 1800.0, locus: 2100.0, voiced: true },
    Consonant::Nasal { locus: 1050.0 },
    Consonant::Nasal { locus: 1650.0 },
    Consonant::Nasal { locus: 1050.0 },
    Consonant::Approximant { formants: [350.0, 1150.0, 2700.0] },
    Consonant::Approximant { formants: [370.0, 1200.0, 1650.0] },
    Consonant::Approximant { formants: [300.0, 650.0, 2200.0] },
    Consonant::Approximant { formants: [270.0, 2250.0, 3000.0] },
];

/// What the tract is aimed at for a while.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gesture {
    pub(crate) seconds: f64,
    pub(crate) formants: Formants,
    /// Level of the vocal folds, of breath through the tract, and of turbulence at a narrow place.
    pub(crate) voice: f64,
    pub(crate) breath: f64,
    pub(crate) hiss: f64,
    /// Centre of the turbulence in Hz.
    pub(crate) hiss_hertz: f64,
    /// How many times wider than usual the formants are.
    pub(crate) damping: f64,
    /// Seconds it takes to get there.
    pub(crate) tau: f64,
}

impl Gesture {
    /// A held vowel.
    pub(crate) fn vowel(Vowel(formants): Vowel) -> Self {
        Self {
            seconds: 0.0,
            formants,
            voice: 1.0,
            breath: 0.02,
            hiss: 0.0,
            hiss_hertz: 5000.0,
            damping: 1.0,
            tau: 0.022,
        }
    }

    /// Nothing sounds; the tract goes back to rest.
    pub(crate) fn rest() -> Self {
        Self { voice: 0.0, breath: 0.0, tau: 0.03, ..Self::vowel(VOWELS[SCHWA]) }
    }

    /// Air drawn in before a phrase.
    pub(crate) fn inhale(seconds: f64) -> Self {
        Self { seconds, breath: 0.16, damping: 2.0, tau: 0.06, ..Self::rest() }
    }
}

impl Consonant {
    /// The gestures of a consonant next to a vowel, in order.
    pub(crate) fn gestures(self, vowel: Vowel) -> Vec<Gesture> {
        let near = Gesture::vowel(vowel);
        let toward = |f1: f64, locus: f64| {
            let mut formants = near.formants;
            formants[0] = f1;
            formants[1] = 0.4 * formants[1] + 0.6 * locus;
            formants
        };
        match self {
            Self::Fricative { hertz, level, voice } => vec![Gesture {
                seconds: if voice > 0.0 { 0.075 } else { 0.1 },
                formants: toward(320.0, 1600.0),
                voice,
                hiss: level,
                hiss_hertz: hertz,
                damping: 1.5,
                tau: 0.012,
                ..near
            }],
            Self::Aspirate => vec![Gesture { seconds: 0.08, voice: 0.0, breath: 0.35, tau: 0.012, ..near }],
            Self::Plosive { hertz, locus, voiced } => {
                let closed = Gesture {
                    seconds: if voiced { 0.045 } else { 0.055 },
                    formants: toward(200.0, locus),
                    voice: if voiced { 0.12 } else { 0.0 },
                    breath: 0.0,
                    damping: 3.0,
                    tau: 0.006,
                    ..near
                };
                let burst = Gesture {
                    seconds: 0.01,
                    hiss: if voiced { 0.6 } else { 1.2 },
                    hiss_hertz: hertz,
                    tau: 0.0015,
                    ..closed
                };
                let mut gestures = vec![closed, burst];
                if !voiced {
                    gestures.push(Gesture { seconds: 0.035, voice: 0.0, breath: 0.4, tau: 0.006, ..near });
                }
                gestures
            }
            Self::Nasal { locus } => vec![Gesture {
                seconds: 0.075,
                formants: [250.0, locus, 2200.0, 3200.0, 4400.0],
                voice: 0.5,
                damping: 2.2,
                tau: 0.01,
                ..near
            }],
            Self::Approximant { formants: [f1, f2, f3] } => vec![Gesture {
                seconds: 0.065,
                formants: [f1, f2, f3, near.formants[3], near.formants[4]],
                voice: 0.65,
                damping: 1.2,
                tau: 0.018,
                ..near
            }],
        }
    }
}

/// What is sung on one note.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Syllable {
    pub(crate) onset: Option<Consonant>,
    pub(crate) vowel: Vowel,
    /// Where a diphthong goes.
    pub(crate) glide: Option<Vowel>,
    pub(crate) coda: Option<Consonant>,
}

impl Syllable {
    pub(crate) fn draw(dice: &mut Dice) -> Self {
        Self {
            onset: dice.chance(0.85).then(|| dice.pick(&CONSONANTS)),
            vowel: dice.pick(&VOWELS[..7]),
            glide: dice.chance(0.25).then(|| VOWELS[dice.pick(&[I, U])]),
            coda: dice.chance(0.3).then(|| dice.pick(&CONSONANTS[..15])),
        }
    }

    /// The same vowel carried on to another note.
    pub(crate) fn carried(&self) -> Self {
        Self { onset: None, vowel: self.glide.unwrap_or(self.vowel), glide: None, coda: None }
    }
}
