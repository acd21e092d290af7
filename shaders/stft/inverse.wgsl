// The windowed frames of the inverse STFT: y_t[j] = window[j] · Σ_k X[t, k] · exp(+2πi jk / N_FFT) / N_FFT. The sum is
// over all N_FFT bins of a real signal: X[N_FFT − k] = X*[k], and the first and the last bin are real. If ADJOINT, the
// frames of the adjoint of the STFT: y_t[j] = window[j] · Re Σ_k X[t, k] · exp(+2πi jk / N_FFT) over the unweighted
// one-sided bins.
//
// The reverse of forward.wgsl: Z[k] = E + i·O with E = X[k] + X*[−k], O = exp(+2πi k / N_FFT) (X[k] − X*[−k]).
// The unnormalised inverse DFT of Z, the conjugate of the DFT of Z*, is N_FFT · (y[2j] + i·y[2j+1]).
// import common/frames.wgsl
// import common/fft.wgsl

alias Element = f32;

// [b, t, f]
@group(0) @binding(0) var<storage, read_write> spectrogram: array<vec2<Element>>;
// [items, t, n_fft], starting at the first frame
@group(0) @binding(1) var<storage, read_write> frames: array<f32>;
// first frame, number of frames
@group(0) @binding(4) var<storage, read> parameters: array<u32>;

const ADJOINT: u32 = 0u;

fn bin(frame: u32, k: u32) -> vec2<f32> {
    let value = vec2<f32>(spectrogram[frame * (POINTS + 1u) + k]);
    let edge = k == 0u || k == POINTS;
    if ADJOINT == 1u {
        return select(0.5 * value, vec2(value.x, 0.0), edge);
    }
    return select(value, vec2(value.x, 0.0), edge) / f32(N_FFT);
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = group.y * groups.x + group.x;
    let exists = index < parameters[1];
    let frame = parameters[0] + index;
    for (var k = lane; k < POINTS; k += WORKGROUP) {
        points[k] = vec2(0.0);
        if exists {
            let x = bin(frame, k);
            let mirrored = conjugate(bin(frame, POINTS - k));
            let even = x + mirrored;
            let odd = multiply(conjugate(twiddles[k]), x - mirrored);
            points[k] = conjugate(even + times_i(odd));
        }
    }
    fft(lane);
    if exists {
        for (var j = lane; j < POINTS; j += WORKGROUP) {
            let pair = conjugate(points[j]);
            frames[index * N_FFT + 2u * j] = weights[2u * j].window * pair.x;
            frames[index * N_FFT + 2u * j + 1u] = weights[2u * j + 1u].window * pair.y;
        }
    }
}
