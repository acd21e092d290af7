// A tile of keys and values of one sequence in workgroup memory.
// import common/heads.wgsl

const WORKGROUP: u32 = 64u;
// Keys per tile, a multiple of STEP.
const TILE: u32 = 32u;
// Queries per invocation, WORKGROUP positions apart. Each value read from the tile is used for all of them.
const OWN: u32 = 2u;
// Keys per iteration of the inner loop.
const STEP: u32 = 4u;

var<workgroup> keys: array<vec4<f32>, TILE * HEAD_VECTORS>;
var<workgroup> values: array<vec4<f32>, TILE * HEAD_VECTORS>;
var<workgroup> key_regions: array<u32, TILE>;

fn load_tile(plane: Plane, sequence: u32, first: u32, head: u32, lane: u32) {
    for (var slot = lane; slot < TILE; slot += WORKGROUP) {
        let position = first + slot;
        let place = place_from_position(plane, sequence, position);
        for (var i = 0u; i < HEAD_VECTORS; i++) {
            keys[slot * HEAD_VECTORS + i] = key_vector(place.token, position, head, i);
            values[slot * HEAD_VECTORS + i] = value_vector(place.token, head, i);
        }
        if SEQUENCES == WINDOW {
            key_regions[slot] = place.region;
        }
    }
}

// The value from which the score of a query and a key of the tile is summed up: `start` plus the bias of the pair, or
// MASKED if their regions differ. Only windows have regions and biases.
fn first_score(head: u32, query_position: u32, region: u32, first: u32, slot: u32, start: f32) -> f32 {
    if SEQUENCES != WINDOW {
        return start;
    }
    if key_regions[slot] != region {
        return MASKED;
    }
    return fma(position_bias(head, query_position, first + slot), LOG2_E, start);
}

// `score`, or MASKED for a slot of the tile behind the end of the sequence. In windows the region masks such slots.
fn score_before_end(slot: u32, end: u32, score: f32) -> f32 {
    return select(MASKED, score, SEQUENCES == WINDOW || slot < end);
}
