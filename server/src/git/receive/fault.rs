//! Why a pack was not taken, in words for the person who pushed; the platform's own faults are kept apart.

use std::io;
use std::time::Duration;

use bytesize::ByteSize;

use super::pack::Source;
use super::reply::ClientGone;
use super::{MAX_PACK, ReceiveLimits};
use crate::git::command::CommandError;

/// What of an error output is worth repeating.
const QUOTED: usize = 300;

/// Why a pack was not taken. Nothing of it is kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PackError {
    #[error(
        "the push is larger than {limit}, the limit of this server: push less at a time, keep large files out of git, \
         or have {MAX_PACK} raised",
        limit = ByteSize::b(*limit)
    )]
    TooLarge { limit: u64 },
    #[error(
        "the push holds an object that is too large to be checked: keep it out of git, or add it as a plain file of \
         its own (`*.ext -delta` in .gitattributes, then `git repack -adF`)"
    )]
    ObjectTooLarge,
    #[error(
        "what was sent is not a valid pack ({0}): push again; if it happens again, `git fsck` finds the fault"
    )]
    Invalid(String),
    #[error(
        "object {object} is not safe to accept ({rule}: {detail}): find the commit with \
         `git log --all --find-object={object}` and rewrite it"
    )]
    Unsafe { object: String, rule: String, detail: String },
    #[error(transparent)]
    Missing(#[from] Missing),
    #[error("{0} does not point at a commit: a branch must; tags may point at anything")]
    NotACommit(String),
    #[error("no data came for {} s: the push was given up", .0.as_secs())]
    Idle(Duration),
    #[error("the push took longer than {} s and was given up", .0.as_secs())]
    Deadline(Duration),
    /// There is nobody left to be told.
    #[error("the client left before the push was complete")]
    Vanished,
    #[error("the platform could not store the push")]
    Storage(#[source] io::Error),
    #[error("the platform could not check the push")]
    Command(#[from] CommandError),
}

/// What was not sent, and what helps.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Missing {
    #[error("objects are missing from the push ({0}): run `git fsck` in the clone, then push again")]
    Sender(String),
    /// The client holds back what a commit that we have implies; but ours came from a shallow clone.
    #[error(
        "objects are missing from the push ({0}): the history here begins at a commit that a shallow clone pushed, \
         and git held back what it took for known. Push again now, \
         naming the branch or tag in full (refs/heads/…, refs/tags/…): the whole history will be taken"
    )]
    Shallow(String),
}

/// Whose fault it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The text of the error is for them.
    Pusher,
    /// Nobody is listening any more.
    Connection,
    /// To be logged; the pusher gets no details.
    Platform,
}

impl PackError {
    pub(crate) fn fault(&self) -> Fault {
        match self {
            Self::Storage(_) | Self::Command(_) => Fault::Platform,
            Self::Vanished => Fault::Connection,
            _ => Fault::Pusher,
        }
    }
}

impl From<ClientGone> for PackError {
    fn from(_: ClientGone) -> Self {
        Self::Vanished
    }
}

/// Reads the cause out of what `index-pack` says, in the C locale.
pub(super) fn of_index_pack(errors: &str, source: Source, limits: &ReceiveLimits) -> PackError {
    let has = |needle: &str| errors.contains(needle);
    if has("exceeds maximum allowed size") {
        return PackError::TooLarge { limit: limits.max_pack_bytes };
    }
    if has("early EOF") && source == Source::Ended {
        return PackError::Vanished;
    }
    if has("attempting to allocate") {
        return PackError::ObjectTooLarge;
    }
    if has("No space left on device") || has("Disk quota exceeded") || has("Read-only file system") {
        return PackError::Storage(io::Error::other(quoted(errors)));
    }
    if let Some(refusal) = errors.lines().find_map(fsck_refusal) {
        return refusal;
    }
    if has("unresolved delta") || has("did not receive expected object") || has("missing ") {
        return Missing::Sender(quoted(errors)).into();
    }
    PackError::Invalid(quoted(errors))
}

/// Reads a refusal of fsck, or another fault of the pack, out of what `git fetch` says; `None` if the pack is not to
/// blame.
pub(in crate::git) fn of_fetch(errors: &str, limits: &ReceiveLimits) -> Option<PackError> {
    let ours = [
        "error: object ",
        "index-pack",
        "attempting to allocate",
        "No space left",
        "Disk quota",
        "Read-only",
    ];
    ours.iter().any(|words| errors.contains(words)).then(|| of_index_pack(errors, Source::Open, limits))
}

/// `rev-list` failed: its walk met something that is nowhere.
pub(super) fn of_rev_list(errors: &str) -> PackError {
    Missing::Sender(quoted(errors)).into()
}

/// `error: object <id>: <rule>: <detail>`
fn fsck_refusal(line: &str) -> Option<PackError> {
    let mut words = line.strip_prefix("error: object ")?.splitn(3, ": ");
    let mut next = || words.next().map(str::to_owned);
    Some(PackError::Unsafe { object: next()?, rule: next()?, detail: next()? })
}

/// The line that tells most: the first `fatal:`, else the first of all. Never more than a line, never a control
/// character: a client's bytes may be quoted in it.
fn quoted(errors: &str) -> String {
    let lines = || errors.lines().map(str::trim).filter(|line| !line.is_empty());
    let line = lines().find(|line| line.starts_with("fatal: ")).or_else(|| lines().next());
    let text = line.unwrap_or("no reason given").trim_start_matches("fatal: ");
    text.chars().filter(|c| !c.is_control()).take(QUOTED).collect()
}
