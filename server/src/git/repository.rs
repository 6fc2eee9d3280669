//! One bare repository. Its configuration is ours alone: `init` writes it whole, each time.

use std::path::{Path, PathBuf};

use super::command::{self, CommandError, QUERY_DEADLINE};
use super::oid::Oid;

/// Why each setting is there:
/// `hideRefs` keeps the pins of builds out of every listing; `gc.auto=0` because repacking is ours to schedule and
/// would prune what a build in flight still reads; `bigFileThreshold` makes git stream large blobs instead of holding
/// them; `hooksPath` so that no file in the repository is ever run; the `fsck` relaxations are for mistakes that old
/// tools wrote into histories which nobody can rewrite.
const CONFIG: &str = "\
# Written by slipway, which replaces changes made here.
[core]
\trepositoryformatversion = 0
\tfilemode = true
\tbare = true
\thooksPath = /dev/null
\tbigFileThreshold = 16m
\tlogAllRefUpdates = false
[gc]
\tauto = 0
[maintenance]
\tauto = false
[transfer]
\thideRefs = refs/builds
\tfsckObjects = true
[uploadpack]
\thideRefs = refs/builds
[fsck]
\tbadTimezone = ignore
\tmissingSpaceBeforeDate = ignore
\tzeroPaddedFilemode = ignore
";

/// A bare repository on this machine. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Repository {
    path: PathBuf,
}

/// Why a repository could not be made, opened or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RepositoryError {
    #[error("the repository's path {} is not absolute", .0.display())]
    Relative(PathBuf),
    #[error("there is no repository at {}", .0.display())]
    Absent(PathBuf),
    #[error("the repository's folder {} could not be written", path.display())]
    Write { path: PathBuf, source: std::io::Error },
    #[error("the repository could not be read")]
    Read(#[from] git2::Error),
    #[error(transparent)]
    Command(#[from] CommandError),
    #[error("the reading of the repository was aborted")]
    Aborted,
}

/// What people want to know about a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CommitInfo {
    /// The commit itself; where a tag was asked for, what the tag points at.
    pub(crate) commit: Oid,
    pub(crate) tree: Oid,
    pub(crate) parents: Vec<Oid>,
    /// The first line of the message.
    pub(crate) subject: String,
    pub(crate) author_name: String,
    pub(crate) author_email: String,
    pub(crate) committed_at: jiff::Timestamp,
}

impl Repository {
    /// Makes the repository, or brings one that is there to our configuration. Idempotent, also after a crash.
    pub(crate) async fn init(path: &Path) -> Result<Self, RepositoryError> {
        let repository = Self::at(path)?;
        let write = |source| RepositoryError::Write { path: path.to_owned(), source };
        tokio::fs::create_dir_all(path).await.map_err(write)?;
        let mut init = command::git(path, "init");
        init.args(["--bare", "--quiet", "--template=", "--initial-branch=main", "--object-format=sha1"]);
        command::succeed(&mut init, b"", QUERY_DEADLINE).await?;
        repository.write_config().await.map_err(write)?;
        Ok(repository)
    }

    /// The repository that `init` has made.
    pub(crate) async fn open(path: &Path) -> Result<Self, RepositoryError> {
        let repository = Self::at(path)?;
        let whole = tokio::fs::try_exists(path.join("objects")).await.unwrap_or(false)
            && tokio::fs::try_exists(path.join("HEAD")).await.unwrap_or(false);
        if whole { Ok(repository) } else { Err(RepositoryError::Absent(path.to_owned())) }
    }

    /// Absolute.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Subject, tree and author of a commit, or of the commit that a tag points at.
    pub(crate) async fn commit_info(&self, oid: Oid) -> Result<CommitInfo, RepositoryError> {
        self.read(move |repository| {
            let object = repository.find_object(oid.to_git2(), None)?;
            let commit = object.peel_to_commit()?;
            let author = commit.author();
            Ok(CommitInfo {
                commit: commit.id().into(),
                tree: commit.tree_id().into(),
                parents: commit.parent_ids().map(Oid::from).collect(),
                subject: String::from_utf8_lossy(commit.summary_bytes().unwrap_or_default()).into_owned(),
                author_name: String::from_utf8_lossy(author.name_bytes()).into_owned(),
                author_email: String::from_utf8_lossy(author.email_bytes()).into_owned(),
                committed_at: jiff::Timestamp::from_second(commit.time().seconds()).unwrap_or_default(),
            })
        })
        .await
    }

    /// Runs a reader on a thread that may block.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        reader: impl FnOnce(&git2::Repository) -> Result<T, git2::Error> + Send + 'static,
    ) -> Result<T, RepositoryError> {
        let path = self.path.clone();
        let task = tokio::task::spawn_blocking(move || reader(&open_git2(&path)?));
        Ok(task.await.map_err(|_| RepositoryError::Aborted)??)
    }

    fn at(path: &Path) -> Result<Self, RepositoryError> {
        // git runs its children inside the repository's folder, where a relative path would mean another place.
        if !path.is_absolute() {
            return Err(RepositoryError::Relative(path.to_owned()));
        }
        Ok(Self { path: path.to_owned() })
    }

    /// Replaced by rename: a reader sees the old settings or the new ones, never half of them.
    async fn write_config(&self) -> std::io::Result<()> {
        let fresh = self.path.join("config.slipway");
        tokio::fs::write(&fresh, CONFIG).await?;
        tokio::fs::rename(&fresh, self.path.join("config")).await
    }
}

/// libgit2 on a repository, with its own hash check off: `index-pack` has hashed every byte before it was let in.
pub(super) fn open_git2(path: &Path) -> Result<git2::Repository, git2::Error> {
    git2::opts::strict_hash_verification(false);
    git2::Repository::open_bare(path)
}
