// The gradients of layer normalisation's γ and β: partial sums Σ gradient · x̂ and Σ gradient over the tokens of a
// part. One channel per invocation, so that neighbouring invocations read neighbouring elements.

alias Element = f32;

@group(0) @binding(0) var<storage, read_write> x: array<Element>;
@group(0) @binding(1) var<storage, read_write> gradient: array<Element>;
// (mean, 1/σ) of every token
@group(0) @binding(2) var<storage, read_write> moments_of_tokens: array<f32>;
// Both are [parts, c].
@group(0) @binding(3) var<storage, read_write> gamma_sums: array<f32>;
@group(0) @binding(4) var<storage, read_write> beta_sums: array<f32>;
// number of tokens, tokens per part
@group(0) @binding(5) var<storage, read> parameters: array<u32>;

const CHANNELS: u32 = 32u;
const WORKGROUP: u32 = 32u;
// Tokens per inner sum. Long sums lose less precision in two stages.
const RUN: u32 = 32u;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let channel = group.x * WORKGROUP + lane;
    if channel >= CHANNELS {
        return;
    }
    let begin = group.y * parameters[1];
    let end = min(begin + parameters[1], parameters[0]);
    var sums = vec2(0.0);
    for (var first = begin; first < end; first += RUN) {
        var inner_sums = vec2(0.0);
        for (var token = first; token < min(first + RUN, end); token++) {
            let i = token * CHANNELS + channel;
            let g = f32(gradient[i]);
            let along = (f32(x[i]) - moments_of_tokens[2u * token]) * moments_of_tokens[2u * token + 1u];
            inner_sums += vec2(g * along, g);
        }
        sums += inner_sums;
    }
    gamma_sums[group.y * CHANNELS + channel] = sums.x;
    beta_sums[group.y * CHANNELS + channel] = sums.y;
}
