// A tile of a matrix product, C[i, j] = Σ_k A[i, k] B[k, j], by one workgroup: ROWS × COLUMNS of C, in steps of DEPTH
// over k. Both factors' parts of a step lie in workgroup memory; an invocation owns 8 rows × 4 columns of C.

// Multiples of 8 and of 4; ROWS / 8 · COLUMNS / 4 invocations.
const ROWS: u32 = 64u;
const COLUMNS: u32 = 64u;
const DEPTH: u32 = 16u;
const WORKGROUP: u32 = 128u;
// 1 where A's rows lie next to each other, 0 where its k do.
const ROWS_ADJOIN: u32 = 0u;

// Vectors of four rows, or columns, of one k. The odd length of A's rows keeps writers of neighbouring k out of each
// other's memory banks.
const LEFT_PITCH: u32 = ROWS / 4u + 1u;
const RIGHT_PITCH: u32 = COLUMNS / 4u;

var<workgroup> left: array<vec4<f32>, DEPTH * LEFT_PITCH>;
var<workgroup> right: array<vec4<f32>, DEPTH * RIGHT_PITCH>;

// Vectors of A's part of a step, and of B's: as many as there are to load.
const LEFT_VECTORS: u32 = DEPTH * ROWS / 4u;
const RIGHT_VECTORS: u32 = DEPTH * COLUMNS / 4u;

// Where a vector of A's lies in the tile: the first of its four rows, and its k. Neighbours load neighbouring k, or
// neighbouring rows, whichever lies next to each other in A.
fn left_row(vector: u32) -> u32 {
    if ROWS_ADJOIN == 1u {
        return vector % (ROWS / 4u) * 4u;
    }
    return vector / DEPTH * 4u;
}

fn left_depth(vector: u32) -> u32 {
    if ROWS_ADJOIN == 1u {
        return vector / (ROWS / 4u);
    }
    return vector % DEPTH;
}

fn put_left(vector: u32, values: vec4<f32>) {
    left[left_depth(vector) * LEFT_PITCH + left_row(vector) / 4u] = values;
}

// The same of B: neighbours load neighbouring columns.
fn right_column(vector: u32) -> u32 {
    return vector % RIGHT_PITCH * 4u;
}

fn right_depth(vector: u32) -> u32 {
    return vector / RIGHT_PITCH;
}

fn put_right(vector: u32, values: vec4<f32>) {
    right[vector] = values;
}

var<workgroup> shared_steps: u32;

// The same number for all invocations, provably: they meet at barriers within the loop that it bounds, and what is read
// from a storage buffer proves nothing.
fn uniform_steps(steps: u32, lane: u32) -> u32 {
    if lane == 0u {
        shared_steps = steps;
    }
    return workgroupUniformLoad(&shared_steps);
}

// What an invocation owns of C: a row each.
struct Owned {
    r0: vec4<f32>,
    r1: vec4<f32>,
    r2: vec4<f32>,
    r3: vec4<f32>,
    r4: vec4<f32>,
    r5: vec4<f32>,
    r6: vec4<f32>,
    r7: vec4<f32>,
}

// Its first row and column within the tile.
fn first_row(lane: u32) -> u32 {
    return lane / RIGHT_PITCH * 8u;
}

fn first_column(lane: u32) -> u32 {
    return lane % RIGHT_PITCH * 4u;
}

// Adds the products of a step.
fn add_products(lane: u32, sums: Owned) -> Owned {
    let row = first_row(lane) / 4u;
    let column = lane % RIGHT_PITCH;
    var c = sums;
    for (var k = 0u; k < DEPTH; k++) {
        let b = right[k * RIGHT_PITCH + column];
        let upper = left[k * LEFT_PITCH + row];
        let lower = left[k * LEFT_PITCH + row + 1u];
        c.r0 += upper.x * b;
        c.r1 += upper.y * b;
        c.r2 += upper.z * b;
        c.r3 += upper.w * b;
        c.r4 += lower.x * b;
        c.r5 += lower.y * b;
        c.r6 += lower.z * b;
        c.r7 += lower.w * b;
    }
    return c;
}

// Σ_k B[k, j] of a step, for the columns that an invocation owns.
fn column_sums(lane: u32) -> vec4<f32> {
    var sums = vec4(0.0);
    for (var k = 0u; k < DEPTH; k++) {
        sums += right[k * RIGHT_PITCH + lane % RIGHT_PITCH];
    }
    return sums;
}
