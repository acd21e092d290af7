// A linear map of tokens that is added to a residual: y = x W + bias + residual.
// import common/affine.wgsl
// import common/residual_vectors.wgsl

// tokens, inputs, outputs
@group(0) @binding(5) var<storage, read> parameters: array<u32>;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let extents = Extents(parameters[0], parameters[1], parameters[2]);
    let first_token = (group.z * groups.y + group.y) * ROWS;
    let first_output = group.x * COLUMNS;
    var sums = products(extents, first_token, first_output, lane);
    let extent = Extent(extents.tokens, extents.produced);
    let output = first_output + block_column(lane);
    // A tile beyond the last token reads nothing.
    if first_token < extents.tokens {
        sums.r0 += residual_at(extent, first_token + block_row(lane, 0u), output);
        sums.r1 += residual_at(extent, first_token + block_row(lane, 1u), output);
        sums.r2 += residual_at(extent, first_token + block_row(lane, 2u), output);
        sums.r3 += residual_at(extent, first_token + block_row(lane, 3u), output);
        sums.r4 += residual_at(extent, first_token + block_row(lane, 4u), output);
        sums.r5 += residual_at(extent, first_token + block_row(lane, 5u), output);
        sums.r6 += residual_at(extent, first_token + block_row(lane, 6u), output);
        sums.r7 += residual_at(extent, first_token + block_row(lane, 7u), output);
    }
    put_tokens(extents, first_token, first_output, lane, sums, bias_at(extents, output));
}
