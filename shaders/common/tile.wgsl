// A tile of a matrix product, C[i, j] = Σ_k A[i, k] B[k, j]. One workgroup computes ROWS × COLUMNS elements of C, in
// steps of DEPTH over k. The parts of A and B of a step are in workgroup memory. An invocation computes a block of 8
// rows × 4 columns of C.

// ROWS is a multiple of 8, and COLUMNS of 4. WORKGROUP is ROWS / 8 · COLUMNS / 4.
const ROWS: u32 = 64u;
const COLUMNS: u32 = 64u;
const DEPTH: u32 = 16u;
const WORKGROUP: u32 = 128u;
// 1 if the rows of A are contiguous, 0 if k is.
const ROWS_CONTIGUOUS: u32 = 0u;

// Vectors of four rows (A) or columns (B) per k. The odd pitch of A avoids bank conflicts between writers of
// neighbouring k.
const LEFT_PITCH: u32 = ROWS / 4u + 1u;
const RIGHT_PITCH: u32 = COLUMNS / 4u;

var<workgroup> left: array<vec4<f32>, DEPTH * LEFT_PITCH>;
var<workgroup> right: array<vec4<f32>, DEPTH * RIGHT_PITCH>;

// Vectors to load per step, of A and of B.
const LEFT_VECTORS: u32 = DEPTH * ROWS / 4u;
const RIGHT_VECTORS: u32 = DEPTH * COLUMNS / 4u;

// The position of a vector of A in the tile: the first of its four rows, and its k. Neighbouring invocations load
// neighbouring k or neighbouring rows, whichever is contiguous in A.
fn left_row(vector: u32) -> u32 {
    if ROWS_CONTIGUOUS == 1u {
        return vector % (ROWS / 4u) * 4u;
    }
    return vector / DEPTH * 4u;
}

fn left_depth(vector: u32) -> u32 {
    if ROWS_CONTIGUOUS == 1u {
        return vector / (ROWS / 4u);
    }
    return vector % DEPTH;
}

fn put_left(vector: u32, values: vec4<f32>) {
    left[left_depth(vector) * LEFT_PITCH + left_row(vector) / 4u] = values;
}

// The position of a vector of B: the first of its four columns, and its k. Neighbouring invocations load neighbouring
// columns.
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

// The number of steps, as a provably uniform value: the loop over the steps contains barriers, and values from a
// storage buffer do not count as uniform.
fn uniform_steps(steps: u32, lane: u32) -> u32 {
    if lane == 0u {
        shared_steps = steps;
    }
    return workgroupUniformLoad(&shared_steps);
}

// The elements of C that an invocation computes, one field per row.
struct Block {
    r0: vec4<f32>,
    r1: vec4<f32>,
    r2: vec4<f32>,
    r3: vec4<f32>,
    r4: vec4<f32>,
    r5: vec4<f32>,
    r6: vec4<f32>,
    r7: vec4<f32>,
}

// The first row and column of the invocation's block within the tile.
fn first_row(lane: u32) -> u32 {
    return lane / RIGHT_PITCH * 8u;
}

fn first_column(lane: u32) -> u32 {
    return lane % RIGHT_PITCH * 4u;
}

// Adds the products of a step to the block.
fn add_products(lane: u32, sums: Block) -> Block {
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

// Σ_k B[k, j] over a step, for the columns of the invocation's block.
fn column_sums(lane: u32) -> vec4<f32> {
    var sums = vec4(0.0);
    for (var k = 0u; k < DEPTH; k++) {
        sums += right[k * RIGHT_PITCH + lane % RIGHT_PITCH];
    }
    return sums;
}
