//! The bytes of a snapshot's entries. Large ones come from a git child, so that they are never held in memory whole.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use super::{Entry, EntryKind, SnapshotError};
use crate::git::command;
use crate::git::repository::open_git2;

/// Above this size a blob is streamed; the same as the repository's `core.bigFileThreshold`.
const STREAMED_FROM: u64 = 16 * 1024 * 1024;
/// Handed over at once.
const CHUNK: usize = 256 * 1024;

/// An open repository to read entries from. To be moved between threads, not shared.
pub(crate) struct Contents {
    git: git2::Repository,
    path: PathBuf,
}

impl Contents {
    pub(super) fn open(repository: &Path) -> Result<Self, SnapshotError> {
        Ok(Self { git: open_git2(repository)?, path: repository.to_owned() })
    }

    /// Hands over the bytes of a file, or a symlink's target, piece by piece. An error of `take` ends it and is given
    /// back. Folders have no bytes. Blocking; it waits for nothing but the disk and `take`.
    pub(crate) fn for_each_chunk(
        &self,
        entry: &Entry,
        mut take: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        match &entry.kind {
            EntryKind::Folder => Ok(()),
            EntryKind::Symlink { target } => take(target.as_bytes()),
            EntryKind::File { size, .. } if *size > STREAMED_FROM => self.stream(&entry.oid, *size, take),
            EntryKind::File { .. } => {
                let odb = self.git.odb().map_err(io::Error::other)?;
                let id = git2::Oid::from_str(&entry.oid).map_err(io::Error::other)?;
                let blob = odb.read(id).map_err(io::Error::other)?;
                blob.data().chunks(CHUNK).try_for_each(take)
            }
        }
    }

    fn stream(&self, oid: &str, size: u64, mut take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let mut command = command::blocking(&self.path, "cat-file");
        command.args(["blob", oid]).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = Reaped(command.spawn()?);
        let mut stdout = child.0.stdout.take().expect("invariant: standard output is a pipe");
        let mut chunk = vec![0; CHUNK];
        let mut left = size;
        loop {
            let count = stdout.read(&mut chunk)?;
            if count == 0 {
                break;
            }
            left = left.checked_sub(count as u64).ok_or_else(|| changed(oid))?;
            take(&chunk[..count])?;
        }
        let status = child.0.wait()?;
        if left == 0 && status.success() { Ok(()) } else { Err(changed(oid)) }
    }
}

fn changed(oid: &str) -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, format!("object {oid} is not what its header says"))
}

/// Killed and waited for when the reading ends early.
struct Reaped(Child);

impl Drop for Reaped {
    fn drop(&mut self) {
        // Both fail only for a child that has ended and was waited for.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
