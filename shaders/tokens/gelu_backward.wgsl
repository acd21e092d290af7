// The gradient of GELU's input: the gradient of its output times Φ(x) + x φ(x).
// import common/normal.wgsl
// import common/width_four.wgsl

@group(0) @binding(0) var<storage, read_write> x: array<Vector>;
@group(0) @binding(1) var<storage, read_write> gradient: array<Vector>;
@group(0) @binding(2) var<storage, read_write> x_gradient: array<Vector>;
// number of vectors
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
        let values = vec4<f32>(Values(x[i]));
        let distribution = normal(values);
        let slope = distribution.below + values * distribution.density;
        x_gradient[i] = vector_of(vec4<f32>(Values(gradient[i])) * slope);
    }
}
