//! Several data sets as one: the folders and the recipes of the setting `data`, each with a weight.

use crate::data::dataset::{DataError, DataOptions, Dataset, Grouping, Series, TrackInfo, TrackReader};
use crate::data::endless::{EndlessSongs, VALIDATION};
use crate::data::formats::open_dataset_with;
use crate::data::recipe::Recipe;
use crate::data::source::Source;
use serde::de::{SeqAccess, Visitor};
use serde::ser::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use unbraid_base::Stereo;

/// The folder of a data set, or a recipe of songs.
#[derive(Debug, Clone, PartialEq)]
pub struct Root {
    /// The folder. For songs that are made, the text of their [`Recipe`].
    pub path: PathBuf,
    /// How often a second of it is drawn, relative to a second of the other folders. A recipe has a share of all excerpts,
    /// which is its weight divided by the sum of all weights.
    pub weight: f64,
}

impl Root {
    /// The recipe. `None` for a folder.
    pub fn recipe(&self) -> Option<Recipe> {
        Recipe::parse(self.path.to_str()?)
    }

    /// Reads `FOLDER` or `FOLDER*WEIGHT`, with a folder or a recipe.
    pub fn parse(text: &str) -> Self {
        if let Some((path, weight)) = text.rsplit_once('*')
            && let Ok(weight) = weight.parse::<f64>()
            && weight > 0.0
            && weight.is_finite()
        {
            return Self { path: path.into(), weight };
        }
        Self { path: text.into(), weight: 1.0 }
    }

    /// The text that [`Root::parse`] reads. `None` if the path is not UTF-8.
    fn text(&self) -> Option<String> {
        let path = self.path.to_str()?;
        Some(if self.weight == 1.0 { path.to_owned() } else { format!("{path}*{}", self.weight) })
    }
}

/// The folders of a data set. In TOML, one folder is a text, and several are a list of texts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Roots(pub Vec<Root>);

impl Roots {
    /// The names of the folders without their parents.
    pub(crate) fn names(&self) -> String {
        let name = |root: &Root| {
            let last = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
            match root.recipe() {
                Some(Recipe { scheme, path, .. }) => {
                    Some(format!("{scheme}:{}", path.as_deref().and_then(last).unwrap_or_default()))
                }
                None => last(&root.path),
            }
        };
        self.0.iter().filter_map(name).collect::<Vec<_>>().join(", ")
    }

    /// The same weights for the paths that `change` makes of these.
    pub(crate) fn map(&self, change: impl Fn(&PathBuf) -> PathBuf) -> Self {
        let changed = |root: &Root| match root.recipe() {
            Some(recipe) => recipe.map_paths(&change).to_string().into(),
            None => change(&root.path),
        };
        Self(self.0.iter().map(|root| Root { path: changed(root), weight: root.weight }).collect())
    }
}

impl fmt::Display for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let paths: Vec<String> = self.0.iter().map(|root| root.path.display().to_string()).collect();
        f.write_str(&paths.join(" and "))
    }
}

impl From<&str> for Roots {
    fn from(text: &str) -> Self {
        if text.is_empty() { Self::default() } else { Self(vec![Root::parse(text)]) }
    }
}

impl From<PathBuf> for Roots {
    fn from(path: PathBuf) -> Self {
        Self(vec![Root { path, weight: 1.0 }])
    }
}

impl Serialize for Roots {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let texts: Option<Vec<String>> = self.0.iter().map(Root::text).collect();
        match &texts.ok_or_else(|| S::Error::custom("the path is not UTF-8"))?[..] {
            [] => serializer.serialize_str(""),
            [one] => serializer.serialize_str(one),
            many => serializer.collect_seq(many),
        }
    }
}

impl<'de> Deserialize<'de> for Roots {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Texts;
        impl<'de> Visitor<'de> for Texts {
            type Value = Roots;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a path or a list of paths")
            }

            fn visit_str<E>(self, text: &str) -> Result<Roots, E> {
                Ok(text.into())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Roots, A::Error> {
                let mut roots = Vec::new();
                while let Some(text) = list.next_element::<String>()? {
                    roots.push(Root::parse(&text));
                }
                Ok(Roots(roots))
            }
        }
        deserializer.deserialize_any(Texts)
    }
}

/// Opens one part of every folder as one data set, for a model with these `stems` and this sample `rate`. `seed` selects
/// the songs of recipes.
///
/// A song whose name occurs in several folders gets that of its folder too.
///
/// # Errors
/// Those of [`open_dataset_with`] for any of the folders, and those of the recipes.
pub fn open_roots(
    roots: &Roots,
    part: &str,
    stems: &[String],
    rate: u32,
    options: &DataOptions,
    seed: u64,
) -> Result<Arc<dyn Dataset>, DataError> {
    let weights: f64 = roots.0.iter().map(|root| root.weight).sum();
    // Songs of a folder are better ones to validate with.
    let made = roots.0.iter().all(|root| root.recipe().is_some());
    let validation = if made { VALIDATION } else { 0 };
    let open = |root: &Root| match root.recipe() {
        Some(recipe) => {
            let share = root.weight / weights;
            let songs = EndlessSongs::open(&recipe, share, validation, stems, (rate, seed), options)?;
            Ok(Arc::new(songs) as Arc<dyn Dataset>)
        }
        None => open_dataset_with(&root.path, part, stems, rate, options),
    };
    if let [root] = &roots.0[..] {
        return open(root);
    }
    let mut sets =
        roots.0.iter().map(|root| Ok((root.clone(), open(root)?))).collect::<Result<Vec<_>, DataError>>()?;
    // The tracks that are for validation only are the last ones.
    sets.sort_by_key(|(root, _)| root.recipe().is_some());
    Ok(Arc::new(Union::of(sets, stems.len())))
}

struct Union {
    sets: Vec<(Root, Arc<dyn Dataset>)>,
    /// The set of each track, and the track's index in it.
    places: Vec<(usize, usize)>,
    tracks: Vec<TrackInfo>,
    notices: Vec<String>,
    stems: usize,
}

impl Union {
    fn of(sets: Vec<(Root, Arc<dyn Dataset>)>, stems: usize) -> Self {
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for track in sets.iter().flat_map(|(_, set)| set.tracks()) {
            *counts.entry(&track.name).or_default() += 1;
        }
        let (mut places, mut tracks, mut notices) = (Vec::new(), Vec::new(), Vec::new());
        for (index, (root, set)) in sets.iter().enumerate() {
            notices.extend(set.notices().iter().cloned());
            for (track, info) in set.tracks().iter().enumerate() {
                let unique = counts[info.name.as_str()] == 1;
                let name =
                    if unique { info.name.clone() } else { format!("{}/{}", root.path.display(), info.name) };
                tracks.push(TrackInfo { name, frames: info.frames });
                places.push((index, track));
            }
        }
        Self { sets, places, tracks, notices, stems }
    }

    /// The data set of a track, and the track's index in it.
    fn place(&self, track: usize) -> (&dyn Dataset, usize) {
        let (set, track) = self.places[track];
        (&*self.sets[set].1, track)
    }
}

impl Dataset for Union {
    fn tracks(&self) -> &[TrackInfo] {
        &self.tracks
    }

    fn stems(&self) -> usize {
        self.stems
    }

    fn notices(&self) -> &[String] {
        &self.notices
    }

    fn held_out(&self) -> usize {
        self.sets.iter().map(|(_, set)| set.held_out()).sum()
    }

    fn series(&self) -> Vec<Arc<dyn Series>> {
        self.sets.iter().flat_map(|(_, set)| set.series()).collect()
    }

    fn grouping(&self, track: usize) -> Grouping {
        let (set, track) = self.place(track);
        set.grouping(track)
    }

    fn root(&self, track: usize) -> Option<&Path> {
        let (set, track) = self.place(track);
        set.root(track)
    }

    fn sources(&self, track: usize, stem: usize) -> &[Source] {
        let (set, track) = self.place(track);
        set.sources(track, stem)
    }

    fn weight(&self, track: usize) -> f64 {
        self.sets[self.places[track].0].0.weight
    }

    fn read(&self, track: usize, stem: usize, start: u64, samples: usize) -> Result<Stereo, DataError> {
        let (set, track) = self.place(track);
        set.read(track, stem, start, samples)
    }

    fn open(&self, track: usize) -> Result<Box<dyn TrackReader>, DataError> {
        let (set, track) = self.place(track);
        set.open(track)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::index::levels;
    use crate::data::places::{Places, Wanted};
    use crate::data::testing::{stems, write};
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn texts_are_folders_with_weights() {
        let root = |path: &str, weight| Root { path: path.into(), weight };
        assert_eq!(Root::parse("songs/a"), root("songs/a", 1.0));
        assert_eq!(Root::parse("songs/a*2.5"), root("songs/a", 2.5));
        for text in ["a*b", "a*0", "a*-1", "a*"] {
            assert_eq!(Root::parse(text), root(text, 1.0));
        }
        let read = |json: &str| serde_json::from_str::<Roots>(json);
        for json in ["\"\"", "\"a*2\"", "[\"a\",\"b*0.5\"]"] {
            assert_eq!(serde_json::to_string(&read(json).unwrap()).unwrap(), json);
        }
        assert!(read("3").unwrap_err().to_string().contains("a path or a list of paths"));
    }

    #[test]
    fn folders_are_drawn_from_by_their_length_and_weight() {
        let dir = tempfile::tempdir().unwrap();
        for (folder, song, level) in [("a", "same", 0.1), ("b", "same", 0.2), ("b", "other", 0.3)] {
            for stem in crate::data::testing::STEMS {
                let file = dir.path().join(format!("{folder}/train/{song}/{stem}.wav"));
                write(&file, 8000, 40_000, |_| level);
            }
        }
        let roots =
            Roots(["a*4", "b"].map(|name| Root::parse(dir.path().join(name).to_str().unwrap())).to_vec());
        let set = open_roots(&roots, "train", &stems(), 8000, &DataOptions::default(), 0).unwrap();
        let names: Vec<&str> = set.tracks().iter().map(|track| track.name.as_str()).collect();
        assert!(
            names[0].ends_with("a/same") && names[1] == "other" && names[2].ends_with("b/same"),
            "{names:?}"
        );
        assert!((set.read(2, 0, 100, 10).unwrap()[0][5] - 0.2).abs() < 1e-6);
        let levels = levels(&*set, &[0, 1, 2], |_, _| true, |_| {}).unwrap().unwrap();
        assert!(["a", "b"].iter().all(|name| dir.path().join(name).join(".unbraid-index").is_file()));
        let wanted = Wanted { samples: 8000, rate: 8000, level: 1e-3 };
        let places = Places::of(&*set, &[0, 1, 2], &levels, 0..2, wanted);
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let first = (0..1000).filter(|_| places.draw(&mut rng).0 == 0).count();
        assert!((600..730).contains(&first), "4 of 6 seconds' weight: {first}");
    }
}
