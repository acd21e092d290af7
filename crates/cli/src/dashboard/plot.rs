//! Curves in characters.

/// The dots of a Braille character, by column and row.
const DOTS: [[u32; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];

/// Eight heights.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Points of a [`Course`] at most.
const MOST_POINTS: usize = 1024;

/// A quantity over an unlimited number of steps, as means of blocks of steps. The blocks grow with the run.
#[derive(Debug)]
pub(super) struct Course {
    means: Vec<f64>,
    /// Steps per block.
    block: usize,
    sum: f64,
    count: usize,
}

impl Course {
    pub(super) fn new() -> Self {
        Self { means: Vec::new(), block: 1, sum: 0.0, count: 0 }
    }

    /// Appends a value. One that is not finite is left out.
    pub(super) fn push(&mut self, value: f64) {
        if !value.is_finite() {
            return;
        }
        self.sum += value;
        self.count += 1;
        if self.count == self.block {
            self.means.push(self.sum / self.block as f64);
            (self.sum, self.count) = (0.0, 0);
        }
        if self.means.len() == MOST_POINTS {
            self.means = self.means.chunks_exact(2).map(|pair| (pair[0] + pair[1]) / 2.0).collect();
            self.block *= 2;
        }
    }

    /// The means in their order.
    pub(super) fn means(&self) -> &[f64] {
        &self.means
    }
}

/// A curve through `values` in Braille characters: `rows` lines of `columns` characters. The scale is logarithmic if all
/// values are positive. Without values the lines are empty.
pub(super) fn curve(values: &[f64], columns: usize, rows: usize) -> Vec<String> {
    if values.is_empty() || columns == 0 {
        return vec![String::new(); rows];
    }
    let positive = values.iter().all(|value| *value > 0.0);
    let dots = 2 * columns;
    let at = |dot: usize| {
        let from = dot * values.len() / dots;
        let to = ((dot + 1) * values.len() / dots).max(from + 1);
        let mean = values[from..to].iter().sum::<f64>() / (to - from) as f64;
        if positive { mean.ln() } else { mean }
    };
    let course: Vec<f64> = (0..dots).map(at).collect();
    let low = course.iter().copied().fold(f64::INFINITY, f64::min);
    let high = course.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let lowest_row = 4 * rows - 1;
    let row = |value: f64| {
        let share = if high > low { (high - value) / (high - low) } else { 0.5 };
        ((share * lowest_row as f64).round() as usize).min(lowest_row)
    };
    let mut cells = vec![vec![0; columns]; rows];
    let mut last = row(course[0]);
    for (dot, value) in course.into_iter().enumerate() {
        let now = row(value);
        // A steep part is a vertical line, from where the last dot ends.
        let (from, to) = if now > last { (last + 1, now) } else { (now, last.saturating_sub(1).max(now)) };
        for y in from..=to {
            cells[y / 4][dot / 2] |= DOTS[dot % 2][y % 4];
        }
        last = now;
    }
    let line = |cells: Vec<u32>| cells.into_iter().filter_map(|dots| char::from_u32(0x2800 + dots)).collect();
    cells.into_iter().map(line).collect()
}

/// Bars for the last `columns` values, from the lowest to the highest of them.
pub(super) fn bars(values: &[f64], columns: usize) -> String {
    let values = &values[values.len().saturating_sub(columns)..];
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let bar = |value: &f64| {
        let share = if high > low { (value - low) / (high - low) } else { 0.5 };
        BARS[((share * 7.0).round() as usize).min(7)]
    };
    values.iter().map(bar).collect()
}

/// A bar of `columns` characters of which a share is filled.
pub(super) fn progress(share: f64, columns: usize) -> [String; 2] {
    let filled = ((share.clamp(0.0, 1.0) * columns as f64).round() as usize).min(columns);
    ["━".repeat(filled), "─".repeat(columns - filled)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_course_keeps_the_mean_and_bounds_its_memory() {
        let mut course = Course::new();
        (0..100_000).for_each(|step| course.push(f64::from(step)));
        course.push(f64::NAN);
        let means = course.means();
        assert!(means.len() < MOST_POINTS && means.len() >= MOST_POINTS / 4, "{}", means.len());
        assert!(means.windows(2).all(|pair| pair[1] > pair[0]));
        assert!((means[0] - 63.5).abs() < 1e-9 && course.block == 128, "{} {}", means[0], course.block);
    }

    #[test]
    fn curves_have_their_size_and_direction() {
        assert_eq!(curve(&[], 3, 2), ["", ""]);
        // A constant lies in the middle.
        assert_eq!(curve(&[2.0], 2, 1), ["⠤⠤"]);
        // Four dots fall through four rows.
        assert_eq!(curve(&[4.0, 3.0, 2.0, 1.0], 2, 1), ["⠑⢄"]);
        let falling: Vec<f64> = (0..1000).map(|n| (-0.01 * f64::from(n)).exp()).collect();
        let lines = curve(&falling, 20, 3);
        assert!(lines.iter().all(|line| line.chars().count() == 20));
        // On a logarithmic scale an exponential is a straight line.
        let first = |line: &str| line.chars().position(|cell| cell != '\u{2800}').unwrap();
        assert_eq!(lines.iter().map(|line| first(line)).collect::<Vec<_>>(), [0, 6, 13]);
        // A step is a vertical line without a gap.
        let lines = curve(&[1.0, 1.0, 0.0, 0.0], 2, 2);
        assert_eq!(lines, ["⠉⡆", "⠀⣇"]);
    }

    #[test]
    fn bars_show_the_last_values() {
        assert_eq!(bars(&[9.0, 1.0, 2.0, 3.0], 3), "▁▅█");
        assert_eq!(bars(&[1.0, 1.0], 5), "▅▅");
        assert_eq!(progress(0.5, 4), ["━━".to_owned(), "──".to_owned()]);
        assert_eq!(progress(7.0, 2)[0], "━━");
    }
}
