//! A log (of a build, of a batch): one writer that sanitises, masks and stores, any number of followers.
//!
//! Invariants: the row is written first, then followers are woken; an event's id is its byte offset in the sanitised
//! text; a follower registers for the wake-up before it reads. The newest text travels with the wake-up, so that a
//! thousand followers ask the database little more than one does; who has missed some of it reads the rows. The log
//! never harms the build: while the database is away a bounded amount is kept, then lines are dropped and the gap is
//! said in the log.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use sqlx::PgPool;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tracing::warn;

use super::mask::Mask;
use super::sanitise::Sanitiser;
use crate::db::logs::{self, LogId};
use crate::transcript::Transcript;

/// Text that may wait for the database, in bytes.
const BACKLOG: usize = 1024 * 1024;
/// Bytes of a log's newest text that are kept for its followers, as long as there are any.
const TAIL: usize = 64 * 1024;
/// How often a follower looks without having been woken.
const POLL: Duration = Duration::from_secs(1);
/// Between two tries to store text while the database is away.
const RETRY: Duration = Duration::from_millis(250);
/// How long the last text of a log is tried to be stored before it is given up.
const LAST_PATIENCE: Duration = Duration::from_secs(30);

/// Wakes followers.
#[derive(Debug, Clone, Default)]
pub(crate) struct LogHub {
    logs: Arc<Mutex<HashMap<LogId, watch::Sender<Tail>>>>,
}

/// The newest text of a log.
#[derive(Debug, Clone, Default)]
struct Tail {
    /// The byte of the log at which it begins.
    start: i64,
    text: Bytes,
    /// How often something else than the text has changed: only the database knows what.
    changes: u64,
}

impl Tail {
    fn end(&self) -> i64 {
        self.start + i64::try_from(self.text.len()).unwrap_or(0)
    }

    fn append(&mut self, start: i64, text: &[u8]) {
        let joined = match start == self.end() {
            true => [&self.text, text].concat(),
            false => text.to_vec(),
        };
        let end = start + i64::try_from(text.len()).unwrap_or(0);
        self.text = Bytes::from(joined);
        self.text = self.text.slice(self.text.len().saturating_sub(TAIL)..);
        self.start = end - i64::try_from(self.text.len()).unwrap_or(0);
    }

    /// The text from this byte on, if all of it is here and there is some.
    fn after(&self, offset: i64) -> Option<&[u8]> {
        let skip = usize::try_from(offset - self.start).ok()?;
        self.text.get(skip..).filter(|text| !text.is_empty())
    }
}

impl LogHub {
    /// Something about this log has changed.
    pub(crate) fn wake(&self, log: impl Into<LogId>) {
        self.tell(log.into(), |tail| tail.changes += 1);
    }

    /// This text was stored, from this byte of the log on.
    fn stored(&self, log: LogId, start: i64, text: &[u8]) {
        self.tell(log, |tail| tail.append(start, text));
    }

    fn tell(&self, log: LogId, change: impl FnOnce(&mut Tail)) {
        let mut logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waker) = logs.get(&log) {
            if waker.receiver_count() == 0 {
                logs.remove(&log);
            } else {
                waker.send_modify(change);
            }
        }
    }

    fn subscribe(&self, log: LogId) -> watch::Receiver<Tail> {
        let mut logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        // Those of closed logs are never woken again: they go when somebody else comes.
        logs.retain(|_, waker| waker.receiver_count() > 0);
        logs.entry(log).or_insert_with(|| watch::channel(Tail::default()).0).subscribe()
    }
}

/// Where a log is kept, and what must not stand in it.
pub(crate) struct LogSettings {
    pub(crate) pool: PgPool,
    pub(crate) hub: LogHub,
    pub(crate) mask: Mask,
    /// The longest log, in bytes; what comes after it is dropped with a note.
    pub(crate) longest: usize,
}

/// Opens a log for writing; the task ends when the last `Transcript` is dropped and all is stored.
pub(crate) fn open(settings: LogSettings, log: impl Into<LogId>) -> (Transcript, JoinHandle<()>) {
    let (transcript, chunks) = Transcript::channel();
    let writer = Writer {
        settings,
        log: log.into(),
        sanitiser: Sanitiser::default(),
        waiting: String::new(),
        offset: None,
        dropped: 0,
        is_away: false,
        full: false,
    };
    (transcript, tokio::spawn(writer.write(chunks)))
}

struct Writer {
    settings: LogSettings,
    log: LogId,
    sanitiser: Sanitiser,
    waiting: String,
    /// Bytes stored; unknown until the database has been asked.
    offset: Option<i64>,
    /// Bytes that are missing after `waiting`.
    dropped: usize,
    /// The last text could not be stored. A database that is only slow makes the build wait instead.
    is_away: bool,
    /// There is no room for more: the rest is read and forgotten.
    full: bool,
}

/// Text on its way into the database.
struct Batch {
    text: String,
    /// How much of what waits it covers.
    waiting: usize,
    dropped: usize,
}

/// Where the log stands after a batch.
struct Stored {
    offset: i64,
    full: bool,
}

impl Writer {
    async fn write(mut self, mut chunks: mpsc::Receiver<Bytes>) {
        let mut closed: Option<Instant> = None;
        loop {
            if self.waiting.is_empty() && self.dropped == 0 {
                if closed.is_some() {
                    return;
                }
                self.take(chunks.recv().await, &mut closed);
                continue;
            }
            let batch = self.batch();
            let mut storing = Box::pin(self.store(&batch.text));
            // What comes meanwhile goes with the next batch: batches form by themselves.
            let stored = loop {
                let takes_more = closed.is_none() && (self.is_away || self.waiting.len() < BACKLOG);
                tokio::select! {
                    stored = &mut storing => break stored,
                    chunk = chunks.recv(), if takes_more => self.take(chunk, &mut closed),
                }
            };
            drop(storing);
            match stored {
                Ok(stored) => self.settle(&batch, &stored),
                // The app was destroyed, and all of it.
                Err(error)
                    if error.as_database_error().is_some_and(|error| error.is_foreign_key_violation()) =>
                {
                    self.forget_all();
                }
                Err(error) => {
                    warn!(log = %self.log, "Could not store a log: {error}");
                    self.is_away = true;
                    // The next append must not overwrite what the lost answer may have stored.
                    self.offset = None;
                    if closed.is_some_and(|closed| closed.elapsed() > LAST_PATIENCE) {
                        return warn!(log = %self.log, "The end of a log is lost");
                    }
                }
            }
        }
    }

    /// The next chunk; without one the last line ends, and nothing more comes.
    fn take(&mut self, chunk: Option<Bytes>, closed: &mut Option<Instant>) {
        let lines = match chunk {
            Some(chunk) => self.sanitiser.feed(&chunk),
            None => {
                *closed = Some(Instant::now());
                self.sanitiser.finish()
            }
        };
        if lines.is_empty() || self.full {
            return;
        }
        let lines = self.settings.mask.apply(lines);
        let too_much = self.is_away && self.waiting.len() + lines.len() > BACKLOG;
        // A gap is one stretch: what comes after it waits for the note that tells of it.
        if self.dropped > 0 || too_much {
            self.dropped += lines.len();
        } else {
            self.waiting.push_str(&lines);
        }
    }

    fn batch(&self) -> Batch {
        let mut text = self.waiting.clone();
        let dropped = self.dropped;
        if dropped > 0 {
            text.push_str(&format!(
                " !     {dropped} bytes of output are missing here: the database was away\n"
            ));
        }
        Batch { text, waiting: self.waiting.len(), dropped }
    }

    /// Appends the text, up to the longest that a log may be. After a failure it waits before it tells of it.
    fn store(&self, text: &str) -> impl Future<Output = sqlx::Result<Stored>> + Send + use<> {
        let (pool, log, offset) = (self.settings.pool.clone(), self.log, self.offset);
        let (longest, mut text) = (self.settings.longest, text.to_owned());
        let append = async move {
            let mut conn = pool.acquire().await?;
            let offset = match offset {
                Some(offset) => offset,
                None => logs::length(&mut conn, log).await?,
            };
            let room = longest.saturating_sub(usize::try_from(offset).unwrap_or(usize::MAX));
            let full = text.len() > room;
            if full {
                let whole_lines = text.as_bytes().iter().take(room).rposition(|byte| *byte == b'\n');
                text.truncate(whole_lines.map_or(0, |newline| newline + 1));
                text.push_str(&format!(
                    " !     The log ends here: it is over the limit of {longest} bytes\n"
                ));
            }
            logs::append(&mut conn, log, offset, text.as_bytes()).await?;
            Ok(Stored { offset: offset + i64::try_from(text.len()).unwrap_or(i64::MAX), full })
        };
        async move {
            let stored = append.await;
            if stored.is_err() {
                tokio::time::sleep(RETRY).await;
            }
            stored
        }
    }

    fn settle(&mut self, batch: &Batch, stored: &Stored) {
        self.is_away = false;
        self.offset = Some(stored.offset);
        self.waiting.drain(..batch.waiting);
        self.dropped -= batch.dropped;
        if stored.full {
            self.forget_all();
            return self.settings.hub.wake(self.log);
        }
        let start = stored.offset - i64::try_from(batch.text.len()).unwrap_or(0);
        self.settings.hub.stored(self.log, start, batch.text.as_bytes());
    }

    fn forget_all(&mut self) {
        self.full = true;
        self.waiting.clear();
        self.dropped = 0;
    }
}

/// Reads a log from any byte offset on, until it is closed.
pub(crate) struct Follower {
    pool: PgPool,
    tail: watch::Receiver<Tail>,
    log: LogId,
    offset: i64,
    /// Nothing was stored after `offset` when the rows were read last: what comes later comes with a wake-up.
    is_at_end: bool,
    /// Changes that were looked up.
    seen: u64,
    looks: u64,
}

impl Follower {
    pub(crate) fn new(pool: PgPool, hub: &LogHub, log: impl Into<LogId>, offset: i64) -> Self {
        let log = log.into();
        Self { pool, tail: hub.subscribe(log), log, offset, is_at_end: false, seen: 0, looks: 0 }
    }

    /// The next text; `None` when the log is closed and read to its end. Cancel-safe.
    ///
    /// # Errors
    /// The database's; the follower may be asked again, nothing is skipped.
    pub(crate) async fn next(&mut self) -> sqlx::Result<Option<Vec<u8>>> {
        loop {
            // What changes from here on ends the wait below.
            let tail = self.tail.borrow_and_update().clone();
            if let Some(text) = tail.after(self.offset) {
                return Ok(Some(self.advance(text.to_vec())));
            }
            // What the tail does not reach back to is in the rows.
            let missed = tail.end() > self.offset;
            if missed || !self.is_at_end || self.seen != tail.changes {
                let mut conn = self.pool.acquire().await?;
                // Asked before the text is read: closed now means that no text comes after what the read finds.
                let closed = logs::is_closed(&mut conn, self.log).await?;
                let text = logs::read_from(&mut conn, self.log, self.offset).await?;
                drop(conn);
                self.seen = tail.changes;
                self.looks += 1;
                self.is_at_end = text.is_empty();
                if !text.is_empty() {
                    return Ok(Some(self.advance(text)));
                }
                if closed {
                    return Ok(None);
                }
            }
            // A wake-up is not lost; should one be all the same, the poll still finds the text.
            if !matches!(tokio::time::timeout(POLL, self.tail.changed()).await, Ok(Ok(()))) {
                self.is_at_end = false;
            }
        }
    }

    /// How often the database was asked: another number, and the log's owner may be in another state.
    pub(crate) fn looks(&self) -> u64 {
        self.looks
    }

    fn advance(&mut self, text: Vec<u8>) -> Vec<u8> {
        self.offset += i64::try_from(text.len()).unwrap_or(0);
        text
    }
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
