//! When a build's turn comes: is it still wanted?
//!
//! Two pushes in flight both saw the old branch. The second goes on only if its commit contains what was released
//! meanwhile, or if it was forced; otherwise it would silently take back somebody's release.

use super::{Line, Stop, release};
use crate::actions::builds::HOOK;
use crate::db::builds;
use crate::db::releases;
use crate::git::{Oid, Repository};

pub(crate) async fn still_wanted(line: &Line) -> Result<(), Stop> {
    let mut conn = line.platform.pool.acquire().await?;
    let build = &line.build;
    if builds::cancel_requested(&mut conn, build.id).await? {
        return Err(Stop::Canceled);
    }
    drop(conn);
    release::refuse_if_overtaken(line).await?;
    let mut conn = line.platform.pool.acquire().await?;
    let Some(released) = line.app.branch_commit.as_deref() else { return Ok(()) };
    // Of a repository elsewhere the newest head wins, whatever it was moved from: it was read when it was accepted.
    if build.forced || build.trigger == HOOK || build.branch_was.as_deref() == Some(released) {
        return Ok(());
    }
    let repository = line.platform.repository(line.app.id).await.map_err(Stop::ours)?;
    if contains(&repository, &build.commit, released).await? {
        return Ok(());
    }
    let by = releases::of_commit(&mut conn, line.app.id, released).await?;
    let who = by.map_or_else(String::new, |release| {
        format!(": {} released v{}", release.actor_name, release.version)
    });
    Err(Stop::Failed(format!(
        "the branch has moved since your push{who} ({}), and your commit does not contain it. \
         Run `git fetch` and merge or rebase, then push again",
        released.get(..7).unwrap_or(released)
    )))
}

async fn contains(repository: &Repository, commit: &str, earlier: &str) -> Result<bool, Stop> {
    let parse = |text: &str| text.parse::<Oid>().map_err(|error| Stop::ours(error.into()));
    let (commit, earlier) = (parse(commit)?, parse(earlier)?);
    repository.is_ancestor(earlier, commit).await.map_err(|error| Stop::ours(error.into()))
}

impl Stop {
    /// A fault of the platform's own that trying again may mend.
    pub(crate) fn ours(error: anyhow::Error) -> Self {
        Self::Errored {
            sentence: "the platform could not go on; its log has the cause".to_owned(),
            error,
            again: super::Again::Yes,
        }
    }
}
