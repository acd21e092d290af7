// Overlap-add as a gather: x[m] = Σ_t y_t[m + PAD − t·HOP] / Σ_t window[m + PAD − t·HOP]².
// If ADJOINT, the overlap-add of the adjoint of the STFT: without the division, and with the positions of the padding
// added to the samples that they mirror.
//
// One sample per invocation. Frames are added in order, so the sum is the same in every run.
// import common/frames.wgsl

alias Element = f32;

// [items, t, n_fft]
@group(0) @binding(0) var<storage, read_write> frames: array<f32>;
// [b, n]
@group(0) @binding(1) var<storage, read_write> waveform: array<Element>;
// samples, frames per item, first sample in the batch, number of samples
@group(0) @binding(3) var<storage, read> parameters: array<u32>;

const WORKGROUP: u32 = 256u;
const ADJOINT: u32 = 0u;

fn sum_at(item: u32, position: u32) -> f32 {
    let frames_of_item = parameters[1];
    let cover = covering(position, frames_of_item);
    var sum = 0.0;
    for (var t = cover.first; t < cover.end; t++) {
        sum += frames[(item * frames_of_item + t) * N_FFT + position - t * HOP];
    }
    return sum;
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (group.y * groups.x + group.x) * WORKGROUP + lane;
    if index >= parameters[3] {
        return;
    }
    let samples = parameters[0];
    let item = index / samples;
    let m = index % samples;
    var x = sum_at(item, m + PAD);
    if ADJOINT == 0u {
        x /= envelope(m + PAD, parameters[1]);
    } else {
        // Position PAD − m mirrors sample m at the first sample, and position PAD + 2 (n − 1) − m at the last sample.
        if 1u <= m && m <= PAD {
            x += sum_at(item, PAD - m);
        }
        let after = PAD + 2u * (samples - 1u) - m;
        if m + 1u < samples && after < samples + N_FFT {
            x += sum_at(item, after);
        }
    }
    waveform[parameters[2] + index] = Element(x);
}
