// Attention, forward: o_i = Σ_j softmax_j(s_ij) v_j with s_ij = q_i·k_j / √d + bias_ij, over the keys of i's region.
//
// One query a thread, keys and values in tiles. The softmax is online (Milakov and Gimelshein 2018): the sums
// Σ exp(s_ij − m) and Σ exp(s_ij − m) v_j are kept relative to the largest score m so far, and scaled by
// exp(m − m') when a larger one m' appears. Kept for the backward pass: L_i = m + ln Σ exp(s_ij − m).
// import common/key_tile.wgsl

@group(0) @binding(2) var<storage, read_write> output: array<Element>;
@group(0) @binding(3) var<storage, read_write> log_sum_exp: array<f32>;
// frames, bins, first sequence
@group(0) @binding(4) var<storage, read> parameters: array<u32>;

fn score(query: Head, query_position: u32, region: u32, head: u32, first: u32, slot: u32) -> f32 {
    if key_regions[slot] != region {
        return MASKED;
    }
    var sum = position_bias(head, query_position, first + slot);
    for (var i = 0u; i < HEAD_VECTORS; i++) {
        sum += dot(query[i], keys[slot * HEAD_VECTORS + i]);
    }
    return sum;
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let plane = Plane(parameters[0], parameters[1]);
    let sequence = parameters[2] + group.z;
    let head = group.y;
    let position = group.x * WORKGROUP + lane;
    let place = place_from_position(plane, sequence, position);
    let exists = place.token != NO_TOKEN;

    var query: Head;
    if exists {
        query = load_query(place.token, position, head);
    }
    var maximum = FIRST_MAXIMUM;
    var sum = 0.0;
    var weighted: Head;
    let length = uniform_sequence_length(plane, lane);
    for (var first = 0u; first < length; first += TILE) {
        workgroupBarrier();
        load_tile(plane, sequence, first, head, lane);
        workgroupBarrier();
        let end = min(TILE, length - first);
        for (var slot = 0u; slot < end; slot += 4u) {
            let s = vec4(
                score(query, position, place.region, head, first, slot),
                score(query, position, place.region, head, first, slot + 1u),
                score(query, position, place.region, head, first, slot + 2u),
                score(query, position, place.region, head, first, slot + 3u),
            );
            let new_maximum = max(max(maximum, max(s.x, s.y)), max(s.z, s.w));
            let correction = exp(maximum - new_maximum);
            let p = exp(s - new_maximum);
            sum = sum * correction + (p.x + p.y + p.z + p.w);
            for (var i = 0u; i < HEAD_VECTORS; i++) {
                weighted[i] = weighted[i] * correction
                    + p.x * values[slot * HEAD_VECTORS + i]
                    + p.y * values[(slot + 1u) * HEAD_VECTORS + i]
                    + p.z * values[(slot + 2u) * HEAD_VECTORS + i]
                    + p.w * values[(slot + 3u) * HEAD_VECTORS + i];
            }
            maximum = new_maximum;
        }
    }
    if exists {
        let offset = head_offset(place.token, 0u, 1u, head);
        for (var d = 0u; d < HEAD_WIDTH; d++) {
            output[offset + d] = Element(weighted[d / 4u][d % 4u] / sum);
        }
        log_sum_exp[place.token * HEADS + head] = maximum + log(sum);
    }
}
