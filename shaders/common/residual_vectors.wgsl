// The residual that a linear map is added to. The function reads four neighbours of a row.
// `common/residual_scalars.wgsl` declares the same for rows of any length.
// import common/vectors.wgsl

@group(0) @binding(4) var<storage, read_write> residual: array<vec4<Element>>;

// Elements outside of the array are zero.
fn residual_at(extent: Extent, row: u32, column: u32) -> vec4<f32> {
    if inside(extent, row, column) {
        return vec4<f32>(residual[(row * extent.columns + column) / 4u]);
    }
    return vec4(0.0);
}
