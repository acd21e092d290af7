// The sequence length as a loop bound for loops with barriers.
//
// Browsers accept a barrier in a loop only if they can prove that all invocations leave the loop together. Values from
// a storage buffer do not count as uniform for that proof, and values from workgroupUniformLoad do.
// import common/sequences.wgsl

// Mesa assigns workgroup memory in the order of declarations and aligns vectors to four bytes only. Shaders import this
// file after their tiles, so that the vectors of the tiles are aligned to 16 bytes and are read by one instruction.
var<workgroup> shared_length: u32;

fn uniform_sequence_length(plane: Plane, lane: u32) -> u32 {
    if lane == 0u {
        shared_length = sequence_length(plane);
    }
    return workgroupUniformLoad(&shared_length);
}
