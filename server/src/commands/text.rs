//! Times and lists as people read them.

use jiff::Timestamp;

/// `2026/11/21 10:00:00 +0000 (~ 3m ago)`, as Heroku's.
pub(super) fn when(time: Timestamp) -> String {
    format!("{} (~ {} ago)", time.strftime("%Y/%m/%d %H:%M:%S +0000"), since(time, Timestamp::now()))
}

/// `12s`, `3m`, `2h`, `5d`.
pub(super) fn since(time: Timestamp, now: Timestamp) -> String {
    duration(now.as_second() - time.as_second())
}

/// Seconds in the largest unit that fits.
pub(super) fn duration(seconds: i64) -> String {
    match seconds {
        ..60 => format!("{}s", seconds.max(0)),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// The first seven characters of a commit.
pub(super) fn short(commit: &str) -> &str {
    commit.get(..7).unwrap_or(commit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_in_the_largest_unit() {
        for (seconds, text) in [(-5, "0s"), (0, "0s"), (59, "59s"), (60, "1m"), (7199, "1h"), (200_000, "2d")]
        {
            assert_eq!(duration(seconds), text);
        }
    }

    #[test]
    fn times_are_herokus() {
        let time = Timestamp::from_second(1_795_255_200).expect("in range");
        assert!(when(time).starts_with("2026/11/21 10:00:00 +0000 (~ "), "{}", when(time));
    }
}
