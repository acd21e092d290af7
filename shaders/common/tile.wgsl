// A tile of a matrix product, C[i, j] = Σ_k A[i, k] B[k, j]. One workgroup computes ROWS × COLUMNS elements of C, in
// steps of DEPTH over k. The parts of A and B of a step are in workgroup memory, as vectors of four elements that are
// neighbours in global memory too. An invocation computes a block of 8 rows × 4 columns of C.

// ROWS is a multiple of 8, and COLUMNS of 4. WORKGROUP is ROWS / 8 · COLUMNS / 4.
const ROWS: u32 = 64u;
const COLUMNS: u32 = 64u;
const DEPTH: u32 = 16u;
const WORKGROUP: u32 = 128u;
// 1 if k is contiguous in A, 0 if its rows are.
const LEFT_ALONG_DEPTH: u32 = 1u;
// 1 if k is contiguous in B, 0 if its columns are.
const RIGHT_ALONG_DEPTH: u32 = 0u;

// The k of a step in groups of four.
const QUADS: u32 = 4u;
// Blocks along the rows and along the columns of the tile.
const BLOCK_ROWS: u32 = ROWS / 8u;
const BLOCK_COLUMNS: u32 = COLUMNS / 4u;

// Vectors to load per step, of A and of B. Neighbouring invocations load neighbouring vectors.
const LEFT_VECTORS: u32 = DEPTH * ROWS / 4u;
const RIGHT_VECTORS: u32 = DEPTH * COLUMNS / 4u;

// Where k is contiguous in B, neighbouring invocations read vectors of different columns. The odd pitch of a column
// avoids bank conflicts between them.
const RIGHT_PITCH: u32 = QUADS + 1u;

var<workgroup> left: array<vec4<f32>, LEFT_VECTORS>;
var<workgroup> right: array<vec4<f32>, RIGHT_VECTORS + RIGHT_ALONG_DEPTH * COLUMNS>;

// The position of a vector of A in the tile: the row and the k of its first element.
fn left_row(vector: u32) -> u32 {
    if LEFT_ALONG_DEPTH == 1u {
        return vector / QUADS;
    }
    return vector % (ROWS / 4u) * 4u;
}

fn left_depth(vector: u32) -> u32 {
    if LEFT_ALONG_DEPTH == 1u {
        return vector % QUADS * 4u;
    }
    return vector / (ROWS / 4u);
}

fn put_left(vector: u32, values: vec4<f32>) {
    left[vector] = values;
}

// The position of a vector of B: the column and the k of its first element.
fn right_column(vector: u32) -> u32 {
    if RIGHT_ALONG_DEPTH == 1u {
        return vector / QUADS;
    }
    return vector % BLOCK_COLUMNS * 4u;
}

fn right_depth(vector: u32) -> u32 {
    if RIGHT_ALONG_DEPTH == 1u {
        return vector % QUADS * 4u;
    }
    return vector / BLOCK_COLUMNS;
}

// Where the four k of a quad are for a column, if k is contiguous in B.
fn right_slot(column: u32, quad: u32) -> u32 {
    return (column % 4u * BLOCK_COLUMNS + column / 4u) * RIGHT_PITCH + quad;
}

fn put_right(vector: u32, values: vec4<f32>) {
    if RIGHT_ALONG_DEPTH == 1u {
        right[right_slot(vector / QUADS, vector % QUADS)] = values;
    } else {
        right[vector] = values;
    }
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

// The row within the tile of row `index` of the invocation's block. If k is contiguous in A, the rows of a block are
// apart, so that neighbouring blocks read neighbouring vectors.
fn block_row(lane: u32, index: u32) -> u32 {
    if LEFT_ALONG_DEPTH == 1u {
        return index * BLOCK_ROWS + lane / BLOCK_COLUMNS;
    }
    return lane / BLOCK_COLUMNS * 8u + index;
}

// The first column of the invocation's block within the tile.
fn block_column(lane: u32) -> u32 {
    return lane % BLOCK_COLUMNS * 4u;
}

// Four rows of the invocation's block in A, from row `first` on, at the four k of a quad: one column of the matrix per
// row.
fn left_quad(lane: u32, first: u32, quad: u32) -> mat4x4<f32> {
    if LEFT_ALONG_DEPTH == 1u {
        let start = block_row(lane, first) * QUADS + quad;
        let pitch = BLOCK_ROWS * QUADS;
        return mat4x4(left[start], left[start + pitch], left[start + 2u * pitch], left[start + 3u * pitch]);
    }
    let start = quad * ROWS + block_row(lane, first) / 4u;
    let pitch = ROWS / 4u;
    return transpose(
        mat4x4(left[start], left[start + pitch], left[start + 2u * pitch], left[start + 3u * pitch]),
    );
}

// The four columns of the invocation's block in B at the four k of a quad: one column of the matrix per k.
fn right_quad(lane: u32, quad: u32) -> mat4x4<f32> {
    if RIGHT_ALONG_DEPTH == 1u {
        let start = right_slot(block_column(lane), quad);
        let pitch = BLOCK_COLUMNS * RIGHT_PITCH;
        return transpose(
            mat4x4(right[start], right[start + pitch], right[start + 2u * pitch], right[start + 3u * pitch]),
        );
    }
    let start = quad * COLUMNS + lane % BLOCK_COLUMNS;
    let pitch = BLOCK_COLUMNS;
    return mat4x4(right[start], right[start + pitch], right[start + 2u * pitch], right[start + 3u * pitch]);
}

fn add_row(sum: vec4<f32>, a: vec4<f32>, b: mat4x4<f32>) -> vec4<f32> {
    return sum + a.x * b[0] + a.y * b[1] + a.z * b[2] + a.w * b[3];
}

// Adds the products of a step to the block.
fn add_products(lane: u32, sums: Block) -> Block {
    var c = sums;
    for (var quad = 0u; quad < QUADS; quad++) { // unrolled
        let b = right_quad(lane, quad);
        let upper = left_quad(lane, 0u, quad);
        c.r0 = add_row(c.r0, upper[0], b);
        c.r1 = add_row(c.r1, upper[1], b);
        c.r2 = add_row(c.r2, upper[2], b);
        c.r3 = add_row(c.r3, upper[3], b);
        let lower = left_quad(lane, 4u, quad);
        c.r4 = add_row(c.r4, lower[0], b);
        c.r5 = add_row(c.r5, lower[1], b);
        c.r6 = add_row(c.r6, lower[2], b);
        c.r7 = add_row(c.r7, lower[3], b);
    }
    return c;
}
