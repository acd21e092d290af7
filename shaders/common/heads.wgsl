// Queries, keys and values of one head, read from rows with the layout [3, h, d], and the positional terms of scores.
// import common/sequences.wgsl

alias Element = f32;

@group(0) @binding(0) var<storage, read_write> qkv: array<Element>;
// ROTARY: (cos, sin) of every position and pair. RELATIVE: the bias table [h, offsets]. Otherwise unused.
@group(0) @binding(1) var<storage, read_write> positions: array<f32>;

const HEADS: u32 = 8u;
const HEAD_WIDTH: u32 = 4u;
// HEAD_WIDTH in units of four, rounded up. Channels beyond the width are zero.
const HEAD_VECTORS: u32 = 1u;

const ROTARY: u32 = 1u;
const RELATIVE: u32 = 2u;
const POSITIONAL: u32 = 0u;

const QUERY: u32 = 0u;
const KEY: u32 = 1u;
const VALUE: u32 = 2u;

// Scores and their log-sum-exp L are in base 2: the kernels work with s · log₂ e and exp2, which is the exponential
// function of GPUs.
const LOG2_E: f32 = 1.4426950408889634;

// The score of a masked pair. It is finite, and its exponential is zero.
const MASKED: f32 = -3.0e38;

// Exponentials are relative to a reference, a multiple of this. Those of the largest scores are then from 2⁻⁶⁴ to 2⁶⁴,
// and their sums far from the limits of f32.
const REFERENCES: f32 = 64.0;

// The reference for a largest score, or for L. Scores are summed up from −reference. The reference is not larger than
// the score, so the sums on the way are not either, and are not rounded more. The backward passes find the reference of
// the forward pass in L, so all passes round a score in the same way. Otherwise the exponential of a dominant score
// would not cancel against its part of L.
fn reference_of(score: f32) -> f32 {
    return REFERENCES * trunc(score / REFERENCES);
}

// The channels of one head of a token.
alias Head = array<vec4<f32>, HEAD_VECTORS>;

// The index of the first element of a head. `parts` is 3 in rows of qkv, and 1 in rows of outputs.
fn head_offset(token: u32, part: u32, parts: u32, head: u32) -> u32 {
    return ((token * parts + part) * HEADS + head) * HEAD_WIDTH;
}

fn qkv_element(offset: u32, d: u32) -> f32 {
    if d < HEAD_WIDTH {
        return f32(qkv[offset + d]);
    }
    return 0.0;
}

// Vector i of a head; zero outside the plane.
fn qkv_vector(token: u32, part: u32, head: u32, i: u32) -> vec4<f32> {
    if token == NO_TOKEN {
        return vec4(0.0);
    }
    let offset = head_offset(token, part, 3u, head);
    let d = 4u * i;
    return vec4(
        qkv_element(offset, d),
        qkv_element(offset, d + 1u),
        qkv_element(offset, d + 2u),
        qkv_element(offset, d + 3u),
    );
}

// The queries include the factor log₂ e / √d of the scores.
fn query_vector(token: u32, position: u32, head: u32, i: u32) -> vec4<f32> {
    return placed_vector(token, position, QUERY, head, i) * (LOG2_E * inverseSqrt(f32(HEAD_WIDTH)));
}

fn key_vector(token: u32, position: u32, head: u32, i: u32) -> vec4<f32> {
    return placed_vector(token, position, KEY, head, i);
}

// Vector i with its rotary position; zero outside the plane. The table ends with the sequence, and a read beyond it may
// return NaN, so nothing is read there.
fn placed_vector(token: u32, position: u32, part: u32, head: u32, i: u32) -> vec4<f32> {
    if token == NO_TOKEN {
        return vec4(0.0);
    }
    return rotated(qkv_vector(token, part, head, i), position, i, 1.0);
}

fn value_vector(token: u32, head: u32, i: u32) -> vec4<f32> {
    return qkv_vector(token, VALUE, head, i);
}

// RoFormer's rotary positions: pair (2i, 2i + 1) is rotated by position · 10000^(−2i/d). Direction −1 is the inverse
// rotation, which is the transpose that gradients need.
fn rotated(v: vec4<f32>, position: u32, i: u32, direction: f32) -> vec4<f32> {
    if POSITIONAL != ROTARY {
        return v;
    }
    let first = position * HEAD_WIDTH + 4u * i;
    let a = vec2(positions[first], direction * positions[first + 1u]);
    var b = vec2(1.0, 0.0);
    if 4u * i + 2u < HEAD_WIDTH {
        b = vec2(positions[first + 2u], direction * positions[first + 3u]);
    }
    return vec4(v.x * a.x - v.y * a.y, v.x * a.y + v.y * a.x, v.z * b.x - v.w * b.y, v.z * b.y + v.w * b.x);
}

// The relative-position bias of a query and a key of one window; zero beyond the window's end.
fn position_bias(head: u32, query: u32, key: u32) -> f32 {
    if POSITIONAL != RELATIVE || max(query, key) >= WINDOW_FRAMES * WINDOW_BINS {
        return 0.0;
    }
    return positions[head * relative_entries() + relative_entry(query, key)];
}

// start + a·b. Drivers compile dot() followed by an addition to one instruction more.
fn dot_from(start: f32, a: vec4<f32>, b: vec4<f32>) -> f32 {
    return fma(a.w, b.w, fma(a.z, b.z, fma(a.y, b.y, fma(a.x, b.x, start))));
}
