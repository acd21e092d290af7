//! The page: one HTML file without scripts that needs no other file.

use std::collections::BTreeSet;

use indicatif::DecimalBytes;
use toml::Value;
use unbraid_train::{SETTINGS, TrainConfig};

use super::chart::{Series, Style, chart, number};
use super::history::{Scores, Step, Validation};
use super::html::escape;
use super::run::Run;

/// The page about `runs`. `excerpts` is a section of HTML, or the reason why there is none.
pub(super) fn page(runs: &[Run], excerpts: &Result<String, String>) -> String {
    let names = runs.iter().map(|run| run.name.as_str()).collect::<Vec<_>>().join(" · ");
    let names = escape(&names);
    let excerpts = match excerpts {
        Ok(html) => html.clone(),
        Err(reason) => format!("<p class=\"soft\">There are no excerpts: {}.</p>", escape(reason)),
    };
    let style = include_str!("style.css");
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>Unbraid: {names}</title>\n\
         <style>\n{style}</style></head>\n<body><h1>{names}</h1><p class=\"soft\">{}</p>\n\
         <h2>Overview</h2>{}\n<h2>Scores on the validation songs</h2>{}\n<h2>Training</h2>{}\n\
         <h2>Excerpts</h2>{excerpts}\n<h2>Settings</h2>{}\n</body></html>\n",
        escape(concat!("Report of Unbraid ", env!("CARGO_PKG_VERSION"))),
        overview(runs),
        scores(runs),
        training(runs),
        settings(runs),
    )
}

/// A table with a row per `(label, cells)`. Labels and cells are text.
fn table(header: Option<&[String]>, rows: &[(String, Vec<String>)]) -> String {
    let head = header.map_or_else(String::new, |cells| {
        let cells: String = cells.iter().map(|cell| format!("<th>{}</th>", escape(cell))).collect();
        format!("<tr><th></th>{cells}</tr>")
    });
    let rows = rows.iter().map(|(label, cells)| {
        let cells: String = cells.iter().map(|cell| format!("<td>{}</td>", escape(cell))).collect();
        format!("<tr><th>{}</th>{cells}</tr>", escape(label))
    });
    format!("<div class=\"wide\"><table>{head}{}</table></div>", rows.collect::<String>())
}

fn header(runs: &[Run]) -> Option<Vec<String>> {
    (runs.len() > 1).then(|| runs.iter().map(|run| run.name.clone()).collect())
}

fn overview(runs: &[Run]) -> String {
    let row = |label: &str, cell: &dyn Fn(&Run) -> Option<String>| {
        (label.to_owned(), runs.iter().map(|run| cell(run).unwrap_or_else(|| "–".into())).collect::<Vec<_>>())
    };
    let last = |run: &Run, value: fn(&Step) -> Option<f64>| run.history.steps.iter().rev().find_map(value);
    let rows = [
        row("State", &|run| Some(state(run))),
        row("Network", &|run| Some(run.config.model.clone())),
        row("Data", &|run| Some(run.config.data.to_string())),
        row("Device", &|run| run.device.clone()),
        row("Time", &|run| last(run, |step| step.elapsed).map(duration)),
        row("Best uSDR", &|run| {
            let best = run.history.best()?;
            let baseline = best.mean.baseline.map_or_else(String::new, |b| format!(" (mixture {b:.2} dB)"));
            Some(format!("{:.2} dB at step {}{baseline}", best.mean.usdr?, best.step))
        }),
        row("Last loss", &|run| last(run, |step| step.loss).map(number)),
        row("Speed", &|run| run.history.speed().map(|speed| format!("{speed:.1}× real time (median)"))),
        row("Peak memory", &|run| {
            last(run, |step| step.peak).map(|peak| DecimalBytes(peak as u64).to_string())
        }),
        row("Skipped updates", &|run| Some(run.history.skipped().to_string())),
    ];
    table(header(runs).as_deref(), &rows)
}

/// What a reader must know about the run first.
fn state(run: &Run) -> String {
    let history = &run.history;
    let mut state = match history.steps.last() {
        None => "no step is logged yet".to_owned(),
        Some(last) if history.complete() => format!("complete after {} steps", last.step),
        Some(last) => {
            let all = last.steps.map_or_else(String::new, |all| format!(" of {all}"));
            format!("not at its end: step {}{all}", last.step)
        }
    };
    if history.damaged > 0 {
        state += &format!(
            "; {} of metrics.jsonl cannot be read",
            unbraid_base::counted(history.damaged as u64, "line")
        );
    }
    state
}

fn duration(seconds: f64) -> String {
    let minutes = (seconds / 60.0).round() as u64;
    if seconds < 90.0 {
        format!("{seconds:.0} s")
    } else {
        format!("{} h {:02} min", minutes / 60, minutes % 60)
    }
}

/// A metric of the validations: its title, and its score.
type Metric = (&'static str, fn(&Scores) -> Option<f64>);

const METRICS: [Metric; 3] =
    [("uSDR", |scores| scores.usdr), ("cSDR", |scores| scores.csdr), ("SI-SDR", |scores| scores.si_sdr)];

fn scores(runs: &[Run]) -> String {
    if runs.iter().all(|run| run.history.validations.is_empty()) {
        return "<p class=\"soft\">There is no validation yet.</p>".into();
    }
    let mut html = String::new();
    if let [run] = runs {
        html += &best_scores(run);
        html += "<div class=\"charts\">";
        for (title, of) in METRICS {
            let mut series = vec![scores_over(run, "average", &|validation| of(&validation.mean))];
            for stem in stems(runs) {
                let score = |validation: &Validation| validation.stems.get(&stem).and_then(of);
                series.push(scores_over(run, &stem, &score));
            }
            html += &chart(title, "dB", &series, Style::Marked);
        }
    } else {
        html += "<div class=\"charts\">";
        for (title, of) in METRICS {
            let series: Vec<_> = runs
                .iter()
                .map(|run| scores_over(run, &run.name, &|validation| of(&validation.mean)))
                .collect();
            html += &chart(&format!("{title}, average"), "dB", &series, Style::Marked);
        }
        for stem in stems(runs) {
            let score = |validation: &Validation| validation.stems.get(&stem).and_then(|scores| scores.usdr);
            let series: Vec<_> = runs.iter().map(|run| scores_over(run, &run.name, &score)).collect();
            html += &chart(&format!("uSDR, {stem}"), "dB", &series, Style::Marked);
        }
    }
    html + "</div>"
}

fn stems(runs: &[Run]) -> BTreeSet<String> {
    let validations = runs.iter().flat_map(|run| &run.history.validations);
    validations.flat_map(|validation| validation.stems.keys().cloned()).collect()
}

/// A score over the validations. Those without it have no point.
fn scores_over(run: &Run, name: &str, score: &dyn Fn(&Validation) -> Option<f64>) -> Series {
    let points = run.history.validations.iter();
    let points = points.filter_map(|validation| Some((validation.step, Some(score(validation)?))));
    Series { name: name.to_owned(), points: points.collect() }
}

/// The scores of the best validation.
fn best_scores(run: &Run) -> String {
    let Some(best) = run.history.best() else { return String::new() };
    let decibels = |value: Option<f64>| value.map_or_else(|| "–".into(), |value| format!("{value:.2}"));
    let cells =
        |s: &Scores| vec![decibels(s.csdr), decibels(s.usdr), decibels(s.si_sdr), decibels(s.baseline)];
    let stems = best.stems.iter().map(|(stem, scores)| (stem.clone(), cells(scores)));
    let rows: Vec<_> = stems.chain([("average".to_owned(), cells(&best.mean))]).collect();
    let header = ["cSDR", "uSDR", "SI-SDR", "mixture uSDR"].map(str::to_owned);
    let songs =
        best.songs.map_or_else(String::new, |songs| format!(", {}", unbraid_base::counted(songs, "song")));
    format!(
        "<p class=\"soft\">The best validation: step {}{songs}; dB</p>{}",
        best.step,
        table(Some(&header), &rows)
    )
}

/// A quantity of the steps: its title, its unit, how it is drawn, and its value.
type Quantity = (&'static str, &'static str, Style, fn(&Step) -> Option<f64>);

fn training(runs: &[Run]) -> String {
    if runs.iter().all(|run| run.history.steps.is_empty()) {
        return "<p class=\"soft\">No step is logged yet.</p>".into();
    }
    const QUANTITIES: [Quantity; 5] = [
        ("Loss", "", Style::Noisy, |step| step.loss),
        ("Gradient norm", "before clipping", Style::Noisy, |step| step.gradient_norm),
        ("Learning rate", "", Style::FromZero, |step| step.learning_rate),
        ("Speed", "seconds of audio per second", Style::FromZero, |step| step.speed),
        ("Memory", "bytes", Style::FromZero, |step| step.memory),
    ];
    let over = |run: &Run, name: &str, value: &dyn Fn(&Step) -> Option<f64>| Series {
        name: name.to_owned(),
        points: run.history.steps.iter().map(|step| (step.step, value(step))).collect(),
    };
    let mut html = "<div class=\"charts\">".to_owned();
    for (index, (title, unit, style, value)) in QUANTITIES.into_iter().enumerate() {
        let name = |run: &Run| if runs.len() > 1 { run.name.clone() } else { title.to_owned() };
        let series: Vec<_> = runs.iter().map(|run| over(run, &name(run), &value)).collect();
        html += &chart(title, unit, &series, style);
        if let ([run], 0) = (runs, index) {
            let names: BTreeSet<&String> =
                run.history.steps.iter().flat_map(|step| step.losses.keys()).collect();
            let series: Vec<_> = names
                .into_iter()
                .map(|name| over(run, name, &|step| step.losses.get(name).copied().flatten()))
                .collect();
            html += &chart("Terms of the loss", "without their weights", &series, Style::Noisy);
        }
    }
    html + "</div>"
}

/// Settings that differ between the runs, or from their default, come first. The others are folded away.
fn settings(runs: &[Run]) -> String {
    let value = |config: &TrainConfig, name: &str| {
        let table = config.to_table().unwrap_or_default();
        table.get(name).map_or_else(
            || "not set".into(),
            |value| match value {
                Value::String(text) => text.clone(),
                value => value.to_string(),
            },
        )
    };
    let default = TrainConfig::default();
    let rows = SETTINGS.iter().map(|setting| {
        let cells: Vec<_> = runs.iter().map(|run| value(&run.config, setting.name)).collect();
        let differs = match &cells[..] {
            [cell] => *cell != value(&default, setting.name),
            cells => cells.iter().any(|cell| *cell != cells[0]),
        };
        (differs, (setting.name.to_owned(), cells))
    });
    let (first, rest): (Vec<_>, Vec<_>) = rows.partition(|(differs, _)| *differs);
    let rows =
        |rows: Vec<(bool, (String, Vec<String>))>| rows.into_iter().map(|(_, row)| row).collect::<Vec<_>>();
    let header = header(runs);
    let (shown, hidden) = if runs.len() > 1 {
        ("that differ", "that are equal")
    } else {
        ("with other values than the default", "with their default")
    };
    format!(
        "<p class=\"soft\">Settings {shown}</p>{}<details><summary>Settings {hidden}</summary>{}</details>",
        table(header.as_deref(), &rows(first)),
        table(header.as_deref(), &rows(rest))
    )
}
