//! The map from positions of sequences to tokens of the plane: the CPU counterpart of `shaders/common/sequences.wgsl`.

/// How the time-frequency plane is divided into sequences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sequences {
    /// One sequence per bin, over the frames (TSA).
    Time,
    /// One sequence per frame, over the bins (FSA).
    Frequency,
    /// Windows that tile the plane after a cyclic shift by `−shift`, as in the Swin Transformer. Tokens from opposite
    /// edges that the cyclic shift brings together do not attend to each other. Positions of a window outside the
    /// plane do not exist.
    Window {
        /// Frames and bins of a window.
        size: [usize; 2],
        /// Frames and bins of the cyclic shift. Both are less than those of the window.
        shift: [usize; 2],
    },
}

/// The extents of a plane of tokens `[b, t, f, c]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plane {
    pub(crate) batch: usize,
    pub(crate) frames: usize,
    pub(crate) bins: usize,
    /// Channels of the output: a third of the channels of qkv.
    pub(crate) channels: usize,
}

/// The sequences of a plane.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SequenceLayout {
    plane: Plane,
    sequences: Sequences,
}

/// A token and its region. Tokens of a sequence attend to each other if their regions are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) token: usize,
    pub(crate) region: u8,
}

impl SequenceLayout {
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

    /// Number of positions of one sequence.
    pub(crate) fn length(&self) -> usize {
        match self.sequences {
            Sequences::Time => self.plane.frames,
            Sequences::Frequency => self.plane.bins,
            Sequences::Window { size, .. } => size[0] * size[1],
        }
    }

    /// The token at a position; `None` if the position is outside the plane, which only windows have.
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
            let layout = SequenceLayout::new(plane, sequences);
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
