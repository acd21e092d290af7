// A linear map of tokens: output = x W + bias.
// import common/rows.wgsl

// [inputs, outputs]
@group(0) @binding(2) var<storage, read_write> weight: array<f32>;
// [outputs]
@group(0) @binding(3) var<storage, read_write> bias: array<f32>;
// tokens, inputs, outputs
@group(0) @binding(4) var<storage, read> parameters: array<u32>;

fn weight_at(extents: Extents, i: u32, o: u32) -> f32 {
    if i < extents.summed && o < extents.produced {
        return weight[i * extents.produced + o];
    }
    return 0.0;
}

fn bias_at(extents: Extents, o: u32) -> f32 {
    if o < extents.produced {
        return bias[o];
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
    let first_output = group.x * COLUMNS;
    let steps = uniform_steps((extents.summed + DEPTH - 1u) / DEPTH, lane);
    var sums = Block();
    for (var step = 0u; step < steps; step++) {
        load_tokens(extents, first_token, step * DEPTH, lane);
        for (var v = lane; v < RIGHT_VECTORS; v += WORKGROUP) {
            let i = step * DEPTH + right_depth(v);
            let o = first_output + right_column(v);
            put_right(v, vec4(
                weight_at(extents, i, o),
                weight_at(extents, i, o + 1u),
                weight_at(extents, i, o + 2u),
                weight_at(extents, i, o + 3u),
            ));
        }
        workgroupBarrier();
        sums = add_products(lane, sums);
        workgroupBarrier();
    }
    let o = first_output + first_column(lane);
    let offset =
        vec4(bias_at(extents, o), bias_at(extents, o + 1u), bias_at(extents, o + 2u), bias_at(extents, o + 3u));
    put_tokens(extents, first_token + first_row(lane), o, sums, offset);
}
