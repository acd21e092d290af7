// Accesses of four neighbouring elements by one instruction, for rows whose length is a multiple of four.
// `common/width_one.wgsl` declares the same for rows of any length.

alias Element = f32;
alias Vector = vec4<Element>;
alias Values = vec4<f32>;

// Elements of a vector.
const WIDTH: u32 = 4u;

fn sum_of(values: Values) -> f32 {
    return dot(values, vec4(1.0));
}

fn vector_of(values: vec4<f32>) -> Vector {
    return Vector(values);
}
