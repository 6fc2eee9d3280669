//! Accepting, retrying and canceling builds.

use std::time::Duration;

use anyhow::Context;
use backon::{ConstantBuilder, Retryable};
use serde_json::json;
use sqlx::PgConnection;
use tracing::warn;

use super::ActionError;
use crate::db::apps::App;
use crate::db::builds::{self, Build, Cancel, NewBuild};
use crate::db::{app_lock, audit, connections, deliveries, jobs, releases};
use crate::domain::access::{Actor, Principal};
use crate::domain::ids::{BuildId, DeliveryId};
use crate::git::{CommitInfo, Oid, Repository};
use crate::pipeline::jobs::{BUILD, build_job};
use crate::platform::Platform;

/// What asks for a build, and how.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    pub(crate) trigger: Trigger,
    pub(crate) commit: CommitInfo,
    /// Where the pusher saw the deploy branch.
    pub(crate) branch_was: Option<Oid>,
    pub(crate) forced: bool,
    pub(crate) detached: bool,
    pub(crate) no_cache: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trigger {
    Push,
    Retry,
    /// A repository elsewhere has moved; the delivery that told us is judged with the build's own transaction.
    Hook(DeliveryId),
}

impl Trigger {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Retry => "retry",
            Self::Hook(_) => HOOK,
        }
    }

    /// How the audit calls it.
    fn verb(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Retry => "builds:retry",
            Self::Hook(_) => "hook",
        }
    }
}

/// The trigger of builds that a web hook has led to, as it is stored.
pub(crate) const HOOK: &str = "hook";

/// A build that is in the database with its job.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Accepted {
    pub(crate) build: BuildId,
    pub(crate) number: i64,
    /// The waiting build that this one replaced.
    pub(crate) superseded: Option<i64>,
}

/// The hidden ref that keeps a build's commit.
pub(crate) fn pin(number: i64) -> String {
    format!("refs/builds/{number}")
}

impl Platform {
    /// Accepts a build in one transaction: number, pin, row, job. The commit's objects must be in the repository.
    pub(crate) async fn accept(
        &self,
        app: &App,
        actor: Actor<'_>,
        repository: &Repository,
        wish: &Wish,
    ) -> Result<Accepted, ActionError> {
        let mut tx = self.pool.begin().await?;
        let locked = app_lock::lock(&mut tx, app.id).await?.ok_or_else(|| super::gone(app))?;
        let number = locked.next_build_number(&mut tx).await?;
        // A pin without a row is swept away later; a row without a pin would lose the commit.
        repository
            .pin(&pin(number), wish.commit.commit)
            .await
            .context("pinning the commit")
            .map_err(ActionError::Internal)?;
        let superseded = builds::supersede_pending(&mut tx, &locked, number).await?;
        if let Some((old, _)) = superseded {
            jobs::withdraw(&mut tx, BUILD, &json!({ "build": old })).await?;
        }
        let commit = wish.commit.commit.to_string();
        let tree = wish.commit.tree.to_string();
        let branch_was = wish.branch_was.map(|oid| oid.to_string());
        let new = NewBuild {
            number,
            trigger: wish.trigger.as_str(),
            commit: &commit,
            tree: &tree,
            subject: &wish.commit.subject,
            branch_was: branch_was.as_deref(),
            forced: wish.forced,
            detached: wish.detached,
            no_cache: wish.no_cache,
            actor_id: actor.user,
            actor_name: actor.name,
        };
        let build = builds::insert(&mut tx, &locked, &new).await?;
        jobs::enqueue(&mut tx, build_job(app.id, build).as_new()).await?;
        let detail = json!({ "build": number, "commit": commit, "forced": wish.forced });
        audit::note(&mut tx, actor, Some((app.id, &app.name)), wish.trigger.verb(), detail).await?;
        if let Trigger::Hook(delivery) = wish.trigger {
            deliveries::deployed(&mut tx, delivery, (&commit, build)).await?;
            connections::judged(&mut tx, app.id, &commit).await?;
        }
        if let Err(error) = tx.commit().await {
            self.find_out_whether_it_was_committed(build, error).await?;
        }
        self.queue.wake();
        if let Some((old, _)) = superseded {
            self.logs.wake(old);
        }
        Ok(Accepted { build, number, superseded: superseded.map(|(_, number)| number) })
    }

    /// The answer to a COMMIT was lost: the row says whether it happened. "Accepted" is never said without a row.
    async fn find_out_whether_it_was_committed(
        &self,
        build: BuildId,
        error: sqlx::Error,
    ) -> Result<(), ActionError> {
        warn!("The answer to a COMMIT was lost: {error}");
        let look = || async {
            let mut conn = self.pool.acquire().await?;
            builds::by_id(&mut conn, build).await
        };
        let patience = ConstantBuilder::new().with_delay(Duration::from_millis(500)).with_max_times(10);
        match look.retry(patience).await? {
            Some(_) => Ok(()),
            None => Err(error.into()),
        }
    }

    /// Builds the commit of an earlier build again; the latest one without a number.
    pub(crate) async fn retry_build(
        &self,
        app: &App,
        principal: &Principal,
        number: Option<i64>,
    ) -> Result<Accepted, ActionError> {
        let mut conn = self.pool.acquire().await?;
        let build = find(&mut conn, app, number).await?;
        drop(conn);
        let repository = self.repository(app.id).await.map_err(ActionError::Internal)?;
        let oid: Oid = build.commit.parse().context("the stored commit").map_err(ActionError::Internal)?;
        let commit = repository.commit_info(oid).await.map_err(|_| {
            ActionError::Conflict(format!(
                "the commit of build {} is not kept any more: push it again",
                build.number
            ))
        })?;
        let branch_was = app.branch_commit.as_deref().and_then(|commit| commit.parse().ok());
        if let Some(released) = branch_was
            && !repository
                .is_ancestor(released, oid)
                .await
                .map_err(|error| ActionError::Internal(error.into()))?
        {
            return Err(ActionError::Conflict(format!(
                "build {} is of an older commit than what was released since: `rollback` goes back, or push it by force",
                build.number
            )));
        }
        let wish = Wish {
            trigger: Trigger::Retry,
            commit,
            branch_was,
            forced: false,
            detached: false,
            no_cache: build.no_cache,
        };
        self.accept(app, principal.into(), &repository, &wish).await
    }

    /// Cancels the build that runs, or the release phase, if it is older than build `number`, which may have begun
    /// already; `None` if none is.
    pub(crate) async fn cancel_before(
        &self,
        app: &App,
        principal: &Principal,
        number: i64,
    ) -> Result<Option<Build>, ActionError> {
        let mut conn = self.pool.acquire().await?;
        let running = match builds::running_of(&mut conn, app.id).await? {
            Some(running) => Some(running),
            None => builds::in_release_phase(&mut conn, app.id).await?,
        };
        let running = running.filter(|build| build.number < number);
        drop(conn);
        match running {
            Some(build) => self.cancel_build(app, principal, build.number).await.map(Some),
            None => Ok(None),
        }
    }

    /// Cancels a build, or the release phase of its release.
    pub(crate) async fn cancel_build(
        &self,
        app: &App,
        principal: &Principal,
        number: i64,
    ) -> Result<Build, ActionError> {
        let mut tx = self.pool.begin().await?;
        let build = find(&mut tx, app, Some(number)).await?;
        match builds::cancel(&mut tx, build.id, &principal.name).await? {
            Cancel::TooLate => {
                if let Some(release) = releases::cancel_phase(&mut tx, build.id, &principal.name).await? {
                    let detail = json!({ "build": build.number, "release_phase": true });
                    audit::note(&mut tx, principal, Some((app.id, &app.name)), "builds:cancel", detail)
                        .await?;
                    tx.commit().await?;
                    self.phase_cancels.cancel(release);
                    return Ok(build);
                }
                return Err(ActionError::Conflict(format!(
                    "build {} cannot be canceled any more: its image is being pushed, or it is over. `rollback` goes back",
                    build.number
                )));
            }
            Cancel::Ended => {
                jobs::withdraw(&mut tx, BUILD, &json!({ "build": build.id })).await?;
            }
            Cancel::Requested => {}
        }
        let detail = json!({ "build": build.number });
        audit::note(&mut tx, principal, Some((app.id, &app.name)), "builds:cancel", detail).await?;
        let canceled = builds::by_id(&mut tx, build.id).await?.unwrap_or(build);
        tx.commit().await?;
        self.cancels.cancel(canceled.id);
        self.logs.wake(canceled.id);
        Ok(canceled)
    }
}

async fn find(conn: &mut PgConnection, app: &App, number: Option<i64>) -> Result<Build, ActionError> {
    let found = match number {
        Some(number) => builds::by_number(conn, app.id, number).await?,
        None => builds::latest_of(conn, app.id).await?,
    };
    found.ok_or_else(|| match number {
        Some(number) => ActionError::NotFound(format!("there is no build {number}: `builds` lists them")),
        None => ActionError::NotFound("nothing has been built yet: push a commit first".to_owned()),
    })
}
