//! How the page says times, durations and long names.

use std::fmt;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, civil};
use url::form_urlencoded;

use crate::web::error::ApiError;

/// A moment, as a `<time>` that says how long ago it was and, when asked, when exactly. Its text is ours: safe in HTML.
#[derive(Debug, Clone, Copy)]
pub(super) struct When {
    at: Timestamp,
    now: Timestamp,
}

impl When {
    pub(super) fn new(at: Timestamp) -> Self {
        Self { at, now: Timestamp::now() }
    }

    fn exactly(self) -> String {
        self.at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
    }

    fn roughly(self) -> String {
        let seconds = self.now.duration_since(self.at).as_secs();
        match seconds {
            ..60 => "just now".to_owned(),
            60..3600 => format!("{} min ago", seconds / 60),
            3600..86_400 => format!("{} h ago", seconds / 3600),
            86_400..172_800 => "yesterday".to_owned(),
            172_800..2_592_000 => format!("{} days ago", seconds / 86_400),
            _ => self.at.strftime("%Y-%m-%d").to_string(),
        }
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (machine, exactly) = (self.at.strftime("%Y-%m-%dT%H:%M:%SZ"), self.exactly());
        write!(f, "<time datetime=\"{machine}\" title=\"{exactly}\">{}</time>", self.roughly())
    }
}

/// `4.2 s`, `3 min 5 s`.
pub(super) fn duration(seconds: f64) -> String {
    if seconds < 60.0 {
        return format!("{:.1} s", seconds.max(0.0));
    }
    let whole = SignedDuration::from_secs_f64(seconds).as_secs();
    match whole {
        ..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole / 60 % 60),
    }
}

/// The first of a commit's or a digest's characters.
pub(super) fn short(id: &str) -> String {
    match id.strip_prefix("sha256:") {
        Some(digest) => digest.chars().take(12).collect(),
        None => id.chars().take(8).collect(),
    }
}

/// A day that somebody has filtered by, in UTC; nothing is no filter.
pub(super) fn day(text: &str) -> Result<Option<civil::Date>, ApiError> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    text.trim().parse().map(Some).map_err(|_| {
        ApiError::InvalidParams("a date is a year, a month and a day, such as 2026-03-31".to_owned())
    })
}

/// The first moment of a day in UTC.
pub(super) fn begin_of(day: civil::Date) -> Option<Timestamp> {
    day.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

/// The first moment after a day in UTC.
pub(super) fn end_of(day: civil::Date) -> Option<Timestamp> {
    day.tomorrow().ok().and_then(begin_of)
}

/// `?a=b&c=d` of what is not empty.
pub(super) fn query(pairs: &[(&str, &str)]) -> String {
    let mut text = form_urlencoded::Serializer::for_suffix("?".to_owned(), 1);
    text.extend_pairs(pairs.iter().filter(|(_, value)| !value.is_empty()));
    text.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_as_people_would() {
        let at: Timestamp = "2026-03-31T12:00:00Z".parse().unwrap();
        let said = |seconds: i64| When { at, now: at + SignedDuration::from_secs(seconds) }.roughly();
        assert_eq!(
            [0, 61, 7200, 90_000, 259_200, 9_999_999].map(said),
            ["just now", "1 min ago", "2 h ago", "yesterday", "3 days ago", "2026-03-31"]
        );
        let whole = When { at, now: at }.to_string();
        assert_eq!(
            whole,
            "<time datetime=\"2026-03-31T12:00:00Z\" title=\"2026-03-31 12:00:00 UTC\">just now</time>"
        );
        assert_eq!([4.24, 185.0, 3700.0].map(duration), ["4.2 s", "3 min 5 s", "1 h 1 min"]);
    }

    #[test]
    fn days_are_read_and_queries_written() {
        assert!(day("").unwrap().is_none() && day("31.3.2026").is_err());
        let last = day("2026-03-31").unwrap().unwrap();
        assert_eq!(end_of(last).unwrap(), "2026-04-01T00:00:00Z".parse().unwrap());
        assert_eq!(query(&[("a", "x&y"), ("b", ""), ("c", "ü")]), "?a=x%26y&c=%C3%BC");
    }
}
