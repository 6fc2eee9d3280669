//! What the processes of apps write, what the platform says of them, and the requests that its router answered: one
//! bounded log for each app, on disk.
//!
//! Invariant: within an app every line has a number, numbers have no gaps, and a line that has been seen keeps its
//! number. So a number is the position from which a reader goes on, and what a reader missed can be counted. A reader
//! never holds up a writer: what is over the bounds is taken from the oldest, whether it was read or not.
//!
//! A log consists of rings: one for each process that ever ran, one for the platform's own lines, one for the router's.
//! So a process that writes much takes nothing from one that writes little, and the last lines of a process that is gone
//! stay. Nothing is synced to disk: what a loss of power takes is read again from the engine or the cluster.

mod app;
mod follow;
mod record;
mod resume;
mod ring;
mod state;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

pub(crate) use app::AppJournal;
pub(crate) use follow::{Batch, Follower};
pub(crate) use record::clean;
pub(crate) use resume::Resume;

use crate::domain::names::AppName;

/// The ring of what the platform says.
pub(crate) const PLATFORM_RING: &str = "platform";
/// The ring of the requests that the router answered.
pub(crate) const ROUTER_RING: &str = "router";

/// The logs of all apps. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Journals {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    limits: Limits,
    apps: Mutex<HashMap<AppName, Arc<AppJournal>>>,
    closing: CancellationToken,
}

/// The bounds of one app's log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Bytes on disk, all rings together.
    pub(crate) bytes: u64,
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Source {
    /// A process of the app.
    App,
    /// The platform.
    Slipway,
}

impl Source {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Slipway => "slipway",
        }
    }
}

/// A line that is to be added.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) at: Timestamp,
    pub(crate) source: Source,
    /// `web.1`, a pod's name, or a part of the platform: `api`, `router`.
    pub(crate) process: String,
    /// The process type, or the part of the platform.
    pub(crate) kind: String,
    /// Where its reader stands after it, in the reader's own terms; empty if it knows by the times.
    pub(crate) cursor: String,
    pub(crate) text: String,
}

/// A line as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Line {
    pub(crate) id: i64,
    pub(crate) entry: Entry,
}

/// Which lines are wanted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    /// A process type, or the name of one process.
    pub(crate) process: Option<String>,
    pub(crate) source: Option<Source>,
    pub(crate) since: Option<Timestamp>,
}

impl Filter {
    fn wants(&self, entry: &Entry) -> bool {
        self.since.is_none_or(|since| entry.at >= since)
            && self.source.is_none_or(|source| entry.source == source)
            && self.process.as_ref().is_none_or(|name| *name == entry.kind || *name == entry.process)
    }
}

impl Line {
    /// Heroku's form: `2026-11-26T15:00:00.000000+00:00 app[web.1]: text`.
    pub(crate) fn text(&self) -> String {
        let Entry { at, source, process, text, .. } = &self.entry;
        format!("{} {}[{process}]: {text}", at.strftime("%Y-%m-%dT%H:%M:%S.%6f+00:00"), source.as_str())
    }
}

impl Journals {
    /// `root` is made on the first use.
    pub(crate) fn new(root: PathBuf, limits: Limits) -> Self {
        let inner = Inner { root, limits, apps: Mutex::default(), closing: CancellationToken::new() };
        Self { inner: Arc::new(inner) }
    }

    /// The log of an app; an app without one has an empty one.
    pub(crate) fn app(&self, app: &AppName) -> Arc<AppJournal> {
        let folder = || self.inner.root.join(app.as_str());
        let journal = || Arc::new(AppJournal::new(folder(), self.inner.limits));
        Arc::clone(self.apps().entry(app.clone()).or_insert_with(journal))
    }

    /// Adds lines of the platform about an app, once: of what happened to `process` (its name and its type) at this very
    /// time, nothing is said again.
    pub(crate) async fn note(
        &self,
        app: &AppName,
        at: Timestamp,
        (process, kind): (&str, &str),
        texts: &[impl AsRef<str> + Sync],
    ) {
        let line = |(number, text): (i64, &_)| {
            let text: &str = AsRef::as_ref(text);
            Entry {
                // In this order among lines of one time.
                at: at.saturating_add(SignedDuration::from_nanos(number)).unwrap_or(at),
                source: Source::Slipway,
                process: process.to_owned(),
                kind: kind.to_owned(),
                cursor: String::new(),
                text: clean(text).into_owned(),
            }
        };
        let entries = (0..).zip(texts).map(line).collect();
        self.app(app).note(entries).await;
    }

    /// Whether there is a log of this app.
    pub(crate) fn knows(&self, app: &AppName) -> bool {
        self.inner.root.join(app.as_str()).exists()
    }

    /// Forgets an app that is no more.
    pub(crate) async fn forget(&self, app: &AppName) {
        let journal = self.apps().remove(app);
        if let Some(journal) = journal {
            journal.end();
        }
        let folder = self.inner.root.join(app.as_str());
        match tokio::fs::remove_dir_all(&folder).await {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(%app, "The log of an app that is gone could not be removed: {error}")
            }
        }
    }

    /// The apps of which there is a log.
    pub(crate) async fn on_disk(&self) -> Vec<AppName> {
        let root = self.inner.root.clone();
        let listed = tokio::task::spawn_blocking(move || names_in(&root)).await;
        listed.unwrap_or_default()
    }

    /// Ends all who follow: the server shuts down, and they go on where they stood with the next one.
    pub(crate) fn close(&self) {
        self.inner.closing.cancel();
    }

    pub(crate) fn closing(&self) -> CancellationToken {
        self.inner.closing.clone()
    }

    fn apps(&self) -> MutexGuard<'_, HashMap<AppName, Arc<AppJournal>>> {
        self.inner.apps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn names_in(root: &Path) -> Vec<AppName> {
    let listed = std::fs::read_dir(root).into_iter().flatten().flatten();
    listed.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}
