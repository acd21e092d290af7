// A tile of queries of one sequence in workgroup memory, with their gradients and regions.
// import common/gradients.wgsl

const WORKGROUP: u32 = 64u;
// Queries per tile.
const TILE: u32 = 16u;

var<workgroup> queries: array<vec4<f32>, TILE * HEAD_VECTORS>;
// g_i · exp2(r_i − L_i) with the reference r_i of L_i, so that p_ij g_i is the product of this and exp2(s_ij − r_i).
var<workgroup> gradients: array<vec4<f32>, TILE * HEAD_VECTORS>;
// −r_i and −δ_i · exp2(r_i − L_i). Slots without a query have MASKED in place of −r_i, so that their exponentials are
// zero.
var<workgroup> query_starts: array<vec2<f32>, TILE>;
var<workgroup> query_regions: array<u32, TILE>;

fn load_tile(plane: Plane, sequence: u32, first: u32, head: u32, lane: u32) {
    for (var slot = lane; slot < TILE; slot += WORKGROUP) {
        let position = first + slot;
        let place = place_from_position(plane, sequence, position);
        var scale = 0.0;
        query_starts[slot] = vec2(MASKED, 0.0);
        if place.token != NO_TOKEN {
            let row = place.token * HEADS + head;
            let reference = reference_of(log_sum_exp[row]);
            scale = exp2(reference - log_sum_exp[row]);
            query_starts[slot] = -vec2(reference, delta[row] * scale);
        }
        for (var i = 0u; i < HEAD_VECTORS; i++) {
            queries[slot * HEAD_VECTORS + i] = query_vector(place.token, position, head, i);
            gradients[slot * HEAD_VECTORS + i] = scale * gradient_vector(place.token, head, i);
        }
        if SEQUENCES == WINDOW {
            query_regions[slot] = place.region;
        }
    }
}
