//! The walk over the trees of a commit, with every cap checked before the next object is looked at: a repository of a
//! few hundred kilobytes can hold a million files.

use super::{Entry, EntryKind, Finding, SnapshotError, SnapshotLimits};

/// git's modes, as they stand in trees.
pub(super) const FOLDER: i32 = 0o040_000;
const EXECUTABLE: i32 = 0o100_755;
const SYMLINK: i32 = 0o120_000;
const SUBMODULE: i32 = 0o160_000;

/// An LFS pointer is smaller than this, by its specification, and never smaller than the other.
const POINTER_SIZES: std::ops::Range<u64> = 100..1024;
const POINTER_START: &[u8] = b"version https://git-lfs";

/// Linux allows no longer target.
const LONGEST_TARGET: u64 = 4095;

pub(super) fn walk(
    git: &git2::Repository,
    root: &git2::Tree<'_>,
    limits: &SnapshotLimits,
) -> Result<(Vec<Entry>, Vec<Finding>), SnapshotError> {
    let (entries, findings) = Default::default();
    let mut walk = Walk { git, odb: git.odb()?, limits, entries, findings, bytes: 0 };
    walk.tree(root, "", 0)?;
    Ok((walk.entries, walk.findings))
}

struct Walk<'git> {
    git: &'git git2::Repository,
    odb: git2::Odb<'git>,
    limits: &'git SnapshotLimits,
    entries: Vec<Entry>,
    findings: Vec<Finding>,
    bytes: u64,
}

impl Walk<'_> {
    fn tree(&mut self, tree: &git2::Tree<'_>, prefix: &str, depth: usize) -> Result<(), SnapshotError> {
        let mut children: Vec<_> = tree.iter().collect();
        // git sorts a folder as if its name ended in a slash.
        children.sort_by(|a, b| a.name_bytes().cmp(b.name_bytes()));
        for child in children {
            let path = self.path(prefix, child.name_bytes())?;
            self.child(path, child.filemode_raw(), child.id(), depth)?;
        }
        Ok(())
    }

    fn child(&mut self, path: String, mode: i32, id: git2::Oid, depth: usize) -> Result<(), SnapshotError> {
        match mode {
            SUBMODULE => self.findings.push(Finding::Submodule { path }),
            FOLDER => {
                let limit = self.limits.depth;
                if depth >= limit {
                    return Err(SnapshotError::TooDeep { path, limit });
                }
                self.add(path.clone(), EntryKind::Folder, id)?;
                let tree = self.git.find_tree(id)?;
                self.tree(&tree, &path, depth + 1)?;
            }
            SYMLINK => {
                let target = self.target(&path, id)?;
                self.add(path, EntryKind::Symlink { target }, id)?;
            }
            _ => self.file(path, mode, id)?,
        }
        Ok(())
    }

    fn file(&mut self, path: String, mode: i32, id: git2::Oid) -> Result<(), SnapshotError> {
        let size = self.size(id)?;
        self.bytes = self.bytes.saturating_add(size);
        if self.bytes > self.limits.bytes {
            return Err(SnapshotError::TooLarge(self.limits.bytes));
        }
        if POINTER_SIZES.contains(&size) && self.odb.read(id)?.data().starts_with(POINTER_START) {
            self.findings.push(Finding::LfsPointer { path: path.clone() });
        }
        self.add(path, EntryKind::File { size, executable: mode == EXECUTABLE }, id)
    }

    fn add(&mut self, path: String, kind: EntryKind, id: git2::Oid) -> Result<(), SnapshotError> {
        if self.entries.len() >= self.limits.entries {
            return Err(SnapshotError::TooManyEntries(self.limits.entries));
        }
        self.entries.push(Entry { path, kind, oid: id.to_string() });
        Ok(())
    }

    fn path(&self, prefix: &str, name: &[u8]) -> Result<String, SnapshotError> {
        let lossy = || join(prefix, &String::from_utf8_lossy(name));
        let name = std::str::from_utf8(name).map_err(|_| SnapshotError::NotUtf8(lossy()))?;
        let path = join(prefix, name);
        if matches!(name, "" | "." | "..") || name.eq_ignore_ascii_case(".git") || name.contains('/') {
            return Err(SnapshotError::ForbiddenName(path));
        }
        let limit = self.limits.path_bytes;
        if path.len() > limit { Err(SnapshotError::PathTooLong { path, limit }) } else { Ok(path) }
    }

    fn target(&self, path: &str, id: git2::Oid) -> Result<String, SnapshotError> {
        let broken = || SnapshotError::BrokenSymlink(path.to_owned());
        if self.size(id)? > LONGEST_TARGET {
            return Err(broken());
        }
        let target = String::from_utf8(self.odb.read(id)?.data().to_vec()).map_err(|_| broken())?;
        if target.is_empty() || target.contains('\0') { Err(broken()) } else { Ok(target) }
    }

    /// Only the object's header is read.
    fn size(&self, id: git2::Oid) -> Result<u64, SnapshotError> {
        let (size, _) = self.odb.read_header(id)?;
        Ok(size as u64)
    }
}

fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") }
}
