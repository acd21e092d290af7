// STFT: X[t, k] = Σ_j window[j] · x[t·HOP + j − PAD] · exp(−2πi jk / N_FFT), x reflected at its ends. If ADJOINT, the
// adjoint of the inverse STFT: x is divided by the envelope and zero outside the signal, and X is weighted by 1/N_FFT
// (first and last bin) or 2/N_FFT (all others).
//
// One workgroup per frame. Two real samples form one complex point, so the FFT has half the length:
// Z = DFT(x[2j] + i·x[2j+1]) holds the DFTs of the even and the odd samples, E = (Z[k] + Z*[−k]) / 2 and
// O = −i (Z[k] − Z*[−k]) / 2, and X[k] = E + exp(−2πi k / N_FFT) · O.
// import common/frames.wgsl
// import common/fft.wgsl

alias Element = f32;

// [b, n]
@group(0) @binding(0) var<storage, read_write> waveform: array<Element>;
// [b, t, f]
@group(0) @binding(1) var<storage, read_write> spectrogram: array<vec2<Element>>;
// samples, frames per item, frames of all items
@group(0) @binding(4) var<storage, read> parameters: array<u32>;

const ADJOINT: u32 = 0u;

fn sample(item: u32, position: u32) -> f32 {
    let samples = parameters[0];
    let distance = max(position, PAD) - min(position, PAD);
    if ADJOINT == 1u {
        if position < PAD || distance >= samples {
            return 0.0;
        }
        return f32(waveform[item * samples + distance]) / envelope(position, parameters[1]);
    }
    // `distance` already reflects positions before the first sample. This reflects positions after the last sample.
    let reflected = min(distance, 2u * (samples - 1u) - distance);
    return f32(waveform[item * samples + reflected]);
}

fn windowed(item: u32, frame: u32, j: u32) -> f32 {
    return weights[j].window * sample(item, frame * HOP + j);
}

fn bin_weight(k: u32) -> f32 {
    if ADJOINT == 0u {
        return 1.0;
    }
    return select(2.0, 1.0, k == 0u || k == POINTS) / f32(N_FFT);
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = group.y * groups.x + group.x;
    let exists = index < parameters[2];
    let item = index / parameters[1];
    let frame = index % parameters[1];
    for (var j = lane; j < POINTS; j += WORKGROUP) {
        points[j] = vec2(0.0);
        if exists {
            points[j] = vec2(windowed(item, frame, 2u * j), windowed(item, frame, 2u * j + 1u));
        }
    }
    fft(lane);
    if exists {
        for (var k = lane; k <= POINTS; k += WORKGROUP) {
            let z = points[k % POINTS];
            let mirrored = conjugate(points[(POINTS - k) % POINTS]);
            let even = 0.5 * (z + mirrored);
            let odd = -0.5 * times_i(z - mirrored);
            let bin = even + multiply(twiddles[k], odd);
            spectrogram[index * (POINTS + 1u) + k] = vec2<Element>(bin_weight(k) * bin);
        }
    }
}
