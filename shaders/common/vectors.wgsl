// The arrays of a linear map: two of tokens, and the weight or the partial sums of its gradient. The functions access
// four neighbours of a row. Rows consist of a multiple of four elements. `common/scalars.wgsl` declares the same for
// rows of any length.

alias Element = f32;

// 1 if no tile extends beyond an array.
const WHOLE: u32 = 0u;

@group(0) @binding(0) var<storage, read_write> x: array<vec4<Element>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<Element>>;
@group(0) @binding(2) var<storage, read_write> weight: array<vec4<f32>>;

struct Extent {
    rows: u32,
    columns: u32,
}

fn inside(extent: Extent, row: u32, column: u32) -> bool {
    return WHOLE == 1u || (row < extent.rows && column < extent.columns);
}

// Elements outside of an array are zero.
fn x_at(extent: Extent, row: u32, column: u32) -> vec4<f32> {
    if inside(extent, row, column) {
        return vec4<f32>(x[(row * extent.columns + column) / 4u]);
    }
    return vec4(0.0);
}

fn y_at(extent: Extent, row: u32, column: u32) -> vec4<f32> {
    if inside(extent, row, column) {
        return vec4<f32>(y[(row * extent.columns + column) / 4u]);
    }
    return vec4(0.0);
}

fn weight_at(extent: Extent, row: u32, column: u32) -> vec4<f32> {
    if inside(extent, row, column) {
        return weight[(row * extent.columns + column) / 4u];
    }
    return vec4(0.0);
}

// Elements outside of an array are not stored.
fn put_y(extent: Extent, row: u32, column: u32, values: vec4<f32>) {
    if inside(extent, row, column) {
        y[(row * extent.columns + column) / 4u] = vec4<Element>(values);
    }
}

// Stores partial sums. `start` is the first row of a part.
fn put_sums(extent: Extent, start: u32, row: u32, column: u32, values: vec4<f32>) {
    if inside(extent, row, column) {
        weight[((start + row) * extent.columns + column) / 4u] = values;
    }
}
