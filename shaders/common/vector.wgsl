// Vectors of neighbouring numbers, so that one instruction loads or stores several. Specialisation with WIDTH = 1 makes
// the vectors scalars, for rows whose length is no multiple of four.

const WIDTH: u32 = 4u;
alias Values = vec4<f32>;

// The sum of the components. The conversion repeats a scalar four times, and only the first counts.
fn sum_of(values: Values) -> f32 {
    return dot(vec4<f32>(values), vec4(1.0, vec3(f32(WIDTH / 4u))));
}
