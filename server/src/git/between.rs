//! Which commits lie between two: what a newer release brought, and what it left out.

use std::time::Duration;

use super::command::{self, CommandError};
use super::oid::Oid;
use super::receive::boundary;
use super::repository::{Repository, RepositoryError};

/// Commits that are listed on a side.
const MOST: usize = 100;
/// Two histories that have nothing in common are walked to their ends; people wait for the answer.
const DEADLINE: Duration = Duration::from_secs(10);

/// A commit as a line of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) commit: Oid,
    /// The first line of the message.
    pub(crate) subject: String,
    pub(crate) author: String,
}

/// Commits that one side has and the other lacks, the newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Commits {
    pub(crate) listed: Vec<Listed>,
    /// There are more.
    pub(crate) more: bool,
}

/// What differs between the histories of two commits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Between {
    pub(crate) added: Commits,
    pub(crate) removed: Commits,
    /// A list ends where the history here ends, because a shallow clone has pushed: commits may be missing in it, or
    /// stand in it though both sides have them.
    pub(crate) shallow: bool,
}

impl Repository {
    /// The commits of `to` that `from` lacks, and those of `from` that `to` lacks; `None` if the repository has one of
    /// the two no more.
    pub(crate) async fn between(&self, from: Oid, to: Oid) -> Result<Option<Between>, RepositoryError> {
        let there = self.read(move |repository| {
            let odb = repository.odb()?;
            Ok([from, to].into_iter().all(|commit| odb.exists(commit.to_git2())))
        });
        if !there.await? {
            return Ok(None);
        }
        let (added, removed) = tokio::try_join!(self.beyond(to, from), self.beyond(from, to))?;
        let ends = boundary(self.path()).await.unwrap_or_default();
        let listed = added.listed.iter().chain(&removed.listed);
        let shallow = listed.into_iter().any(|listed| ends.contains(&listed.commit));
        Ok(Some(Between { added, removed, shallow }))
    }

    /// The commits of `commit` that `other` lacks.
    async fn beyond(&self, commit: Oid, other: Oid) -> Result<Commits, CommandError> {
        let mut log = command::git(self.path(), "log");
        log.args(["-z", "--no-show-signature", "--no-color", "--encoding=UTF-8", "--format=%H%n%an%n%s"]);
        log.arg(format!("--max-count={}", MOST + 1))
            .args([commit.to_string(), format!("^{other}")])
            .arg("--");
        let output = command::succeed(&mut log, b"", DEADLINE).await?;
        let text = String::from_utf8_lossy(&output);
        let mut listed: Vec<Listed> = text.split('\0').filter_map(listed).collect();
        let more = listed.len() > MOST;
        listed.truncate(MOST);
        Ok(Commits { listed, more })
    }
}

fn listed(entry: &str) -> Option<Listed> {
    let mut lines = entry.splitn(3, '\n');
    let commit = lines.next()?.parse().ok()?;
    let author = lines.next().unwrap_or_default().to_owned();
    let subject = lines.next().unwrap_or_default().to_owned();
    Some(Listed { commit, subject, author })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Bridge, Work};
    use super::*;

    fn ids(commits: &Commits) -> Vec<Oid> {
        commits.listed.iter().map(|listed| listed.commit).collect()
    }

    #[tokio::test]
    async fn commits_are_listed_on_the_side_that_has_them() {
        let bridge = Bridge::start().await;
        let work = bridge.work("work").await;
        let line = work.history(3).await;
        work.push(&["platform", "main"]).await;
        work.git(&["checkout", "-q", "-b", "other", &line[0].to_string()]).await;
        let other = work.commit("other", "x").await;
        work.push(&["platform", "other"]).await;

        let between = async |from, to| bridge.repository.between(from, to).await.unwrap();
        let forward = between(line[0], line[2]).await.unwrap();
        assert_eq!((ids(&forward.added), ids(&forward.removed)), (vec![line[2], line[1]], vec![]));
        assert_eq!(
            (forward.added.listed[0].subject.as_str(), forward.added.listed[0].author.as_str()),
            ("Change file", "Ada")
        );
        let apart = between(line[2], other).await.unwrap();
        assert_eq!((ids(&apart.added), ids(&apart.removed)), (vec![other], vec![line[2], line[1]]));
        assert!(!apart.shallow && !apart.added.more);
        assert_eq!(between(other, other).await, Some(Between::default()));
        let nowhere: Oid = "1".repeat(40).parse().unwrap();
        assert_eq!(between(nowhere, other).await, None);
    }

    #[tokio::test]
    async fn long_lists_end_and_shallow_ones_say_so() {
        let bridge = Bridge::start().await;
        let full = bridge.work("full").await;
        let line = full.history(MOST + 3).await;
        full.push(&["platform", "main"]).await;
        let all = bridge.repository.between(line[0], line[MOST + 2]).await.unwrap().unwrap();
        assert_eq!((all.added.listed.len(), all.added.more, all.shallow), (MOST, true, false));

        let bridge = Bridge::start().await;
        let from = format!("file://{}", full.path.display());
        let shallow = Work { path: bridge.folder.path().join("shallow") };
        full.git(&["clone", "-q", "--depth", "2", &from, &shallow.path.display().to_string()]).await;
        shallow.git(&["remote", "add", "platform", &bridge.url]).await;
        shallow.push(&["platform", "main"]).await;
        let next = shallow.commit("file", "more").await;
        shallow.push(&["platform", "main"]).await;
        let (known, end) = (line[MOST + 2], line[MOST + 1]);
        let short = bridge.repository.between(known, next).await.unwrap().unwrap();
        assert_eq!((ids(&short.added), short.shallow), (vec![next], false));
        let other = shallow.git(&["commit-tree", "-m", "Alone", "HEAD^{tree}"]).await.parse().unwrap();
        shallow.push(&["platform", &format!("{other}:refs/heads/other")]).await;
        let cut = bridge.repository.between(other, next).await.unwrap().unwrap();
        assert_eq!((ids(&cut.added), cut.shallow), (vec![next, known, end], true));
    }
}
