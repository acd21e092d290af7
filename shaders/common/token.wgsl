// Layer normalisation with several invocations per token: where the channels of a token lie, and sums over them.
// import common/width_four.wgsl

@group(0) @binding(0) var<storage, read_write> x: array<Vector>;
@group(0) @binding(1) var<storage, read_write> gamma: array<Values>;

const WORKGROUP: u32 = 128u;
const CHANNELS: u32 = 32u;
// Invocations of a token.
const LANES: u32 = 4u;
// Vectors of an invocation. They lie LANES apart, so that neighbouring invocations access neighbouring vectors.
const OWN: u32 = 2u;
// Vectors of a token.
const VECTORS: u32 = CHANNELS / WIDTH;
// Tokens that a workgroup processes at a time.
const TOKENS: u32 = WORKGROUP / LANES;
// Added to the variance.
const EPSILON: f32 = 1e-5;

// Whether vector `own` of the invocation at `position` among those of its token exists.
fn exists(position: u32, own: u32) -> bool {
    return LANES * OWN == VECTORS || position + own * LANES < VECTORS;
}

// One array for each sum, so that a barrier separates writing one from reading it and no other is needed.
const SUMS: u32 = 2u;
var<workgroup> terms: array<f32, SUMS * WORKGROUP>;

// Contributes the term of an invocation to a sum over the channels of its token.
fn put_term(sum: u32, lane: u32, term: f32) {
    terms[sum * WORKGROUP + lane] = term;
}

// The mean over the channels of the token. A barrier after put_term precedes it.
fn mean_of_terms(sum: u32, lane: u32) -> f32 {
    let first = sum * WORKGROUP + lane / LANES * LANES;
    var total = 0.0;
    for (var i = 0u; i < LANES; i++) {
        total += terms[first + i];
    }
    return total / f32(CHANNELS);
}
