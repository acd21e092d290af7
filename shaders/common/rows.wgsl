// A product of tokens and a matrix: tokens are the rows of A and of C, loaded and stored by these functions.
// import common/tile.wgsl

alias Element = f32;

// [tokens, channels of A]
@group(0) @binding(0) var<storage, read_write> x: array<Element>;
// [tokens, channels of C]
@group(0) @binding(1) var<storage, read_write> output: array<Element>;

struct Extents {
    tokens: u32,
    // Channels of A, over which sums run, and of C.
    summed: u32,
    given: u32,
}

fn x_at(extents: Extents, token: u32, channel: u32) -> f32 {
    if token < extents.tokens && channel < extents.summed {
        return f32(x[token * extents.summed + channel]);
    }
    return 0.0;
}

// Loads A's part of a step: channels from k on, of the tile's tokens.
fn load_tokens(extents: Extents, first_token: u32, k: u32, lane: u32) {
    for (var v = lane; v < LEFT_VECTORS; v += WORKGROUP) {
        let token = first_token + left_row(v);
        let channel = k + left_depth(v);
        put_left(v, vec4(
            x_at(extents, token, channel),
            x_at(extents, token + 1u, channel),
            x_at(extents, token + 2u, channel),
            x_at(extents, token + 3u, channel),
        ));
    }
}

fn put(extents: Extents, token: u32, channel: u32, value: f32) {
    if token < extents.tokens && channel < extents.given {
        output[token * extents.given + channel] = Element(value);
    }
}

fn put_row(extents: Extents, token: u32, channel: u32, values: vec4<f32>) {
    put(extents, token, channel, values.x);
    put(extents, token, channel + 1u, values.y);
    put(extents, token, channel + 2u, values.z);
    put(extents, token, channel + 3u, values.w);
}

// Stores what an invocation owns, whose first token and channel these are, with `offset` added to every row.
fn put_tokens(extents: Extents, token: u32, channel: u32, sums: Owned, offset: vec4<f32>) {
    put_row(extents, token, channel, sums.r0 + offset);
    put_row(extents, token + 1u, channel, sums.r1 + offset);
    put_row(extents, token + 2u, channel, sums.r2 + offset);
    put_row(extents, token + 3u, channel, sums.r3 + offset);
    put_row(extents, token + 4u, channel, sums.r4 + offset);
    put_row(extents, token + 5u, channel, sums.r5 + offset);
    put_row(extents, token + 6u, channel, sums.r6 + offset);
    put_row(extents, token + 7u, channel, sums.r7 + offset);
}
