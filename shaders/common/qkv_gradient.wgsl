// Stores the gradients of queries, keys and values.
// import common/heads.wgsl

@group(0) @binding(5) var<storage, read_write> qkv_gradient: array<Element>;

fn put_gradient(offset: u32, d: u32, value: f32) {
    if d < HEAD_WIDTH {
        qkv_gradient[offset + d] = Element(value);
    }
}

// Stores vector i of a head.
fn put_gradients(token: u32, part: u32, head: u32, i: u32, values: vec4<f32>) {
    let offset = head_offset(token, part, 3u, head);
    let d = 4u * i;
    put_gradient(offset, d, values.x);
    put_gradient(offset, d + 1u, values.y);
    put_gradient(offset, d + 2u, values.z);
    put_gradient(offset, d + 3u, values.w);
}
