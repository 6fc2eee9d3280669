//! Reading blobs for the engine.

use std::io;
use std::path::Path;

use crate::git::snapshot::Entry;

/// Pieces in which a blob is handed on.
const CHUNK: usize = 32 * 1024;

/// A repository opened for reading. Blocking: for the threads that may wait.
pub(super) struct Reader {
    repository: git2::Repository,
}

impl Reader {
    pub(super) fn open(repository: &Path) -> io::Result<Self> {
        // Objects were verified when they came in; hashing each of them again would double the cost of reading.
        git2::opts::strict_hash_verification(false);
        let repository = git2::Repository::open_bare(repository).map_err(io::Error::other)?;
        Ok(Self { repository })
    }

    pub(super) fn for_each_chunk(
        &self,
        entry: &Entry,
        mut take: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let oid = git2::Oid::from_str(&entry.oid).map_err(io::Error::other)?;
        let blob = self.repository.find_blob(oid).map_err(io::Error::other)?;
        blob.content().chunks(CHUNK).try_for_each(&mut take)
    }
}
