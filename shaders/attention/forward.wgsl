// Attention, forward: o_i = Σ_j softmax_j(s_ij) v_j with s_ij = q_i·k_j / √d + bias_ij, over the keys in the region of
// i.
//
// An invocation handles OWN queries. Keys and values are loaded in tiles. The softmax is online (Milakov and Gimelshein
// 2018): the sums Σ exp(s_ij − m) and Σ exp(s_ij − m) v_j are relative to the largest score m so far, and are scaled by
// exp(m − m') when a larger score m' appears. The backward pass needs L_i = m + ln Σ exp(s_ij − m), which is stored.
// import common/key_tile.wgsl

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
    var maximum: array<f32, OWN>;
    var sum: array<f32, OWN>;
    var weighted: array<Head, OWN>;
    for (var o = 0u; o < OWN; o++) { // unrolled
        let position = first_position + o * WORKGROUP;
        places[o] = place_from_position(plane, sequence, position);
        maximum[o] = FIRST_MAXIMUM;
        for (var i = 0u; i < HEAD_VECTORS; i++) { // unrolled
            queries[o][i] = query_vector(places[o].token, position, head, i);
        }
    }
    let length = uniform_sequence_length(plane, lane);
    for (var first = 0u; first < length; first += TILE) {
        workgroupBarrier();
        load_tile(plane, sequence, first, head, lane);
        workgroupBarrier();
        let end = min(TILE, length - first);
        for (var slot = 0u; slot < end; slot += 4u) {
            // The scores of four keys, then their exponentials.
            var p: array<vec4<f32>, OWN>;
            for (var o = 0u; o < OWN; o++) { // unrolled
                let position = first_position + o * WORKGROUP;
                let region = places[o].region;
                p[o] = vec4(
                    first_score(head, position, region, first, slot),
                    first_score(head, position, region, first, slot + 1u),
                    first_score(head, position, region, first, slot + 2u),
                    first_score(head, position, region, first, slot + 3u),
                );
            }
            for (var i = 0u; i < HEAD_VECTORS; i++) { // unrolled
                let at = slot * HEAD_VECTORS + i;
                let k0 = keys[at];
                let k1 = keys[at + HEAD_VECTORS];
                let k2 = keys[at + 2u * HEAD_VECTORS];
                let k3 = keys[at + 3u * HEAD_VECTORS];
                for (var o = 0u; o < OWN; o++) { // unrolled
                    let q = queries[o][i];
                    p[o] += vec4(dot(q, k0), dot(q, k1), dot(q, k2), dot(q, k3));
                }
            }
            for (var o = 0u; o < OWN; o++) { // unrolled
                let s = p[o];
                let new_maximum = max(max(maximum[o], max(s.x, s.y)), max(s.z, s.w));
                let correction = exp(maximum[o] - new_maximum);
                p[o] = exp(s - new_maximum);
                sum[o] = sum[o] * correction + (p[o].x + p[o].y + p[o].z + p[o].w);
                for (var i = 0u; i < HEAD_VECTORS; i++) { // unrolled
                    weighted[o][i] *= correction;
                }
                maximum[o] = new_maximum;
            }
            for (var i = 0u; i < HEAD_VECTORS; i++) { // unrolled
                let at = slot * HEAD_VECTORS + i;
                let v0 = values[at];
                let v1 = values[at + HEAD_VECTORS];
                let v2 = values[at + 2u * HEAD_VECTORS];
                let v3 = values[at + 3u * HEAD_VECTORS];
                for (var o = 0u; o < OWN; o++) { // unrolled
                    weighted[o][i] += p[o].x * v0 + p[o].y * v1 + p[o].z * v2 + p[o].w * v3;
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
            log_sum_exp[token * HEADS + head] = maximum[o] + log(sum[o]);
        }
    }
}
