//! A commit's tree as a build context, read straight from git objects: nothing is checked out.

use std::path::PathBuf;

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
    pub(crate) entries: Vec<Entry>,
}
