//! The scores of `unbraid evaluate --json` as a table with an explanation of its columns.

use std::fmt::Write;

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// uSDR in dB of a stem, or the mean of all stems.
#[derive(Debug, PartialEq)]
struct Score {
    name: String,
    usdr: f64,
    baseline: f64,
}

impl Score {
    fn read(name: &str, value: &Value) -> Result<Self> {
        let number =
            |field: &str| value[field].as_f64().with_context(|| format!("no number {field} for {name}"));
        Ok(Self { name: name.into(), usdr: number("usdr")?, baseline: number("baseline_usdr")? })
    }

    fn gain(&self) -> f64 {
        self.usdr - self.baseline
    }

    fn json(&self) -> Value {
        json!({ "usdr": self.usdr, "baseline_usdr": self.baseline, "gain": self.gain() })
    }
}

/// The scores of a set of songs.
#[derive(Debug, PartialEq)]
pub(crate) struct Scores {
    stems: Vec<Score>,
    mean: Score,
}

impl Scores {
    /// Reads `{ "stems": { STEM: { "usdr", "baseline_usdr", … } }, "usdr", "baseline_usdr", … }`.
    pub(crate) fn read(evaluation: &Value) -> Result<Self> {
        let stems = evaluation["stems"].as_object().context("the evaluation names no stems")?;
        let stems = stems.iter().map(|(name, value)| Score::read(name, value)).collect::<Result<_>>()?;
        Ok(Self { stems, mean: Score::read("mean", evaluation)? })
    }

    pub(crate) fn json(&self) -> Value {
        let stems: serde_json::Map<_, _> = self.stems.iter().map(|s| (s.name.clone(), s.json())).collect();
        json!({ "stems": stems, "mean": self.mean.json() })
    }

    /// The table, and the meaning of its columns, after `minutes` of training.
    pub(crate) fn table(&self, minutes: f64) -> String {
        let mut text = format!("{:<8} {:>8} {:>10} {:>10}\n", "stem", "uSDR", "mixture", "gain");
        for score in self.stems.iter().chain([&self.mean]) {
            let Score { name, usdr, baseline } = score;
            let gain = score.gain();
            writeln!(text, "{name:<8} {usdr:>5.1} dB {baseline:>7.1} dB {gain:>+7.1} dB")
                .expect("text grows");
        }
        write!(
            text,
            "\n\
             uSDR     ratio of the stem's energy to the energy of the error, over whole songs that the network was not\n         \
             trained on: at 0 dB the error is as loud as the stem, and every 6 dB more halve its amplitude\n\
             mixture  the same ratio for the mixture at the volume that fits the stem best, which is no separation\n\
             gain     the difference, due to {minutes:.1} min of training\n"
        )
        .expect("text grows");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evaluation() -> Value {
        json!({
            "songs": [],
            "stems": {
                "bass": { "usdr": 6.25, "csdr": null, "si_sdr": 5.0, "baseline_usdr": 1.25 },
                "vocals": { "usdr": 3.0, "csdr": 2.0, "si_sdr": null, "baseline_usdr": 3.5 },
            },
            "usdr": 4.625, "csdr": 2.0, "si_sdr": 5.0, "baseline_usdr": 2.375,
        })
    }

    #[test]
    fn a_table_shows_the_score_the_baseline_and_the_gain_of_every_stem() {
        let scores = Scores::read(&evaluation()).unwrap();
        let table = scores.table(9.7);
        assert!(table.contains("bass       6.2 dB     1.2 dB    +5.0 dB\n"), "{table}");
        assert!(table.contains("vocals     3.0 dB     3.5 dB    -0.5 dB\n"), "{table}");
        assert!(table.contains("mean       4.6 dB     2.4 dB    +2.2 dB\n"), "{table}");
        assert!(table.contains("9.7 min"));
        assert_eq!(scores.json()["mean"]["gain"], json!(2.25));
    }

    #[test]
    fn a_missing_score_is_an_error_that_names_it() {
        let mut broken = evaluation();
        broken["stems"]["bass"]["usdr"] = Value::Null;
        assert_eq!(Scores::read(&broken).unwrap_err().to_string(), "no number usdr for bass");
        assert!(Scores::read(&json!([])).is_err());
    }
}
