// Sums over the rows of a matrix. A workgroup adds the values, magnitudes or squares of a segment of a row. A second
// launch adds the sums of the segments. The order of the additions is fixed, so the result always has the same bits.

alias Element = f32;

// [rows, n]
@group(0) @binding(0) var<storage, read_write> x: array<Element>;
// [rows, segments]
@group(0) @binding(1) var<storage, read_write> sums: array<f32>;
// n, segments of a row, rows · segments
@group(0) @binding(2) var<storage, read> parameters: array<u32>;

// 0: values, 1: magnitudes, 2: squares
const SUMMAND: u32 = 0u;
const WORKGROUP: u32 = 256u;
const SEGMENT: u32 = 4096u;

var<workgroup> sums_of_lanes: array<f32, WORKGROUP>;

fn summand(i: u32, end: u32) -> f32 {
    if i >= end {
        return 0.0;
    }
    let value = f32(x[i]);
    if SUMMAND == 1u {
        return abs(value);
    }
    if SUMMAND == 2u {
        return value * value;
    }
    return value;
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let n = parameters[0];
    let segments = parameters[1];
    let at = group.y * groups.x + group.x;
    let row = at / segments;
    let first = at % segments * SEGMENT;
    let begin = row * n + first;
    let end = select(begin, begin + min(SEGMENT, n - first), at < parameters[2]);
    // Four sums, so that four loads are in flight.
    var four = vec4(0.0);
    for (var i = begin + lane; i < end; i += 4u * WORKGROUP) {
        four += vec4(
            summand(i, end),
            summand(i + WORKGROUP, end),
            summand(i + 2u * WORKGROUP, end),
            summand(i + 3u * WORKGROUP, end),
        );
    }
    sums_of_lanes[lane] = (four.x + four.y) + (four.z + four.w);
    for (var width = WORKGROUP / 2u; width > 0u; width /= 2u) {
        workgroupBarrier();
        if lane < width {
            sums_of_lanes[lane] += sums_of_lanes[lane + width];
        }
    }
    if lane == 0u && at < parameters[2] {
        sums[at] = sums_of_lanes[0];
    }
}
