//! Which series of a runtime an app gets: what it asks for against what there are base images of.
//!
//! A series is the part of a version that base images are tagged with (`22` for Node.js, `3.13` for Python). The image of a
//! series holds its newest patch, so a requirement is met by a series if its newest patch meets it.

use std::cmp::Ordering;
use std::fmt;

/// The leading numbers of a version: `[3, 13]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Series(Vec<u64>);

impl Series {
    /// Reads `22` or `3.13`; `None` if it holds anything but numbers and dots.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let numbers: Option<Vec<u64>> = text.split('.').map(|part| part.parse().ok()).collect();
        numbers.filter(|numbers| !numbers.is_empty()).map(Self)
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.0.iter().map(u64::to_string).collect();
        f.write_str(&parts.join("."))
    }
}

/// What `~` before a version leaves open; package managers differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tilde {
    /// npm, Cargo: `~1.2` is 1.2.x.
    Patch,
    /// Composer, RubyGems' `~>`, Python's `~=`: `~1.2` is 1.x from 1.2.
    LastGiven,
}

/// What an app asks for, as alternatives of conditions that hold together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Requirement(Vec<Vec<Condition>>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Condition {
    AtLeast(Vec<u64>),
    Above(Vec<u64>),
    AtMost(Vec<u64>),
    Below(Vec<u64>),
    /// Starts with these numbers; none of them means any version.
    Like(Vec<u64>),
    Unlike(Vec<u64>),
}

impl Requirement {
    /// Understands the ranges of npm, PEP 440, RubyGems, Composer and Cargo as far as runtimes are asked for with them.
    pub(crate) fn parse(text: &str, tilde: Tilde) -> Option<Self> {
        let alternatives = text.replace("||", "|");
        let read: Option<Vec<_>> = alternatives.split('|').map(|part| conditions(part, tilde)).collect();
        read.filter(|alternatives| alternatives.iter().any(|conditions| !conditions.is_empty())).map(Self)
    }

    pub(crate) fn is_met_by(&self, series: &Series) -> bool {
        self.0.iter().any(|all| all.iter().all(|condition| condition.is_met_by(&series.0)))
    }
}

impl Condition {
    fn is_met_by(&self, series: &[u64]) -> bool {
        match self {
            Self::AtLeast(bound) => newest_against(series, bound) != Ordering::Less,
            Self::Above(bound) => {
                newest_against(series, bound) != Ordering::Less && series != bound.as_slice()
            }
            Self::AtMost(bound) => truncated(series, bound) != Ordering::Greater,
            Self::Below(bound) => newest_against(series, bound) == Ordering::Less,
            Self::Like(wanted) => starts_like(series, wanted),
            Self::Unlike(unwanted) => unwanted.len() > series.len() || !starts_like(series, unwanted),
        }
    }
}

/// Compares a series' newest patch with a version.
fn newest_against(series: &[u64], bound: &[u64]) -> Ordering {
    for (index, wanted) in bound.iter().enumerate() {
        match series.get(index) {
            // The newest patch is above any that is named.
            None => return Ordering::Greater,
            Some(number) if number != wanted => return number.cmp(wanted),
            Some(_) => {}
        }
    }
    // `3.13` is above the bound `3`: it is 3.0.0 in full. The bound itself counts as reached.
    if series.len() > bound.len() && series[bound.len()..].iter().any(|number| *number > 0) {
        return Ordering::Greater;
    }
    Ordering::Equal
}

/// Compares as many numbers as both have: `<=3.12` admits all of 3.12.
fn truncated(series: &[u64], bound: &[u64]) -> Ordering {
    let length = series.len().min(bound.len());
    series[..length].cmp(&bound[..length])
}

fn starts_like(series: &[u64], wanted: &[u64]) -> bool {
    let length = series.len().min(wanted.len());
    series[..length] == wanted[..length]
}

fn conditions(text: &str, tilde: Tilde) -> Option<Vec<Condition>> {
    if let Some((low, high)) = text.split_once(" - ") {
        return Some(vec![Condition::AtLeast(numbers(low)?), Condition::AtMost(numbers(high)?)]);
    }
    let mut all = Vec::new();
    let mut operator = String::new();
    for word in text.split([',', ' ', '\t']).filter(|word| !word.is_empty()) {
        let version = word.trim_start_matches(['<', '>', '=', '!', '~', '^']);
        operator.push_str(&word[..word.len() - version.len()]);
        // An operator may stand apart from its version: `>= 18`.
        if !version.is_empty() {
            all.extend(meant(&operator, numbers(version)?, tilde)?);
            operator.clear();
        }
    }
    operator.is_empty().then_some(all)
}

/// What an operator asks of a version.
fn meant(operator: &str, version: Vec<u64>, tilde: Tilde) -> Option<Vec<Condition>> {
    let kept = match operator {
        // The first number that is not 0 is kept.
        "^" => version.iter().position(|number| *number > 0).map_or(version.len(), |at| at + 1),
        "~" if tilde == Tilde::Patch => version.len().min(2),
        "~" | "~>" | "~=" => version.len().saturating_sub(1).max(1),
        _ => return compared(operator, version).map(|condition| vec![condition]),
    };
    let alike = Condition::Like(version[..kept.min(version.len())].to_vec());
    Some(vec![alike, Condition::AtLeast(version)])
}

fn compared(operator: &str, version: Vec<u64>) -> Option<Condition> {
    Some(match operator {
        ">=" => Condition::AtLeast(version),
        ">" => Condition::Above(version),
        "<=" => Condition::AtMost(version),
        "<" => Condition::Below(version),
        "" | "=" | "==" | "===" => Condition::Like(version),
        "!=" => Condition::Unlike(version),
        _ => return None,
    })
}

/// `v20.11.1-rc1` as [20, 11, 1]; `20.x` and `20.*` as [20]; `*` as [].
fn numbers(text: &str) -> Option<Vec<u64>> {
    let text = text.trim().trim_start_matches('v');
    let text = text.split(['-', '+']).next().unwrap_or(text);
    let mut numbers = Vec::new();
    for part in text.split('.') {
        if matches!(part, "x" | "X" | "*") {
            return Some(numbers);
        }
        let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
        numbers.push(digits.parse().ok()?);
    }
    Some(numbers)
}

/// A runtime's version as chosen for an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    pub series: Series,
    /// Where the choice comes from: a file, or that nothing was asked for.
    pub from: String,
}

/// The newest of `offered` that meets what is asked for; without a requirement the `default`, or the newest if the
/// default is not on offer.
pub(crate) fn choose(offered: &[Series], asked: Option<&Requirement>, default: &str) -> Option<Series> {
    match asked {
        Some(asked) => offered.iter().filter(|series| asked.is_met_by(series)).max().cloned(),
        None => {
            let default = Series::parse(default);
            offered.iter().find(|series| Some(*series) == default.as_ref()).or(offered.iter().max()).cloned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn met(requirement: &str, tilde: Tilde, series: &[&str]) -> Vec<String> {
        let requirement = Requirement::parse(requirement, tilde).expect("parses");
        let all = series.iter().filter_map(|text| Series::parse(text));
        all.filter(|series| requirement.is_met_by(series)).map(|series| series.to_string()).collect()
    }

    #[test]
    fn ranges_of_npm() {
        let node = |text: &str| met(text, Tilde::Patch, &["18", "20", "22", "24"]);
        assert_eq!(node(">=20"), ["20", "22", "24"]);
        assert_eq!(node(">= 20.5.0 < 23"), ["20", "22"]);
        assert_eq!(node("^20.1.0"), ["20"]);
        assert_eq!(node("~22.3"), ["22"]);
        assert_eq!(node("18.x || 22"), ["18", "22"]);
        assert_eq!(node("18 - 20"), ["18", "20"]);
        assert_eq!(node("v20.11.1"), ["20"]);
        assert_eq!(node(">20"), ["22", "24"]);
        assert_eq!(node("*"), ["18", "20", "22", "24"]);
        assert_eq!(node("<22.5"), ["18", "20"]);
        assert_eq!(node("21"), Vec::<String>::new());
    }

    #[test]
    fn specifiers_of_python() {
        let python = |text: &str| met(text, Tilde::LastGiven, &["3.9", "3.11", "3.12", "3.13"]);
        assert_eq!(python(">=3.10,<3.13"), ["3.11", "3.12"]);
        assert_eq!(python("~=3.11"), ["3.11", "3.12", "3.13"]);
        assert_eq!(python("==3.12.*"), ["3.12"]);
        assert_eq!(python("<=3.12"), ["3.9", "3.11", "3.12"]);
        assert_eq!(python(">=3.9, !=3.9.7"), ["3.9", "3.11", "3.12", "3.13"]);
        assert_eq!(python("3.12.1"), ["3.12"]);
        assert_eq!(python(">=3"), ["3.9", "3.11", "3.12", "3.13"]);
        assert_eq!(python("<4"), ["3.9", "3.11", "3.12", "3.13"]);
        assert_eq!(python("^3.11"), ["3.11", "3.12", "3.13"]);
    }

    #[test]
    fn constraints_of_ruby_and_composer() {
        assert_eq!(met("~> 3.2", Tilde::LastGiven, &["3.1", "3.3", "4.0"]), ["3.3"]);
        assert_eq!(met("~> 3.2.0", Tilde::LastGiven, &["3.1", "3.2", "3.3"]), ["3.2"]);
        assert_eq!(met("^8.1|^9.0", Tilde::LastGiven, &["8.0", "8.2", "9.1"]), ["8.2", "9.1"]);
    }

    #[test]
    fn nonsense_is_no_requirement() {
        for text in ["", "latest", "lts/*", ">=", "3.x.y.z.q-", "=>3"] {
            assert_eq!(
                Requirement::parse(text, Tilde::Patch).filter(|_| text != "3.x.y.z.q-"),
                None,
                "{text}"
            );
        }
    }

    #[test]
    fn without_a_wish_the_default_is_taken_and_else_the_newest() {
        let offered: Vec<Series> =
            ["3.9", "3.13", "3.14"].iter().filter_map(|text| Series::parse(text)).collect();
        assert_eq!(choose(&offered, None, "3.13"), Series::parse("3.13"));
        assert_eq!(choose(&offered, None, "3.12"), Series::parse("3.14"));
    }
}
