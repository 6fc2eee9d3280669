//! The output of what nobody waits for, in the app's log.
//!
//! Invariant: no line is told twice. The cursor of a ring counts the lines of the batch that stand there, so that one that
//! is followed again, from its beginning, goes on behind them.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::domain::batch::BatchKind;
use crate::domain::ids::BatchId;
use crate::journal::{AppJournal, Entry, Source, clean};
use crate::target::batch::Batch;

/// Bytes of a line without an end that are kept until it is cut.
const LONGEST_LINE: usize = 64 * 1024;

/// Puts lines into the app's log that do not stand there yet.
pub(super) async fn keep(journal: &Arc<AppJournal>, batch: &Batch, mut chunks: mpsc::Receiver<Bytes>) {
    let kind = batch.dyno.split('.').next().unwrap_or_default();
    // The runs of an entry share a ring, so that they crowd out no other process.
    let ring = if kind == BatchKind::Cron.as_str() { batch.dyno.clone() } else { batch.id.to_string() };
    let cursor = journal.resume(&ring).await.cursor;
    let mut lines = Lines { skip: stored(&cursor, batch.id), ..Lines::default() };
    loop {
        let chunk = chunks.recv().await;
        let new = match &chunk {
            Some(chunk) => lines.feed(chunk),
            None => lines.finish(),
        };
        let entry = |(number, text): (u64, String)| Entry {
            at: Timestamp::now(),
            source: Source::App,
            process: batch.dyno.clone(),
            kind: kind.to_owned(),
            cursor: format!("{}:{number}", batch.id),
            text: clean(&text).into_owned(),
        };
        journal.append(&ring, new.into_iter().map(entry).collect()).await;
        if chunk.is_none() {
            return journal.rest(&ring).await;
        }
    }
}

/// Lines of this batch that stand in a ring whose cursor is this.
fn stored(cursor: &str, id: BatchId) -> u64 {
    let count = cursor.split_once(':').filter(|(of, _)| *of == id.to_string());
    count.and_then(|(_, count)| count.parse().ok()).unwrap_or(0)
}

/// Output as numbered lines; they are cut at the same bytes however the output comes.
#[derive(Default)]
struct Lines {
    begun: Vec<u8>,
    count: u64,
    /// Lines that were told before.
    skip: u64,
}

impl Lines {
    fn feed(&mut self, chunk: &[u8]) -> Vec<(u64, String)> {
        let mut lines = Vec::new();
        for byte in chunk {
            if *byte == b'\n' || self.begun.len() == LONGEST_LINE {
                lines.extend(self.cut());
            }
            if *byte != b'\n' {
                self.begun.push(*byte);
            }
        }
        lines
    }

    fn finish(&mut self) -> Vec<(u64, String)> {
        if self.begun.is_empty() { Vec::new() } else { self.cut().into_iter().collect() }
    }

    fn cut(&mut self) -> Option<(u64, String)> {
        let line = String::from_utf8_lossy(&self.begun).into_owned();
        self.begun.clear();
        self.count += 1;
        (self.count > self.skip).then_some((self.count, line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_the_same_numbers_however_they_come_and_those_that_stand_in_the_log_are_passed_over() {
        let mut whole = Lines::default();
        let mut all = whole.feed(b"one\ntwo\nthree");
        all.extend(whole.finish());
        let numbered = |number, text: &str| (number, text.to_owned());
        assert_eq!(all, [numbered(1, "one"), numbered(2, "two"), numbered(3, "three")]);

        let id = BatchId::new();
        let mut rest = Lines { skip: stored(&format!("{id}:1"), id), ..Lines::default() };
        let mut later = rest.feed(b"one\nt");
        later.extend(rest.feed(b"wo\nthree\n"));
        later.extend(rest.finish());
        assert_eq!(later, all[1..]);
        assert_eq!(stored(&format!("{id}:7"), BatchId::new()), 0);
    }

    #[test]
    fn a_line_without_an_end_is_cut() {
        let mut lines = Lines::default();
        let fed = lines.feed(&vec![b'x'; LONGEST_LINE + 1]);
        assert_eq!((fed.len(), fed[0].1.len()), (1, LONGEST_LINE));
        assert_eq!(lines.finish(), [(2, "x".to_owned())]);
    }
}
