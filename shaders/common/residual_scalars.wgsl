// The declarations of `common/residual_vectors.wgsl` for rows of any length.
// import common/scalars.wgsl

@group(0) @binding(4) var<storage, read_write> residual: array<Element>;

fn residual_element(extent: Extent, row: u32, column: u32) -> f32 {
    if inside(extent, row, column) {
        return f32(residual[row * extent.columns + column]);
    }
    return 0.0;
}

fn residual_at(extent: Extent, row: u32, column: u32) -> vec4<f32> {
    return vec4(
        residual_element(extent, row, column),
        residual_element(extent, row, column + 1u),
        residual_element(extent, row, column + 2u),
        residual_element(extent, row, column + 3u),
    );
}
