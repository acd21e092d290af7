// The inputs of all backward passes of attention: the gradient g of the output, and L and δ of every query.
// import common/heads.wgsl

@group(0) @binding(2) var<storage, read_write> gradient: array<Element>;
@group(0) @binding(3) var<storage, read_write> log_sum_exp: array<f32>;
@group(0) @binding(4) var<storage, read_write> delta: array<f32>;

fn gradient_element(offset: u32, d: u32) -> f32 {
    if d < HEAD_WIDTH {
        return f32(gradient[offset + d]);
    }
    return 0.0;
}

// Vector i of a head; zero outside the plane.
fn gradient_vector(token: u32, head: u32, i: u32) -> vec4<f32> {
    if token == NO_TOKEN {
        return vec4(0.0);
    }
    let offset = head_offset(token, 0u, 1u, head);
    let d = 4u * i;
    return vec4(
        gradient_element(offset, d),
        gradient_element(offset, d + 1u),
        gradient_element(offset, d + 2u),
        gradient_element(offset, d + 3u),
    );
}
