// A linear map of tokens: y = x W + bias, with the weight W [inputs, outputs].
// import common/rows.wgsl

// [outputs]
@group(0) @binding(3) var<storage, read_write> bias: array<f32>;
// tokens, inputs, outputs
@group(0) @binding(4) var<storage, read> parameters: array<u32>;

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

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let extents = Extents(parameters[0], parameters[1], parameters[2]);
    let first_token = (group.z * groups.y + group.y) * ROWS;
    let first_output = group.x * COLUMNS;
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
    let offset = bias_at(extents, first_output + block_column(lane));
    put_tokens(extents, first_token, first_output, lane, sums, offset);
}
