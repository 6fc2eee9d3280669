//! Where the reader of a process goes on after a break, so that nothing is told twice and nothing is left out.
//!
//! Engines and clusters are asked for lines by time, in whole seconds, and two streams of one process may come with
//! their times slightly out of order. So a reader asks again for the last second or two, and passes over what it finds
//! in the log already.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use jiff::{SignedDuration, Timestamp};

use super::{Entry, Line};

/// How far out of order the times of one process may be.
const DISORDER: SignedDuration = SignedDuration::from_secs(1);

/// What a reader has to know of what is stored.
#[derive(Debug, Default)]
pub(crate) struct Resume {
    /// A whole second from which lines are to be asked for; `None` if nothing is stored.
    pub(crate) since: Option<Timestamp>,
    /// Where the reader stood, in its own terms.
    pub(crate) cursor: String,
    /// All before this is stored, or was.
    floor: Option<Timestamp>,
    stored: HashMap<(Timestamp, u64), u32>,
}

impl Resume {
    /// `lines` are those of the ring; `cut` says that there were more before them.
    pub(super) fn new(lines: &[Line], cursor: String, cut: bool) -> Self {
        let Some(newest) = lines.iter().map(|line| line.entry.at).max() else {
            return Self { cursor, ..Self::default() };
        };
        let since = newest.saturating_sub(DISORDER).unwrap_or(newest);
        let since = Timestamp::from_second(since.as_second()).unwrap_or(since);
        let mut stored = HashMap::new();
        for line in lines.iter().filter(|line| line.entry.at >= since) {
            *stored.entry((line.entry.at, hash(&line.entry.text))).or_default() += 1;
        }
        let oldest = lines.iter().map(|line| line.entry.at).min();
        let floor = oldest.filter(|oldest| cut && *oldest > since).or(Some(since));
        Self { since: Some(since), cursor, floor, stored }
    }

    /// Whether a line is not stored yet. To be asked once for each line that is read.
    pub(crate) fn is_new(&mut self, entry: &Entry) -> bool {
        if self.floor.is_some_and(|floor| entry.at < floor) {
            return false;
        }
        if self.stored.is_empty() {
            return true;
        }
        match self.stored.get_mut(&(entry.at, hash(&entry.text))) {
            Some(count) if *count > 0 => {
                *count -= 1;
                false
            }
            _ => true,
        }
    }
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}
