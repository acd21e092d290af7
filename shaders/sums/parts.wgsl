// Sums over the first axis of partial sums [parts, m]. The first columns of the result are written to one array and
// the others to a second array, so that one launch serves two parameters. The order of the additions is fixed.

// [parts, m]
@group(0) @binding(0) var<storage, read_write> partial_sums: array<f32>;
// The sums of the first columns.
@group(0) @binding(1) var<storage, read_write> first_sums: array<f32>;
// The sums of the other columns.
@group(0) @binding(2) var<storage, read_write> second_sums: array<f32>;
// parts, m, columns of the first array
@group(0) @binding(3) var<storage, read> parameters: array<u32>;

// Columns of a workgroup. Neighbouring invocations read neighbouring columns.
const COLUMNS: u32 = 32u;
const WORKGROUP: u32 = 256u;
// Invocations of a column.
const RUNS: u32 = WORKGROUP / COLUMNS;

var<workgroup> sums_of_lanes: array<f32, WORKGROUP>;

fn partial_sum(part: u32, column: u32) -> f32 {
    if part < parameters[0] && column < parameters[1] {
        return partial_sums[part * parameters[1] + column];
    }
    return 0.0;
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let column = (group.y * groups.x + group.x) * COLUMNS + lane % COLUMNS;
    let parts = parameters[0];
    // Four sums, so that four loads are in flight.
    var four = vec4(0.0);
    for (var part = lane / COLUMNS; part < parts; part += 4u * RUNS) {
        four += vec4(
            partial_sum(part, column),
            partial_sum(part + RUNS, column),
            partial_sum(part + 2u * RUNS, column),
            partial_sum(part + 3u * RUNS, column),
        );
    }
    sums_of_lanes[lane] = (four.x + four.y) + (four.z + four.w);
    for (var width = RUNS / 2u; width > 0u; width /= 2u) {
        workgroupBarrier();
        if lane < width * COLUMNS {
            sums_of_lanes[lane] += sums_of_lanes[lane + width * COLUMNS];
        }
    }
    if lane < COLUMNS && column < parameters[1] {
        if column < parameters[2] {
            first_sums[column] = sums_of_lanes[lane];
        } else {
            second_sums[column - parameters[2]] = sums_of_lanes[lane];
        }
    }
}
