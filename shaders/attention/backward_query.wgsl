// Attention, backward to the queries: dq_i = Σ_j ds_ij k_j / √d.
//
// With p_ij = exp(s_ij − L_i), recomputed tile by tile from the kept log-sum-exp L, and the gradient g of the
// output: dp_ij = g_i·v_j, δ_i = g_i·o_i, ds_ij = p_ij (dp_ij − δ_i) (Dao et al. 2022). δ is kept for the keys'
// pass. One query a thread, keys and values in tiles.
// import common/key_tile.wgsl

@group(0) @binding(2) var<storage, read_write> output: array<Element>;
@group(0) @binding(3) var<storage, read_write> gradient: array<Element>;
@group(0) @binding(4) var<storage, read_write> log_sum_exp: array<f32>;
@group(0) @binding(5) var<storage, read_write> delta: array<f32>;
@group(0) @binding(6) var<storage, read_write> qkv_gradient: array<Element>;
// frames, bins, first sequence
@group(0) @binding(7) var<storage, read> parameters: array<u32>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let plane = Plane(parameters[0], parameters[1]);
    let sequence = parameters[2] + group.z;
    let head = group.y;
    let position = group.x * WORKGROUP + lane;
    let place = place_from_position(plane, sequence, position);
    let exists = place.token != NO_TOKEN;

    var query: Head;
    var g: Head;
    var delta_i = 0.0;
    var log_sum_exp_i = 0.0;
    if exists {
        query = load_query(place.token, position, head);
        let offset = head_offset(place.token, 0u, 1u, head);
        for (var d = 0u; d < HEAD_WIDTH; d++) {
            let g_d = f32(gradient[offset + d]);
            g[d / 4u][d % 4u] = g_d;
            delta_i += g_d * f32(output[offset + d]);
        }
        log_sum_exp_i = log_sum_exp[place.token * HEADS + head];
        delta[place.token * HEADS + head] = delta_i;
    }

    var query_gradient: Head;
    let length = uniform_sequence_length(plane, lane);
    for (var first = 0u; first < length; first += TILE) {
        workgroupBarrier();
        load_tile(plane, sequence, first, head, lane);
        workgroupBarrier();
        let end = min(TILE, length - first);
        for (var slot = 0u; slot < end; slot++) {
            if key_regions[slot] != place.region {
                continue;
            }
            var s = position_bias(head, position, first + slot);
            var dp = 0.0;
            for (var i = 0u; i < HEAD_VECTORS; i++) {
                s += dot(query[i], keys[slot * HEAD_VECTORS + i]);
                dp += dot(g[i], values[slot * HEAD_VECTORS + i]);
            }
            let ds = exp(s - log_sum_exp_i) * (dp - delta_i);
            for (var i = 0u; i < HEAD_VECTORS; i++) {
                query_gradient[i] += ds * keys[slot * HEAD_VECTORS + i];
            }
        }
    }
    if exists {
        let unrotated = rotated(scaled(query_gradient, inverseSqrt(f32(HEAD_WIDTH))), position, -1.0);
        let offset = head_offset(place.token, QUERY, 3u, head);
        for (var d = 0u; d < HEAD_WIDTH; d++) {
            qkv_gradient[offset + d] = Element(unrotated[d / 4u][d % 4u]);
        }
    }
}
