// Attention, backward to keys and values: dk_j = Σ_i ds_ij q_i / √d and dv_j = Σ_i p_ij g_i.
//
// p, ds and δ as in backward_query.wgsl, which runs first. One key a thread, queries and gradients in tiles.
// import common/heads.wgsl

@group(0) @binding(2) var<storage, read_write> gradient: array<Element>;
@group(0) @binding(3) var<storage, read_write> log_sum_exp: array<f32>;
@group(0) @binding(4) var<storage, read_write> delta: array<f32>;
@group(0) @binding(5) var<storage, read_write> qkv_gradient: array<Element>;
// frames, bins, first sequence
@group(0) @binding(6) var<storage, read> parameters: array<u32>;

const WORKGROUP: u32 = 64u;
const TILE: u32 = 32u;

var<workgroup> queries: array<vec4<f32>, TILE * HEAD_VECTORS>;
var<workgroup> gradients: array<vec4<f32>, TILE * HEAD_VECTORS>;
var<workgroup> query_regions: array<u32, TILE>;
// L_i and δ_i
var<workgroup> query_sums: array<vec2<f32>, TILE>;

fn load_tile(plane: Plane, sequence: u32, first: u32, head: u32, lane: u32) {
    for (var slot = lane; slot < TILE; slot += WORKGROUP) {
        let place = place_from_position(plane, sequence, first + slot);
        var query: Head;
        var g: Head;
        var sums = vec2(0.0, 0.0);
        if place.token != NO_TOKEN {
            query = load_query(place.token, first + slot, head);
            let offset = head_offset(place.token, 0u, 1u, head);
            for (var d = 0u; d < HEAD_WIDTH; d++) {
                g[d / 4u][d % 4u] = f32(gradient[offset + d]);
            }
            let row = place.token * HEADS + head;
            sums = vec2(log_sum_exp[row], delta[row]);
        }
        for (var i = 0u; i < HEAD_VECTORS; i++) {
            queries[slot * HEAD_VECTORS + i] = query[i];
            gradients[slot * HEAD_VECTORS + i] = g[i];
        }
        query_sums[slot] = sums;
        query_regions[slot] = place.region;
    }
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let plane = Plane(parameters[0], parameters[1]);
    let sequence = parameters[2] + group.z;
    let head = group.y;
    let position = group.x * WORKGROUP + lane;
    let place = place_from_position(plane, sequence, position);
    let exists = place.token != NO_TOKEN;

    var key: Head;
    var value: Head;
    if exists {
        key = load_key(place.token, position, head);
        value = load_qkv(place.token, VALUE, head);
    }
    var key_gradient: Head;
    var value_gradient: Head;
    let length = uniform_sequence_length(plane, lane);
    for (var first = 0u; first < length; first += TILE) {
        workgroupBarrier();
        load_tile(plane, sequence, first, head, lane);
        workgroupBarrier();
        let end = min(TILE, length - first);
        for (var slot = 0u; slot < end; slot++) {
            if query_regions[slot] != place.region {
                continue;
            }
            var s = position_bias(head, first + slot, position);
            var dp = 0.0;
            for (var i = 0u; i < HEAD_VECTORS; i++) {
                s += dot(key[i], queries[slot * HEAD_VECTORS + i]);
                dp += dot(value[i], gradients[slot * HEAD_VECTORS + i]);
            }
            let sums = query_sums[slot];
            let p = exp(s - sums.x);
            let ds = p * (dp - sums.y);
            for (var i = 0u; i < HEAD_VECTORS; i++) {
                key_gradient[i] += ds * queries[slot * HEAD_VECTORS + i];
                value_gradient[i] += p * gradients[slot * HEAD_VECTORS + i];
            }
        }
    }
    if exists {
        let unrotated = rotated(key_gradient, position, -1.0);
        let key_offset = head_offset(place.token, KEY, 3u, head);
        let value_offset = head_offset(place.token, VALUE, 3u, head);
        for (var d = 0u; d < HEAD_WIDTH; d++) {
            qkv_gradient[key_offset + d] = Element(unrotated[d / 4u][d % 4u]);
            qkv_gradient[value_offset + d] = Element(value_gradient[d / 4u][d % 4u]);
        }
    }
}
