// Concatenation of six arrays. Every array begins at a multiple of 64 elements, and the gaps are filled with 0.

@group(0) @binding(0) var<storage, read_write> part_0: array<f32>;
@group(0) @binding(1) var<storage, read_write> part_1: array<f32>;
@group(0) @binding(2) var<storage, read_write> part_2: array<f32>;
@group(0) @binding(3) var<storage, read_write> part_3: array<f32>;
@group(0) @binding(4) var<storage, read_write> part_4: array<f32>;
@group(0) @binding(5) var<storage, read_write> part_5: array<f32>;
@group(0) @binding(6) var<storage, read_write> packed: array<f32>;
// length of the result, then the lengths of the parts
@group(0) @binding(7) var<storage, read> parameters: array<u32>;

const WORKGROUP: u32 = 256u;
const ALIGNMENT: u32 = 64u;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = (group.y * groups.x + group.x) * WORKGROUP + lane;
    if at >= parameters[0] {
        return;
    }
    // The part that holds the element, and the element's index in it.
    var part = 0u;
    var i = at;
    for (var k = 0u; k < 5u; k++) {
        let extent = (parameters[1u + k] + ALIGNMENT - 1u) / ALIGNMENT * ALIGNMENT;
        if part == k && i >= extent {
            part = k + 1u;
            i -= extent;
        }
    }
    var value = 0.0;
    if i < parameters[1u + part] {
        switch part {
            case 0u: { value = part_0[i]; }
            case 1u: { value = part_1[i]; }
            case 2u: { value = part_2[i]; }
            case 3u: { value = part_3[i]; }
            case 4u: { value = part_4[i]; }
            default: { value = part_5[i]; }
        }
    }
    packed[at] = value;
}
