// Attention, backward to the relative-position bias: dbias_e = Σ ds_ij over the pairs of offset e, in all windows.
//
// p, ds and δ as in backward_query.wgsl, which runs first. One entry of the table a thread; a workgroup sums a
// run of windows, and the caller adds the parts: no atomics, so the sum is the same every time.
// import common/gradients.wgsl

// [parts, h, offsets]
@group(0) @binding(5) var<storage, read_write> bias_gradient: array<f32>;
// frames, bins, windows, windows of a part, first part
@group(0) @binding(6) var<storage, read> parameters: array<u32>;

const WORKGROUP: u32 = 64u;

fn score_gradient(plane: Plane, window: u32, head: u32, query_position: u32, key_position: u32) -> f32 {
    let query = place_from_position(plane, window, query_position);
    let key = place_from_position(plane, window, key_position);
    if query.token == NO_TOKEN || query.region != key.region {
        return 0.0;
    }
    var s = position_bias(head, query_position, key_position);
    var dp = 0.0;
    for (var i = 0u; i < HEAD_VECTORS; i++) {
        s += dot(query_vector(query.token, query_position, head, i), key_vector(key.token, key_position, head, i));
        dp += dot(gradient_vector(query.token, head, i), value_vector(key.token, head, i));
    }
    let row = query.token * HEADS + head;
    return exp(s - log_sum_exp[row]) * (dp - delta[row]);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let plane = Plane(parameters[0], parameters[1]);
    let entry = group.x * WORKGROUP + lane;
    let head = group.y;
    let part = parameters[4] + group.z;
    if entry >= relative_entries() {
        return;
    }
    // The offset of the entry, as key's index minus query's, and the queries for which the key is in the window.
    let up = i32(WINDOW_FRAMES) - 1 - i32(entry / (2u * WINDOW_BINS - 1u));
    let right = i32(WINDOW_BINS) - 1 - i32(entry % (2u * WINDOW_BINS - 1u));
    let first_frame = u32(max(0, -up));
    let end_frame = u32(min(i32(WINDOW_FRAMES), i32(WINDOW_FRAMES) - up));
    let first_bin = u32(max(0, -right));
    let end_bin = u32(min(i32(WINDOW_BINS), i32(WINDOW_BINS) - right));
    let key_offset = u32(up * i32(WINDOW_BINS) + right);

    var sum = 0.0;
    let end_window = min((part + 1u) * parameters[3], parameters[2]);
    for (var window = part * parameters[3]; window < end_window; window++) {
        for (var frame = first_frame; frame < end_frame; frame++) {
            for (var bin = first_bin; bin < end_bin; bin++) {
                let query = frame * WINDOW_BINS + bin;
                sum += score_gradient(plane, window, head, query, query + key_offset);
            }
        }
    }
    bias_gradient[(part * HEADS + head) * relative_entries() + entry] = sum;
}
