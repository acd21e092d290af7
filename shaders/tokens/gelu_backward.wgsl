// The gradient of GELU's input: the gradient of its output times Φ(x) + x φ(x).
// import common/normal.wgsl

alias Element = f32;

@group(0) @binding(0) var<storage, read_write> x: array<Element>;
@group(0) @binding(1) var<storage, read_write> gradient: array<Element>;
@group(0) @binding(2) var<storage, read_write> x_gradient: array<Element>;
// number of elements
@group(0) @binding(3) var<storage, read> parameters: array<u32>;

const WORKGROUP: u32 = 256u;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (group.y * groups.x + group.x) * WORKGROUP + lane;
    if i < parameters[0] {
        let value = f32(x[i]);
        let distribution = normal(value);
        x_gradient[i] = Element(f32(gradient[i]) * (distribution.below + value * distribution.density));
    }
}
