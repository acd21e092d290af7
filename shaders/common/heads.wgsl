// One head's queries, keys and values, read from rows packed as [3, h, d], and the score of a query and a key.
// import common/sequences.wgsl

alias Element = f32;

@group(0) @binding(0) var<storage, read_write> qkv: array<Element>;
// Rotary: (cos, sin) of every position and pair. Relative: the bias table [h, offsets]. Else unused.
@group(0) @binding(1) var<storage, read_write> positions: array<f32>;

const HEADS: u32 = 8u;
const HEAD_WIDTH: u32 = 4u;
// HEAD_WIDTH in fours, rounded up; what is past the width is zero.
const HEAD_VECTORS: u32 = 1u;

const ROTARY: u32 = 1u;
const RELATIVE: u32 = 2u;
const POSITIONAL: u32 = 0u;

const QUERY: u32 = 0u;
const KEY: u32 = 1u;
const VALUE: u32 = 2u;

// Below every score, and below FIRST_MAXIMUM, which is below every score that is not masked:
// exp(MASKED − maximum) is zero even where nothing else was seen yet.
const MASKED: f32 = -3.0e38;
const FIRST_MAXIMUM: f32 = -1.0e30;

// One head's channels of a token.
alias Head = array<vec4<f32>, HEAD_VECTORS>;

// Index of the first element of a head in a row of `parts` heads' groups: 3 for qkv, 1 for outputs.
fn head_offset(token: u32, part: u32, parts: u32, head: u32) -> u32 {
    return ((token * parts + part) * HEADS + head) * HEAD_WIDTH;
}

fn qkv_element(offset: u32, d: u32) -> f32 {
    if d < HEAD_WIDTH {
        return f32(qkv[offset + d]);
    }
    return 0.0;
}

// Vector i of a head; zero off the plane.
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

// Queries carry the 1/√d of the scores.
fn query_vector(token: u32, position: u32, head: u32, i: u32) -> vec4<f32> {
    return placed_vector(token, position, QUERY, head, i) * inverseSqrt(f32(HEAD_WIDTH));
}

fn key_vector(token: u32, position: u32, head: u32, i: u32) -> vec4<f32> {
    return placed_vector(token, position, KEY, head, i);
}

// The table of positions ends with the sequence: of what lies beyond nothing is read, as it may be no number.
fn placed_vector(token: u32, position: u32, part: u32, head: u32, i: u32) -> vec4<f32> {
    if token == NO_TOKEN {
        return vec4(0.0);
    }
    return rotated(qkv_vector(token, part, head, i), position, i, 1.0);
}

fn value_vector(token: u32, head: u32, i: u32) -> vec4<f32> {
    return qkv_vector(token, VALUE, head, i);
}

// RoFormer's rotary positions: pair (2i, 2i + 1) turns by position · 10000^(−2i/d).
// Direction −1 turns back, which is also the transpose that gradients need.
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

// Relative-position bias of a query and a key of one window; zero beyond its end.
fn position_bias(head: u32, query: u32, key: u32) -> f32 {
    if POSITIONAL != RELATIVE || max(query, key) >= WINDOW_FRAMES * WINDOW_BINS {
        return 0.0;
    }
    return positions[head * relative_entries() + relative_entry(query, key)];
}
