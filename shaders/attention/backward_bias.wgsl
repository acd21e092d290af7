// Attention, gradient of the relative-position bias: dbias_e = Σ ds_ij over the pairs of offset e in all windows.
//
// p, ds and δ are defined in backward_query.wgsl, whose pass runs first. A workgroup handles a tile of queries and
// WORKGROUP keys, one key per invocation. It sums each pair over a run of windows, and then the pairs of each offset.
// The caller adds the partial sums of the workgroups. There are no atomics, so the result is the same in every run.
// import common/query_tile.wgsl

// [parts, tiles, h, offsets]
@group(0) @binding(5) var<storage, read_write> bias_gradient: array<f32>;
// frames, bins, windows, windows per part, first part
@group(0) @binding(6) var<storage, read> parameters: array<u32>;

// Queries of a tile, in units of four.
const OWN: u32 = 4u;

var<workgroup> pairs: array<f32, TILE * WORKGROUP>;
var<workgroup> shared_windows: u32;

// The number of windows of a part. The last part may have fewer. It is provably uniform, like uniform_sequence_length.
fn uniform_windows(part: u32, lane: u32) -> u32 {
    if lane == 0u {
        shared_windows = min(parameters[3], parameters[2] - part * parameters[3]);
    }
    return workgroupUniformLoad(&shared_windows);
}

// The start of the scores of a query, in base 2.
fn first_score(slot: u32, bias: f32) -> f32 {
    return fma(bias, LOG2_E, query_starts[slot].x);
}

// Outside the plane the exponential and dp are zero, and so is the result.
fn score_gradient(slot: u32, region: u32, s: f32, dp: f32) -> f32 {
    return select(0.0, exp2(s) * dp, query_regions[slot] == region);
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let plane = Plane(parameters[0], parameters[1]);
    let head = group.y;
    let part = parameters[4] + group.z;
    let tiles = (WINDOW_FRAMES * WINDOW_BINS + TILE - 1u) / TILE;
    let first_query = group.x % tiles * TILE;
    let first_key = group.x / tiles * WORKGROUP;
    let key_position = first_key + lane;

    var bias: array<vec4<f32>, OWN>;
    var sums: array<vec4<f32>, OWN>;
    for (var o = 0u; o < OWN; o++) { // unrolled
        let query = first_query + 4u * o;
        bias[o] = vec4(
            position_bias(head, query, key_position),
            position_bias(head, query + 1u, key_position),
            position_bias(head, query + 2u, key_position),
            position_bias(head, query + 3u, key_position),
        );
    }
    let windows = uniform_windows(part, lane);
    for (var w = 0u; w < windows; w++) {
        let window = part * parameters[3] + w;
        workgroupBarrier();
        load_tile(plane, window, first_query, head, lane);
        workgroupBarrier();
        let key = place_from_position(plane, window, key_position);
        var s: array<vec4<f32>, OWN>;
        var dp: array<vec4<f32>, OWN>;
        for (var o = 0u; o < OWN; o++) { // unrolled
            s[o] = vec4(
                first_score(4u * o, bias[o].x),
                first_score(4u * o + 1u, bias[o].y),
                first_score(4u * o + 2u, bias[o].z),
                first_score(4u * o + 3u, bias[o].w),
            );
            dp[o] = vec4(
                query_starts[4u * o].y,
                query_starts[4u * o + 1u].y,
                query_starts[4u * o + 2u].y,
                query_starts[4u * o + 3u].y,
            );
        }
        for (var i = 0u; i < HEAD_VECTORS; i++) {
            let k = key_vector(key.token, key_position, head, i);
            let v = value_vector(key.token, head, i);
            for (var o = 0u; o < OWN; o++) { // unrolled
                let a = 4u * o * HEAD_VECTORS + i;
                let b = a + HEAD_VECTORS;
                let c = b + HEAD_VECTORS;
                let d = c + HEAD_VECTORS;
                s[o].x = dot_from(s[o].x, queries[a], k);
                s[o].y = dot_from(s[o].y, queries[b], k);
                s[o].z = dot_from(s[o].z, queries[c], k);
                s[o].w = dot_from(s[o].w, queries[d], k);
                dp[o].x = dot_from(dp[o].x, gradients[a], v);
                dp[o].y = dot_from(dp[o].y, gradients[b], v);
                dp[o].z = dot_from(dp[o].z, gradients[c], v);
                dp[o].w = dot_from(dp[o].w, gradients[d], v);
            }
        }
        for (var o = 0u; o < OWN; o++) { // unrolled
            sums[o] += vec4(
                score_gradient(4u * o, key.region, s[o].x, dp[o].x),
                score_gradient(4u * o + 1u, key.region, s[o].y, dp[o].y),
                score_gradient(4u * o + 2u, key.region, s[o].z, dp[o].z),
                score_gradient(4u * o + 3u, key.region, s[o].w, dp[o].w),
            );
        }
    }

    for (var o = 0u; o < OWN; o++) { // unrolled
        pairs[4u * o * WORKGROUP + lane] = sums[o].x;
        pairs[(4u * o + 1u) * WORKGROUP + lane] = sums[o].y;
        pairs[(4u * o + 2u) * WORKGROUP + lane] = sums[o].z;
        pairs[(4u * o + 3u) * WORKGROUP + lane] = sums[o].w;
    }
    workgroupBarrier();
    let first_entry = ((part * groups.x + group.x) * HEADS + head) * relative_entries();
    for (var entry = lane; entry < relative_entries(); entry += WORKGROUP) {
        bias_gradient[first_entry + entry] = entry_sum(entry, first_query, first_key);
    }
}

// The sum over the pairs of one offset.
fn entry_sum(entry: u32, first_query: u32, first_key: u32) -> f32 {
    // The frame and bin of the key in the window, minus those of the query.
    let up = i32(WINDOW_FRAMES) - 1 - i32(entry / (2u * WINDOW_BINS - 1u));
    let right = i32(WINDOW_BINS) - 1 - i32(entry % (2u * WINDOW_BINS - 1u));
    var sum = 0.0;
    for (var slot = 0u; slot < TILE; slot++) {
        let query = first_query + slot;
        let frame = i32(query / WINDOW_BINS) + up;
        let bin = i32(query % WINDOW_BINS) + right;
        let key = frame * i32(WINDOW_BINS) + bin - i32(first_key);
        let within = query < WINDOW_FRAMES * WINDOW_BINS
            && min(frame, bin) >= 0 && frame < i32(WINDOW_FRAMES) && bin < i32(WINDOW_BINS);
        if within && key >= 0 && key < i32(WORKGROUP) {
            sum += pairs[slot * WORKGROUP + u32(key)];
        }
    }
    return sum;
}
