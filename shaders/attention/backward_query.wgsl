// Attention, gradient of the queries: dq_i = Σ_j ds_ij k_j / √d.
//
// p_ij = exp2(s_ij − L_i) is recomputed tile by tile from the saved log-sum-exp L, with both in base 2. With the
// gradient g of the output, dp_ij = g_i·v_j, δ_i = g_i·o_i and ds_ij = p_ij (dp_ij − δ_i) (Dao et al. 2022). δ is stored
// for the other backward passes. An invocation handles OWN queries. Keys and values are loaded in tiles.
// import common/key_tile.wgsl
// import common/gradients.wgsl
// import common/qkv_gradient.wgsl
// import common/uniform_length.wgsl

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
    // −r_i and −δ_i · exp2(r_i − L_i) with the reference r_i of L_i. g has the same factor.
    var starts: array<vec2<f32>, OWN>;
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
            var sum = 0.0;
            for (var i = 0u; i < HEAD_VECTORS; i++) { // unrolled
                sum += delta_part(token, head, i, g[o][i]);
            }
            delta[token * HEADS + head] = sum;
            let l = log_sum_exp[token * HEADS + head];
            let reference = reference_of(l);
            let scale = exp2(reference - l);
            starts[o] = -vec2(reference, sum * scale);
            for (var i = 0u; i < HEAD_VECTORS; i++) { // unrolled
                g[o][i] *= scale;
            }
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
            // s holds s_ij − r_i, then ds_ij. dp holds (dp_ij − δ_i) exp2(r_i − L_i).
            var s: array<array<f32, STEP>, OWN>;
            var dp: array<array<f32, STEP>, OWN>;
            for (var o = 0u; o < OWN; o++) { // unrolled
                let position = first_position + o * WORKGROUP;
                for (var j = 0u; j < STEP; j++) { // unrolled
                    s[o][j] = first_score(head, position, places[o].region, first, slot + j, starts[o].x);
                    dp[o][j] = starts[o].y;
                }
            }
            for (var i = 0u; i < HEAD_VECTORS; i++) { // unrolled
                for (var j = 0u; j < STEP; j++) { // unrolled
                    let key = keys[(slot + j) * HEAD_VECTORS + i];
                    let value = values[(slot + j) * HEAD_VECTORS + i];
                    for (var o = 0u; o < OWN; o++) { // unrolled
                        s[o][j] = dot_from(s[o][j], queries[o][i], key);
                        dp[o][j] = dot_from(dp[o][j], g[o][i], value);
                    }
                }
            }
            if slot + STEP > end {
                for (var o = 0u; o < OWN; o++) { // unrolled
                    for (var j = 0u; j < STEP; j++) { // unrolled
                        s[o][j] = score_before_end(slot + j, end, s[o][j]);
                    }
                }
            }
            for (var o = 0u; o < OWN; o++) { // unrolled
                for (var j = 0u; j < STEP; j++) { // unrolled
                    s[o][j] = exp2(s[o][j]) * dp[o][j];
                }
            }
            for (var i = 0u; i < HEAD_VECTORS; i++) { // unrolled
                for (var j = 0u; j < STEP; j++) { // unrolled
                    let key = keys[(slot + j) * HEAD_VECTORS + i];
                    for (var o = 0u; o < OWN; o++) { // unrolled
                        query_gradient[o][i] = fma(vec4(s[o][j]), key, query_gradient[o][i]);
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
                let turned = query_gradient[o][i] * inverseSqrt(f32(HEAD_WIDTH));
                put_gradients(token, QUERY, head, i, rotated(turned, position, i, -1.0));
            }
        }
    }
}
