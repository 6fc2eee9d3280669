//! What a commit says of itself in full, and which files differ between two.

use super::oid::Oid;
use super::repository::{Repository, RepositoryError};

impl Repository {
    /// The whole message of a commit.
    pub(crate) async fn message(&self, commit: Oid) -> Result<String, RepositoryError> {
        self.read(move |repository| {
            let commit = repository.find_commit(commit.to_git2())?;
            Ok(String::from_utf8_lossy(commit.message_bytes()).into_owned())
        })
        .await
    }

    /// The paths of the files that differ between two commits, at their old place and at their new one.
    pub(crate) async fn changed_paths(&self, from: Oid, to: Oid) -> Result<Vec<String>, RepositoryError> {
        self.read(move |repository| {
            let tree = |oid: Oid| repository.find_commit(oid.to_git2())?.tree();
            let (from, to) = (tree(from)?, tree(to)?);
            let diff = repository.diff_tree_to_tree(Some(&from), Some(&to), None)?;
            let files = diff.deltas().flat_map(|delta| [delta.old_file(), delta.new_file()]);
            let paths = files.filter_map(|file| file.path_bytes());
            let mut paths: Vec<String> =
                paths.map(|path| String::from_utf8_lossy(path).into_owned()).collect();
            paths.dedup();
            Ok(paths)
        })
        .await
    }

    /// The commit and its first parents, the newest first, at most so many.
    pub(crate) async fn line_of(&self, commit: Oid, most: usize) -> Result<Vec<Oid>, RepositoryError> {
        self.read(move |repository| {
            let mut walk = repository.revwalk()?;
            walk.simplify_first_parent()?;
            walk.push(commit.to_git2())?;
            walk.take(most).map(|found| found.map(Oid::from)).collect()
        })
        .await
    }

    /// The first of these commits that the repository has.
    pub(crate) async fn first_of(&self, commits: Vec<Oid>) -> Result<Option<Oid>, RepositoryError> {
        self.read(move |repository| {
            let odb = repository.odb()?;
            Ok(commits.into_iter().find(|commit| odb.exists(commit.to_git2())))
        })
        .await
    }
}
