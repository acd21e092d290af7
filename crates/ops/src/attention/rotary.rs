//! Rotary positions (Su et al., RoFormer).

/// `(cos, sin)` of `position · 10000^(−2i/d)`, as `[positions, d/2, 2]`.
pub(super) fn rotary_table(positions: usize, head_width: usize) -> Vec<f32> {
    let mut table = Vec::with_capacity(positions * head_width);
    for position in 0..positions {
        for pair in 0..head_width / 2 {
            let frequency = 10_000f64.powf(-2.0 * pair as f64 / head_width as f64);
            let (sin, cos) = (position as f64 * frequency).sin_cos();
            table.extend([cos as f32, sin as f32]);
        }
    }
    table
}

/// `(cos, sin)` of every pair of channels at a position; nothing if the table is empty.
pub(super) fn rotary_row(
    table: &[f32],
    position: usize,
    width: usize,
) -> impl Iterator<Item = (f32, f32)> + '_ {
    let row = if table.is_empty() { table } else { &table[position * width..][..width] };
    row.chunks_exact(2).map(|rotation| (rotation[0], rotation[1]))
}

/// Rotates a pair of channels.
pub(super) fn rotated((cos, sin): (f32, f32), x: f32, y: f32) -> (f32, f32) {
    (x * cos - y * sin, x * sin + y * cos)
}
