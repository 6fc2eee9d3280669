//! Looking for words in a build's log, on the server: the log may be longer than what a page shows of it.

use serde::Deserialize;
use sqlx::PgConnection;

use super::colours::{self, Line};
use crate::db::build_log;
use crate::domain::ids::BuildId;

/// Lines of a page.
const MOST: usize = 200;
/// Characters that are looked for; the rest of the words is passed over.
const LONGEST: usize = 200;

/// What is looked for; nothing without words.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Words {
    #[serde(default)]
    pub(super) q: String,
    /// A page's key: matches after this line.
    #[serde(default)]
    pub(super) after: String,
}

/// Lines with the words in them, in any case, with their numbers.
#[derive(Debug, Clone, Default)]
pub(super) struct Found {
    pub(super) words: String,
    pub(super) lines: Vec<(i64, Line)>,
    /// The key of the next page.
    pub(super) more: Option<i64>,
}

/// `None` if nothing is looked for.
pub(super) async fn search(
    conn: &mut PgConnection,
    build: BuildId,
    Words { q, after }: &Words,
) -> sqlx::Result<Option<Found>> {
    let words: String = q.trim().chars().take(LONGEST).collect();
    if words.is_empty() {
        return Ok(None);
    }
    let (needle, after) = (words.to_lowercase(), after.parse().unwrap_or(0));
    let mut lines = Vec::new();
    let (mut number, mut at, mut rest) = (0, 0, Vec::new());
    loop {
        let read = at + i64::try_from(rest.len()).unwrap_or(0);
        let text = build_log::read_from(conn, build, read).await?;
        let is_end = text.is_empty();
        rest.extend(text);
        let newline = rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
        let whole = if is_end { rest.len() } else { newline };
        for line in rest[..whole].split_inclusive(|byte| *byte == b'\n') {
            number += 1;
            if number > after && has(line, &needle) {
                if lines.len() == MOST {
                    let more = lines.last().map(|(number, _)| *number);
                    return Ok(Some(Found { words, lines, more }));
                }
                lines.extend(colours::lines(line, at).into_iter().map(|line| (number, line)));
            }
            at += i64::try_from(line.len()).unwrap_or(0);
        }
        rest.drain(..whole);
        if is_end {
            return Ok(Some(Found { words, lines, more: None }));
        }
    }
}

/// As people see the line: colours part no words.
fn has(line: &[u8], needle: &str) -> bool {
    let text = String::from_utf8_lossy(line);
    match text.contains('\u{1b}') {
        true => colours::plain(&text).to_lowercase().contains(needle),
        false => text.to_lowercase().contains(needle),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_in_any_case_and_across_colours() {
        assert!(has("an \u{1b}[31merr\u{1b}[1mor\u{1b}[0m of ours\n".as_bytes(), "error of"));
        assert!(has("ÄRGER".as_bytes(), "ärger") && !has(b"nothing", "error"));
        assert!(!has("\u{1b}[31mred".as_bytes(), "31m"), "an escape is no text");
    }
}
