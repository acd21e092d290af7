// A linear map of a tile of tokens: x W + bias, with the weight W [inputs, outputs].
// import common/rows.wgsl

// [outputs]
@group(0) @binding(3) var<storage, read_write> bias: array<f32>;

// The bias of four channels. The channels beyond the last are not stored.
fn bias_at(extents: Extents, channel: u32) -> vec4<f32> {
    let last = extents.produced - 1u;
    return vec4(
        bias[min(channel, last)],
        bias[min(channel + 1u, last)],
        bias[min(channel + 2u, last)],
        bias[min(channel + 3u, last)],
    );
}

// The products of the tile that starts at `first_token` and `first_output`, without the bias.
fn products(extents: Extents, first_token: u32, first_output: u32, lane: u32) -> Block {
    let steps = uniform_steps(steps_of(extents, first_token), lane);
    var sums = Block();
    for (var step = 0u; step < steps; step++) {
        load_tokens(extents, first_token, step * DEPTH, lane);
        for (var v = lane; v < RIGHT_VECTORS; v += WORKGROUP) {
            let i = step * DEPTH + right_depth(v);
            let o = first_output + right_column(v);
            put_right(v, weight_at(Extent(extents.summed, extents.produced), i, o));
        }
        workgroupBarrier();
        sums = add_products(lane, sums);
        workgroupBarrier();
    }
    return sums;
}
