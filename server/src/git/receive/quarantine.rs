//! Objects that a client sent and that nobody else can see yet.
//!
//! Invariant: until `migrate`, nothing of a push is in the repository; dropping a quarantine removes it. What a killed
//! server leaves behind carries git's own name for such folders, and `Repository::sweep` removes it.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::request::Request;
use super::shallow;
use crate::git::command;
use crate::git::oid::Oid;
use crate::git::repository::{Repository, open_git2};

/// How the folder is called under `objects/`; git's prune knows it by `tmp_`.
pub(crate) const PREFIX: &str = "tmp_objdir-incoming-";

/// Received objects, checked and not yet let in.
#[derive(Debug)]
pub(crate) struct Quarantine {
    repository: Repository,
    /// `None` where no pack was sent.
    folder: Option<TempDir>,
    /// The client's own words for where its history ends, and ours: commits of which a parent may be missing.
    candidates: BTreeSet<Oid>,
    /// Those of the candidates that truly lack a parent.
    boundary: BTreeSet<Oid>,
}

impl Quarantine {
    /// For a push that only deletes.
    pub(super) fn empty(repository: &Repository) -> Self {
        let (candidates, boundary) = Default::default();
        Self { repository: repository.clone(), folder: None, candidates, boundary }
    }

    pub(in crate::git) async fn new(repository: &Repository, request: &Request) -> io::Result<Self> {
        let mut candidates: BTreeSet<Oid> = shallow::read(repository.path()).await?.into_iter().collect();
        candidates.extend(&request.shallow);
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(repository.path().join("objects"))?;
        fs::create_dir(folder.path().join("pack"))?;
        // Until the pack is here nobody knows which of them lack a parent: all are taken at their word.
        let boundary = candidates.clone();
        let quarantine = Self { repository: repository.clone(), folder: Some(folder), candidates, boundary };
        quarantine.write_shallow()?;
        Ok(quarantine)
    }

    /// A git child that writes into the quarantine and reads both. The boundary holds for it alone.
    pub(in crate::git) fn git(&self, subcommand: &str) -> tokio::process::Command {
        let mut command = command::git(self.repository.path(), subcommand);
        if let Some(folder) = &self.folder {
            command
                .env("GIT_OBJECT_DIRECTORY", folder.path())
                .env("GIT_ALTERNATE_OBJECT_DIRECTORIES", quoted(&self.objects()))
                .env("GIT_QUARANTINE_PATH", folder.path());
            if !self.boundary.is_empty() {
                command.env("GIT_SHALLOW_FILE", shallow_file(folder.path()));
            }
        }
        command
    }

    /// Settles which commits truly end the history, now that the pack is here.
    pub(super) async fn settle_boundary(&mut self) -> io::Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        if self.candidates.is_empty() {
            return Ok(());
        }
        let repository = self.repository.path().to_owned();
        let (extra, candidates) = (folder.path().to_owned(), self.candidates.clone());
        let search = move || shallow::boundary_among(&repository, Some(&extra), &candidates);
        self.boundary = tokio::task::spawn_blocking(search).await?.map_err(io::Error::other)?;
        self.write_shallow()
    }

    /// Types of objects, wherever they are. Blocking.
    pub(in crate::git) fn kind_of(&self, oid: Oid) -> Option<git2::ObjectType> {
        let repository = open_git2(self.repository.path()).ok()?;
        let odb = repository.odb().ok()?;
        if let Some(folder) = &self.folder {
            odb.add_disk_alternate(&folder.path().to_string_lossy()).ok()?;
        }
        odb.read_header(oid.to_git2()).ok().map(|(_, kind)| kind)
    }

    /// Lets the objects in and records where their history ends. No ref moves yet.
    pub(crate) async fn migrate(mut self) -> io::Result<()> {
        let Some(folder) = self.folder.take() else { return Ok(()) };
        let objects = self.objects();
        tokio::task::spawn_blocking(move || {
            let outcome = move_packs(&folder.path().join("pack"), &objects.join("pack"));
            // What is left of the folder is empty; its removal may fail without harm, `sweep` comes by.
            drop(folder.close());
            outcome
        })
        .await??;
        shallow::record(self.repository.path(), &self.boundary).await
    }

    /// Bytes of the packs so far, one that is still coming in among them.
    pub(in crate::git) async fn size(&self) -> io::Result<u64> {
        let Some(folder) = &self.folder else { return Ok(0) };
        let mut entries = tokio::fs::read_dir(folder.path().join("pack")).await?;
        let mut bytes = 0;
        while let Some(entry) = entries.next_entry().await? {
            // A pack that is being renamed is counted the next time.
            bytes += entry.metadata().await.map_or(0, |metadata| metadata.len());
        }
        Ok(bytes)
    }

    /// Whether any commit that this push can reach lacks a parent.
    pub(super) fn is_shallow(&self) -> bool {
        !self.boundary.is_empty()
    }

    pub(super) async fn ask_for_whole_history(&self) -> io::Result<()> {
        shallow::ask_for_whole_history(self.repository.path()).await
    }

    fn objects(&self) -> PathBuf {
        self.repository.path().join("objects")
    }

    fn write_shallow(&self) -> io::Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        fs::write(shallow_file(folder.path()), shallow::render(&self.boundary))
    }
}

fn shallow_file(folder: &Path) -> PathBuf {
    folder.join("shallow")
}

/// Packs first and each `.idx` last: git takes a pack for there when it sees the index.
fn move_packs(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    let mut files: Vec<PathBuf> =
        fs::read_dir(from)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    files.sort_by_key(|path| (path.extension().is_some_and(|extension| extension == "idx"), path.clone()));
    for file in files {
        let name = file.file_name().expect("invariant: a folder's entry has a name");
        // A pack is named after its content: one with an index is the same one, from an earlier push.
        if to.join(name).with_extension("idx").exists() {
            continue;
        }
        fs::rename(&file, to.join(name))?;
    }
    // The names must be on the disk before a ref or a row speaks of them.
    fs::File::open(to)?.sync_all()
}

/// A path in git's list of alternates, where `:` separates and quotes are C's.
fn quoted(path: &Path) -> OsString {
    let mut quoted = vec![b'"'];
    for byte in path.as_os_str().as_bytes() {
        if matches!(byte, b'"' | b'\\') {
            quoted.push(b'\\');
        }
        quoted.push(*byte);
    }
    quoted.push(b'"');
    OsString::from_vec(quoted)
}
