//! Charts as SVG, drawn on the server: a line or stacked bars, numbers on hover, and the same as a table beside it.

use std::fmt::Write;

/// The drawing's own units.
const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 120.0;
/// Above the highest value, so that its line is seen whole.
const AIR: f64 = 4.0;

/// A value of one slot, or none where nothing was measured; slots stand for equal stretches of time.
pub(super) struct Point {
    /// When it was, as people say it.
    pub(super) when: String,
    pub(super) value: Option<f64>,
}

/// What is drawn, ready for `chart.html`.
pub(super) struct Chart {
    pub(super) title: &'static str,
    /// What it says in a sentence, for those who cannot see it as well.
    pub(super) summary: String,
    pub(super) top: String,
    pub(super) first: String,
    pub(super) last: String,
    /// What the line is made of; nothing of bars.
    pub(super) line: String,
    pub(super) slots: Vec<Slot>,
    /// What the colours of bars mean: a class of the style sheet, and its name.
    pub(super) key: Vec<(String, String)>,
    pub(super) head: Vec<String>,
    pub(super) rows: Vec<Vec<String>>,
}

/// What shows its numbers when it is pointed at.
pub(super) struct Slot {
    pub(super) x: String,
    pub(super) width: String,
    pub(super) said: String,
    pub(super) bars: Vec<Bar>,
}

pub(super) struct Bar {
    pub(super) look: String,
    pub(super) y: String,
    pub(super) height: String,
}

/// A part of a stacked bar.
pub(super) struct Part {
    /// Its class in the style sheet.
    pub(super) look: String,
    pub(super) name: String,
    pub(super) value: f64,
}

/// Values over time as a line; `say` writes one with its unit.
pub(super) fn line(title: &'static str, points: &[Point], say: impl Fn(f64) -> String) -> Chart {
    let known: Vec<f64> = points.iter().filter_map(|point| point.value).collect();
    let (top, scale) = scale_of(known.iter().copied());
    let step = WIDTH / as_float(points.len().max(1));
    let mut path = String::new();
    let mut pen_is_down = false;
    let mut slots = Vec::new();
    for (place, point) in points.iter().enumerate() {
        let left = as_float(place) * step;
        let Some(value) = point.value else {
            pen_is_down = false;
            continue;
        };
        let (right, y) = (left + step, HEIGHT - value * scale);
        // Level for as long as the slot is. Writing to a string cannot fail.
        let _ = match pen_is_down {
            true => write!(path, "V{y:.1}H{right:.1}"),
            false => write!(path, "M{left:.1} {y:.1}H{right:.1}"),
        };
        pen_is_down = true;
        let said = format!("{}: {}", point.when, say(value));
        let below = Bar { look: "below".to_owned(), y: round(y), height: round(HEIGHT - y) };
        slots.push(Slot { x: round(left), width: round(step), said, bars: vec![below] });
    }
    let summary = match (known.iter().copied().reduce(f64::min), known.last()) {
        (Some(least), Some(last)) => format!("Now {}; from {} to {}", say(*last), say(least), say(top)),
        _ => "Nothing was measured in this time".to_owned(),
    };
    let rows = points.iter().filter_map(|point| Some(vec![point.when.clone(), say(point.value?)]));
    Chart {
        title,
        summary,
        top: say(top),
        first: points.first().map(|point| point.when.clone()).unwrap_or_default(),
        last: points.last().map(|point| point.when.clone()).unwrap_or_default(),
        line: path,
        slots,
        key: Vec::new(),
        head: vec!["Time (UTC)".to_owned(), title.to_owned()],
        rows: rows.collect(),
    }
}

/// Bars side by side, each a stack of parts from below to above.
pub(super) fn bars(
    title: &'static str,
    (column, summary): (&'static str, String),
    stacks: &[(String, Vec<Part>)],
    say: impl Fn(f64) -> String,
) -> Chart {
    let sum = |parts: &[Part]| parts.iter().map(|part| part.value).sum::<f64>();
    let (top, scale) = scale_of(stacks.iter().map(|(_, parts)| sum(parts)));
    let step = WIDTH / as_float(stacks.len().max(1));
    let mut key = Vec::new();
    let mut head = vec![column.to_owned()];
    for part in stacks.iter().flat_map(|(_, parts)| parts) {
        if !head.contains(&part.name) {
            head.push(part.name.clone());
            key.push((part.look.clone(), part.name.clone()));
        }
    }
    let slots = stacks.iter().enumerate().map(|(place, (name, parts))| {
        let mut below = HEIGHT;
        let bars = parts.iter().filter(|part| part.value > 0.0).map(|part| {
            let height = part.value * scale;
            below -= height;
            Bar { look: part.look.clone(), y: round(below), height: round(height) }
        });
        let bars = bars.collect();
        let told = parts.iter().map(|part| format!("{} {}", part.name, say(part.value)));
        let said = format!("{name}: {}", told.collect::<Vec<_>>().join(", "));
        Slot { x: round(as_float(place) * step + step * 0.1), width: round(step * 0.8), said, bars }
    });
    let rows = stacks.iter().map(|(name, parts)| {
        let value = |title: &String| {
            parts
                .iter()
                .find(|part| part.name == *title)
                .map_or_else(|| "–".to_owned(), |part| say(part.value))
        };
        std::iter::once(name.clone()).chain(head.iter().skip(1).map(value)).collect()
    });
    Chart {
        title,
        summary,
        top: say(top),
        first: stacks.first().map(|(name, _)| name.clone()).unwrap_or_default(),
        last: stacks.last().map(|(name, _)| name.clone()).unwrap_or_default(),
        line: String::new(),
        slots: slots.collect(),
        rows: rows.collect(),
        key,
        head,
    }
}

/// The highest value, and how many units of the drawing one is.
fn scale_of(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let top = values.fold(0.0, f64::max);
    (top, if top > 0.0 { (HEIGHT - AIR) / top } else { 0.0 })
}

#[expect(clippy::cast_precision_loss, reason = "a chart has a few hundred slots")]
fn as_float(count: usize) -> f64 {
    count as f64
}

fn round(value: f64) -> String {
    format!("{value:.1}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(when: &str, value: Option<f64>) -> Point {
        Point { when: when.to_owned(), value }
    }

    #[test]
    fn a_line_breaks_where_nothing_was_measured() {
        let points = [point("1", Some(2.0)), point("2", Some(4.0)), point("3", None), point("4", Some(0.0))];
        let chart = line("Memory", &points, |value| format!("{value} MB"));
        assert_eq!(chart.line, "M0.0 62.0H150.0V4.0H300.0M450.0 120.0H600.0");
        assert_eq!(chart.summary, "Now 0 MB; from 0 MB to 4 MB");
        assert_eq!(chart.rows.len(), 3);
        assert_eq!((chart.slots[1].x.as_str(), chart.slots[1].said.as_str()), ("150.0", "2: 4 MB"));
        assert!(line("Memory", &[point("1", None)], |_| String::new()).summary.starts_with("Nothing"));
    }

    #[test]
    fn parts_are_stacked_and_named_in_key_and_table() {
        let part =
            |look: &str, name: &str, value| Part { look: look.to_owned(), name: name.to_owned(), value };
        let stacks = [
            ("Mon".to_owned(), vec![part("good", "released", 3.0), part("bad", "failed", 1.0)]),
            ("Tue".to_owned(), vec![part("good", "released", 2.0)]),
        ];
        let chart = bars("Deploys", ("Day", String::new()), &stacks, |value| value.to_string());
        let heights: Vec<&str> = chart.slots[0].bars.iter().map(|bar| bar.height.as_str()).collect();
        assert_eq!(heights, ["87.0", "29.0"]);
        assert_eq!((chart.slots[0].bars[1].y.as_str(), chart.slots[0].x.as_str()), ("4.0", "30.0"));
        assert_eq!(chart.slots[0].said, "Mon: released 3, failed 1");
        assert_eq!(chart.head, ["Day", "released", "failed"]);
        assert_eq!(chart.rows[1], ["Tue", "2", "–"]);
    }
}
