//! Messages of parsers without the names of Rust types.

/// The names that serde gives to types, and words for the people who write the files.
const WORDS: &[(&str, &str)] = &[
    ("usize", "an integer of at least 0"),
    ("u64", "an integer of at least 0"),
    ("u32", "an integer of at least 0"),
    ("i64", "an integer"),
    ("f64", "a number"),
    ("f32", "a number"),
    ("path string", "a path"),
    ("a sequence", "a list"),
    ("a map", "a table"),
    ("an array of length", "a list of length"),
];

/// The message of a TOML or JSON parser, with words in place of the names of Rust types.
pub fn plain_words(message: &str) -> String {
    const EXPECTED: &str = "expected ";
    let Some(at) = message.rfind(EXPECTED).map(|at| at + EXPECTED.len()) else { return message.to_owned() };
    let (before, expected) = message.split_at(at);
    let word = |(name, word): &(&str, &str)| Some(format!("{before}{word}{}", expected.strip_prefix(name)?));
    WORDS.iter().find_map(word).unwrap_or_else(|| message.to_owned())
}

#[cfg(test)]
mod tests {
    use super::plain_words;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    struct Sample {
        #[expect(dead_code, reason = "only its error is of interest")]
        value: usize,
    }

    #[test]
    fn no_rust_type_reaches_a_person() {
        let toml = toml::from_str::<Sample>("value = \"x\"").unwrap_err().to_string();
        assert!(plain_words(&toml).trim_end().ends_with("expected an integer of at least 0"), "{toml}");
        let json = serde_json::from_str::<Sample>(r#"{"value": 1.5}"#).unwrap_err().to_string();
        assert!(plain_words(&json).contains("expected an integer of at least 0 at line 1"), "{json}");
        for (message, plain) in [
            ("invalid type: integer `3`, expected a sequence", "invalid type: integer `3`, expected a list"),
            (
                "invalid length 1, expected an array of length 2",
                "invalid length 1, expected a list of length 2",
            ),
            ("unknown field `x`, expected `y`", "unknown field `x`, expected `y`"),
            ("missing field `u64`", "missing field `u64`"),
        ] {
            assert_eq!(plain_words(message), plain);
        }
    }
}
