//! Where our history ends: the commits whose parents were never sent, because a shallow clone pushed them.
//!
//! Invariant: `<repository>/shallow` names exactly the commits that are here and of which at least one parent is not.
//! Every pack was checked by `index-pack --strict`, which follows each link of each object; so a parent that exists is
//! complete in its turn, and an entry whose parents have all arrived can go: that is how a later full push heals.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep};

use crate::git::oid::Oid;
use crate::git::repository::open_git2;

/// git's own lock of the file; held for a few milliseconds.
const LOCK: &str = "shallow.lock";
/// How long another holder of the lock is waited for.
const LOCK_DEADLINE: Duration = Duration::from_secs(10);
/// Between two tries.
const LOCK_RETRY: Duration = Duration::from_millis(20);
/// A lock of this age was left by a process that is dead.
const LOCK_STALE: Duration = Duration::from_secs(60);

/// Its presence asks the next client for its whole history.
const ASKED_WHOLE: &str = "slipway-ask-whole";
/// For how long it does; a push that is repeated at once is what it is for.
const ASK_WHOLE_FOR: Duration = Duration::from_secs(15 * 60);

/// The recorded boundary; empty for a repository with its whole history.
pub(in crate::git) async fn read(repository: &Path) -> io::Result<Vec<Oid>> {
    match tokio::fs::read_to_string(repository.join("shallow")).await {
        Ok(text) => Ok(text.lines().filter_map(|line| line.parse().ok()).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// A push failed for want of objects that its client took for known: it saw a ref of ours and could not know that the
/// history behind it was never sent. The next one is shown no refs, and so sends everything.
pub(super) async fn ask_for_whole_history(repository: &Path) -> io::Result<()> {
    tokio::fs::write(repository.join(ASKED_WHOLE), b"").await
}

/// Whether refs are held back just now.
pub(super) async fn asks_for_whole_history(repository: &Path) -> bool {
    let asked = tokio::fs::metadata(repository.join(ASKED_WHOLE)).await;
    let fresh = asked.and_then(|file| file.modified()).is_ok_and(|at| age(at) <= ASK_WHOLE_FOR);
    fresh && read(repository).await.is_ok_and(|boundary| !boundary.is_empty())
}

/// Those of `candidates` that are commits here and lack a parent. Blocking.
///
/// `extra` is a folder of objects that is looked into besides the repository's own.
pub(super) fn boundary_among(
    repository: &Path,
    extra: Option<&Path>,
    candidates: &BTreeSet<Oid>,
) -> Result<BTreeSet<Oid>, git2::Error> {
    let repository = open_git2(repository)?;
    let odb = repository.odb()?;
    if let Some(extra) = extra {
        odb.add_disk_alternate(&extra.to_string_lossy())?;
    }
    let lacks_a_parent = |oid: &&Oid| {
        odb.read(oid.to_git2()).is_ok_and(|object| {
            object.kind() == git2::ObjectType::Commit
                && parents(object.data()).any(|parent| !odb.exists(parent.to_git2()))
        })
    };
    Ok(candidates.iter().filter(lacks_a_parent).copied().collect())
}

/// Adds what a push brought and drops what it healed.
pub(super) async fn record(repository: &Path, arrived: &BTreeSet<Oid>) -> io::Result<()> {
    if arrived.is_empty() && read(repository).await?.is_empty() {
        return Ok(());
    }
    let lock = Lock::take(repository).await?;
    let mut candidates: BTreeSet<Oid> = read(repository).await?.into_iter().collect();
    let before = candidates.clone();
    candidates.extend(arrived);
    let folder = repository.to_owned();
    let search = move || boundary_among(&folder, None, &candidates);
    let after = tokio::task::spawn_blocking(search).await?.map_err(io::Error::other)?;
    if after == before {
        return Ok(());
    }
    lock.commit(&after).await
}

/// The parents as they are written in the commit, whatever a shallow file says of it.
fn parents(commit: &[u8]) -> impl Iterator<Item = Oid> {
    let header = commit.split(|byte| *byte == b'\n').take_while(|line| !line.is_empty());
    header.filter_map(|line| std::str::from_utf8(line.strip_prefix(b"parent ")?).ok()?.parse().ok())
}

/// One line an entry, as git writes it.
pub(super) fn render(boundary: &BTreeSet<Oid>) -> String {
    boundary.iter().map(|oid| format!("{oid}\n")).collect()
}

/// `shallow.lock`, removed when dropped.
#[derive(Debug)]
struct Lock {
    path: PathBuf,
    target: PathBuf,
}

impl Lock {
    async fn take(repository: &Path) -> io::Result<Self> {
        let lock = repository.join(LOCK);
        let deadline = Instant::now() + LOCK_DEADLINE;
        loop {
            match tokio::fs::OpenOptions::new().write(true).create_new(true).open(&lock).await {
                Ok(_) => return Ok(Self { path: lock, target: repository.join("shallow") }),
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                Err(error) if Instant::now() >= deadline => return Err(error),
                Err(_) if is_stale(&lock).await => drop(tokio::fs::remove_file(&lock).await),
                Err(_) => sleep(LOCK_RETRY).await,
            }
        }
    }

    async fn commit(self, boundary: &BTreeSet<Oid>) -> io::Result<()> {
        if boundary.is_empty() {
            // git takes the file itself, also an empty one, for the sign of a shallow repository.
            return match tokio::fs::remove_file(&self.target).await {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
        }
        tokio::fs::write(&self.path, render(boundary)).await?;
        tokio::fs::rename(&self.path, &self.target).await
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Gone already if it was renamed into place.
        drop(std::fs::remove_file(&self.path));
    }
}

async fn is_stale(lock: &Path) -> bool {
    let modified = tokio::fs::metadata(lock).await.and_then(|metadata| metadata.modified());
    modified.is_ok_and(|at| age(at) > LOCK_STALE)
}

/// Zero for a time in the future: the clock was set back.
fn age(at: SystemTime) -> Duration {
    SystemTime::now().duration_since(at).unwrap_or_default()
}
