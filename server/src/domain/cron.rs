//! `cron` of app.json: commands that are started by a clock. Pure.
//!
//! A schedule is what Kubernetes and every crontab read alike: five fields, their lists, ranges and steps, names of
//! months and days. What only some of them know is refused, so that an app runs at the same times wherever it runs.

use std::collections::BTreeSet;
use std::fmt;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

/// Entries of one app.
const MOST_ENTRIES: usize = 50;
/// Characters of an entry's name, which is part of the names of objects.
const LONGEST_NAME: usize = 30;
/// Where no time zone is named.
const USUAL_TIMEZONE: &str = "Etc/UTC";

const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const DAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
/// Words for whole schedules.
const WORDS: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

/// An entry as a release has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CronEntry {
    /// Its log is `cron.<name>`.
    pub(crate) name: String,
    pub(crate) command: String,
    /// Five fields.
    pub(crate) schedule: String,
    /// A name of IANA's.
    pub(crate) timezone: String,
}

/// An entry as app.json has it; Heroku's and Dokku's further keys are passed over.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Written {
    command: String,
    schedule: String,
    name: Option<String>,
    timezone: Option<String>,
}

/// Why an entry was refused; the text is for the user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("entry {place} of `cron` ({what}): {why}")]
pub(crate) struct BadEntry {
    /// From 1.
    place: usize,
    what: String,
    why: String,
}

/// When an entry is due.
#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    cron: Cron,
    timezone: TimeZone,
}

/// Reads all entries; those without a name get one of their command.
pub(crate) fn entries(written: Vec<Written>) -> Result<Vec<CronEntry>, BadEntry> {
    let mut taken = BTreeSet::new();
    let mut entries = Vec::new();
    for (index, one) in written.into_iter().enumerate() {
        let (place, what) = (index + 1, one.command.clone());
        let bad = |why: String| BadEntry { place, what: what.clone(), why };
        if index >= MOST_ENTRIES {
            return Err(bad(format!("an app has {MOST_ENTRIES} entries at most")));
        }
        entries.push(entry(one, &mut taken).map_err(bad)?);
    }
    Ok(entries)
}

fn entry(written: Written, taken: &mut BTreeSet<String>) -> Result<CronEntry, String> {
    let command = written.command.trim().to_owned();
    if command.is_empty() {
        return Err("its command is empty".to_owned());
    }
    let schedule = in_fields(&written.schedule)?;
    let timezone = written.timezone.unwrap_or_else(|| USUAL_TIMEZONE.to_owned());
    let parsed = Schedule::parse(&schedule, &timezone)?;
    if parsed.next_after(Timestamp::UNIX_EPOCH).is_none() {
        return Err(format!("`{schedule}` never comes: no such day is in the calendar"));
    }
    let name = match written.name {
        Some(name) => checked_name(name, taken)?,
        None => name_of(&command, taken),
    };
    taken.insert(name.clone());
    Ok(CronEntry { name, command, schedule, timezone })
}

fn checked_name(name: String, taken: &BTreeSet<String>) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let edges = name.starts_with('-') || name.ends_with('-');
    if name.is_empty() || name.len() > LONGEST_NAME || edges || !name.chars().all(fits) {
        return Err(format!(
            "`{name}` is no name of an entry: write {LONGEST_NAME} lower-case letters, digits and dashes at most"
        ));
    }
    if taken.contains(&name) {
        return Err(format!("two entries have the name `{name}`: give each its own"));
    }
    Ok(name)
}

/// `rake db:clean` is `rake-db-clean`.
fn name_of(command: &str, taken: &BTreeSet<String>) -> String {
    let lower = command.to_ascii_lowercase();
    let words = lower.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let mut name = words.collect::<Vec<_>>().join("-");
    // Room for a number.
    name.truncate(LONGEST_NAME - 3);
    let name = name.trim_end_matches('-');
    let name = if name.is_empty() { "entry" } else { name };
    let numbered = (2..).map(|number| format!("{name}-{number}"));
    std::iter::once(name.to_owned())
        .chain(numbered)
        .find(|name| !taken.contains(name))
        .expect("invariant: numbers do not end")
}

/// Five fields in capitals, whatever word stood for them.
fn in_fields(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.starts_with('@') {
        let word = WORDS.iter().find(|(word, _)| text.eq_ignore_ascii_case(word));
        return word.map(|(_, fields)| (*fields).to_owned()).ok_or_else(|| {
            let known: Vec<&str> = WORDS.iter().map(|(word, _)| *word).collect();
            format!(
                "there is no schedule `{text}`: there are five fields such as `*/5 * * * *`, and {}",
                known.join(", ")
            )
        });
    }
    let upper = text.to_ascii_uppercase();
    let fields: Vec<&str> = upper.split_whitespace().collect();
    if fields.len() != 5 {
        return Err(format!(
            "the schedule `{text}` has {} fields and not five: minute, hour, day of the month, month, day of the week",
            fields.len()
        ));
    }
    for (place, field) in fields.iter().enumerate() {
        let names: &[&str] = match place {
            3 => &MONTHS,
            4 => &DAYS,
            _ => &[],
        };
        let letters = field.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| !word.is_empty());
        let sevens = place == 4 && field.split([',', '-']).any(|day| day.split('/').next() == Some("7"));
        if sevens {
            return Err(format!("the schedule `{text}` has a day 7: Sunday is 0, or SUN"));
        }
        let signs = |c: char| c.is_ascii_alphanumeric() || "*,-/".contains(c);
        if let Some(word) = letters.into_iter().find(|word| !names.contains(word)) {
            return Err(format!(
                "the schedule `{text}` has `{word}`, which not every clock knows: write it in numbers"
            ));
        }
        if !field.chars().all(signs) {
            return Err(format!(
                "the schedule `{text}` has a sign that not every clock knows: there are * , - and /"
            ));
        }
    }
    Ok(fields.join(" "))
}

impl Schedule {
    /// The error is a text for the user.
    pub(crate) fn parse(fields: &str, timezone: &str) -> Result<Self, String> {
        let zone = TimeZone::get(timezone).ok().filter(|_| !timezone.eq_ignore_ascii_case("local"));
        let zone = zone.ok_or_else(|| {
            format!("there is no time zone `{timezone}`: write one by its name, such as Europe/Berlin")
        })?;
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let cron = parser
            .parse(fields)
            .map_err(|error| format!("the schedule `{fields}` cannot be read: {error}"))?;
        Ok(Self { cron, timezone: zone })
    }

    /// `None` if it never comes again.
    pub(crate) fn next_after(&self, at: Timestamp) -> Option<Timestamp> {
        let next = self.cron.find_next_occurrence(&at.to_zoned(self.timezone.clone()), false).ok()?;
        Some(next.timestamp())
    }

    /// The last time that was due from `from` on, and not after `now`.
    pub(crate) fn last_due(&self, from: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let previous = self.cron.find_previous_occurrence(&now.to_zoned(self.timezone.clone()), true).ok()?;
        Some(previous.timestamp()).filter(|previous| *previous >= from)
    }
}

impl CronEntry {
    pub(crate) fn parsed(&self) -> Result<Schedule, String> {
        Schedule::parse(&self.schedule, &self.timezone)
    }
}

impl fmt::Display for CronEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}", self.name, self.schedule)?;
        if self.timezone != USUAL_TIMEZONE {
            write!(f, " {}", self.timezone)?;
        }
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<CronEntry>, String> {
        entries(serde_json::from_str(text).expect("JSON")).map_err(|error| error.to_string())
    }

    fn refused(schedule: &str) -> String {
        read(&format!(r#"[{{ "command": "c", "schedule": "{schedule}" }}]"#)).expect_err(schedule)
    }

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn an_entry_has_the_name_of_its_command_unless_it_says_another() {
        let entries = read(
            r#"[{ "command": "rake db:clean", "schedule": "@daily" },
                { "command": "rake db:clean --all", "schedule": "*/5 * * * mon-fri", "name": "all", "timezone": "Europe/Berlin" },
                { "command": "rake db clean", "schedule": " 0  4 1,15 * * ", "concurrency_policy": "forbid" }]"#,
        )
        .expect("is read");
        let words: Vec<String> = entries.iter().map(ToString::to_string).collect();
        assert_eq!(
            words,
            [
                "rake-db-clean (0 0 * * *)",
                "all (*/5 * * * MON-FRI Europe/Berlin)",
                "rake-db-clean-2 (0 4 1,15 * *)"
            ]
        );
        let long = read(&format!(r#"[{{ "command": "{}", "schedule": "@daily" }}]"#, "ab/".repeat(40)));
        assert!(long.expect("is read")[0].name.len() <= LONGEST_NAME);
    }

    #[test]
    fn what_is_no_schedule_is_refused_with_the_entry_and_the_way_to_write_it() {
        for (schedule, words) in [
            ("every day", "entry 1 of `cron` (c): the schedule `every day` has 2 fields and not five"),
            ("0 0 * * * *", "has 6 fields"),
            ("@reboot", "there is no schedule `@reboot`"),
            ("61 * * * *", "cannot be read"),
            ("* * L * *", "`L`, which not every clock knows"),
            ("0 0 * * 7", "Sunday is 0"),
            ("0 0 ? * *", "a sign that not every clock knows"),
            ("0 0 30 2 *", "never comes"),
        ] {
            let said = refused(schedule);
            assert!(said.contains(words), "{said}");
        }
        let zone = read(r#"[{ "command": "c", "schedule": "@daily", "timezone": "Berlin" }]"#);
        assert!(zone.expect_err("no zone").contains("there is no time zone `Berlin`"));
        let names = r#"[{ "command": "c", "schedule": "@daily", "name": "a" }, { "command": "d", "schedule": "@daily", "name": "a" }]"#;
        assert!(read(names).expect_err("twice").contains("two entries have the name `a`"));
    }

    #[test]
    fn the_next_time_is_of_the_entrys_own_zone() {
        let berlin = Schedule::parse("30 6 * * *", "Europe/Berlin").expect("is read");
        assert_eq!(berlin.next_after(at("2026-07-01T00:00:00Z")), Some(at("2026-07-01T04:30:00Z")));
        assert_eq!(berlin.next_after(at("2026-12-01T05:30:00Z")), Some(at("2026-12-02T05:30:00Z")));
        // A day and a weekday: either will do, as in every crontab.
        let either = Schedule::parse("0 0 13 * FRI", "Etc/UTC").expect("is read");
        assert_eq!(either.next_after(at("2026-11-13T00:00:00Z")), Some(at("2026-11-20T00:00:00Z")));
    }

    #[test]
    fn of_what_was_due_meanwhile_the_last_counts() {
        let hourly = Schedule::parse("0 * * * *", "Etc/UTC").expect("is read");
        let (from, now) = (at("2026-01-01T01:00:00Z"), at("2026-01-01T05:10:00Z"));
        assert_eq!(hourly.last_due(from, now), Some(at("2026-01-01T05:00:00Z")));
        assert_eq!(hourly.last_due(at("2026-01-01T06:00:00Z"), now), None);
    }
}
