// The channels of a token, and their mean and standard deviation for layer normalisation.

alias Element = f32;

@group(0) @binding(0) var<storage, read_write> x: array<Element>;

const CHANNELS: u32 = 32u;
// Added to the variance.
const EPSILON: f32 = 1e-5;

struct Moments {
    mean: f32,
    // The reciprocal of the standard deviation.
    scale: f32,
}

// The moments of the token whose channels begin at `first`. The mean is subtracted before squaring: for large values
// that are close to each other, the difference of two sums of squares would cancel.
fn moments(first: u32) -> Moments {
    var sum = 0.0;
    for (var c = 0u; c < CHANNELS; c++) {
        sum += f32(x[first + c]);
    }
    let mean = sum / f32(CHANNELS);
    var squares = 0.0;
    for (var c = 0u; c < CHANNELS; c++) {
        let deviation = f32(x[first + c]) - mean;
        squares += deviation * deviation;
    }
    return Moments(mean, inverseSqrt(squares / f32(CHANNELS) + EPSILON));
}
