// The gradients of the parameters of a linear map of tokens: partial sums Σ xᵀ gradient and Σ gradient over the tokens
// of a part.
// import common/tile.wgsl

alias Element = f32;

// [tokens, inputs]
@group(0) @binding(0) var<storage, read_write> x: array<Element>;
// [tokens, outputs]
@group(0) @binding(1) var<storage, read_write> gradient: array<Element>;
// [parts, inputs, outputs]
@group(0) @binding(2) var<storage, read_write> weight_sums: array<f32>;
// [parts, outputs]
@group(0) @binding(3) var<storage, read_write> bias_sums: array<f32>;
// tokens, inputs, outputs, steps per part
@group(0) @binding(4) var<storage, read> parameters: array<u32>;

// Numbers of tokens, inputs and outputs.
var<private> count: u32;
var<private> inputs: u32;
var<private> outputs: u32;

fn x_at(token: u32, channel: u32) -> f32 {
    if token < count && channel < inputs {
        return f32(x[token * inputs + channel]);
    }
    return 0.0;
}

fn gradient_at(token: u32, channel: u32) -> f32 {
    if token < count && channel < outputs {
        return f32(gradient[token * outputs + channel]);
    }
    return 0.0;
}

fn put(part: u32, i: u32, o: u32, value: f32) {
    if i < inputs && o < outputs {
        weight_sums[(part * inputs + i) * outputs + o] = value;
    }
}

fn put_row(part: u32, i: u32, o: u32, values: vec4<f32>) {
    put(part, i, o, values.x);
    put(part, i, o + 1u, values.y);
    put(part, i, o + 2u, values.z);
    put(part, i, o + 3u, values.w);
}

fn put_bias(part: u32, o: u32, value: f32) {
    if o < outputs {
        bias_sums[part * outputs + o] = value;
    }
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    count = parameters[0];
    inputs = parameters[1];
    outputs = parameters[2];
    let rows = group.x * ROWS;
    let columns = group.y * COLUMNS;
    let part = group.z;
    let steps = uniform_steps(parameters[3], lane);
    var sums = Block();
    var bias_sum = vec4(0.0);
    for (var step = 0u; step < steps; step++) {
        let k = (part * steps + step) * DEPTH;
        for (var v = lane; v < LEFT_VECTORS; v += WORKGROUP) {
            let token = k + left_depth(v);
            let channel = rows + left_row(v);
            put_left(v, vec4(
                x_at(token, channel),
                x_at(token, channel + 1u),
                x_at(token, channel + 2u),
                x_at(token, channel + 3u),
            ));
        }
        for (var v = lane; v < RIGHT_VECTORS; v += WORKGROUP) {
            let token = k + right_depth(v);
            let channel = columns + right_column(v);
            put_right(v, vec4(
                gradient_at(token, channel),
                gradient_at(token, channel + 1u),
                gradient_at(token, channel + 2u),
                gradient_at(token, channel + 3u),
            ));
        }
        workgroupBarrier();
        sums = add_products(lane, sums);
        if group.x == 0u {
            bias_sum += column_sums(lane);
        }
        workgroupBarrier();
    }
    let i = rows + first_row(lane);
    let o = columns + first_column(lane);
    put_row(part, i, o, sums.r0);
    put_row(part, i + 1u, o, sums.r1);
    put_row(part, i + 2u, o, sums.r2);
    put_row(part, i + 3u, o, sums.r3);
    put_row(part, i + 4u, o, sums.r4);
    put_row(part, i + 5u, o, sums.r5);
    put_row(part, i + 6u, o, sums.r6);
    put_row(part, i + 7u, o, sums.r7);
    if i == 0u {
        put_bias(part, o, bias_sum.x);
        put_bias(part, o + 1u, bias_sum.y);
        put_bias(part, o + 2u, bias_sum.z);
        put_bias(part, o + 3u, bias_sum.w);
    }
}
