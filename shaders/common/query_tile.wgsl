// A tile of queries of one sequence in workgroup memory, with their gradients, regions, L and δ.
// import common/gradients.wgsl

const WORKGROUP: u32 = 64u;
// Queries per tile.
const TILE: u32 = 16u;

var<workgroup> queries: array<vec4<f32>, TILE * HEAD_VECTORS>;
var<workgroup> gradients: array<vec4<f32>, TILE * HEAD_VECTORS>;
var<workgroup> query_regions: array<u32, TILE>;
// L_i and δ_i
var<workgroup> query_sums: array<vec2<f32>, TILE>;

fn load_tile(plane: Plane, sequence: u32, first: u32, head: u32, lane: u32) {
    for (var slot = lane; slot < TILE; slot += WORKGROUP) {
        let position = first + slot;
        let place = place_from_position(plane, sequence, position);
        for (var i = 0u; i < HEAD_VECTORS; i++) {
            queries[slot * HEAD_VECTORS + i] = query_vector(place.token, position, head, i);
            gradients[slot * HEAD_VECTORS + i] = gradient_vector(place.token, head, i);
        }
        query_sums[slot] = vec2(0.0);
        if place.token != NO_TOKEN {
            let row = place.token * HEADS + head;
            query_sums[slot] = vec2(log_sum_exp[row], delta[row]);
        }
        query_regions[slot] = place.region;
    }
}
