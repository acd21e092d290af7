// The declarations of `common/width_four.wgsl` for rows of any length: a vector is one element.

alias Element = f32;
alias Vector = Element;
alias Values = f32;

const WIDTH: u32 = 1u;

fn sum_of(values: Values) -> f32 {
    return values;
}

fn vector_of(values: vec4<f32>) -> Vector {
    return Vector(values.x);
}
