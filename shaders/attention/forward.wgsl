// Attention, forward: o_i = Σ_j softmax_j(s_ij) v_j with s_ij = q_i·k_j / √d + bias_ij, over the keys in the region of
// i.
//
// An invocation handles OWN queries. Keys and values are loaded in tiles. The sums Σ exp2(s_ij − r) and
// Σ exp2(s_ij − r) v_j are relative to a reference r, with scores in base 2. The first r is that of the score of one
// key, so that the first sum cannot vanish: the sequence's first key, or in windows, where that may be masked, the key
// of the query's token. If a score is too large for r, then r is raised and the sums are scaled (the online softmax of
// Milakov and Gimelshein 2018, with fewer changes of r). The backward pass needs L_i = log₂ Σ exp2(s_ij), which is
// stored.
// import common/key_tile.wgsl
// import common/uniform_length.wgsl

@group(0) @binding(2) var<storage, read_write> output: array<Element>;
@group(0) @binding(3) var<storage, read_write> log_sum_exp: array<f32>;
// frames, bins, first sequence
@group(0) @binding(4) var<storage, read> parameters: array<u32>;

fn put_output(offset: u32, d: u32, value: f32) {
    if d < HEAD_WIDTH {
        output[offset + d] = Element(value);
    }
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let plane = Plane(parameters[0], parameters[1]);
    let sequence = parameters[2] + group.z;
    let head = group.y;
    let first_position = group.x * OWN * WORKGROUP + lane;

    var places: array<Place, OWN>;
    var queries: array<Head, OWN>;
    var reference: array<f32, OWN>;
    var sum: array<f32, OWN>;
    var weighted: array<Head, OWN>;
    for (var o = 0u; o < OWN; o++) { // unrolled
        let position = first_position + o * WORKGROUP;
        places[o] = place_from_position(plane, sequence, position);
        let token = places[o].token;
        for (var i = 0u; i < HEAD_VECTORS; i++) { // unrolled
            queries[o][i] = query_vector(token, position, head, i);
        }
        if SEQUENCES == WINDOW {
            var score = position_bias(head, position, position) * LOG2_E;
            for (var i = 0u; i < HEAD_VECTORS; i++) { // unrolled
                score = dot_from(score, queries[o][i], key_vector(token, position, head, i));
            }
            reference[o] = reference_of(score);
        }
    }
    let length = uniform_sequence_length(plane, lane);
    for (var first = 0u; first < length; first += TILE) {
        workgroupBarrier();
        load_tile(plane, sequence, first, head, lane);
        workgroupBarrier();
        if SEQUENCES != WINDOW && first == 0u {
            for (var o = 0u; o < OWN; o++) { // unrolled
                var score = 0.0;
                for (var i = 0u; i < HEAD_VECTORS; i++) { // unrolled
                    score = dot_from(score, queries[o][i], keys[i]);
                }
                reference[o] = reference_of(score);
            }
        }
        let end = min(TILE, sequence_length(plane) - first);
        for (var step = 0u; step * STEP < end; step++) {
            let slot = min(step * STEP, TILE - STEP);
            // Scores relative to the reference, then their exponentials.
            var p: array<array<f32, STEP>, OWN>;
            for (var o = 0u; o < OWN; o++) { // unrolled
                let position = first_position + o * WORKGROUP;
                for (var j = 0u; j < STEP; j++) { // unrolled
                    p[o][j] = first_score(head, position, places[o].region, first, slot + j, -reference[o]);
                }
            }
            for (var i = 0u; i < HEAD_VECTORS; i++) { // unrolled
                for (var j = 0u; j < STEP; j++) { // unrolled
                    let key = keys[(slot + j) * HEAD_VECTORS + i];
                    for (var o = 0u; o < OWN; o++) { // unrolled
                        p[o][j] = dot_from(p[o][j], queries[o][i], key);
                    }
                }
            }
            if slot + STEP > end {
                for (var o = 0u; o < OWN; o++) { // unrolled
                    for (var j = 0u; j < STEP; j++) { // unrolled
                        p[o][j] = score_before_end(slot + j, end, p[o][j]);
                    }
                }
            }
            var largest = 0.0;
            for (var o = 0u; o < OWN; o++) { // unrolled
                for (var j = 0u; j < STEP; j++) { // unrolled
                    largest = max(largest, p[o][j]);
                }
            }
            if largest > REFERENCES {
                for (var o = 0u; o < OWN; o++) { // unrolled
                    var rise = 0.0;
                    for (var j = 0u; j < STEP; j++) { // unrolled
                        rise = max(rise, p[o][j]);
                    }
                    rise = reference_of(rise);
                    for (var j = 0u; j < STEP; j++) { // unrolled
                        p[o][j] -= rise;
                    }
                    // A larger rise leaves nothing of the sums. exp2 need not return what is below 2⁻¹²⁶.
                    let scale = select(0.0, exp2(-rise), rise <= REFERENCES);
                    reference[o] += rise;
                    sum[o] *= scale;
                    for (var i = 0u; i < HEAD_VECTORS; i++) { // unrolled
                        weighted[o][i] *= scale;
                    }
                }
            }
            for (var o = 0u; o < OWN; o++) { // unrolled
                for (var j = 0u; j < STEP; j++) { // unrolled
                    p[o][j] = exp2(p[o][j]);
                    sum[o] += p[o][j];
                }
            }
            for (var i = 0u; i < HEAD_VECTORS; i++) { // unrolled
                for (var j = 0u; j < STEP; j++) { // unrolled
                    let value = values[(slot + j) * HEAD_VECTORS + i];
                    for (var o = 0u; o < OWN; o++) { // unrolled
                        weighted[o][i] = fma(vec4(p[o][j]), value, weighted[o][i]);
                    }
                }
            }
        }
    }
    for (var o = 0u; o < OWN; o++) { // unrolled
        let token = places[o].token;
        if token != NO_TOKEN {
            let offset = head_offset(token, 0u, 1u, head);
            for (var i = 0u; i < HEAD_VECTORS; i++) { // unrolled
                let values = weighted[o][i] / sum[o];
                put_output(offset, 4u * i, values.x);
                put_output(offset, 4u * i + 1u, values.y);
                put_output(offset, 4u * i + 2u, values.z);
                put_output(offset, 4u * i + 3u, values.w);
            }
            // The backward passes scale by exp2(r − L). A Newton step makes this the inverse of the sum, also where
            // exp2 and log2 are less precise than the other operations.
            let l = reference[o] + log2(sum[o]);
            log_sum_exp[token * HEADS + head] = l + LOG2_E * (sum[o] * exp2(reference[o] - l) - 1.0);
        }
    }
}
