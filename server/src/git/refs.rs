//! Refs of a repository. Every move is a compare-and-swap: who moved it meanwhile wins, and the caller hears of it.

use std::fmt::Write as _;

use super::command::{self, CommandError, QUERY_DEADLINE};
use super::oid::Oid;
use super::repository::Repository;

/// One ref to move: from what the caller saw to what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RefUpdate {
    /// Full name: `refs/heads/main`.
    pub(crate) name: String,
    /// `Oid::ZERO` deletes.
    pub(crate) new: Oid,
    /// `Oid::ZERO`: must not exist.
    pub(crate) expected: Oid,
}

/// Why a ref was not read or moved.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RefError {
    /// Somebody else moved it since the caller looked.
    #[error("{name} was expected at {expected} and is at {actual}")]
    Moved { name: String, expected: Oid, actual: Oid },
    #[error(transparent)]
    Command(#[from] CommandError),
}

impl Repository {
    /// Where the ref of that full name points (a tag's own object, not what it points at); `None` if there is none.
    pub(crate) async fn resolve(&self, name: &str) -> Result<Option<Oid>, CommandError> {
        // Anything else could be taken for an option, and HEAD and its like are not refs that a caller may name.
        if !name.starts_with("refs/") {
            return Ok(None);
        }
        let found = self.list(&[name]).await?;
        Ok(found.into_iter().find(|(found, _)| found == name).map(|(_, oid)| oid))
    }

    /// Moves one ref if it still is where the caller saw it.
    pub(crate) async fn update_ref(&self, name: &str, new: Oid, expected: Oid) -> Result<(), RefError> {
        self.update_refs(&[RefUpdate { name: name.to_owned(), new, expected }]).await
    }

    /// Removes one ref if it still is where the caller saw it.
    pub(crate) async fn delete_ref(&self, name: &str, expected: Oid) -> Result<(), RefError> {
        self.update_ref(name, Oid::ZERO, expected).await
    }

    /// Moves all of them or none.
    pub(crate) async fn update_refs(&self, updates: &[RefUpdate]) -> Result<(), RefError> {
        let mut script = String::new();
        for RefUpdate { name, new, expected } in updates {
            let line = if new.is_zero() {
                write!(script, "delete {name}\0{expected}\0")
            } else {
                write!(script, "update {name}\0{new}\0{expected}\0")
            };
            line.expect("invariant: writing into a String succeeds");
        }
        let mut update = command::git(self.path(), "update-ref");
        update.args(["--stdin", "-z"]);
        let output = command::run(&mut update, script.as_bytes(), QUERY_DEADLINE).await?;
        if output.status.success() {
            return Ok(());
        }
        match self.first_moved(updates).await? {
            Some(moved) => Err(moved),
            None => Err(output.failed(&update).into()),
        }
    }

    /// The builds' pins: name and commit, newest (highest number) first.
    pub(crate) async fn pins(&self) -> Result<Vec<(String, Oid)>, CommandError> {
        self.list(&["--sort=-version:refname", "refs/builds/"]).await
    }

    /// Branches and tags, in byte order: what clients are shown.
    pub(crate) async fn visible_refs(&self) -> Result<Vec<(String, Oid)>, CommandError> {
        self.list(&["refs/heads/", "refs/tags/"]).await
    }

    /// What HEAD names, and so what a clone checks out. The first push of a branch leaves it unborn otherwise.
    pub(crate) async fn set_head(&self, branch: &str) -> Result<(), CommandError> {
        let mut symbolic = command::git(self.path(), "symbolic-ref");
        symbolic.args(["HEAD", &format!("refs/heads/{branch}")]);
        command::succeed(&mut symbolic, b"", QUERY_DEADLINE).await.map(drop)
    }

    /// Whether `ancestor` is reachable from `descendant` (equal commits are).
    pub(crate) async fn is_ancestor(&self, ancestor: Oid, descendant: Oid) -> Result<bool, CommandError> {
        let mut merge_base = command::git(self.path(), "merge-base");
        merge_base.args(["--is-ancestor", &ancestor.to_string(), &descendant.to_string()]);
        let output = command::run(&mut merge_base, b"", QUERY_DEADLINE).await?;
        match output.status.code() {
            Some(0) => Ok(true),
            Some(1) => Ok(false),
            _ => Err(output.failed(&merge_base)),
        }
    }

    async fn first_moved(&self, updates: &[RefUpdate]) -> Result<Option<RefError>, CommandError> {
        for RefUpdate { name, expected, .. } in updates {
            let actual = self.resolve(name).await?.unwrap_or(Oid::ZERO);
            if actual != *expected {
                return Ok(Some(RefError::Moved { name: name.clone(), expected: *expected, actual }));
            }
        }
        Ok(None)
    }

    async fn list(&self, selection: &[&str]) -> Result<Vec<(String, Oid)>, CommandError> {
        let mut list = command::git(self.path(), "for-each-ref");
        list.arg("--format=%(objectname) %(refname)").args(selection);
        let listing = command::succeed(&mut list, b"", QUERY_DEADLINE).await?;
        let parse = |line: &str| {
            let (oid, name) = line.split_once(' ')?;
            Some((name.to_owned(), oid.parse().ok()?))
        };
        Ok(String::from_utf8_lossy(&listing).lines().filter_map(parse).collect())
    }
}
