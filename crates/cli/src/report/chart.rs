//! Line charts as SVG. They need no script: the legend is text, and a marker shows its value when the pointer rests on
//! it.

use std::fmt::Write;

use super::html::escape;

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 230.0;
const LEFT: f64 = 58.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 26.0;

/// Points of a line. More cannot be told apart.
const MOST_POINTS: usize = 500;

/// Colours of `style.css`.
const COLOURS: usize = 8;

/// A line.
pub(super) struct Series {
    pub(super) name: String,
    /// Step and value. `None`: the value was not finite.
    pub(super) points: Vec<(u64, Option<f64>)>,
}

/// How a chart draws its lines.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// Noisy values: a smoothed line over the faint original. The axis is logarithmic if the values span a decade.
    Noisy,
    /// As they are, from zero.
    FromZero,
    /// With a marker per value.
    Marked,
}

/// A chart with its title and legend. Empty if no series has a value.
pub(super) fn chart(title: &str, unit: &str, series: &[Series], style: Style) -> String {
    let values: Vec<f64> = finite(series).map(|(_, value)| value).collect();
    let steps = || series.iter().flat_map(|series| &series.points).map(|(step, _)| *step);
    let (Some(low), Some(high)) =
        (values.iter().copied().reduce(f64::min), values.iter().copied().reduce(f64::max))
    else {
        return String::new();
    };
    let logarithmic = style == Style::Noisy && low > 0.0 && high / low > 10.0;
    let low = if style == Style::FromZero { low.min(0.0) } else { low };
    let axis = Axis::new(low, high, logarithmic);
    let (first, last) = (steps().min().unwrap_or(0) as f64, steps().max().unwrap_or(1) as f64);
    let x = |step: f64| LEFT + (WIDTH - LEFT - RIGHT) * (step - first) / (last - first).max(1.0);
    let y = |value: f64| TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - axis.place(value));
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
        escape(&format!("{title} over the steps"))
    );
    for tick in &axis.ticks {
        let (place, text) = (y(*tick), number(*tick));
        let right = WIDTH - RIGHT;
        write!(
            svg,
            "<path class=\"grid\" d=\"M{LEFT} {place:.1}H{right}\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>",
            LEFT - 6.0,
            place + 4.0
        )
        .expect("text grows");
    }
    // Steps are whole numbers.
    for tick in ticks(first, last, 6).into_iter().filter(|tick| tick.fract() == 0.0) {
        let place = x(tick);
        let base = HEIGHT - 8.0;
        let text = number(tick);
        write!(svg, "<text x=\"{place:.1}\" y=\"{base}\" text-anchor=\"middle\">{text}</text>")
            .expect("text grows");
    }
    for (index, series) in series.iter().enumerate() {
        svg += &line(series, index % COLOURS, style, &x, &y);
    }
    svg += "</svg>";
    let not_finite =
        series.iter().flat_map(|series| &series.points).filter(|(_, value)| value.is_none()).count();
    let legend: String = series
        .iter()
        .enumerate()
        .filter(|(_, one)| series.len() > 1 || one.name != title)
        .map(|(index, one)| format!("<span class=\"key c{}\">{}</span>", index % COLOURS, escape(&one.name)))
        .collect();
    let unit = if unit.is_empty() { String::new() } else { format!(" <small>{}</small>", escape(unit)) };
    let note = match not_finite {
        0 => String::new(),
        _ => format!("<p class=\"bad\">{not_finite} of the logged values are not finite (red ticks).</p>"),
    };
    format!(
        "<figure class=\"chart\"><figcaption><b>{}</b>{unit}<span>{legend}</span></figcaption>{svg}{note}</figure>\n",
        escape(title)
    )
}

fn finite(series: &[Series]) -> impl Iterator<Item = (u64, f64)> {
    let points = series.iter().flat_map(|series| &series.points);
    points.filter_map(|(step, value)| value.filter(|value| value.is_finite()).map(|value| (*step, value)))
}

fn line(
    series: &Series,
    colour: usize,
    style: Style,
    x: &dyn Fn(f64) -> f64,
    y: &dyn Fn(f64) -> f64,
) -> String {
    let mut svg = String::new();
    let points: Vec<(u64, f64)> = finite(std::slice::from_ref(series)).collect();
    let path = |points: &[(f64, f64)]| {
        let places = points.iter().map(|(step, value)| format!("{:.1} {:.1}", x(*step), y(*value)));
        format!("M{}", places.collect::<Vec<_>>().join("L"))
    };
    let thinned = thin(&points);
    if style == Style::Noisy && points.len() > 20 {
        let smooth = thin(&smoothed(&points));
        write!(
            svg,
            "<path class=\"line faint c{colour}\" d=\"{}\"/><path class=\"line c{colour}\" d=\"{}\"/>",
            path(&thinned),
            path(&smooth)
        )
        .expect("text grows");
    } else if !thinned.is_empty() {
        write!(svg, "<path class=\"line c{colour}\" d=\"{}\"/>", path(&thinned)).expect("text grows");
    }
    if style == Style::Marked || points.len() == 1 {
        for (step, value) in &points {
            let title = format!("{}: {} at step {step}", series.name, number(*value));
            write!(
                svg,
                "<circle class=\"mark c{colour}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"3.5\"><title>{}</title></circle>",
                x(*step as f64),
                y(*value),
                escape(&title)
            )
            .expect("text grows");
        }
    }
    let base = HEIGHT - BOTTOM;
    for (step, _) in series.points.iter().filter(|(_, value)| value.is_none()).take(MOST_POINTS) {
        write!(svg, "<path class=\"tick\" d=\"M{:.1} {base}v-7\"/>", x(*step as f64)).expect("text grows");
    }
    svg
}

/// An exponential moving average over a fiftieth of the points.
fn smoothed(points: &[(u64, f64)]) -> Vec<(u64, f64)> {
    let keep = 1.0 - 1.0 / (points.len() as f64 / 50.0).max(2.0);
    let (mut sum, mut weight) = (0.0, 0.0);
    let next = |&(step, value): &(u64, f64)| {
        sum = keep * sum + (1.0 - keep) * value;
        weight = keep * weight + (1.0 - keep);
        (step, sum / weight)
    };
    points.iter().map(next).collect()
}

/// At most [`MOST_POINTS`] points: means of neighbours.
fn thin(points: &[(u64, f64)]) -> Vec<(f64, f64)> {
    let size = points.len().div_ceil(MOST_POINTS).max(1);
    let mean = |chunk: &[(u64, f64)]| {
        let count = chunk.len() as f64;
        let (step, value) =
            chunk.iter().fold((0.0, 0.0), |(s, v), (step, value)| (s + *step as f64, v + value));
        (step / count, value / count)
    };
    points.chunks(size).map(mean).collect()
}

/// The vertical axis.
struct Axis {
    low: f64,
    high: f64,
    logarithmic: bool,
    ticks: Vec<f64>,
}

impl Axis {
    fn new(low: f64, high: f64, logarithmic: bool) -> Self {
        if logarithmic {
            let (low, high) = (low.log10(), high.log10());
            let space = 0.03 * (high - low);
            let (low, high) = (low - space, high + space);
            let decades = (low.floor() as i32)..=(high.ceil() as i32);
            let factors: &[f64] = if high - low < 2.0 { &[1.0, 2.0, 5.0] } else { &[1.0] };
            let all =
                decades.flat_map(|decade| factors.iter().map(move |factor| factor * 10f64.powi(decade)));
            let ticks = all.filter(|tick| (low..=high).contains(&tick.log10())).collect();
            return Self { low, high, logarithmic, ticks };
        }
        let space = if high > low { 0.05 * (high - low) } else { 0.5 * high.abs().max(1e-9) };
        let low = if low == 0.0 { 0.0 } else { low - space };
        let high = high + space;
        Self { low, high, logarithmic, ticks: ticks(low, high, 5) }
    }

    /// The place of a value, from 0 at the bottom to 1 at the top.
    fn place(&self, value: f64) -> f64 {
        let value = if self.logarithmic { value.log10() } else { value };
        (value - self.low) / (self.high - self.low)
    }
}

/// About `count` round numbers from `low` to `high`.
fn ticks(low: f64, high: f64, count: usize) -> Vec<f64> {
    let rough = (high - low).max(1e-12) / count as f64;
    let decade = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * decade).into_iter().find(|step| *step >= rough);
    let step = step.unwrap_or(decade);
    let first = (low / step).ceil() as i64;
    let last = (high / step).floor() as i64;
    (first..=last).map(|index| index as f64 * step).collect()
}

/// A short form of a number.
pub(super) fn number(value: f64) -> String {
    let size = value.abs();
    let (value, suffix) = match size {
        1e9.. => (value / 1e9, "G"),
        1e6..1e9 => (value / 1e6, "M"),
        1e4..1e6 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    if size > 0.0 && size < 1e-3 {
        return format!("{value:.1e}");
    }
    let digits = if value.abs() < 0.1 {
        4
    } else if value.abs() < 100.0 {
        2
    } else {
        1
    };
    let text = format!("{value:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{}{suffix}", if text == "-0" { "0" } else { text })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(points: Vec<(u64, Option<f64>)>) -> Vec<Series> {
        vec![Series { name: "a <b>".into(), points }]
    }

    #[test]
    fn a_chart_survives_values_that_are_not_finite() {
        let points = (1..=2000).map(|n| (n, (n % 7 != 0).then(|| 100.0 / n as f64))).collect();
        let svg = chart("loss", "", &series(points), Style::Noisy);
        assert!(svg.contains("not finite") && svg.contains("a &lt;b&gt;"));
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        assert_eq!(chart("loss", "", &series(vec![(1, None), (2, Some(f64::NAN))]), Style::Noisy), "");
        assert_eq!(chart("loss", "", &[], Style::Marked), "");
    }

    #[test]
    fn equal_values_and_a_single_step_have_a_place() {
        for points in [vec![(5, Some(0.0))], vec![(5, Some(3.0))], vec![(1, Some(-2.0)), (9, Some(-2.0))]] {
            for style in [Style::Noisy, Style::FromZero, Style::Marked] {
                let svg = chart("uSDR", "dB", &series(points.clone()), style);
                assert!(!svg.is_empty() && !svg.contains("NaN") && !svg.contains("inf"), "{svg}");
            }
        }
    }

    #[test]
    fn numbers_are_short_and_ticks_round() {
        let numbers = [0.0, 12_000.0, 7.126, 0.0005, -7.5, 1.5e9].map(number);
        assert_eq!(numbers, ["0", "12k", "7.13", "5.0e-4", "-7.5", "1.5G"]);
        assert_eq!(ticks(0.0, 10.0, 5), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(ticks(-3.0, 1.0, 4), [-3.0, -2.0, -1.0, 0.0, 1.0]);
    }
}
