//! A build's log: one writer that sanitises, masks and stores, any number of followers.
//!
//! Invariants: the row is written first, then followers are woken; an event's id is its byte offset in the sanitised
//! text; a follower registers for the wake-up before it reads. The log never harms the build: while the database is
//! away a bounded amount is kept, then lines are dropped and the gap is said in the log.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use sqlx::PgPool;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tracing::warn;

use super::mask::Mask;
use super::sanitise::Sanitiser;
use crate::db::{build_log, builds};
use crate::domain::ids::BuildId;
use crate::transcript::Transcript;

/// Text that may wait for the database, in bytes.
const BACKLOG: usize = 1024 * 1024;
/// How often a follower looks without having been woken.
const POLL: Duration = Duration::from_secs(1);
/// Between two tries to store text while the database is away.
const RETRY: Duration = Duration::from_millis(250);
/// Tries to store the last text of a log before it is given up: about half a minute.
const LAST_TRIES: usize = 120;

/// Wakes followers.
#[derive(Debug, Clone, Default)]
pub(crate) struct LogHub {
    builds: Arc<Mutex<HashMap<BuildId, watch::Sender<()>>>>,
}

impl LogHub {
    /// Something about this build's log has changed.
    pub(crate) fn wake(&self, build: BuildId) {
        let mut builds = self.builds.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waker) = builds.get(&build) {
            waker.send_replace(());
            if waker.receiver_count() == 0 {
                builds.remove(&build);
            }
        }
    }

    fn subscribe(&self, build: BuildId) -> watch::Receiver<()> {
        let mut builds = self.builds.lock().unwrap_or_else(PoisonError::into_inner);
        // Those of closed logs are never woken again: they go when somebody else comes.
        builds.retain(|_, waker| waker.receiver_count() > 0);
        builds.entry(build).or_insert_with(|| watch::channel(()).0).subscribe()
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

/// Opens the log of a build for writing; the task ends when the last `Transcript` is dropped and all is stored.
pub(crate) fn open(settings: LogSettings, build: BuildId) -> (Transcript, JoinHandle<()>) {
    let (transcript, chunks) = Transcript::channel();
    let writer = Writer {
        settings,
        build,
        sanitiser: Sanitiser::default(),
        waiting: String::new(),
        offset: None,
        dropped: 0,
        full: false,
    };
    (transcript, tokio::spawn(writer.write(chunks)))
}

struct Writer {
    settings: LogSettings,
    build: BuildId,
    sanitiser: Sanitiser,
    waiting: String,
    /// Bytes stored; unknown until the database has been asked.
    offset: Option<i64>,
    dropped: usize,
    /// The limit was reached: the rest is read and forgotten.
    full: bool,
}

impl Writer {
    async fn write(mut self, mut chunks: mpsc::Receiver<Bytes>) {
        while let Some(chunk) = chunks.recv().await {
            self.take(&chunk);
            // What came while the last text was stored goes with this one: batches form by themselves.
            while let Ok(chunk) = chunks.try_recv() {
                self.take(&chunk);
            }
            self.store_or_keep().await;
        }
        let last = self.sanitiser.finish();
        self.add(last);
        for _ in 0..LAST_TRIES {
            if self.waiting.is_empty() && self.dropped == 0 {
                return;
            }
            self.store_or_keep().await;
        }
        warn!(build.id = %self.build, "The end of the build's log is lost: the database did not take it");
    }

    fn take(&mut self, chunk: &[u8]) {
        let lines = self.sanitiser.feed(chunk);
        self.add(lines);
    }

    fn add(&mut self, lines: String) {
        if lines.is_empty() || self.full {
            return;
        }
        let lines = self.settings.mask.apply(lines);
        if self.waiting.len() + lines.len() > BACKLOG {
            self.dropped += lines.len();
        } else {
            self.waiting.push_str(&lines);
        }
    }

    async fn store_or_keep(&mut self) {
        match self.store().await {
            Ok(()) => self.settings.hub.wake(self.build),
            Err(error) => {
                warn!(build.id = %self.build, "Could not store the build's log: {error}");
                // The next append must not overwrite what the lost answer may have stored.
                self.offset = None;
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    async fn store(&mut self) -> sqlx::Result<()> {
        if self.waiting.is_empty() && self.dropped == 0 {
            return Ok(());
        }
        let mut conn = self.settings.pool.acquire().await?;
        let offset = match self.offset {
            Some(offset) => offset,
            None => build_log::length(&mut conn, self.build).await?,
        };
        let mut text = self.waiting.clone();
        if self.dropped > 0 {
            let dropped = self.dropped;
            text.push_str(&format!(
                " !     {dropped} bytes of output are missing here: the database was away\n"
            ));
        }
        let longest = self.settings.longest;
        let full = usize::try_from(offset).unwrap_or(usize::MAX).saturating_add(text.len()) > longest;
        if full {
            text.push_str(&format!(" !     The log ends here: it is over the limit of {longest} bytes\n"));
        }
        build_log::append(&mut conn, self.build, offset, text.as_bytes()).await?;
        self.offset = Some(offset + i64::try_from(text.len()).unwrap_or(i64::MAX));
        self.full = full;
        self.waiting.clear();
        self.dropped = 0;
        Ok(())
    }
}

/// Reads a log from any byte offset on, until it is closed.
pub(crate) struct Follower {
    pool: PgPool,
    changes: watch::Receiver<()>,
    build: BuildId,
    offset: i64,
}

impl Follower {
    pub(crate) fn new(pool: PgPool, hub: &LogHub, build: BuildId, offset: i64) -> Self {
        Self { pool, changes: hub.subscribe(build), build, offset }
    }

    /// The next text; `None` when the log is closed and read to its end. Cancel-safe.
    ///
    /// # Errors
    /// The database's; the follower may be asked again, nothing is skipped.
    pub(crate) async fn next(&mut self) -> sqlx::Result<Option<Vec<u8>>> {
        loop {
            self.changes.mark_unchanged();
            let mut conn = self.pool.acquire().await?;
            // Asked before the text is read: closed now means that no text comes after what the read finds.
            let closed = builds::by_id(&mut conn, self.build).await?.is_none_or(|build| build.log_closed);
            let text = build_log::read_from(&mut conn, self.build, self.offset).await?;
            drop(conn);
            if !text.is_empty() {
                self.offset += i64::try_from(text.len()).unwrap_or(0);
                return Ok(Some(text));
            }
            if closed {
                return Ok(None);
            }
            // An error means that the hub forgot us: the poll still finds the text.
            drop(tokio::time::timeout(POLL, self.changes.changed()).await);
        }
    }
}
