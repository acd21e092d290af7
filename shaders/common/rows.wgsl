// The product of tokens and a matrix. Tokens are the rows of A, the array x, and of C, the array y.
// import common/tile.wgsl
// import common/vectors.wgsl

struct Extents {
    tokens: u32,
    // Channels of A, over which sums are taken.
    summed: u32,
    // Channels of C.
    produced: u32,
}

// The number of steps over the summed channels, none for a tile beyond the last token.
fn steps_of(extents: Extents, first_token: u32) -> u32 {
    if first_token < extents.tokens {
        return (extents.summed + DEPTH - 1u) / DEPTH;
    }
    return 0u;
}

// Loads the part of A of a step: the channels from k on of the tile's tokens.
fn load_tokens(extents: Extents, first_token: u32, k: u32, lane: u32) {
    let extent = Extent(extents.tokens, extents.summed);
    for (var v = lane; v < LEFT_VECTORS; v += WORKGROUP) {
        put_left(v, x_at(extent, first_token + left_row(v), k + left_depth(v)));
    }
}

// Stores the elements that an invocation computed, with `offset` added to every row.
fn put_tokens(extents: Extents, first_token: u32, first_channel: u32, lane: u32, sums: Block, offset: vec4<f32>) {
    if first_token >= extents.tokens {
        return;
    }
    let extent = Extent(extents.tokens, extents.produced);
    let channel = first_channel + block_column(lane);
    put_y(extent, first_token + block_row(lane, 0u), channel, sums.r0 + offset);
    put_y(extent, first_token + block_row(lane, 1u), channel, sums.r1 + offset);
    put_y(extent, first_token + block_row(lane, 2u), channel, sums.r2 + offset);
    put_y(extent, first_token + block_row(lane, 3u), channel, sums.r3 + offset);
    put_y(extent, first_token + block_row(lane, 4u), channel, sums.r4 + offset);
    put_y(extent, first_token + block_row(lane, 5u), channel, sums.r5 + offset);
    put_y(extent, first_token + block_row(lane, 6u), channel, sums.r6 + offset);
    put_y(extent, first_token + block_row(lane, 7u), channel, sums.r7 + offset);
}
