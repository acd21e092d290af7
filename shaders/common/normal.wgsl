// The standard normal distribution at four points.

const DENSITY_AT_0: f32 = 0.3989423;

struct Normal {
    // Φ(x)
    below: vec4<f32>,
    // φ(x)
    density: vec4<f32>,
}

// Φ(−a) = exp(−a²/2) · t · P(t) with t = 1/(1 + a/4), because the quotient of Φ(−a) and the exponential is smooth in t.
// P is the polynomial of degree 9 with the least relative error (8e-9) for a from 0 to 14. Beyond that both are 0 in
// f32.
fn normal(x: vec4<f32>) -> Normal {
    let a = min(abs(x), vec4(15.0));
    let bell = exp(-0.5 * a * a);
    let t = 1.0 / (1.0 + 0.25 * a);
    var p = vec4(0.016581167);
    p = p * t - 0.06280042;
    p = p * t + 0.051671807;
    p = p * t + 0.028409867;
    p = p * t + 0.012733426;
    p = p * t + 0.086645305;
    p = p * t + 0.072003424;
    p = p * t + 0.095514864;
    p = p * t + 0.09949266;
    p = p * t + 0.0997479;
    let tail = bell * t * p;
    return Normal(select(1.0 - tail, tail, x < vec4(0.0)), DENSITY_AT_0 * bell);
}
