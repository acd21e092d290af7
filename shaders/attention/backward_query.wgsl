// Attention, gradient of the queries: dq_i = Σ_j ds_ij k_j / √d.
//
// p_ij = exp(s_ij − L_i) is recomputed tile by tile from the saved log-sum-exp L. With the gradient g of the output,
// dp_ij = g_i·v_j, δ_i = g_i·o_i and ds_ij = p_ij (dp_ij − δ_i) (Dao et al. 2022). δ is stored for the other backward
// passes. An invocation handles OWN queries. Keys and values are loaded in tiles.
// import common/key_tile.wgsl
// import common/gradients.wgsl
// import common/qkv_gradient.wgsl

@group(0) @binding(6) var<storage, read_write> output: array<Element>;
// frames, bins, first sequence
@group(0) @binding(7) var<storage, read> parameters: array<u32>;

fn output_element(offset: u32, d: u32) -> f32 {
    if d < HEAD_WIDTH {
        return f32(output[offset + d]);
    }
    return 0.0;
}

// The contribution of vector i to δ, for a token on the plane.
fn delta_part(token: u32, head: u32, i: u32, g: vec4<f32>) -> f32 {
    let offset = head_offset(token, 0u, 1u, head);
    let d = 4u * i;
    return g.x * output_element(offset, d)
        + g.y * output_element(offset, d + 1u)
        + g.z * output_element(offset, d + 2u)
        + g.w * output_element(offset, d + 3u);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let plane = Plane(parameters[0], parameters[1]);
    let sequence = parameters[2] + group.z;
    let head = group.y;
    let first_position = group.x * OWN * WORKGROUP + lane;

    var places: array<Place, OWN>;
    var queries: array<Head, OWN>;
    var g: array<Head, OWN>;
    // L_i and δ_i
    var sums: array<vec2<f32>, OWN>;
    var query_gradient: array<Head, OWN>;
    for (var o = 0u; o < OWN; o++) { // unrolled
        let position = first_position + o * WORKGROUP;
        places[o] = place_from_position(plane, sequence, position);
        let token = places[o].token;
        for (var i = 0u; i < HEAD_VECTORS; i++) { // unrolled
            queries[o][i] = query_vector(token, position, head, i);
            g[o][i] = gradient_vector(token, head, i);
        }
        if token != NO_TOKEN {
            for (var i = 0u; i < HEAD_VECTORS; i++) { // unrolled
                sums[o].y += delta_part(token, head, i, g[o][i]);
            }
            sums[o].x = log_sum_exp[token * HEADS + head];
            delta[token * HEADS + head] = sums[o].y;
        }
    }

    let length = uniform_sequence_length(plane, lane);
    for (var first = 0u; first < length; first += TILE) {
        workgroupBarrier();
        load_tile(plane, sequence, first, head, lane);
        workgroupBarrier();
        let end = min(TILE, length - first);
        for (var slot = 0u; slot < end; slot++) {
            // s holds s_ij, then ds_ij.
            var s: array<f32, OWN>;
            var dp: array<f32, OWN>;
            for (var o = 0u; o < OWN; o++) { // unrolled
                s[o] = first_score(head, first_position + o * WORKGROUP, places[o].region, first, slot);
                dp[o] = 0.0;
            }
            for (var i = 0u; i < HEAD_VECTORS; i++) { // unrolled
                let key = keys[slot * HEAD_VECTORS + i];
                let value = values[slot * HEAD_VECTORS + i];
                for (var o = 0u; o < OWN; o++) { // unrolled
                    s[o] += dot(queries[o][i], key);
                    dp[o] += dot(g[o][i], value);
                }
            }
            for (var o = 0u; o < OWN; o++) { // unrolled
                s[o] = exp(s[o] - sums[o].x) * (dp[o] - sums[o].y);
            }
            for (var i = 0u; i < HEAD_VECTORS; i++) { // unrolled
                let key = keys[slot * HEAD_VECTORS + i];
                for (var o = 0u; o < OWN; o++) { // unrolled
                    query_gradient[o][i] += s[o] * key;
                }
            }
        }
    }
    for (var o = 0u; o < OWN; o++) { // unrolled
        let token = places[o].token;
        let position = first_position + o * WORKGROUP;
        if token != NO_TOKEN {
            for (var i = 0u; i < HEAD_VECTORS; i++) { // unrolled
                let turned = query_gradient[o][i] * inverseSqrt(f32(HEAD_WIDTH));
                put_gradients(token, QUERY, head, i, rotated(turned, position, i, -1.0));
            }
        }
    }
}
