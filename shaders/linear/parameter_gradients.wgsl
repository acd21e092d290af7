// The gradients of the parameters of a linear map of tokens: partial sums Σ xᵀ y and Σ y over the tokens of a part,
// where y is the gradient of the map's output. The array `weight` holds them as [parts, inputs + 1, outputs]. The last
// row of a part is the gradient of the bias.
// import common/tile.wgsl
// import common/vectors.wgsl

// tokens, inputs, outputs, steps per part
@group(0) @binding(3) var<storage, read> parameters: array<u32>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let tokens = parameters[0];
    let inputs = parameters[1];
    let outputs = parameters[2];
    let first_input = group.x * ROWS;
    let first_output = group.y * COLUMNS;
    let part = group.z;
    let first_step = part * parameters[3];
    let last_step = min(first_step + parameters[3], (tokens + DEPTH - 1u) / DEPTH);
    let steps = uniform_steps(last_step - first_step, lane);
    var sums = Block();
    var bias_sum = vec4(0.0);
    for (var step = 0u; step < steps; step++) {
        let k = (first_step + step) * DEPTH;
        for (var v = lane; v < LEFT_VECTORS; v += WORKGROUP) {
            put_left(v, x_at(Extent(tokens, inputs), k + left_depth(v), first_input + left_row(v)));
        }
        // All vectors that an invocation loads are of the same outputs, because WORKGROUP is a multiple of the vectors
        // of a row.
        for (var v = lane; v < RIGHT_VECTORS; v += WORKGROUP) {
            let values = y_at(Extent(tokens, outputs), k + right_depth(v), first_output + right_column(v));
            put_right(v, values);
            bias_sum += values;
        }
        workgroupBarrier();
        sums = add_products(lane, sums);
        workgroupBarrier();
    }
    let extent = Extent(inputs, outputs);
    let start = part * (inputs + 1u);
    let i = first_input + block_row(lane, 0u);
    let o = first_output + block_column(lane);
    put_sums(extent, start, i, o, sums.r0);
    put_sums(extent, start, i + 1u, o, sums.r1);
    put_sums(extent, start, i + 2u, o, sums.r2);
    put_sums(extent, start, i + 3u, o, sums.r3);
    put_sums(extent, start, i + 4u, o, sums.r4);
    put_sums(extent, start, i + 5u, o, sums.r5);
    put_sums(extent, start, i + 6u, o, sums.r6);
    put_sums(extent, start, i + 7u, o, sums.r7);

    right[lane] = bias_sum;
    workgroupBarrier();
    if group.x == 0u && lane < BLOCK_COLUMNS {
        for (var row = 1u; row < BLOCK_ROWS; row++) {
            bias_sum += right[row * BLOCK_COLUMNS + lane];
        }
        put_sums(Extent(inputs + 1u, outputs), start, inputs, o, bias_sum);
    }
}
