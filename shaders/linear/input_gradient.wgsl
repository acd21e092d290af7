// The gradient of the input of a linear map of tokens: y = x Wᵀ, where x is the gradient of the map's output and W the
// weight [inputs, outputs] of the map.
// import common/rows.wgsl

// tokens, outputs, inputs
@group(0) @binding(3) var<storage, read> parameters: array<u32>;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let extents = Extents(parameters[0], parameters[1], parameters[2]);
    let first_token = (group.z * groups.y + group.y) * ROWS;
    let first_input = group.x * COLUMNS;
    let steps = uniform_steps(steps_of(extents, first_token), lane);
    var sums = Block();
    for (var step = 0u; step < steps; step++) {
        load_tokens(extents, first_token, step * DEPTH, lane);
        for (var v = lane; v < RIGHT_VECTORS; v += WORKGROUP) {
            let i = first_input + right_column(v);
            let o = step * DEPTH + right_depth(v);
            put_right(v, weight_at(Extent(extents.produced, extents.summed), i, o));
        }
        workgroupBarrier();
        sums = add_products(lane, sums);
        workgroupBarrier();
    }
    put_tokens(extents, first_token, first_input, lane, sums, vec4(0.0));
}
