// Gradients of layer normalisation's γ and β, Σ gradient · x̂ and Σ gradient over the tokens of a part; the parts are
// added up afterwards. One channel an invocation, so that neighbours read neighbours.

alias Element = f32;

@group(0) @binding(0) var<storage, read_write> x: array<Element>;
@group(0) @binding(1) var<storage, read_write> gradient: array<Element>;
// (mean, 1/σ) of every token
@group(0) @binding(2) var<storage, read_write> moments_of_tokens: array<f32>;
// [parts, c] each
@group(0) @binding(3) var<storage, read_write> gamma_sums: array<f32>;
@group(0) @binding(4) var<storage, read_write> beta_sums: array<f32>;
// how many tokens, and tokens of a part
@group(0) @binding(5) var<storage, read> parameters: array<u32>;

const CHANNELS: u32 = 32u;
const WORKGROUP: u32 = 32u;
// Tokens summed by themselves first: long sums lose less in two stages.
const STRETCH: u32 = 32u;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let channel = group.x * WORKGROUP + lane;
    if channel >= CHANNELS {
        return;
    }
    let begin = group.y * parameters[1];
    let end = min(begin + parameters[1], parameters[0]);
    var sums = vec2(0.0);
    for (var stretch = begin; stretch < end; stretch += STRETCH) {
        var own = vec2(0.0);
        for (var token = stretch; token < min(stretch + STRETCH, end); token++) {
            let i = token * CHANNELS + channel;
            let g = f32(gradient[i]);
            let along = (f32(x[i]) - moments_of_tokens[2u * token]) * moments_of_tokens[2u * token + 1u];
            own += vec2(g * along, g);
        }
        sums += own;
    }
    gamma_sums[group.y * CHANNELS + channel] = sums.x;
    beta_sums[group.y * CHANNELS + channel] = sums.y;
}
