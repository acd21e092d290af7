// The product of tokens and a matrix. Tokens are the rows of A and C, which these functions load and store.
// import common/tile.wgsl

alias Element = f32;

// [tokens, channels of A]
@group(0) @binding(0) var<storage, read_write> x: array<Element>;
// [tokens, channels of C]
@group(0) @binding(1) var<storage, read_write> output: array<Element>;

struct Extents {
    tokens: u32,
    // Channels of A, over which sums are taken.
    summed: u32,
    // Channels of C.
    produced: u32,
}

fn x_at(extents: Extents, token: u32, channel: u32) -> f32 {
    if token < extents.tokens && channel < extents.summed {
        return f32(x[token * extents.summed + channel]);
    }
    return 0.0;
}

// Loads the part of A of a step: the channels from k on of the tile's tokens.
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
    if token < extents.tokens && channel < extents.produced {
        output[token * extents.produced + channel] = Element(value);
    }
}

fn put_row(extents: Extents, token: u32, channel: u32, values: vec4<f32>) {
    put(extents, token, channel, values.x);
    put(extents, token, channel + 1u, values.y);
    put(extents, token, channel + 2u, values.z);
    put(extents, token, channel + 3u, values.w);
}

// Stores the elements that an invocation computed, starting at `token` and `channel`, with `offset` added to every row.
fn put_tokens(extents: Extents, token: u32, channel: u32, sums: Block, offset: vec4<f32>) {
    put_row(extents, token, channel, sums.r0 + offset);
    put_row(extents, token + 1u, channel, sums.r1 + offset);
    put_row(extents, token + 2u, channel, sums.r2 + offset);
    put_row(extents, token + 3u, channel, sums.r3 + offset);
    put_row(extents, token + 4u, channel, sums.r4 + offset);
    put_row(extents, token + 5u, channel, sums.r5 + offset);
    put_row(extents, token + 6u, channel, sums.r6 + offset);
    put_row(extents, token + 7u, channel, sums.r7 + offset);
}
