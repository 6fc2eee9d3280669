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
/// T
#[derive(Debug, Clone, Copy)]
pub(crate) struct SnapshotLimits { pub(crate) files: u64, pub(crate) bytes: u64, pub(crate) depth: u32, pub(crate) path_bytes: u32 }
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct SnapshotError(String);
impl Snapshot {
    pub(crate) fn of(repository: &super::Repository, commit: super::Oid, _sub: Option<&str>, _limits: &SnapshotLimits) -> Result<Self, SnapshotError> {
        git2::opts::strict_hash_verification(false);
        let repo = git2::Repository::open(repository.path()).map_err(|e| SnapshotError(e.to_string()))?;
        let oid = git2::Oid::from_str(&commit.to_string()).map_err(|e| SnapshotError(e.to_string()))?;
        let tree = repo.find_commit(oid).and_then(|c| c.tree()).map_err(|e| SnapshotError(e.to_string()))?;
        let mut entries = Vec::new();
        walk(&repo, &tree, "", &mut entries).map_err(|e| SnapshotError(e.to_string()))?;
        Ok(Self { repository: repository.path().to_owned(), entries })
    }
    pub(crate) fn read(&self, path: &str, _most: usize) -> Result<Option<Vec<u8>>, SnapshotError> {
        let Some(entry) = self.entries.iter().find(|e| e.path == path) else { return Ok(None) };
        let repo = git2::Repository::open(&self.repository).map_err(|e| SnapshotError(e.to_string()))?;
        let oid = git2::Oid::from_str(&entry.oid).map_err(|e| SnapshotError(e.to_string()))?;
        repo.find_blob(oid).map(|b| Some(b.content().to_vec())).map_err(|e| SnapshotError(e.to_string()))
    }
}
fn walk(repo: &git2::Repository, tree: &git2::Tree<'_>, prefix: &str, into: &mut Vec<Entry>) -> Result<(), git2::Error> {
    let odb = repo.odb()?;
    for item in tree.iter() {
        let path = if prefix.is_empty() { item.name().unwrap_or("?").to_owned() } else { format!("{prefix}/{}", item.name().unwrap_or("?")) };
        let oid = item.id().to_string();
        match item.filemode() {
            0o040000 => { into.push(Entry { path: path.clone(), kind: EntryKind::Folder, oid }); walk(repo, &repo.find_tree(item.id())?, &path, into)?; }
            0o120000 => { let b = repo.find_blob(item.id())?; into.push(Entry { path, kind: EntryKind::Symlink { target: String::from_utf8_lossy(b.content()).into_owned() }, oid }); }
            0o160000 => {}
            mode => { let (size, _) = odb.read_header(item.id())?; into.push(Entry { path, kind: EntryKind::File { size: size as u64, executable: mode == 0o100755 }, oid }); }
        }
    }
    Ok(())
}
