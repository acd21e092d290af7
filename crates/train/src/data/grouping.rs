//! Which stems of a song are known on their own, and of which only the sum is known.
//!
//! A sum is stored in the place of the first of its stems. The places of its other stems are silent, so that the sum over
//! all places is still the mixture.

use unbraid_base::Stereo;

/// Joins the names of stems of which only the sum is known: `bass+other`.
pub(crate) const JOIN: char = '+';

/// The sources of a song: its stems, or sums of stems.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Grouping(Vec<usize>);

impl Grouping {
    /// Every one of `stems` stems is known.
    pub fn separate(stems: usize) -> Self {
        Self((0..stems).collect())
    }

    /// Joins the stems of each group, which are indices in ascending order. The groups have no stem in common.
    pub(crate) fn joined(stems: usize, groups: &[Vec<usize>]) -> Self {
        let mut grouping = Self::separate(stems);
        for group in groups {
            group.iter().for_each(|&stem| grouping.0[stem] = group[0]);
        }
        grouping
    }

    /// Whether every stem is known.
    pub fn is_separate(&self) -> bool {
        self.0.iter().enumerate().all(|(stem, first)| stem == *first)
    }

    /// Number of stems.
    pub(crate) fn stems(&self) -> usize {
        self.0.len()
    }

    /// The first stem of the sum that `stem` is part of. The stem itself if it is known.
    pub(crate) fn first(&self, stem: usize) -> usize {
        self.0[stem]
    }

    /// The sources by their first stems.
    pub(crate) fn sources(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.0.len()).filter(|&stem| self.0[stem] == stem)
    }

    /// The stems of the source that begins with the stem `first`.
    pub(crate) fn members(&self, first: usize) -> impl Iterator<Item = usize> + '_ {
        (first..self.0.len()).filter(move |&stem| self.0[stem] == first)
    }

    /// Makes every stem of the source `first` known.
    pub(crate) fn separate_source(&mut self, first: usize) {
        for (stem, of) in self.0.iter_mut().enumerate().filter(|(_, of)| **of == first) {
            *of = stem;
        }
    }

    /// The name of the source `first`, for stems with these `names`.
    pub(crate) fn name(&self, first: usize, names: &[String]) -> String {
        let members: Vec<&str> = self.members(first).map(|stem| names[stem].as_str()).collect();
        members.join(&JOIN.to_string())
    }

    /// The signals of the sources: those of the stems, added within each sum.
    pub(crate) fn sums(&self, stems: &[Stereo]) -> Vec<Stereo> {
        self.sources()
            .map(|first| {
                let mut sum = stems[first].clone();
                self.members(first).skip(1).for_each(|stem| crate::data::source::add(&mut sum, &stems[stem]));
                sum
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grouping_names_and_adds_its_sources() {
        let names = ["drums", "bass", "other", "vocals"].map(String::from);
        let joined = Grouping::joined(4, &[vec![1, 2]]);
        let two = Grouping::joined(4, &[vec![0, 3], vec![1, 2]]);
        assert!(Grouping::separate(4).is_separate() && !joined.is_separate());
        assert_eq!(
            joined.sources().map(|first| joined.name(first, &names)).collect::<Vec<_>>(),
            ["drums", "bass+other", "vocals"]
        );
        let signal = |level: f32| [vec![level; 5], vec![-level; 5]];
        let sums = joined.sums(&[0.5, -1.0, 0.25, 1.0].map(signal));
        assert_eq!(sums, [0.5, -0.75, 1.0].map(signal));
        let mut parted = two;
        parted.separate_source(1);
        assert_eq!(parted, Grouping::joined(4, &[vec![0, 3]]));
    }
}
