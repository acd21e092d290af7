// Attention, gradients of keys and values: dk_j = Σ_i ds_ij q_i / √d and dv_j = Σ_i p_ij g_i.
//
// p, ds and δ are defined in backward_query.wgsl, whose pass runs first. An invocation handles OWN keys. Queries and
// gradients are loaded in tiles.
// import common/query_tile.wgsl
// import common/qkv_gradient.wgsl
// import common/uniform_length.wgsl

// frames, bins, first sequence
@group(0) @binding(6) var<storage, read> parameters: array<u32>;

// Keys per invocation, WORKGROUP positions apart. Each value read from the tile is used for all of them.
const OWN: u32 = 2u;
// Queries per iteration of the inner loop. TILE is a multiple of it.
const STEP: u32 = 4u;

// The value from which the score of a query of the tile and a key is summed up: `start` plus the bias of the pair, or
// MASKED if their regions differ. Only windows have regions and biases.
fn first_score(head: u32, key_position: u32, region: u32, first: u32, slot: u32, start: f32) -> f32 {
    if SEQUENCES != WINDOW {
        return start;
    }
    if query_regions[slot] != region {
        return MASKED;
    }
    return fma(position_bias(head, first + slot, key_position), LOG2_E, start);
}

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
        let end = min(TILE, sequence_length(plane) - first);
        for (var step = 0u; step * STEP < end; step++) {
            let slot = min(step * STEP, TILE - STEP);
            // p holds s_ij − r_i, then p_ij without the factor that the gradients of the tile have. ds holds
            // dp_ij − δ_i with that factor, then ds_ij.
            var p: array<array<f32, STEP>, OWN>;
            var ds: array<array<f32, STEP>, OWN>;
            for (var j = 0u; j < STEP; j++) { // unrolled
                let starts = query_starts[slot + j];
                for (var o = 0u; o < OWN; o++) { // unrolled
                    let position = first_position + o * WORKGROUP;
                    p[o][j] = first_score(head, position, places[o].region, first, slot + j, starts.x);
                    ds[o][j] = starts.y;
                }
            }
            for (var i = 0u; i < HEAD_VECTORS; i++) { // unrolled
                for (var j = 0u; j < STEP; j++) { // unrolled
                    let query = queries[(slot + j) * HEAD_VECTORS + i];
                    let g = gradients[(slot + j) * HEAD_VECTORS + i];
                    for (var o = 0u; o < OWN; o++) { // unrolled
                        p[o][j] = dot_from(p[o][j], query, keys[o][i]);
                        ds[o][j] = dot_from(ds[o][j], g, values[o][i]);
                    }
                }
            }
            for (var o = 0u; o < OWN; o++) { // unrolled
                for (var j = 0u; j < STEP; j++) { // unrolled
                    p[o][j] = exp2(p[o][j]);
                    ds[o][j] *= p[o][j];
                }
            }
            for (var i = 0u; i < HEAD_VECTORS; i++) { // unrolled
                for (var j = 0u; j < STEP; j++) { // unrolled
                    let query = queries[(slot + j) * HEAD_VECTORS + i];
                    let g = gradients[(slot + j) * HEAD_VECTORS + i];
                    for (var o = 0u; o < OWN; o++) { // unrolled
                        key_gradient[o][i] = fma(vec4(ds[o][j]), query, key_gradient[o][i]);
                        value_gradient[o][i] = fma(vec4(p[o][j]), g, value_gradient[o][i]);
                    }
                }
            }
        }
    }
    for (var o = 0u; o < OWN; o++) { // unrolled
        let token = places[o].token;
        let position = first_position + o * WORKGROUP;
        if token != NO_TOKEN {
            for (var i = 0u; i < HEAD_VECTORS; i++) { // unrolled
                // The queries of the tile include the factor log₂ e.
                let turned = key_gradient[o][i] / LOG2_E;
                put_gradients(token, KEY, head, i, rotated(turned, position, i, -1.0));
                put_gradients(token, VALUE, head, i, value_gradient[o][i]);
            }
        }
    }
}
