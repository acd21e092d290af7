//! Segments of a batch on the host.

use crate::data::grouping::Grouping;
use unbraid_base::Stereo;

/// Items of a batch, all of the same length.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Items {
    /// `[b, s, 2, n]` in row-major order. A sum of stems is at the first of them, and the others are silent.
    pub(crate) samples: Vec<f32>,
    /// The stems of each item of which only the sum is known.
    pub(crate) groupings: Vec<Grouping>,
}

impl Items {
    /// Number of items, `b`.
    pub(crate) fn len(&self) -> usize {
        self.groupings.len()
    }

    /// Appends an item: one signal per stem.
    pub(crate) fn push(&mut self, stems: &[Stereo], grouping: Grouping) {
        self.samples.extend(stems.iter().flatten().flatten());
        self.groupings.push(grouping);
    }

    /// The items of each part, if they are divided into `parts` equal ones.
    pub(crate) fn divide(self, parts: usize) -> Vec<Self> {
        let (samples, groupings) = (self.samples.len() / parts, self.groupings.len() / parts);
        let part = |(samples, groupings): (&[f32], &[Grouping])| Self {
            samples: samples.to_vec(),
            groupings: groupings.to_vec(),
        };
        self.samples.chunks_exact(samples).zip(self.groupings.chunks_exact(groupings)).map(part).collect()
    }
}
