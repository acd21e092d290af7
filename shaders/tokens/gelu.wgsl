// GELU of every element: y = x Φ(x) (Hendrycks and Gimpel, arXiv:1606.08415).
// import common/normal.wgsl
// import common/width_four.wgsl

@group(0) @binding(0) var<storage, read_write> x: array<Vector>;
@group(0) @binding(1) var<storage, read_write> output: array<Vector>;
// number of vectors
@group(0) @binding(2) var<storage, read> parameters: array<u32>;

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
        output[i] = vector_of(values * normal(values).below);
    }
}
