//! Reading a log on as it grows.

use std::sync::Arc;

use tokio::sync::watch;

use super::{AppJournal, Filter, Line};

/// Lines that are handed on at a time.
const BATCH: usize = 1_000;

/// Reads an app's log from a position on.
#[derive(Debug)]
pub(crate) struct Follower {
    journal: Arc<AppJournal>,
    newest: watch::Receiver<i64>,
    after: i64,
    filter: Filter,
}

/// What came.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) lines: Vec<Arc<Line>>,
    /// How many lines, of any process, were taken away before they could be read.
    pub(crate) missed: i64,
    /// Where the reader stands now.
    pub(crate) position: i64,
}

impl Follower {
    pub(super) fn new(
        journal: Arc<AppJournal>,
        newest: watch::Receiver<i64>,
        after: i64,
        filter: Filter,
    ) -> Self {
        Self { journal, newest, after, filter }
    }

    /// The next lines that are wanted; `None` when the app is gone. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<Batch> {
        loop {
            let newest = *self.newest.borrow_and_update();
            if newest > self.after {
                let batch = self.take().await;
                if !batch.lines.is_empty() || batch.missed > 0 {
                    return Some(batch);
                }
                continue;
            }
            tokio::select! {
                changed = self.newest.changed() => changed.ok()?,
                () = self.journal.gone() => return None,
            }
        }
    }

    /// What is there already, up to a bound; what is not wanted is passed over.
    pub(crate) async fn take(&mut self) -> Batch {
        let mut read = self.journal.after(self.after, BATCH).await;
        self.after = read.position;
        read.lines.retain(|line| self.filter.wants(&line.entry));
        read
    }

    pub(crate) fn position(&self) -> i64 {
        self.after
    }
}
