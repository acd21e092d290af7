//! The modes of the two passes. Each pass computes a transform, or the adjoint of the other transform.

/// The computation of a pass from samples to bins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Analysis {
    /// STFT: reflect padding, window, real FFT.
    Forward,
    /// Adjoint of the inverse STFT: zero padding, division by the summed squared windows, window, real FFT,
    /// bins weighted by 1/N (first and last) or 2/N.
    InverseAdjoint,
}

impl Analysis {
    pub(crate) fn adjoint(self) -> Synthesis {
        match self {
            Self::Forward => Synthesis::ForwardAdjoint,
            Self::InverseAdjoint => Synthesis::Inverse,
        }
    }
}

/// The computation of a pass from bins to samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Synthesis {
    /// Inverse STFT: inverse real FFT, window, overlap-add, division by the summed squared windows.
    Inverse,
    /// Adjoint of the STFT: unweighted bins, window, overlap-add, padding folded back by reflection.
    ForwardAdjoint,
}

impl Synthesis {
    pub(crate) fn adjoint(self) -> Analysis {
        match self {
            Self::Inverse => Analysis::InverseAdjoint,
            Self::ForwardAdjoint => Analysis::Forward,
        }
    }
}

/// The weights by which the bins of a one-sided spectrum represent the whole spectrum: `(first and last, all others)`.
///
/// If not `inverse`, they apply to the result of a real FFT. If `inverse`, they apply to the input of an unnormalised
/// inverse real FFT, which counts all bins but the first and the last twice.
pub(super) fn bin_weights(n_fft: usize, adjoint: bool, inverse: bool) -> (f32, f32) {
    let n = n_fft as f32;
    match (inverse, adjoint) {
        (false, false) => (1.0, 1.0),
        (false, true) => (1.0 / n, 2.0 / n),
        (true, false) => (1.0 / n, 1.0 / n),
        (true, true) => (1.0, 0.5),
    }
}
