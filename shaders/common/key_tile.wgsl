// A tile of keys and values of one sequence in workgroup memory.
// import common/heads.wgsl

const WORKGROUP: u32 = 64u;
// Keys per tile, a multiple of four.
const TILE: u32 = 32u;
// Queries per invocation, WORKGROUP positions apart. Each value read from the tile is used for all of them.
const OWN: u32 = 2u;

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
        key_regions[slot] = place.region;
    }
}

// The initial value of the score of a query and a key of the tile: the bias of the pair, or MASKED.
fn first_score(head: u32, query_position: u32, region: u32, first: u32, slot: u32) -> f32 {
    if key_regions[slot] != region {
        return MASKED;
    }
    return position_bias(head, query_position, first + slot);
}
