//! How a line stands in a file: one line of tab-separated fields, the text last.

use std::borrow::Cow;
use std::fmt::Write;

use jiff::Timestamp;

use super::{Entry, Line, Source};

/// Bytes of one line's text; what is longer is cut. Heroku's bound.
const LONGEST: usize = 10_000;

/// Appends a line to `out`.
pub(super) fn write(out: &mut String, id: i64, entry: &Entry) {
    let source = match entry.source {
        Source::App => 'a',
        Source::Slipway => 's',
    };
    let Entry { at, process, kind, cursor, text, .. } = entry;
    let at = at.as_nanosecond();
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{id}\t{at}\t{source}\t{process}\t{kind}\t{cursor}\t{text}");
}

/// Reads a line back; `None` for what is not one.
pub(super) fn parse(line: &str) -> Option<Line> {
    let mut fields = line.splitn(7, '\t');
    let mut next = || fields.next();
    let id = next()?.parse().ok()?;
    let at = Timestamp::from_nanosecond(next()?.parse().ok()?).ok()?;
    let source = match next()? {
        "a" => Source::App,
        "s" => Source::Slipway,
        _ => return None,
    };
    let [process, kind, cursor] = [next()?, next()?, next()?].map(str::to_owned);
    let text = next()?.to_owned();
    Some(Line { id, entry: Entry { at, source, process, kind, cursor, text } })
}

/// The number at the start of a line, without reading the rest.
pub(super) fn id_of(line: &str) -> Option<i64> {
    line.split('\t').next()?.parse().ok()
}

/// A process' text as it may stand in a log: no control character but tabs, no terminal's escape sequence, no more than
/// 10,000 bytes.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    let cut = text.floor_char_boundary(LONGEST);
    let text = &text[..cut];
    let bad = |c: char| c.is_control() && c != '\t';
    if text.contains(bad) { Cow::Owned(without_escapes(text)) } else { Cow::Borrowed(text) }
}

fn without_escapes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' if chars.peek() == Some(&'[') => {
                // A control sequence ends with a letter or one of `@[\]^_`{|}~`.
                chars.next();
                while chars.next_if(|c| !('\u{40}'..='\u{7e}').contains(c)).is_some() {}
                chars.next();
            }
            '\t' => out.push(c),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_back(text in ".{0,40}", id in 0i64.., nanoseconds in 0i64..) {
            let entry = Entry {
                at: Timestamp::from_nanosecond(nanoseconds.into()).expect("a time"),
                source: Source::App,
                process: "web.1".to_owned(),
                kind: "web".to_owned(),
                cursor: String::new(),
                text: clean(&text).into_owned(),
            };
            let mut out = String::new();
            write(&mut out, id, &entry);
            prop_assert_eq!(out.matches('\n').count(), 1);
            prop_assert_eq!(id_of(&out), Some(id));
            prop_assert_eq!(parse(out.trim_end_matches('\n')), Some(Line { id, entry }));
        }
    }

    #[test]
    fn colours_and_controls_are_taken_out_and_tabs_stay() {
        assert_eq!(clean("a\tb"), "a\tb");
        assert_eq!(clean("\u{1b}[1;31mred\u{1b}[0m \u{7}x\r"), "red x");
        assert_eq!(clean(&"ä".repeat(6000)).len(), 10_000);
    }
}
