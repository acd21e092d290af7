//! The scores as a table for people, and as comma-separated values.

use std::fmt::Write;

use unbraid_base::counted;
use unbraid_train::{CONFIDENCE, Evaluation, MetricStatistics, Statistic, Statistics};

/// Columns of the names of metrics.
const LABEL: usize = 16;

/// A metric: its name, whether the literature reports its median over songs, and its statistics.
type Metric = (&'static str, bool, fn(&MetricStatistics) -> &Option<Statistic>);

const METRICS: [Metric; 3] = [
    ("cSDR", true, |statistics| &statistics.csdr),
    ("uSDR", false, |statistics| &statistics.usdr),
    ("SI-SDR", false, |statistics| &statistics.si_sdr),
];

/// A row per metric and a column per stem, with the average over the stems last.
pub(super) fn table(evaluation: &Evaluation, statistics: &Statistics) -> String {
    let Evaluation { songs, stems, silent, .. } = evaluation;
    let mut names: Vec<&str> = stems.keys().chain(silent.keys()).map(String::as_str).collect();
    names.sort_unstable();
    names.dedup();
    let none = MetricStatistics::default();
    let columns: Vec<&MetricStatistics> = names
        .iter()
        .map(|name| statistics.stems.get(*name).unwrap_or(&none))
        .chain([&statistics.average])
        .collect();
    let several = songs.len() > 1;
    let longest = names.iter().map(|name| name.chars().count() + 2).max().unwrap_or(0);
    let width = longest.max(if several { 17 } else { 9 });
    let row = |label: &str, cells: Vec<String>| {
        cells.iter().fold(format!("{label:<LABEL$}"), |line, cell| format!("{line}{cell:>width$}"))
    };
    let header = names.iter().map(|name| (*name).to_owned()).chain(["average".to_owned()]);
    let mut lines = vec![row("dB", header.collect())];
    for (metric, median_first, of) in METRICS {
        let cells = |cell: &dyn Fn(&Statistic) -> Option<String>| {
            columns.iter().map(|c| of(c).as_ref().and_then(cell).unwrap_or_else(|| "–".into())).collect()
        };
        if !several {
            lines.push(row(metric, cells(&|s| Some(decibels(s.mean)))));
            continue;
        }
        let mut centres = [("mean", false), ("median", true)];
        if median_first {
            centres.reverse();
        }
        for (index, (centre, is_median)) in centres.into_iter().enumerate() {
            let label = format!("{:<7} {centre}", if index == 0 { metric } else { "" });
            let value = |s: &Statistic| decibels(if is_median { s.median } else { s.mean });
            lines.push(row(&label, cells(&|s| Some(value(s)))));
            let interval = |s: &Statistic| if is_median { s.median_interval } else { s.mean_interval };
            let text = |[low, high]: [f64; 2]| format!("[{}, {}]", decibels(low), decibels(high));
            lines.push(row("", cells(&|s| interval(s).map(text))));
        }
    }
    let baselines = names.iter().map(|name| stems.get(*name).map(|scores| scores.baseline_usdr));
    let baselines = baselines.chain([evaluation.baseline_usdr]);
    lines.push(row(
        "mixture uSDR",
        baselines.map(|value| value.map_or_else(|| "–".into(), decibels)).collect(),
    ));
    let count = counted(songs.len() as u64, "song");
    lines.push(format!(
        "{count}; mixture uSDR: the mean score of the mixture, scaled by the constant that scores best"
    ));
    if several {
        let percent = 100.0 * CONFIDENCE;
        lines.push(format!("[low, high]: {percent:.0} % confidence interval over the songs, by bootstrap"));
    }
    if names.iter().any(|name| name.contains('+')) {
        lines.push("a+b: the sum of two estimates, of songs that have these stems only as a sum".into());
    }
    lines.extend(silence(evaluation));
    lines.join("\n")
}

fn decibels(value: f64) -> String {
    format!("{value:.2}")
}

/// Lines about the stems that are silent in some song.
fn silence(Evaluation { songs, silent, .. }: &Evaluation) -> Vec<String> {
    let all = songs.len();
    let mut lines: Vec<String> = silent
        .iter()
        .map(|(name, silent)| {
            let share = if silent.songs == all {
                "every song and has no score".to_owned()
            } else {
                format!("{} of {}, which its scores leave out", silent.songs, counted(all as u64, "song"))
            };
            let leak = silent.leak.map_or_else(String::new, |leak| format!("; leak {leak:.2} dB"));
            format!("{name} is silent in {share}{leak}")
        })
        .collect();
    if silent.values().any(|silent| silent.leak.is_some()) {
        lines.push(
            "leak: energy of the estimate, relative to the mixture, in songs whose stem is silent".into(),
        );
    }
    lines
}

/// A line per song and stem. A score that is not defined is empty.
pub(super) fn csv(evaluation: &Evaluation) -> String {
    let mut text = "song,seconds,stem,csdr,usdr,si_sdr,mixture_usdr,silent,leak\n".to_owned();
    let number = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
    for song in &evaluation.songs {
        let start = |stem: &str| format!("{},{},{}", field(&song.name), song.seconds, field(stem));
        for (stem, scores) in &song.stems {
            let values = [scores.csdr, Some(scores.usdr), scores.si_sdr, Some(scores.baseline_usdr)];
            writeln!(text, "{},{},false,", start(stem), values.map(number).join(",")).expect("text grows");
        }
        for (stem, leak) in &song.silent {
            writeln!(text, "{},,,,,true,{}", start(stem), number(*leak)).expect("text grows");
        }
    }
    text
}

/// A field in quotes if it needs them (RFC 4180).
fn field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use unbraid_train::{SilentSongs, SongScores, StemScores};

    fn evaluation(songs: usize) -> Evaluation {
        let scores = |usdr| StemScores { usdr, csdr: None, si_sdr: Some(1.0), baseline_usdr: 0.5 };
        let song = |name: &str, usdr| SongScores {
            name: name.into(),
            seconds: 30.5,
            stems: [("drums".to_owned(), scores(usdr))].into(),
            silent: [("vocals".to_owned(), Some(-31.5))].into(),
        };
        let all = [song("a", 4.0), song("b, \"live\"", 5.0), song("c", 9.0)];
        Evaluation {
            songs: all[..songs].to_vec(),
            stems: [("drums".to_owned(), scores(6.0))].into(),
            silent: [("vocals".to_owned(), SilentSongs { songs, leak: Some(-31.5) })].into(),
            usdr: Some(6.0),
            csdr: None,
            si_sdr: Some(1.0),
            baseline_usdr: Some(0.5),
        }
    }

    fn rows(evaluation: &Evaluation) -> Vec<Vec<String>> {
        let text = table(evaluation, &Statistics::of(evaluation));
        text.lines().map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
    }

    #[test]
    fn stems_are_columns_and_the_usual_centre_comes_first() {
        let rows = rows(&evaluation(3));
        assert_eq!(rows[0], ["dB", "drums", "vocals", "average"]);
        assert_eq!(rows[1], ["cSDR", "median", "–", "–", "–"]);
        assert_eq!(rows[5], ["uSDR", "mean", "6.00", "–", "6.00"]);
        assert_eq!(rows[6], ["[4.00,", "9.00]", "–", "[4.00,", "9.00]"]);
        assert_eq!(rows[7], ["median", "5.00", "–", "5.00"]);
        assert_eq!(rows[9], ["SI-SDR", "mean", "1.00", "–", "1.00"]);
        assert_eq!(rows[13], ["mixture", "uSDR", "0.50", "–", "0.50"]);
    }

    #[test]
    fn a_single_song_has_no_interval() {
        let rows = rows(&evaluation(1));
        assert_eq!(rows[2], ["uSDR", "4.00", "–", "4.00"]);
        assert!(!rows.iter().flatten().any(|word| word.contains('[')), "{rows:?}");
    }

    #[test]
    fn silent_stems_have_their_own_lines() {
        let mut evaluation = evaluation(3);
        evaluation.silent.insert("drums".to_owned(), SilentSongs { songs: 1, leak: None });
        let lines = silence(&evaluation);
        assert_eq!(lines[0], "drums is silent in 1 of 3 songs, which its scores leave out");
        assert_eq!(lines[1], "vocals is silent in every song and has no score; leak -31.50 dB");
        assert!(lines[2].starts_with("leak:") && lines.len() == 3, "{lines:?}");
        evaluation.silent.clear();
        assert!(silence(&evaluation).is_empty());
    }

    #[test]
    fn values_have_a_line_per_song_and_stem() {
        let text = csv(&evaluation(2));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 5);
        assert_eq!(lines[1], "a,30.5,drums,,4,1,0.5,false,");
        assert_eq!(lines[4], "\"b, \"\"live\"\"\",30.5,vocals,,,,,true,-31.5");
        assert!(lines.iter().all(|line| line.replace("b, ", "b").matches(',').count() == 8), "{text}");
    }
}
