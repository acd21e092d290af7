// The declarations of `common/vectors.wgsl` for rows of any length.

alias Element = f32;

@group(0) @binding(0) var<storage, read_write> x: array<Element>;
@group(0) @binding(1) var<storage, read_write> y: array<Element>;
@group(0) @binding(2) var<storage, read_write> weight: array<f32>;

struct Extent {
    rows: u32,
    columns: u32,
}

fn inside(extent: Extent, row: u32, column: u32) -> bool {
    return row < extent.rows && column < extent.columns;
}

fn x_element(extent: Extent, row: u32, column: u32) -> f32 {
    if inside(extent, row, column) {
        return f32(x[row * extent.columns + column]);
    }
    return 0.0;
}

fn y_element(extent: Extent, row: u32, column: u32) -> f32 {
    if inside(extent, row, column) {
        return f32(y[row * extent.columns + column]);
    }
    return 0.0;
}

fn weight_element(extent: Extent, row: u32, column: u32) -> f32 {
    if inside(extent, row, column) {
        return weight[row * extent.columns + column];
    }
    return 0.0;
}

fn x_at(extent: Extent, row: u32, column: u32) -> vec4<f32> {
    return vec4(
        x_element(extent, row, column),
        x_element(extent, row, column + 1u),
        x_element(extent, row, column + 2u),
        x_element(extent, row, column + 3u),
    );
}

fn y_at(extent: Extent, row: u32, column: u32) -> vec4<f32> {
    return vec4(
        y_element(extent, row, column),
        y_element(extent, row, column + 1u),
        y_element(extent, row, column + 2u),
        y_element(extent, row, column + 3u),
    );
}

fn weight_at(extent: Extent, row: u32, column: u32) -> vec4<f32> {
    return vec4(
        weight_element(extent, row, column),
        weight_element(extent, row, column + 1u),
        weight_element(extent, row, column + 2u),
        weight_element(extent, row, column + 3u),
    );
}

fn put_y_element(extent: Extent, row: u32, column: u32, value: f32) {
    if inside(extent, row, column) {
        y[row * extent.columns + column] = Element(value);
    }
}

fn put_y(extent: Extent, row: u32, column: u32, values: vec4<f32>) {
    put_y_element(extent, row, column, values.x);
    put_y_element(extent, row, column + 1u, values.y);
    put_y_element(extent, row, column + 2u, values.z);
    put_y_element(extent, row, column + 3u, values.w);
}

fn put_sum(extent: Extent, start: u32, row: u32, column: u32, value: f32) {
    if inside(extent, row, column) {
        weight[(start + row) * extent.columns + column] = value;
    }
}

fn put_sums(extent: Extent, start: u32, row: u32, column: u32, values: vec4<f32>) {
    put_sum(extent, start, row, column, values.x);
    put_sum(extent, start, row, column + 1u, values.y);
    put_sum(extent, start, row, column + 2u, values.z);
    put_sum(extent, start, row, column + 3u, values.w);
}
