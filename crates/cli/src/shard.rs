//! The flag `--shard`: one process of several that divide the songs among themselves.

use std::str::FromStr;

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct ShardArgument {
    /// Take the K-th of N parts of the songs, for N processes that divide the songs among themselves: 3/16 is the third
    /// of 16 parts, which holds the 3rd, the 19th, the 35th … song
    #[arg(long, value_name = "K/N")]
    pub(crate) shard: Option<Shard>,
}

/// A part of the songs: those whose place in the list has a certain remainder. Songs of an album have similar lengths,
/// and so have the parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shard {
    /// Counted from 0.
    index: usize,
    count: usize,
}

impl Shard {
    /// Whether the song at `place` in the list belongs to the part.
    pub(crate) fn holds(self, place: usize) -> bool {
        place % self.count == self.index
    }

    /// The part and the number of its songs, in words.
    pub(crate) fn summary(self, songs: usize) -> String {
        let own = (0..songs).filter(|place| self.holds(*place)).count();
        format!("part {} of {}: {own} of {songs} songs", self.index + 1, self.count)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // The parser of usize would accept "+1".
        let number =
            |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?;
        let numbers = text.split_once('/').and_then(|(part, parts)| Some((number(part)?, number(parts)?)));
        match numbers {
            None => Err("must be K/N, for example 3/16 for the third of 16 parts".into()),
            Some((_, 0)) => Err("there must be at least one part".into()),
            Some((part, count)) if part == 0 || part > count => Err(format!(
                "the parts are counted from 1: 1/{count} is the first, and {count}/{count} the last"
            )),
            Some((part, count)) => Ok(Self { index: part - 1, count }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_song_belongs_to_one_part() {
        for count in 1..6 {
            let parts: Vec<Shard> =
                (1..=count).map(|part| format!("{part}/{count}").parse().expect("a part")).collect();
            for place in 0..20 {
                assert_eq!(parts.iter().filter(|part| part.holds(place)).count(), 1, "{place} of {count}");
            }
        }
        assert_eq!("3/16".parse::<Shard>().expect("a part").summary(35), "part 3 of 16: 3 of 35 songs");
    }

    #[test]
    fn other_texts_are_refused() {
        for (text, reason) in [
            ("0/4", "1/4 is the first"),
            ("5/4", "4/4 the last"),
            ("1/0", "at least one part"),
            ("a/b", "must be K/N"),
            ("3", "must be K/N"),
            ("1/2/3", "must be K/N"),
            ("-1/4", "must be K/N"),
            ("+1/4", "must be K/N"),
            ("/4", "must be K/N"),
            ("99999999999999999999/4", "must be K/N"),
        ] {
            let error = text.parse::<Shard>().expect_err(text);
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
