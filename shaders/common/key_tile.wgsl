// A tile of one sequence's keys and values in workgroup memory.
// import common/heads.wgsl

const WORKGROUP: u32 = 64u;
// Keys in workgroup memory at once; a multiple of four.
const TILE: u32 = 32u;

var<workgroup> keys: array<vec4<f32>, TILE * HEAD_VECTORS>;
var<workgroup> values: array<vec4<f32>, TILE * HEAD_VECTORS>;
var<workgroup> key_regions: array<u32, TILE>;

fn load_tile(plane: Plane, sequence: u32, first: u32, head: u32, lane: u32) {
    for (var slot = lane; slot < TILE; slot += WORKGROUP) {
        let place = place_from_position(plane, sequence, first + slot);
        var key: Head;
        var value: Head;
        if place.token != NO_TOKEN {
            key = load_key(place.token, first + slot, head);
            value = load_qkv(place.token, VALUE, head);
        }
        for (var i = 0u; i < HEAD_VECTORS; i++) {
            keys[slot * HEAD_VECTORS + i] = key[i];
            values[slot * HEAD_VECTORS + i] = value[i];
        }
        key_regions[slot] = place.region;
    }
}
