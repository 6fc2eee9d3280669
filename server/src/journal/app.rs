//! The log of one app.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::follow::Batch;
use super::ring::{self, LAST_FILES, Ring, Segment};
use super::state::State;
use super::{Entry, Filter, Follower, Limits, Line, PLATFORM_RING, Resume, record};

/// See the module. Files are read when it is first used.
#[derive(Debug)]
pub(crate) struct AppJournal {
    folder: PathBuf,
    limits: Limits,
    state: Mutex<Option<State>>,
    /// The number of the newest line.
    newest: watch::Sender<i64>,
    gone: watch::Sender<bool>,
}

impl AppJournal {
    pub(super) fn new(folder: PathBuf, limits: Limits) -> Self {
        let (newest, gone) = (watch::Sender::new(0), watch::Sender::new(false));
        Self { folder, limits, state: Mutex::default(), newest, gone }
    }

    /// Adds lines to a ring, which is made if it is new. Not cut half-way when its caller is.
    pub(crate) async fn append(self: &Arc<Self>, ring: &str, entries: Vec<Entry>) {
        if entries.is_empty() {
            return;
        }
        let (journal, ring) = (Arc::clone(self), ring.to_owned());
        self.blocking(move || journal.with(|state| journal.add(state, &ring, entries))).await;
    }

    /// Adds lines of the platform unless their first was said before.
    pub(super) async fn note(self: &Arc<Self>, entries: Vec<Entry>) {
        let journal = Arc::clone(self);
        let add = move || {
            journal.with(|state| {
                if entries.first().is_some_and(|first| state.remember(first)) {
                    journal.add(state, PLATFORM_RING, entries);
                }
            });
        };
        self.blocking(add).await;
    }

    /// Where the reader of a ring goes on.
    pub(crate) async fn resume(self: &Arc<Self>, ring: &str) -> Resume {
        let (journal, ring) = (Arc::clone(self), ring.to_owned());
        let look = move || {
            let found = journal.with(|state| {
                let ring = state.rings.get(&ring)?;
                let cut = ring.cut || ring.pieces() > LAST_FILES;
                Some((ring.last_files(), ring.cursor.clone(), cut))
            });
            found.map(|(files, cursor, cut)| Resume::new(&ring::read(&files, record::parse), cursor, cut))
        };
        self.blocking(look).await.flatten().unwrap_or_default()
    }

    /// The reader of a ring has stopped for now.
    pub(crate) async fn rest(self: &Arc<Self>, ring: &str) {
        let (journal, ring) = (Arc::clone(self), ring.to_owned());
        let rest = move || journal.with(|state| state.rings.get_mut(&ring).map_or((), Ring::rest));
        self.blocking(rest).await;
    }

    /// The last `wanted` lines, 1,500 of a process at most, in the order of their times, and the position after them.
    pub(crate) async fn history(self: &Arc<Self>, filter: &Filter, wanted: usize) -> (Vec<Line>, i64) {
        let (journal, filter) = (Arc::clone(self), filter.clone());
        let read = move || {
            let (files, next) = journal.with(|state| (state.files_of(&filter), state.next));
            let mut lines = ring::read(&files, |line| {
                record::parse(line).filter(|line| line.id < next && filter.wants(&line.entry))
            });
            lines.sort_by_key(|line| (line.entry.at, line.id));
            (lines.split_off(lines.len().saturating_sub(wanted)), next - 1)
        };
        self.blocking(read).await.unwrap_or_default()
    }

    /// Reads on from a position.
    pub(crate) async fn follow(self: &Arc<Self>, after: i64, filter: Filter) -> Follower {
        let newest = self.newest.subscribe();
        // A number that was not given yet is of another log, which is gone.
        let after = after.min(self.newest().await);
        Follower::new(Arc::clone(self), newest, after, filter)
    }

    /// The number of the newest line.
    pub(crate) async fn newest(self: &Arc<Self>) -> i64 {
        let journal = Arc::clone(self);
        self.blocking(move || journal.with(|state| state.next - 1)).await.unwrap_or_default()
    }

    /// Ends once the app is gone.
    pub(crate) async fn gone(&self) {
        // The sender lives as long as `self`.
        drop(self.gone.subscribe().wait_for(|gone| *gone).await);
    }

    /// The app is no more.
    pub(super) fn end(&self) {
        self.gone.send_replace(true);
    }

    /// Up to `most` lines after a position, in the order of their numbers.
    pub(super) async fn after(self: &Arc<Self>, after: i64, most: usize) -> Batch {
        if let Some(found) = self.remembered(after, most) {
            return found;
        }
        let journal = Arc::clone(self);
        self.blocking(move || journal.stored(after, most)).await.unwrap_or_default()
    }

    /// From memory; `None` if older lines are wanted than are there.
    fn remembered(&self, after: i64, most: usize) -> Option<Batch> {
        let state = self.lock();
        let state = state.as_ref()?;
        let first = state.recent.front()?.id;
        let skip = usize::try_from(after + 1 - first).ok()?;
        let lines: Vec<_> = state.recent.iter().skip(skip).take(most).cloned().collect();
        let position = lines.last().map_or(after, |line| line.id);
        Some(Batch { lines, missed: 0, position })
    }

    fn stored(&self, after: i64, most: usize) -> Batch {
        let (files, end) = self.with(|state| {
            let files: Vec<Segment> = state.rings.values().flat_map(|ring| ring.files_after(after)).collect();
            (files, state.next)
        });
        let in_range = |id: i64| id > after && id < end;
        let wanted =
            |line: &str| record::id_of(line).filter(|id| in_range(*id)).and_then(|_| record::parse(line));
        let mut lines = ring::read(&files, wanted);
        lines.sort_by_key(|line| line.id);
        lines.truncate(most);
        // What lies between two numbers that follow each other is gone.
        let position = if lines.len() == most { lines.last().map_or(after, |line| line.id) } else { end - 1 };
        let missed = position - after - i64::try_from(lines.len()).unwrap_or(0);
        Batch { lines: lines.into_iter().map(Arc::new).collect(), missed, position }
    }

    fn add(&self, state: &mut State, name: &str, entries: Vec<Entry>) {
        if *self.gone.borrow() {
            return;
        }
        let first = state.next;
        let (mut text, count) = (String::new(), entries.len());
        let mut lines = Vec::with_capacity(count);
        for entry in entries {
            record::write(&mut text, state.next, &entry);
            lines.push(Arc::new(Line { id: state.next, entry }));
            state.next += 1;
        }
        if !state.rings.contains_key(name) {
            state.make_room_for_a_ring();
        }
        let folder = || self.folder.join(name);
        let ring = state.rings.entry(name.to_owned()).or_insert_with(|| Ring::empty(folder()));
        ring.newest = lines.last().map_or(ring.newest, |line| line.entry.at);
        if let Some(line) = lines.iter().rfind(|line| !line.entry.cursor.is_empty()) {
            ring.cursor.clone_from(&line.entry.cursor);
        }
        match ring.append(first, count, &text) {
            Ok(()) => state.unwritten = 0,
            Err(error) => {
                if state.unwritten == 0 {
                    tracing::warn!(folder = %self.folder.display(), "Lines of a log could not be written: {error}");
                }
                state.unwritten += count;
            }
        }
        state.bound(self.limits.bytes);
        state.keep_in_memory(lines);
        self.newest.send_replace(state.next - 1);
    }

    /// With the state, which is read from disk first if it has not been.
    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let state = state.get_or_insert_with(|| {
            let state = State::load(&self.folder);
            self.newest.send_replace(state.next - 1);
            state
        });
        work(state)
    }

    fn lock(&self) -> MutexGuard<'_, Option<State>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Files are read and written on threads that may wait for a disk; `None` only if the work panicked.
    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let done = tokio::task::spawn_blocking(work).await;
        done.inspect_err(|error| tracing::error!("The log of an app is broken: {error}")).ok()
    }
}
