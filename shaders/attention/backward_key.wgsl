// Attention, gradients of keys and values: dk_j = Σ_i ds_ij q_i / √d and dv_j = Σ_i p_ij g_i.
//
// p, ds and δ are defined in backward_query.wgsl, whose pass runs first. An invocation handles OWN keys. Queries and
// gradients are loaded in tiles.
// import common/query_tile.wgsl
// import common/qkv_gradient.wgsl

// frames, bins, first sequence
@group(0) @binding(6) var<storage, read> parameters: array<u32>;

// Keys per invocation, WORKGROUP positions apart. Each value read from the tile is used for all of them.
const OWN: u32 = 2u;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let plane = Plane(parameters[0], parameters[1]);
    let sequence = parameters[2] + group.z;
    let head = group.y;
    let first_position = group.x * OWN * WORKGROUP + lane;

    var places: array<Place, OWN>;
    var keys: array<Head, OWN>;
    var values: array<Head, OWN>;
    var key_gradient: array<Head, OWN>;
    var value_gradient: array<Head, OWN>;
    for (var o = 0u; o < OWN; o++) { // unrolled
        let position = first_position + o * WORKGROUP;
        places[o] = place_from_position(plane, sequence, position);
        for (var i = 0u; i < HEAD_VECTORS; i++) { // unrolled
            keys[o][i] = key_vector(places[o].token, position, head, i);
            values[o][i] = value_vector(places[o].token, head, i);
        }
    }
    let length = uniform_sequence_length(plane, lane);
    for (var first = 0u; first < length; first += TILE) {
        workgroupBarrier();
        load_tile(plane, sequence, first, head, lane);
        workgroupBarrier();
        let end = min(TILE, length - first);
        for (var slot = 0u; slot < end; slot++) {
            let sums = query_sums[slot];
            let region = query_regions[slot];
            // p holds s_ij, then p_ij. ds holds dp_ij, then ds_ij.
            var p: array<f32, OWN>;
            var ds: array<f32, OWN>;
            for (var o = 0u; o < OWN; o++) { // unrolled
                p[o] = MASKED;
                if region == places[o].region {
                    p[o] = position_bias(head, first + slot, first_position + o * WORKGROUP);
                }
                ds[o] = 0.0;
            }
            for (var i = 0u; i < HEAD_VECTORS; i++) { // unrolled
                let query = queries[slot * HEAD_VECTORS + i];
                let g = gradients[slot * HEAD_VECTORS + i];
                for (var o = 0u; o < OWN; o++) { // unrolled
                    p[o] += dot(query, keys[o][i]);
                    ds[o] += dot(g, values[o][i]);
                }
            }
            for (var o = 0u; o < OWN; o++) { // unrolled
                p[o] = exp(p[o] - sums.x);
                ds[o] = p[o] * (ds[o] - sums.y);
            }
            for (var i = 0u; i < HEAD_VECTORS; i++) { // unrolled
                let query = queries[slot * HEAD_VECTORS + i];
                let g = gradients[slot * HEAD_VECTORS + i];
                for (var o = 0u; o < OWN; o++) { // unrolled
                    key_gradient[o][i] += ds[o] * query;
                    value_gradient[o][i] += p[o] * g;
                }
            }
        }
    }
    for (var o = 0u; o < OWN; o++) { // unrolled
        let token = places[o].token;
        let position = first_position + o * WORKGROUP;
        if token != NO_TOKEN {
            for (var i = 0u; i < HEAD_VECTORS; i++) { // unrolled
                put_gradients(token, KEY, head, i, rotated(key_gradient[o][i], position, i, -1.0));
                put_gradients(token, VALUE, head, i, value_gradient[o][i]);
            }
        }
    }
}
