//! A commit's tree as a build context, read straight from git objects: nothing is checked out.
//!
//! Invariant: every entry of a `Snapshot` lies inside the context's root, also after each symlink on its way has been
//! followed; no name is `.git`, `.` or `..`; and the whole is within the limits that it was taken with.

mod content;
mod links;
#[cfg(test)]
mod tests;
mod walk;

use std::path::PathBuf;

use bytesize::ByteSize;

use super::oid::Oid;
use super::repository::{Repository, open_git2};

pub(crate) use content::Contents;

/// A file that the platform itself reads (Procfile, Dockerfile, `.dockerignore`) is no larger than this.
const LARGEST_READ: u64 = 1024 * 1024;

/// One file, symlink or folder of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Relative to the context's root, with `/`, never empty, without `.` and `..`.
    pub(crate) path: String,
    pub(crate) kind: EntryKind,
    /// The object's id in hex; content-addressed, so equal ids mean equal bytes.
    pub(crate) oid: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EntryKind {
    Folder,
    File {
        size: u64,
        executable: bool,
    },
    /// Never followed by us; the engine gets it as a symlink.
    Symlink {
        target: String,
    },
}

/// The tree below the context's root, in depth-first order with each folder before its content and siblings in
/// byte order of their names.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    pub(crate) repository: PathBuf,
    /// The object id of the tree that is the root.
    pub(crate) tree: String,
    pub(crate) entries: Vec<Entry>,
}

/// What a context may hold at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SnapshotLimits {
    /// Files, symlinks and folders.
    pub(crate) entries: usize,
    /// Bytes of all files together.
    pub(crate) bytes: u64,
    /// Folders within folders.
    pub(crate) depth: usize,
    /// Bytes of one path.
    pub(crate) path_bytes: usize,
}

impl Default for SnapshotLimits {
    fn default() -> Self {
        Self { entries: 200_000, bytes: 2 * 1024 * 1024 * 1024, depth: 64, path_bytes: 1024 }
    }
}

/// What the pusher should know before the build begins: it will probably not do what they expect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Finding {
    /// Its content is in another repository and is left out of the context.
    Submodule { path: String },
    /// The build gets the pointer, not the file that it stands for.
    LfsPointer { path: String },
}

/// Why there is no context. The texts are for the pusher, but for `Unreadable`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SnapshotError {
    #[error(
        "the tree holds more than {0} files and folders: leave generated files out of git, or have SLIPWAY_MAX_FILES \
         raised"
    )]
    TooManyEntries(usize),
    #[error(
        "the files of the tree are larger than {limit} together: leave large files out of git, or have \
         SLIPWAY_MAX_CONTEXT raised",
        limit = ByteSize::b(*.0)
    )]
    TooLarge(u64),
    #[error("{path} lies more than {limit} folders deep: flatten the tree, or have SLIPWAY_MAX_DEPTH raised")]
    TooDeep { path: String, limit: usize },
    #[error("the path {path} is longer than {limit} bytes: shorten it, or have SLIPWAY_MAX_PATH raised")]
    PathTooLong { path: String, limit: usize },
    #[error("{0} is a name that no build may be given: rename the file and push again")]
    ForbiddenName(String),
    #[error("the name of {0} is not UTF-8: rename the file and push again")]
    NotUtf8(String),
    #[error(
        "the symlink {path} points out of the tree, to {target}: make it relative and keep it inside, or remove it"
    )]
    EscapingSymlink { path: String, target: String },
    #[error("the symlink {0} has no usable target: remove it and push again")]
    BrokenSymlink(String),
    #[error(
        "the symlinks of the tree are too many or too long to be checked: leave generated files out of git"
    )]
    TooManySymlinks,
    #[error("{0} is not a folder of the tree: correct the app's source folder, or commit it")]
    NoFolder(String),
    #[error(
        "{path} is larger than {}, more than the platform reads of such a file",
        ByteSize::b(LARGEST_READ)
    )]
    TooLargeToRead { path: String },
    #[error("the repository could not be read")]
    Unreadable(#[from] git2::Error),
}

impl Snapshot {
    /// Lists the tree of a commit (or of what a tag points at). Blocking; for `spawn_blocking`.
    ///
    /// `subfolder` is the context's root within the tree. Submodules are left out and told as findings.
    pub(crate) fn of(
        repository: &Repository,
        commit: Oid,
        subfolder: Option<&str>,
        limits: &SnapshotLimits,
    ) -> Result<(Self, Vec<Finding>), SnapshotError> {
        let git = open_git2(repository.path())?;
        let root = root_tree(&git, commit, subfolder)?;
        let (entries, findings) = walk::walk(&git, &root, limits)?;
        links::check(&entries)?;
        let tree = root.id().to_string();
        Ok((Self { repository: repository.path().to_owned(), tree, entries }, findings))
    }

    /// A small file's bytes; `None` if there is no such file. Symlinks are not followed. Blocking.
    pub(crate) fn read(&self, path: &str) -> Result<Option<Vec<u8>>, SnapshotError> {
        let Some(entry) = self.entries.iter().find(|entry| entry.path == path) else { return Ok(None) };
        match entry.kind {
            EntryKind::File { size, .. } if size > LARGEST_READ => {
                Err(SnapshotError::TooLargeToRead { path: path.to_owned() })
            }
            EntryKind::File { .. } => {
                let git = open_git2(&self.repository)?;
                let blob = git.find_blob(git2::Oid::from_str(&entry.oid)?)?;
                Ok(Some(blob.content().to_vec()))
            }
            EntryKind::Folder | EntryKind::Symlink { .. } => Ok(None),
        }
    }

    /// A reader of the entries' bytes, which keeps the repository open. Blocking.
    pub(crate) fn contents(&self) -> Result<Contents, SnapshotError> {
        Contents::open(&self.repository)
    }
}

fn root_tree<'git>(
    git: &'git git2::Repository,
    commit: Oid,
    subfolder: Option<&str>,
) -> Result<git2::Tree<'git>, SnapshotError> {
    let mut tree = git.find_object(commit.to_git2(), None)?.peel_to_tree()?;
    let Some(subfolder) = subfolder else { return Ok(tree) };
    let components = subfolder.split('/').filter(|component| !matches!(*component, "" | "."));
    for component in components {
        // `..` and `.git` are no entries of any tree, so they end here too.
        let entry = tree.get_name(component).filter(|entry| entry.filemode() == walk::FOLDER);
        let id = entry.ok_or_else(|| SnapshotError::NoFolder(subfolder.to_owned()))?.id();
        tree = git.find_tree(id)?;
    }
    Ok(tree)
}
