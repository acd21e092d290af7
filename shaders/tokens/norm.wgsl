// Layer normalisation of the channels of every token: y = γ (x − mean) / √(variance + ε) + β (Ba et al.,
// arXiv:1607.06450). One token per invocation.
// import common/token.wgsl

@group(0) @binding(1) var<storage, read_write> gamma: array<f32>;
@group(0) @binding(2) var<storage, read_write> beta: array<f32>;
@group(0) @binding(3) var<storage, read_write> output: array<Element>;
// number of tokens
@group(0) @binding(4) var<storage, read> parameters: array<u32>;

const WORKGROUP: u32 = 64u;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let token = (group.y * groups.x + group.x) * WORKGROUP + lane;
    if token >= parameters[0] {
        return;
    }
    let first = token * CHANNELS;
    let m = moments(first);
    for (var c = 0u; c < CHANNELS; c++) {
        output[first + c] = Element((f32(x[first + c]) - m.mean) * m.scale * gamma[c] + beta[c]);
    }
}
