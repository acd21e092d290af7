// The discrete Fourier transform in workgroup memory: points[k] ← Σ_j points[j] · exp(−2πi jk / POINTS).
//
// Stockham's autosort algorithm in stages of radix 4, 2, 3 and 5 (POINTS = 4^FOURS · 2^TWOS · 3^THREES · 5^FIVES).
// Each invocation keeps its butterflies in registers between reading and writing, so one buffer suffices: 2048 points
// fill the 16 KiB of WebGPU's default limits.

// exp(−2πi k / (2·POINTS)) for k < 2·POINTS. Computed on the host, because the error of WGSL's sine may be 2⁻¹¹.
@group(0) @binding(3) var<storage, read_write> twiddles: array<vec2<f32>>;

// At least POINTS / 8.
const WORKGROUP: u32 = 128u;
const POINTS: u32 = 1024u;
const TWOS: u32 = 0u;
const THREES: u32 = 0u;
const FOURS: u32 = 5u;
const FIVES: u32 = 0u;

// Butterflies per invocation. Radix 2 has the most: all invocations together have at most WORKGROUP · 8 / 2.
const HELD: u32 = 4u;

var<workgroup> points: array<vec2<f32>, POINTS>;

// The inputs or outputs of one butterfly. A radix below five uses only the first elements.
alias Butterfly = array<vec2<f32>, 5>;

fn multiply(a: vec2<f32>, b: vec2<f32>) -> vec2<f32> {
    return vec2(a.x * b.x - a.y * b.y, a.x * b.y + a.y * b.x);
}

fn conjugate(a: vec2<f32>) -> vec2<f32> {
    return vec2(a.x, -a.y);
}

fn times_i(a: vec2<f32>) -> vec2<f32> {
    return vec2(-a.y, a.x);
}

fn dft_2(x: Butterfly) -> Butterfly {
    return Butterfly(x[0] + x[1], x[0] - x[1], x[2], x[3], x[4]);
}

fn dft_3(x: Butterfly) -> Butterfly {
    const SIN_60 = 0.86602540378443864676;
    let sum = x[1] + x[2];
    let mean = x[0] - 0.5 * sum;
    let turned = times_i(SIN_60 * (x[1] - x[2]));
    return Butterfly(x[0] + sum, mean - turned, mean + turned, x[3], x[4]);
}

fn dft_4(x: Butterfly) -> Butterfly {
    let even = x[0] + x[2];
    let odd = x[1] + x[3];
    let even_difference = x[0] - x[2];
    let odd_difference = times_i(x[1] - x[3]);
    return Butterfly(
        even + odd,
        even_difference - odd_difference,
        even - odd,
        even_difference + odd_difference,
        x[4],
    );
}

fn dft_5(x: Butterfly) -> Butterfly {
    const COS_72 = 0.30901699437494742410;
    const SIN_72 = 0.95105651629515357212;
    const COS_144 = -0.80901699437494742410;
    const SIN_144 = 0.58778525229247312917;
    let outer = x[1] + x[4];
    let inner = x[2] + x[3];
    let outer_difference = x[1] - x[4];
    let inner_difference = x[2] - x[3];
    let mean_1 = x[0] + COS_72 * outer + COS_144 * inner;
    let mean_2 = x[0] + COS_144 * outer + COS_72 * inner;
    let turned_1 = times_i(SIN_72 * outer_difference + SIN_144 * inner_difference);
    let turned_2 = times_i(SIN_144 * outer_difference - SIN_72 * inner_difference);
    return Butterfly(x[0] + outer + inner, mean_1 - turned_1, mean_2 - turned_2, mean_2 + turned_2, mean_1 + turned_1);
}

fn dft(radix: u32, x: Butterfly) -> Butterfly {
    switch radix {
        case 2u: { return dft_2(x); }
        case 3u: { return dft_3(x); }
        case 4u: { return dft_4(x); }
        default: { return dft_5(x); }
    }
}

// One stage. `stride` is the product of the radices of the earlier stages.
fn fft_stage(radix: u32, stride: u32, lane: u32) {
    let butterflies = POINTS / radix;
    var held: array<Butterfly, HELD>;
    workgroupBarrier();
    for (var i = 0u; i < HELD; i++) {
        let butterfly = lane + i * WORKGROUP;
        if butterfly < butterflies {
            // exp(−2πi · q · (butterfly mod stride) / (stride · radix)) on input q
            let turn = 2u * (butterfly % stride) * (butterflies / stride);
            var x: Butterfly;
            for (var q = 0u; q < radix; q++) {
                x[q] = multiply(points[butterfly + q * butterflies], twiddles[q * turn]);
            }
            held[i] = dft(radix, x);
        }
    }
    workgroupBarrier();
    for (var i = 0u; i < HELD; i++) {
        let butterfly = lane + i * WORKGROUP;
        if butterfly < butterflies {
            let first = butterfly / stride * stride * radix + butterfly % stride;
            for (var q = 0u; q < radix; q++) {
                points[first + q * stride] = held[i][q];
            }
        }
    }
}

// All invocations of a workgroup must call this function together. It contains the barriers before and after.
fn fft(lane: u32) {
    var stride = 1u;
    for (var i = 0u; i < FOURS; i++) {
        fft_stage(4u, stride, lane);
        stride *= 4u;
    }
    for (var i = 0u; i < TWOS; i++) {
        fft_stage(2u, stride, lane);
        stride *= 2u;
    }
    for (var i = 0u; i < THREES; i++) {
        fft_stage(3u, stride, lane);
        stride *= 3u;
    }
    for (var i = 0u; i < FIVES; i++) {
        fft_stage(5u, stride, lane);
        stride *= 5u;
    }
    workgroupBarrier();
}
