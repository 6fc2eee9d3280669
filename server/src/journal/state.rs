//! What is known of an app's log while it is open: numbers, rings, the newest lines.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;

use super::ring::{self, LAST_FILES, Ring, Segment};
use super::{Entry, Filter, Line, PLATFORM_RING, ROUTER_RING, record};

/// Lines that are kept in memory for those who follow, and bytes of them.
const RECENT_LINES: usize = 2_048;
const RECENT_BYTES: usize = 512 * 1024;
/// Rings of one app; those that were written to longest ago go.
const RINGS: usize = 100;
/// Lines of the platform that are remembered, so that none is said twice.
const NOTES: usize = 1_024;

#[derive(Debug, Default)]
pub(super) struct State {
    /// The number of the next line.
    pub(super) next: i64,
    pub(super) rings: BTreeMap<String, Ring>,
    pub(super) recent: VecDeque<Arc<Line>>,
    recent_bytes: usize,
    notes: VecDeque<u64>,
    /// Lines that the disk did not take since it last did.
    pub(super) unwritten: usize,
}

impl State {
    pub(super) fn load(folder: &Path) -> Self {
        let mut state = Self { next: 1, ..Self::default() };
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
            match Ring::load(entry.path()) {
                Ok((ring, last)) => {
                    state.next = state.next.max(last.map_or(0, |last| last + 1));
                    state.rings.insert(name, ring);
                }
                Err(error) => tracing::warn!("The log {} could not be read: {error}", entry.path().display()),
            }
        }
        let notes = state.rings.get(PLATFORM_RING).map(|ring| ring.files_after(-1)).unwrap_or_default();
        for line in ring::read(&notes, record::parse) {
            state.remember(&line.entry);
        }
        state
    }

    /// Whether this note is new.
    pub(super) fn remember(&mut self, entry: &Entry) -> bool {
        let mut hasher = DefaultHasher::new();
        (entry.at, &entry.process).hash(&mut hasher);
        let note = hasher.finish();
        if self.notes.contains(&note) {
            return false;
        }
        self.notes.push_back(note);
        if self.notes.len() > NOTES {
            self.notes.pop_front();
        }
        true
    }

    pub(super) fn files_of(&self, filter: &Filter) -> Vec<Segment> {
        let since = filter.since.unwrap_or(Timestamp::UNIX_EPOCH);
        // The newest line is rarely a moment older than another: rings that ended long before are passed over.
        let slack = jiff::SignedDuration::from_secs(60);
        let since = since.saturating_sub(slack).unwrap_or(since);
        let rings = self.rings.iter().filter(|(_, ring)| ring.newest >= since);
        let files = rings.flat_map(|(name, ring)| match name.as_str() {
            // Lines about many processes: those that are wanted may lie far back.
            PLATFORM_RING | ROUTER_RING => ring.files_after(-1),
            _ => ring.last_files(),
        });
        files.collect()
    }

    pub(super) fn keep_in_memory(&mut self, lines: Vec<Arc<Line>>) {
        for line in lines {
            self.recent_bytes += line.entry.text.len();
            self.recent.push_back(line);
        }
        while self.recent.len() > RECENT_LINES || self.recent_bytes > RECENT_BYTES {
            let Some(line) = self.recent.pop_front() else { return };
            self.recent_bytes -= line.entry.text.len();
        }
    }

    /// Takes the oldest files away, those that are being written to last.
    pub(super) fn bound(&mut self, most: u64) {
        let mut bytes: u64 = self.rings.values().map(Ring::bytes).sum();
        while bytes > most {
            let oldest = |wanted: fn(&Ring) -> bool| {
                let rings = self.rings.iter().filter(|(_, ring)| wanted(ring));
                rings.filter_map(|(name, ring)| Some((ring.oldest()?, name.clone()))).min()
            };
            // The files that hold the last 1,500 lines of a process go when there are no others.
            let oldest = oldest(|ring| ring.pieces() > LAST_FILES)
                .or_else(|| oldest(|ring| ring.pieces() > 1))
                .or_else(|| oldest(|_| true));
            let Some((_, name)) = oldest else { return };
            let Some(ring) = self.rings.get_mut(&name) else { return };
            bytes -= ring.bytes();
            ring.drop_oldest();
            bytes += ring.bytes();
            if ring.pieces() == 0 && name != PLATFORM_RING {
                self.rings.remove(&name);
            }
        }
    }

    pub(super) fn make_room_for_a_ring(&mut self) {
        while self.rings.len() >= RINGS {
            let quiet = self.rings.iter().min_by_key(|(_, ring)| ring.newest).map(|(name, _)| name.clone());
            let Some(mut ring) = quiet.and_then(|name| self.rings.remove(&name)) else { return };
            while ring.pieces() > 0 {
                ring.drop_oldest();
            }
        }
    }
}
