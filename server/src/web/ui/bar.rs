//! The stages of a build as one small bar: a picture, and the same in words.

use super::text::duration;

/// How wide a bar is, in its own units.
const WIDTH: f64 = 100.0;
/// A stage that took next to nothing is still to be seen.
const LEAST: f64 = 1.0;

/// Empty where nothing was built.
#[derive(Debug, Clone, Default)]
pub(super) struct Bar {
    pub(super) parts: Vec<Part>,
    /// `build 3.1 s, push 0.4 s`.
    pub(super) words: String,
}

#[derive(Debug, Clone)]
pub(super) struct Part {
    /// Of the style sheet: fixed words only.
    pub(super) class: &'static str,
    pub(super) words: String,
    pub(super) left: String,
    pub(super) width: String,
}

impl Bar {
    /// Of stages that have ended, in their order, with their seconds.
    pub(super) fn of(stages: Vec<(String, f64)>) -> Self {
        let lengths = stages.iter().map(|(_, seconds)| seconds.max(0.0));
        let whole = lengths.clone().sum::<f64>().max(0.001);
        let widths: Vec<f64> = lengths.map(|length| (length / whole * WIDTH).max(LEAST)).collect();
        // What the smallest were given is taken from all alike.
        let scale = WIDTH / widths.iter().sum::<f64>().max(WIDTH);
        let mut left = 0.0;
        let mut parts = Vec::with_capacity(stages.len());
        for ((name, seconds), width) in stages.into_iter().zip(widths) {
            let width = width * scale;
            parts.push(Part {
                class: class(&name),
                words: format!("{name} {}", duration(seconds)),
                left: format!("{left:.1}"),
                width: format!("{width:.1}"),
            });
            left += width;
        }
        let words = parts.iter().map(|part| part.words.as_str()).collect::<Vec<_>>().join(", ");
        Self { parts, words }
    }
}

fn class(stage: &str) -> &'static str {
    match stage {
        "build" => "build",
        "push" => "push",
        "deploy" => "deploy",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_whole_and_its_smallest_part_is_seen() {
        let stages = [("snapshot", 0.0), ("build", 9.0), ("deploy", 3.0)];
        let bar = Bar::of(stages.map(|(name, seconds)| (name.to_owned(), seconds)).to_vec());
        assert_eq!(bar.words, "snapshot 0.0 s, build 9.0 s, deploy 3.0 s");
        let widths: Vec<f64> = bar.parts.iter().map(|part| part.width.parse().expect("a number")).collect();
        assert!(widths[0] > 0.9 && (widths.iter().sum::<f64>() - WIDTH).abs() < 0.2, "{widths:?}");
        assert_eq!((bar.parts[1].class, bar.parts[0].class), ("build", "other"));
        assert!(Bar::of(Vec::new()).parts.is_empty());
    }
}
