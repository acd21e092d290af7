//! What the exported model says of its training.

use crate::run::checkpoint::State;
use crate::settings::config::TrainConfig;
use std::time::{SystemTime, UNIX_EPOCH};
use unbraid_model::weights::Provenance;

pub(crate) fn provenance(config: &TrainConfig, state: &State) -> Provenance {
    let data = config.data.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    Provenance {
        tool: concat!("unbraid ", env!("CARGO_PKG_VERSION")).into(),
        date: date(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs() / 86_400)),
        data,
        steps: state.step,
        seed: config.seed,
        segment_seconds: config.segment_seconds,
        scores: state.scores.iter().map(|(stem, usdr)| (format!("uSDR {stem}"), *usdr)).collect(),
        notes: format!("moving average of the weights after {:.1} minutes of training", state.elapsed / 60.0),
    }
}

/// `YYYY-MM-DD` of a day counted from 1970-01-01, in the Gregorian calendar.
fn date(mut days: u64) -> String {
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let mut month = 1;
    for length in [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    format!("{year:04}-{month:02}-{:02}", days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (days, text) in [
            (0, "1970-01-01"),
            (58, "1970-02-28"),
            (59, "1970-03-01"),
            (11_016, "2000-02-29"),
            (19_723, "2024-01-01"),
            (20_088, "2024-12-31"),
            (20_089, "2025-01-01"),
        ] {
            assert_eq!(date(days), text);
        }
    }
}
