// The gradients of layer normalisation: of its input, (g − mean g − x̂ · mean (g x̂)) / σ with x̂ = (x − mean) / σ and
// g = γ · gradient; of γ and β, partial sums Σ gradient · x̂ and Σ gradient over the tokens of a part. One workgroup per
// part.
// import common/token.wgsl

@group(0) @binding(2) var<storage, read_write> gradient: array<Vector>;
@group(0) @binding(3) var<storage, read_write> x_gradient: array<Vector>;
// [parts, 2, c]: of γ, then of β
@group(0) @binding(4) var<storage, read_write> parameter_sums: array<Values>;
// number of tokens, turns per part
@group(0) @binding(5) var<storage, read> parameters: array<u32>;

// The parameters' gradients of every invocation.
var<workgroup> shares: array<Values, 2u * WORKGROUP>;
var<workgroup> shared_turns: u32;

// The number of turns of a part, in each of which a workgroup processes TOKENS tokens. It is provably uniform: the loop
// over the turns contains barriers, and values from a storage buffer do not count as uniform.
fn uniform_turns(lane: u32) -> u32 {
    if lane == 0u {
        shared_turns = parameters[1];
    }
    return workgroupUniformLoad(&shared_turns);
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let part = group.y * groups.x + group.x;
    let position = lane % LANES;
    let turns = uniform_turns(lane);
    var scales = array<Values, OWN>();
    for (var own = 0u; own < OWN; own++) { // unrolled
        if exists(position, own) {
            scales[own] = gamma[position + own * LANES];
        }
    }
    var gamma_sums = array<Values, OWN>();
    var beta_sums = array<Values, OWN>();
    for (var turn = 0u; turn < turns; turn++) {
        let token = (part * turns + turn) * TOKENS + lane / LANES;
        let first = token * VECTORS + position;
        let inside = token < parameters[0];

        var deviations = array<Values, OWN>();
        var gradients = array<Values, OWN>();
        var sum = 0.0;
        var gradient_sum = 0.0;
        for (var own = 0u; own < OWN; own++) { // unrolled
            if inside && exists(position, own) {
                deviations[own] = Values(x[first + own * LANES]);
                gradients[own] = Values(gradient[first + own * LANES]);
            }
            sum += sum_of(deviations[own]);
            gradient_sum += sum_of(scales[own] * gradients[own]);
        }
        put_term(0u, lane, sum);
        put_term(1u, lane, gradient_sum);
        workgroupBarrier();

        let mean = mean_of_terms(0u, lane);
        let mean_gradient = mean_of_terms(1u, lane);
        var squares = 0.0;
        var products = 0.0;
        for (var own = 0u; own < OWN; own++) { // unrolled
            deviations[own] = select(Values(), deviations[own] - mean, exists(position, own));
            squares += sum_of(deviations[own] * deviations[own]);
            products += sum_of(scales[own] * gradients[own] * deviations[own]);
        }
        put_term(2u, lane, squares);
        put_term(3u, lane, products);
        workgroupBarrier();

        let scale = inverseSqrt(mean_of_terms(2u, lane) + EPSILON);
        let mean_along = mean_of_terms(3u, lane) * scale;
        for (var own = 0u; own < OWN; own++) { // unrolled
            let along = deviations[own] * scale;
            gamma_sums[own] += gradients[own] * along;
            beta_sums[own] += gradients[own];
            if inside && exists(position, own) {
                let value = (scales[own] * gradients[own] - mean_gradient - along * mean_along) * scale;
                x_gradient[first + own * LANES] = Vector(value);
            }
        }
    }

    let outside = part * turns * TOKENS >= parameters[0];
    for (var own = 0u; own < OWN; own++) { // unrolled
        workgroupBarrier();
        shares[lane] = gamma_sums[own];
        shares[WORKGROUP + lane] = beta_sums[own];
        workgroupBarrier();
        if lane < 2u * LANES && exists(position, own) && !outside {
            let column = lane / LANES * WORKGROUP + position;
            var total = Values();
            for (var token = 0u; token < TOKENS; token++) {
                total += shares[column + token * LANES];
            }
            parameter_sums[(2u * part + lane / LANES) * VECTORS + position + own * LANES] = total;
        }
    }
}
