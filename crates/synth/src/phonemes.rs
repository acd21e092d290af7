//! Phonemes as sequences of articulatory gestures.

use unbraid_effects::random::Random;

/// Formant frequencies in Hz.
pub(crate) type Formants = [f64; 5];

/// A vowel, as its formants in a vocal tract 17.5 cm long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Vowel(Formants);

/// Rounded means of male speakers (Peterson and Barney, 1952). F4 and F5 have their neutral values.
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
/// The neutral vowel. Breathing uses its formants too.
const SCHWA: usize = 7;

/// A consonant, by its manner of articulation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Consonant {
    /// Noise from a constriction: its centre frequency in Hz, its level, and the level of voicing.
    Fricative { hertz: f64, level: f64, voice: f64 },
    /// Aspiration noise with the formants of the next vowel.
    Aspirate,
    /// A closure and a burst. The locus of the second formant in Hz identifies the place of articulation.
    Plosive { hertz: f64, locus: f64, voiced: bool },
    /// Voicing through the nose.
    Nasal { locus: f64 },
    /// Voicing through a tract that is narrowed but not closed.
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

/// An articulatory gesture: target values of the voice, and for how long they hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gesture {
    pub(crate) seconds: f64,
    pub(crate) formants: Formants,
    /// Level of voicing.
    pub(crate) voice: f64,
    /// Level of aspiration noise.
    pub(crate) breath: f64,
    /// Level of frication noise.
    pub(crate) hiss: f64,
    /// Centre frequency of the frication noise in Hz.
    pub(crate) hiss_hertz: f64,
    /// Factor on the formants' bandwidths.
    pub(crate) damping: f64,
    /// Time constant in seconds of the approach to the target.
    pub(crate) tau: f64,
}

impl Gesture {
    /// A sustained vowel.
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

    /// Silence in the neutral position.
    pub(crate) fn rest() -> Self {
        Self { voice: 0.0, breath: 0.0, tau: 0.03, ..Self::vowel(VOWELS[SCHWA]) }
    }

    /// A breath before a phrase.
    pub(crate) fn inhale(seconds: f64) -> Self {
        Self { seconds, breath: 0.16, damping: 2.0, tau: 0.06, ..Self::rest() }
    }
}

impl Consonant {
    /// The gestures of the consonant next to `vowel`, in order.
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

/// The syllable of one note.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Syllable {
    pub(crate) onset: Option<Consonant>,
    pub(crate) vowel: Vowel,
    /// The second vowel of a diphthong.
    pub(crate) glide: Option<Vowel>,
    pub(crate) coda: Option<Consonant>,
}

impl Syllable {
    pub(crate) fn draw(random: &mut Random) -> Self {
        Self {
            onset: random.chance(0.85).then(|| random.pick(&CONSONANTS)),
            vowel: random.pick(&VOWELS[..7]),
            glide: random.chance(0.25).then(|| VOWELS[random.pick(&[I, U])]),
            coda: random.chance(0.3).then(|| random.pick(&CONSONANTS[..15])),
        }
    }

    /// The syllable of the next note of a melisma: the same vowel without consonants.
    pub(crate) fn carried(&self) -> Self {
        Self { onset: None, vowel: self.glide.unwrap_or(self.vowel), glide: None, coda: None }
    }
}
