//! The flags `--start` and `--end`: the part of a song that is separated.

use clap::Args;

/// The part of a song that is separated, in seconds.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Cut {
    /// Separate the song from this time on: seconds, mm:ss or h:mm:ss, with decimals if you like
    ///
    /// Only the part from --start to --end is separated, as if it were the whole song. Its stems begin at --start. Near
    /// the cuts they may differ slightly from those of the whole song, because the network hears less of it.
    #[arg(long, value_name = "TIME", value_parser = time)]
    start: Option<f64>,
    /// Separate the song up to this time. See --start
    #[arg(long, value_name = "TIME", value_parser = time)]
    end: Option<f64>,
}

impl Cut {
    /// Whether the part is not empty.
    pub(super) fn is_valid(&self) -> bool {
        self.start.unwrap_or(0.0) < self.end.unwrap_or(f64::INFINITY)
    }

    /// Start of the part in seconds.
    pub(super) fn start(&self) -> f64 {
        self.start.unwrap_or(0.0)
    }

    /// The frame at `rate` Hz that the part begins with.
    pub(super) fn first(&self, rate: u32) -> u64 {
        frame(self.start(), rate)
    }

    /// The frame at `rate` Hz after the part. `None`: the end of the song.
    pub(super) fn past(&self, rate: u32) -> Option<u64> {
        self.end.map(|end| frame(end, rate))
    }
}

fn frame(seconds: f64, rate: u32) -> u64 {
    (seconds * f64::from(rate)).round() as u64
}

/// The longest time that is accepted, in seconds.
const LONGEST: f64 = 1e7;

fn time(text: &str) -> Result<f64, String> {
    let wrong = || "give seconds, mm:ss or h:mm:ss, such as 83.5 or 1:23.5".to_owned();
    let parts: Vec<&str> = text.split(':').collect();
    let (last, whole) = parts.split_last().ok_or_else(wrong)?;
    let is_number = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
    if whole.len() > 2 || !last.chars().all(|c| c.is_ascii_digit() || c == '.') || !is_number(last) {
        return Err(wrong());
    }
    let mut seconds = 0.0;
    for part in whole {
        let value: u32 = part.parse().map_err(|_| wrong())?;
        seconds = 60.0 * (seconds + f64::from(value));
    }
    let last: f64 = last.parse().map_err(|_| wrong())?;
    // 1:75 is a mistake, but 75 and 75:00 are not.
    let below_60 = |index: usize| whole.get(index).is_none_or(|part| part.parse().is_ok_and(|n: u32| n < 60));
    if !whole.is_empty() && last >= 60.0 || !below_60(1) {
        return Err("minutes and seconds after a colon are below 60".into());
    }
    if seconds + last > LONGEST { Err(wrong()) } else { Ok(seconds + last) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        for (text, seconds) in [
            ("0", 0.0),
            ("83.5", 83.5),
            ("1:23.5", 83.5),
            ("75:00", 4500.0),
            ("1:02:03.25", 3723.25),
            ("0:05", 5.0),
        ] {
            assert_eq!(time(text), Ok(seconds), "{text}");
        }
        for wrong in
            ["", "-1", "1:60", "1:60:00", "1:2:3:4", "1:-5", "x", "1:", ":5", "1e3", "inf", "nan", "+5"]
        {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_part_is_not_empty() {
        let valid = |start, end| Cut { start, end }.is_valid();
        assert!(valid(None, None) && valid(Some(1.0), None) && valid(None, Some(0.1)));
        assert!(!valid(Some(1.0), Some(1.0)) && !valid(None, Some(0.0)));
    }
}
