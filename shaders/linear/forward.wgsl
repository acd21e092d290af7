// A linear map of tokens: output = x W + bias.
// import common/tile.wgsl

alias Element = f32;

// [tokens, inputs]
@group(0) @binding(0) var<storage, read_write> x: array<Element>;
// [inputs, outputs]
@group(0) @binding(1) var<storage, read_write> weight: array<f32>;
// [outputs]
@group(0) @binding(2) var<storage, read_write> bias: array<f32>;
// [tokens, outputs]
@group(0) @binding(3) var<storage, read_write> output: array<Element>;
// tokens, inputs, outputs
@group(0) @binding(4) var<storage, read> parameters: array<u32>;

// Of tokens, and of their channels.
var<private> count: u32;
var<private> inputs: u32;
var<private> outputs: u32;

fn x_at(token: u32, channel: u32) -> f32 {
    if token < count && channel < inputs {
        return f32(x[token * inputs + channel]);
    }
    return 0.0;
}

fn weight_at(i: u32, o: u32) -> f32 {
    if i < inputs && o < outputs {
        return weight[i * outputs + o];
    }
    return 0.0;
}

fn put(token: u32, channel: u32, value: f32) {
    if token < count && channel < outputs {
        output[token * outputs + channel] = Element(value + bias[channel]);
    }
}

fn put_row(token: u32, channel: u32, values: vec4<f32>) {
    put(token, channel, values.x);
    put(token, channel + 1u, values.y);
    put(token, channel + 2u, values.z);
    put(token, channel + 3u, values.w);
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    count = parameters[0];
    inputs = parameters[1];
    outputs = parameters[2];
    let tokens = (group.z * groups.y + group.y) * ROWS;
    let channels = group.x * COLUMNS;
    var sums = Owned();
    let steps = uniform_steps((inputs + DEPTH - 1u) / DEPTH, lane);
    for (var step = 0u; step < steps; step++) {
        let k = step * DEPTH;
        for (var v = lane; v < LEFT_VECTORS; v += WORKGROUP) {
            let token = tokens + left_row(v);
            let channel = k + left_depth(v);
            put_left(v, vec4(
                x_at(token, channel),
                x_at(token + 1u, channel),
                x_at(token + 2u, channel),
                x_at(token + 3u, channel),
            ));
        }
        for (var v = lane; v < RIGHT_VECTORS; v += WORKGROUP) {
            let i = k + right_depth(v);
            let o = channels + right_column(v);
            put_right(v, vec4(
                weight_at(i, o),
                weight_at(i, o + 1u),
                weight_at(i, o + 2u),
                weight_at(i, o + 3u),
            ));
        }
        workgroupBarrier();
        sums = add_products(lane, sums);
        workgroupBarrier();
    }
    let token = tokens + first_row(lane);
    let channel = channels + first_column(lane);
    put_row(token, channel, sums.r0);
    put_row(token + 1u, channel, sums.r1);
    put_row(token + 2u, channel, sums.r2);
    put_row(token + 3u, channel, sums.r3);
    put_row(token + 4u, channel, sums.r4);
    put_row(token + 5u, channel, sums.r5);
    put_row(token + 6u, channel, sums.r6);
    put_row(token + 7u, channel, sums.r7);
}
