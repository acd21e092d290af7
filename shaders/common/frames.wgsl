// Frames of a signal that is padded by half a frame on both sides. Frame t covers the positions t·HOP to
// t·HOP + N_FFT − 1, and sample m is at position m + PAD.

struct Weight {
    // Periodic Hann: 0.5 − 0.5 cos(2πj / N_FFT).
    window: f32,
    // Σ_{k ≥ 0} window[j − k·HOP]².
    energy: f32,
}

// For every j in a frame.
@group(0) @binding(2) var<storage, read_write> weights: array<Weight>;

const N_FFT: u32 = 2048u;
const HOP: u32 = 512u;
const PAD: u32 = N_FFT / 2u;

// The frames that cover a position: from `first` up to `end`.
struct Covering {
    first: u32,
    end: u32,
}

fn covering(position: u32, frames: u32) -> Covering {
    var first = 0u;
    if position >= N_FFT {
        first = (position - N_FFT) / HOP + 1u;
    }
    return Covering(first, min(position / HOP + 1u, frames));
}

// Σ_t window[position − t·HOP]² over the frames that cover a sample's position. The energy of the first of these frames
// includes all later frames. Near the end, the contribution of the frames that do not exist is subtracted.
fn envelope(position: u32, frames: u32) -> f32 {
    let cover = covering(position, frames);
    let missing = position - (cover.end - 1u) * HOP;
    var sum = weights[position - cover.first * HOP].energy;
    if missing >= HOP {
        sum -= weights[missing - HOP].energy;
    }
    return sum;
}
