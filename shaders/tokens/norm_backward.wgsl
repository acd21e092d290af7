// The gradient of layer normalisation's input: (g − mean g − x̂ · mean (g x̂)) / σ with x̂ = (x − mean) / σ and
// g = γ · gradient. One token per invocation. The mean and 1/σ are stored for norm_sums.wgsl.
// import common/token.wgsl

@group(0) @binding(1) var<storage, read_write> gamma: array<f32>;
@group(0) @binding(2) var<storage, read_write> gradient: array<Element>;
// (mean, 1/σ) of every token
@group(0) @binding(3) var<storage, read_write> moments_of_tokens: array<f32>;
@group(0) @binding(4) var<storage, read_write> x_gradient: array<Element>;
// number of tokens
@group(0) @binding(5) var<storage, read> parameters: array<u32>;

const WORKGROUP: u32 = 64u;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let token = (group.y * groups.x + group.x) * WORKGROUP + lane;
    if token >= parameters[0] {
        return;
    }
    let first = token * CHANNELS;
    let m = moments(first);
    var sum = 0.0;
    var sum_along = 0.0;
    for (var c = 0u; c < CHANNELS; c++) {
        let g = gamma[c] * f32(gradient[first + c]);
        sum += g;
        sum_along += g * (f32(x[first + c]) - m.mean) * m.scale;
    }
    let mean = sum / f32(CHANNELS);
    let mean_along = sum_along / f32(CHANNELS);
    for (var c = 0u; c < CHANNELS; c++) {
        let g = gamma[c] * f32(gradient[first + c]);
        let along = (f32(x[first + c]) - m.mean) * m.scale;
        x_gradient[first + c] = Element((g - mean - along * mean_along) * m.scale);
    }
    moments_of_tokens[2u * token] = m.mean;
    moments_of_tokens[2u * token + 1u] = m.scale;
}
