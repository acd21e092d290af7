//! Attention by definition: every sequence is extracted, and its scores and probabilities are materialised.

use unbraid_ops::{Attention, Sequences};

/// Extents of a plane of tokens, `[b, t, f]`.
pub type Plane = [usize; 3];

/// A token of a sequence: its index among all `b · t · f`, and the region it belongs to after a cyclic shift.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Member {
    token: usize,
    region: usize,
}

/// One sequence in order of position. `None` is padding, which is neither query nor key.
type Sequence = Vec<Option<Member>>;

/// Results of a forward and a backward pass.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// `[b, t, f, c]`
    pub output: Vec<f64>,
    /// Gradient of qkv, `[b, t, f, 3c]`.
    pub qkv_gradient: Vec<f64>,
    /// Gradient of the bias table, `[h, offsets]`; empty without one.
    pub bias_gradient: Vec<f64>,
}

/// `softmax(q kᵀ / √d + bias) v` and the gradients of `Σ gradient · output`, and the sensitivities of all these
/// numbers.
///
/// The sensitivity of a number is its change for a relative error of one in the terms of its sum. Times the unit
/// roundoff, it is the error that no floating-point implementation avoids. In the backward pass, the probabilities are
/// `exp(s − L)` with a rounded log-sum-exp L, which adds |L| to their sensitivity.
///
/// `qkv [b, t, f, 3c]` with channels ordered `[3, h, d]`, `bias [h, offsets]` or empty, `gradient [b, t, f, c]`.
pub fn attention(
    qkv: &[f64],
    bias: &[f64],
    gradient: &[f64],
    plane: Plane,
    options: &Attention,
) -> (Outcome, Outcome) {
    let tokens: usize = plane.iter().product();
    let channels = qkv.len() / tokens / 3;
    let mut outcome = Outcome {
        output: vec![0.0; tokens * channels],
        qkv_gradient: vec![0.0; qkv.len()],
        bias_gradient: vec![0.0; bias.len()],
    };
    let mut sensitivity = outcome.clone();
    for sequence in sequences(plane, options.sequences) {
        for head in 0..options.heads {
            let inputs = Inputs { qkv, bias, gradient, channels, head, sequence: &sequence };
            attend(&inputs, options, &mut outcome, &mut sensitivity);
        }
    }
    (outcome, sensitivity)
}

/// One head of one sequence.
struct Inputs<'a> {
    qkv: &'a [f64],
    bias: &'a [f64],
    gradient: &'a [f64],
    channels: usize,
    head: usize,
    sequence: &'a Sequence,
}

fn attend(inputs: &Inputs<'_>, options: &Attention, outcome: &mut Outcome, sensitivity: &mut Outcome) {
    let &Inputs { qkv, bias, gradient, channels, head, sequence } = inputs;
    let width = channels / options.heads;
    let length = sequence.len();
    let address = |token: usize, part: usize| token * 3 * channels + part * channels + head * width;
    let read = |part: usize| -> Vec<Vec<f64>> {
        let row = |member: &Option<Member>| match member {
            Some(member) => qkv[address(member.token, part)..][..width].to_vec(),
            None => vec![0.0; width],
        };
        sequence.iter().map(row).collect()
    };
    let (mut q, mut k, v) = (read(0), read(1), read(2));
    if options.rotary {
        for position in 0..length {
            rotate(&mut q[position], position, 1.0);
            rotate(&mut k[position], position, 1.0);
        }
    }
    let scale = 1.0 / (width as f64).sqrt();
    let sees = |i: usize, j: usize| match (sequence[i], sequence[j]) {
        (Some(query), Some(key)) => query.region == key.region,
        _ => false,
    };
    let offsets = bias.len() / options.heads;
    let entry = |i: usize, j: usize| head * offsets + relative_entry(options.sequences, i, j);

    // P = softmax(S) by rows.
    let mut p = vec![vec![0.0; length]; length];
    let mut log_sum_exp = vec![0.0; length];
    for i in (0..length).filter(|&i| sequence[i].is_some()) {
        let mut s = vec![f64::NEG_INFINITY; length];
        for j in (0..length).filter(|&j| sees(i, j)) {
            s[j] = dot(&q[i], &k[j]) * scale;
            if !bias.is_empty() {
                s[j] += bias[entry(i, j)];
            }
        }
        let maximum = s.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = s.iter().map(|s| (s - maximum).exp()).sum();
        for j in 0..length {
            p[i][j] = (s[j] - maximum).exp() / sum;
        }
        log_sum_exp[i] = maximum + sum.ln();
    }

    // O = P V
    let output_address = |token: usize| token * channels + head * width;
    for (i, member) in sequence.iter().enumerate() {
        let Some(member) = member else { continue };
        for d in 0..width {
            let at = output_address(member.token) + d;
            outcome.output[at] = (0..length).map(|j| p[i][j] * v[j][d]).sum();
            sensitivity.output[at] = (0..length).map(|j| p[i][j] * v[j][d].abs()).sum();
        }
    }

    // The chain rule: dV = Pᵀ G, dP = G Vᵀ, dS = P ∘ (dP − Σ_j P dP), dQ = dS K / √d, dK = dSᵀ Q / √d.
    let g: Vec<Vec<f64>> = sequence
        .iter()
        .map(|member| match member {
            Some(member) => gradient[output_address(member.token)..][..width].to_vec(),
            None => vec![0.0; width],
        })
        .collect();
    let zeros = vec![vec![0.0; width]; length];
    let [mut dq, mut dk, mut dv] = [zeros.clone(), zeros.clone(), zeros.clone()];
    let [mut dq_moves, mut dk_moves, mut dv_moves] = [zeros.clone(), zeros.clone(), zeros];
    for i in 0..length {
        let dp: Vec<f64> = (0..length).map(|j| dot(&g[i], &v[j])).collect();
        let dp_moves: Vec<f64> = (0..length).map(|j| dot_magnitude(&g[i], &v[j])).collect();
        let mean: f64 = dot(&p[i], &dp);
        let mean_moves: f64 = dot(&p[i], &dp_moves);
        let p_moves = 1.0 + log_sum_exp[i].abs();
        for j in 0..length {
            let ds = p[i][j] * (dp[j] - mean);
            let ds_moves = p_moves * ds.abs() + p[i][j] * (dp_moves[j] + mean_moves);
            for d in 0..width {
                dv[j][d] += p[i][j] * g[i][d];
                dq[i][d] += ds * k[j][d] * scale;
                dk[j][d] += ds * q[i][d] * scale;
                dv_moves[j][d] += p_moves * (p[i][j] * g[i][d]).abs();
                dq_moves[i][d] += ds_moves * k[j][d].abs() * scale;
                dk_moves[j][d] += ds_moves * q[i][d].abs() * scale;
            }
            if !bias.is_empty() && sees(i, j) {
                outcome.bias_gradient[entry(i, j)] += ds;
                sensitivity.bias_gradient[entry(i, j)] += ds_moves;
            }
        }
    }
    for (position, member) in sequence.iter().enumerate() {
        let Some(member) = member else { continue };
        if options.rotary {
            // The transpose of a rotation is the inverse rotation.
            rotate(&mut dq[position], position, -1.0);
            rotate(&mut dk[position], position, -1.0);
        }
        for (part, (row, moves)) in
            [(&dq, &dq_moves), (&dk, &dk_moves), (&dv, &dv_moves)].into_iter().enumerate()
        {
            let at = address(member.token, part);
            outcome.qkv_gradient[at..at + width].copy_from_slice(&row[position]);
            sensitivity.qkv_gradient[at..at + width].copy_from_slice(&moves[position]);
        }
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The sum of the magnitudes of the products.
fn dot_magnitude(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a * b).abs()).sum()
}

/// RoFormer's rotary embedding: pairs of channels as complex numbers, times `exp(i · position · 10000^(−2 pair / d))`.
fn rotate(row: &mut [f64], position: usize, direction: f64) {
    let width = row.len();
    for pair in 0..width / 2 {
        let angle = direction * position as f64 * 10_000f64.powf(-2.0 * pair as f64 / width as f64);
        let (re, im) = (row[2 * pair], row[2 * pair + 1]);
        row[2 * pair] = re * angle.cos() - im * angle.sin();
        row[2 * pair + 1] = re * angle.sin() + im * angle.cos();
    }
}

/// The sequences of a plane. Each token is in exactly one.
fn sequences([batch, frames, bins]: Plane, sequences: Sequences) -> Vec<Sequence> {
    let token = |b: usize, t: usize, f: usize| Some(Member { token: (b * frames + t) * bins + f, region: 0 });
    match sequences {
        Sequences::Time => {
            let lines = (0..batch).flat_map(|b| (0..bins).map(move |f| (b, f)));
            lines.map(|(b, f)| (0..frames).map(|t| token(b, t, f)).collect()).collect()
        }
        Sequences::Frequency => {
            let lines = (0..batch).flat_map(|b| (0..frames).map(move |t| (b, t)));
            lines.map(|(b, t)| (0..bins).map(|f| token(b, t, f)).collect()).collect()
        }
        Sequences::Window { size, shift } => {
            (0..batch).flat_map(|b| windows([frames, bins], size, shift, b * frames * bins)).collect()
        }
    }
}

/// Swin's shifted windows in steps: pad to whole windows, apply the cyclic shift, number the regions of the shifted
/// plane, and partition it into windows.
fn windows(extent: [usize; 2], size: [usize; 2], shift: [usize; 2], first_token: usize) -> Vec<Sequence> {
    let padded = [0, 1].map(|axis| extent[axis].div_ceil(size[axis]) * size[axis]);

    let mut plane = vec![vec![None; padded[1]]; padded[0]];
    for (t, row) in plane.iter_mut().enumerate().take(extent[0]) {
        for (f, cell) in row.iter_mut().enumerate().take(extent[1]) {
            *cell = Some(first_token + t * extent[1] + f);
        }
    }

    plane.rotate_left(shift[0]);
    for row in &mut plane {
        row.rotate_left(shift[1]);
    }

    // Along an axis: 0 before the last window, 1 in the last window, 2 for the edge that the cyclic shift moved there.
    let band = |axis: usize, index: usize| {
        usize::from(index >= padded[axis] - size[axis]) + usize::from(index >= padded[axis] - shift[axis])
    };

    let mut cut = Vec::new();
    for top in (0..padded[0]).step_by(size[0]) {
        for left in (0..padded[1]).step_by(size[1]) {
            let mut window = Vec::new();
            for t in top..top + size[0] {
                for f in left..left + size[1] {
                    let region = band(0, t) * 3 + band(1, f);
                    window.push(plane[t][f].map(|token| Member { token, region }));
                }
            }
            cut.push(window);
        }
    }
    cut
}

/// Column of the bias table for query i and key j of a window: their offset on both axes, counted from −(size − 1).
fn relative_entry(sequences: Sequences, i: usize, j: usize) -> usize {
    let Sequences::Window { size, .. } = sequences else { return 0 };
    let offset_t = (i / size[1]) as isize - (j / size[1]) as isize + size[0] as isize - 1;
    let offset_f = (i % size[1]) as isize - (j % size[1]) as isize + size[1] as isize - 1;
    (offset_t * (2 * size[1] as isize - 1) + offset_f) as usize
}
