// The gradient of the input of a linear map of tokens: output = x Wᵀ, where x is the gradient of the map's output.
// import common/rows.wgsl

// [inputs, outputs] of the map
@group(0) @binding(2) var<storage, read_write> weight: array<f32>;
// tokens, outputs, inputs
@group(0) @binding(3) var<storage, read> parameters: array<u32>;

fn weight_at(extents: Extents, i: u32, o: u32) -> f32 {
    if i < extents.produced && o < extents.summed {
        return weight[i * extents.summed + o];
    }
    return 0.0;
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let extents = Extents(parameters[0], parameters[1], parameters[2]);
    let first_token = (group.z * groups.y + group.y) * ROWS;
    let first_input = group.x * COLUMNS;
    let steps = uniform_steps((extents.summed + DEPTH - 1u) / DEPTH, lane);
    var sums = Block();
    for (var step = 0u; step < steps; step++) {
        load_tokens(extents, first_token, step * DEPTH, lane);
        for (var v = lane; v < RIGHT_VECTORS; v += WORKGROUP) {
            let i = first_input + right_column(v);
            let o = step * DEPTH + right_depth(v);
            put_right(v, vec4(
                weight_at(extents, i, o),
                weight_at(extents, i + 1u, o),
                weight_at(extents, i + 2u, o),
                weight_at(extents, i + 3u, o),
            ));
        }
        workgroupBarrier();
        sums = add_products(lane, sums);
        workgroupBarrier();
    }
    put_tokens(extents, first_token + first_row(lane), first_input + first_column(lane), sums, vec4(0.0));
}
