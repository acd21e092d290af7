//! Which stems the files of a song hold, by their names.

use crate::data::dataset::Part;
use crate::data::grouping::{Grouping, JOIN};
use crate::data::listing::MIXTURE;
use crate::data::source::Source;
use std::collections::BTreeMap;

/// The sources of a song by the stems that they hold.
#[derive(Debug, Default)]
pub(crate) struct Assignment {
    /// The sources of each set of stems, which are indices in ascending order.
    sets: BTreeMap<Vec<usize>, Vec<Source>>,
    /// Names of sums that are not needed, because the song has each of their stems.
    pub(crate) unneeded: Vec<String>,
}

/// What the name of a file stands for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// A stem, or the sum of several: their indices in ascending order.
    Stems(Vec<usize>),
    /// The mixture.
    Mixture,
    /// Nothing, as the options say.
    Ignored,
    /// No stem of the model.
    Unknown,
}

/// What a file that is named `bare` (without its ending) stands for. `bass+other` is the sum of two stems.
pub(crate) fn meaning(bare: &str, part: &Part<'_>) -> Meaning {
    let mapped = |name: &str| part.options.stems_map.get(name).cloned().unwrap_or_else(|| name.to_owned());
    let index = |stem: &str| part.stems.iter().position(|known| known == stem);
    let name = mapped(bare);
    if let Some(stem) = index(&name) {
        return Meaning::Stems(vec![stem]);
    }
    match &name[..] {
        "" => return Meaning::Ignored,
        MIXTURE => return Meaning::Mixture,
        _ => {}
    }
    let mut stems = Vec::new();
    for piece in name.split(JOIN) {
        let Some(stem) = index(&mapped(piece.trim())) else { return Meaning::Unknown };
        stems.push(stem);
    }
    stems.sort_unstable();
    stems.dedup();
    Meaning::Stems(stems)
}

impl Assignment {
    /// Adds sources of a set of stems.
    pub(crate) fn add(&mut self, stems: Vec<usize>, sources: impl IntoIterator<Item = Source>) {
        self.sets.entry(stems).or_default().extend(sources);
    }

    /// The files of each stem, and which stems are joined. `missing` gets every stem that the song lacks.
    ///
    /// # Errors
    /// The names of two sources if they share a stem, so that none of them is known.
    pub(crate) fn finish(
        &mut self,
        names: &[String],
        mut missing: impl FnMut(&String),
    ) -> Result<(Vec<Vec<Source>>, Grouping), [String; 2]> {
        let name = |set: &[usize]| {
            let members: Vec<&str> = set.iter().map(|&stem| names[stem].as_str()).collect();
            members.join(&JOIN.to_string())
        };
        let alone = |stem: &usize| self.sets.contains_key(std::slice::from_ref(stem));
        let unneeded: Vec<Vec<usize>> =
            self.sets.keys().filter(|set| set.len() > 1 && set.iter().all(alone)).cloned().collect();
        for set in unneeded {
            self.unneeded.push(name(&set));
            self.sets.remove(&set);
        }
        let mut owners: Vec<Option<&Vec<usize>>> = vec![None; names.len()];
        let mut stems = vec![Vec::new(); names.len()];
        for (set, sources) in &self.sets {
            for &stem in set {
                if let Some(other) = owners[stem].replace(set) {
                    return Err([name(other), name(set)]);
                }
            }
            stems[set[0]].clone_from(sources);
        }
        names.iter().zip(&owners).filter(|(_, owner)| owner.is_none()).for_each(|(stem, _)| missing(stem));
        let groups: Vec<Vec<usize>> = self.sets.keys().cloned().collect();
        Ok((stems, Grouping::joined(names.len(), &groups)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::dataset::DataOptions;
    use std::path::Path;

    const NAMES: [&str; 4] = ["drums", "bass", "other", "vocals"];

    fn means(bare: &str, map: &[(&str, &str)]) -> Meaning {
        let stems_map = map.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        let options = DataOptions { stems_map, ..DataOptions::default() };
        let stems = NAMES.map(String::from);
        meaning(bare, &Part { root: Path::new(""), name: "train", stems: &stems, rate: 1, options: &options })
    }

    #[test]
    fn names_are_stems_or_sums() {
        let stems = |indices: &[usize]| Meaning::Stems(indices.to_vec());
        assert_eq!(means("bass", &[]), stems(&[1]));
        assert_eq!(means("other+bass", &[]), stems(&[1, 2]));
        assert_eq!(means("bass + other", &[]), stems(&[1, 2]));
        assert_eq!(means("bass+guitar", &[]), Meaning::Unknown);
        assert_eq!(means("bass+guitar", &[("guitar", "other")]), stems(&[1, 2]));
        assert_eq!(means("keys+guitar", &[("guitar", "other"), ("keys", "other")]), stems(&[2]));
        assert_eq!(means("synths", &[("synths", "bass+other")]), stems(&[1, 2]));
        assert_eq!(means("bass+other", &[("bass+other", "other")]), stems(&[2]));
        assert_eq!(means("click", &[("click", "")]), Meaning::Ignored);
        assert_eq!((means("mixture", &[]), means("+", &[])), (Meaning::Mixture, Meaning::Unknown));
    }

    #[test]
    fn sums_join_the_stems_that_have_no_file_of_their_own() {
        let names = NAMES.map(String::from);
        let finish = |sets: &[&[usize]]| {
            let mut assignment = Assignment::default();
            for set in sets {
                assignment.add(set.to_vec(), [Source::file(format!("{set:?}"))]);
            }
            let mut missing = Vec::new();
            let found = assignment.finish(&names, |stem| missing.push(stem.clone()));
            (
                found.map(|(stems, grouping)| (stems.iter().map(Vec::len).collect(), grouping)),
                missing,
                assignment.unneeded,
            )
        };
        let joined = Grouping::joined(4, &[vec![1, 2]]);
        assert_eq!(finish(&[&[0], &[1, 2], &[3]]), (Ok((vec![1, 1, 0, 1], joined.clone())), vec![], vec![]));
        assert_eq!(finish(&[&[1, 2], &[3]]), (Ok((vec![0, 1, 0, 1], joined)), vec!["drums".into()], vec![]));
        let separate = Grouping::separate(4);
        let all = [&[0][..], &[1], &[2], &[3], &[1, 2]];
        assert_eq!(finish(&all), (Ok((vec![1; 4], separate)), vec![], vec!["bass+other".into()]));
        // Whether the sum holds the bass of the other file is not known.
        let (found, ..) = finish(&[&[0], &[1], &[1, 2], &[3]]);
        assert_eq!(found, Err(["bass".into(), "bass+other".into()]));
    }
}
