//! Where the positions of a sequence lie on the plane; the CPU's twin of `shaders/common/sequences.wgsl`.

use super::Sequences;

/// The extents of a plane of tokens `[b, t, f, c]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plane {
    pub(crate) batch: usize,
    pub(crate) frames: usize,
    pub(crate) bins: usize,
    /// Channels of the output, a third of those of qkv.
    pub(crate) channels: usize,
}

/// Sequences laid on a plane.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    plane: Plane,
    sequences: Sequences,
}

/// A token, and its region: tokens attend to each other where their regions are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) token: usize,
    pub(crate) region: u8,
}

impl Layout {
    pub(crate) fn new(plane: Plane, sequences: Sequences) -> Self {
        Self { plane, sequences }
    }

    /// Number of sequences.
    pub(crate) fn count(&self) -> usize {
        let Plane { batch, frames, bins, .. } = self.plane;
        match self.sequences {
            Sequences::Time => batch * bins,
            Sequences::Frequency => batch * frames,
            Sequences::Window { size, .. } => batch * frames.div_ceil(size[0]) * bins.div_ceil(size[1]),
        }
    }

    /// Positions of one sequence.
    pub(crate) fn length(&self) -> usize {
        match self.sequences {
            Sequences::Time => self.plane.frames,
            Sequences::Frequency => self.plane.bins,
            Sequences::Window { size, .. } => size[0] * size[1],
        }
    }

    /// Where a position lies; `None` in a window's part off the plane.
    pub(crate) fn place(&self, sequence: usize, position: usize) -> Option<Place> {
        let Plane { frames, bins, .. } = self.plane;
        match self.sequences {
            Sequences::Time => {
                let token = (sequence / bins * frames + position) * bins + sequence % bins;
                Some(Place { token, region: 0 })
            }
            Sequences::Frequency => Some(Place { token: sequence * bins + position, region: 0 }),
            Sequences::Window { size, shift } => {
                let (rows, columns) = (frames.div_ceil(size[0]), bins.div_ceil(size[1]));
                let batch = sequence / (rows * columns);
                let mut frame = sequence / columns % rows * size[0] + position / size[1] + shift[0];
                let mut bin = sequence % columns * size[1] + position % size[1] + shift[1];
                let mut region = 0;
                if frame >= rows * size[0] {
                    frame -= rows * size[0];
                    region += 1;
                }
                if bin >= columns * size[1] {
                    bin -= columns * size[1];
                    region += 2;
                }
                let token = (batch * frames + frame) * bins + bin;
                (frame < frames && bin < bins).then_some(Place { token, region })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_token_has_one_place() {
        let plane = Plane { batch: 2, frames: 11, bins: 7, channels: 1 };
        let window = |size, shift| Sequences::Window { size, shift };
        for sequences in [
            Sequences::Time,
            Sequences::Frequency,
            window([4, 4], [0, 0]),
            window([4, 4], [2, 2]),
            window([5, 3], [4, 1]),
            window([16, 16], [8, 8]),
        ] {
            let layout = Layout::new(plane, sequences);
            let mut seen = vec![0; plane.batch * plane.frames * plane.bins];
            for sequence in 0..layout.count() {
                for position in 0..layout.length() {
                    if let Some(place) = layout.place(sequence, position) {
                        seen[place.token] += 1;
                    }
                }
            }
            assert!(seen.iter().all(|&count| count == 1), "{sequences:?}: {seen:?}");
        }
    }
}
