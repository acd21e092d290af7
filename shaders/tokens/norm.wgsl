// Layer normalisation of the channels of every token: y = γ (x − mean) / √(variance + ε) + β (Ba et al.,
// arXiv:1607.06450).
// import common/token.wgsl

@group(0) @binding(2) var<storage, read_write> beta: array<Values>;
@group(0) @binding(3) var<storage, read_write> output: array<Vector>;
// number of tokens
@group(0) @binding(4) var<storage, read> parameters: array<u32>;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let token = (group.y * groups.x + group.x) * TOKENS + lane / LANES;
    let position = lane % LANES;
    let first = token * VECTORS + position;
    let inside = token < parameters[0];

    var values = array<Values, OWN>();
    var sum = 0.0;
    for (var own = 0u; own < OWN; own++) { // unrolled
        if inside && exists(position, own) {
            values[own] = Values(x[first + own * LANES]);
        }
        sum += sum_of(values[own]);
    }
    put_term(0u, lane, sum);
    workgroupBarrier();

    // The mean is subtracted before squaring: for large values that are close to each other, the difference of two sums
    // of squares would cancel.
    let mean = mean_of_terms(0u, lane);
    var squares = 0.0;
    for (var own = 0u; own < OWN; own++) { // unrolled
        values[own] = select(Values(), values[own] - mean, exists(position, own));
        squares += sum_of(values[own] * values[own]);
    }
    put_term(1u, lane, squares);
    workgroupBarrier();

    let scale = inverseSqrt(mean_of_terms(1u, lane) + EPSILON);
    for (var own = 0u; own < OWN; own++) { // unrolled
        if inside && exists(position, own) {
            let c = position + own * LANES;
            output[first + own * LANES] = Vector(values[own] * scale * gamma[c] + beta[c]);
        }
    }
}
