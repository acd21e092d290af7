// A linear map of tokens: y = x W + bias.
// import common/affine.wgsl

// tokens, inputs, outputs
@group(0) @binding(4) var<storage, read> parameters: array<u32>;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let extents = Extents(parameters[0], parameters[1], parameters[2]);
    let first_token = (group.z * groups.y + group.y) * ROWS;
    let first_output = group.x * COLUMNS;
    let sums = products(extents, first_token, first_output, lane);
    let offset = bias_at(extents, first_output + block_column(lane));
    put_tokens(extents, first_token, first_output, lane, sums, offset);
}
