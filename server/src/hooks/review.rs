//! Pull requests: which of their commits go to a review app.
//!
//! Invariants, besides those of all deliveries:
//! - What is built is what the parent's own repository has at the pull request's ref when the job looks.
//! - A commit of a fork is built only if somebody with the right has approved that very commit.

use tracing::warn;

use super::judge::{Case, Decision, Trouble, came_to_nothing};
use super::receive::store;
use super::watch::Watch;
use crate::db::apps::{self, App};
use crate::db::builds;
use crate::db::deliveries::{NewDelivery, Verdict};
use crate::db::pull_requests::{self, PullRequest, Settings};
use crate::domain::access::Actor;
use crate::domain::hook::{Pull, Told};
use crate::domain::ids::{AppId, DeliveryId};
use crate::domain::review::Lack;
use crate::git::{Oid, Repository};
use crate::platform::Platform;

/// Commits of a pull request that are walked in search of one that the parent has.
const LONGEST: usize = 1000;

/// Has a pull request looked at, as if its host had just told of it.
pub(crate) async fn look_again(platform: &Platform, parent: AppId, told: Told) -> sqlx::Result<()> {
    let delivery = DeliveryId::new().to_string();
    let source = if told.actor.is_some() { "person" } else { "search" };
    let new = NewDelivery { app_id: parent, source, delivery: &delivery, event: "pull_request", told: &told };
    store(platform, &new).await.map(drop)
}

impl Case {
    /// What becomes of a delivery that tells of a pull request.
    pub(super) async fn review(&self, pull: &Pull) -> Result<Decision, Trouble> {
        let known = self.note(pull).await?;
        let ignored = |reason: String| Ok(Decision::Verdict(Verdict::Ignored(reason), None));
        let number = pull.number;
        let Some((settings, row)) = known else {
            return ignored(
                "review apps are off: `reviewapps:enable` has one made for each pull request".to_owned(),
            );
        };
        if !row.open {
            let name = self.actor();
            let actor = Actor { user: None, name: &name };
            return match self.platform.remove_review_app(&row, actor, None).await? {
                Some(app) => Ok(Decision::Verdict(Verdict::Removed(format!("{} is gone", app.name)), None)),
                None => ignored(format!("pull request {number} is closed")),
            };
        }
        let Some(name) = self.connection.provider.pull_ref(number) else {
            return ignored("this host has no pull requests".to_owned());
        };
        let Some(head) = self.look(&name).await? else {
            return ignored(format!("the repository has no {name}"));
        };
        let commit = head.to_string();
        let app = self.review_app(&row).await?;
        if let Some(app) = &app {
            let latest = builds::latest_of(&mut *self.platform.pool.acquire().await?, app.id).await?;
            let built = latest.filter(|build| build.commit == commit);
            if let Some(build) = built
                && !(self.asked_by_person() && came_to_nothing(&build))
            {
                return Ok(Decision::Verdict(Verdict::Current(Some(build.id)), Some(head)));
            }
        }
        if let Some(lack) = self.lack(&row, &settings, &commit, app.is_some()).await? {
            return self.leave(&row, head, lack).await;
        }
        self.build(&row, (&name, head), app).await
    }

    /// Writes down what was told; `None` if it is nobody's business.
    async fn note(&self, pull: &Pull) -> sqlx::Result<Option<(Settings, PullRequest)>> {
        let mut conn = self.platform.pool.acquire().await?;
        let settings = pull_requests::settings(&mut conn, self.app.id).await?;
        let Some(settings) = settings.filter(|settings| settings.enabled) else { return Ok(None) };
        pull_requests::told(&mut conn, self.app.id, pull).await?;
        let row = pull_requests::numbered(&mut conn, self.app.id, pull.number).await?;
        Ok(row.map(|row| (settings, row)))
    }

    async fn review_app(&self, row: &PullRequest) -> sqlx::Result<Option<App>> {
        match row.app {
            Some(app) => apps::by_id(&mut *self.platform.pool.acquire().await?, app).await,
            None => Ok(None),
        }
    }

    /// What is in the commit's way, before anything of it is fetched.
    async fn lack(
        &self,
        row: &PullRequest,
        settings: &Settings,
        commit: &str,
        has_app: bool,
    ) -> sqlx::Result<Option<Lack>> {
        if row.fork.is_some() && row.approved.as_deref() != Some(commit) {
            return Ok(Some(Lack::Approval));
        }
        if has_app {
            return Ok(None);
        }
        let mut conn = self.platform.pool.acquire().await?;
        let there = pull_requests::with_app(&mut conn, self.app.id).await?.len();
        let room = usize::try_from(settings.limit).unwrap_or(usize::MAX);
        Ok((there >= room).then_some(Lack::Room))
    }

    async fn leave(&self, row: &PullRequest, head: Oid, lack: Lack) -> Result<Decision, Trouble> {
        let commit = head.to_string();
        pull_requests::stands(&mut *self.platform.pool.acquire().await?, row.id, &commit, Some(lack)).await?;
        let reason = said(row, lack, &commit);
        Ok(Decision::Verdict(Verdict::Ignored(reason), Some(head)))
    }

    async fn build(
        &self,
        row: &PullRequest,
        (name, head): (&str, Oid),
        app: Option<App>,
    ) -> Result<Decision, Trouble> {
        let id = app.as_ref().map_or_else(AppId::new, |app| app.id);
        let built = self.fetch_and_build(row, (name, head), (id, app)).await;
        if !matches!(built, Ok(Decision::Deployed)) {
            self.forget_repository_of(id).await;
        }
        built
    }

    async fn fetch_and_build(
        &self,
        row: &PullRequest,
        (name, head): (&str, Oid),
        (id, app): (AppId, Option<App>),
    ) -> Result<Decision, Trouble> {
        let repository = self.platform.repository(id).await.map_err(Trouble::Repository)?;
        let commit = self.fetch(&repository, (name, head)).await?;
        if self.asks_to_skip(&repository, &commit).await? {
            return self.leave(row, head, Lack::Skipped).await;
        }
        if app.is_none() && !self.is_watched(&repository, head).await? {
            return self.leave(row, head, Lack::Unwatched).await;
        }
        let actor = self.actor();
        let app = match app {
            Some(app) => app,
            None => {
                let actor = Actor { user: None, name: &actor };
                self.platform.create_review_app((&self.app, row), actor, id).await?
            }
        };
        let mut conn = self.platform.pool.acquire().await?;
        pull_requests::pushed(&mut conn, row.id, &head.to_string()).await?;
        drop(conn);
        self.accept(&app, &repository, commit).await
    }

    /// Whether the pull request changes something in the parent's watched paths. Only those of its commits count that
    /// the parent does not have.
    async fn is_watched(&self, repository: &Repository, head: Oid) -> Result<bool, Trouble> {
        let watch =
            Watch::new(&self.connection.watched).map_err(|error| Trouble::Repository(error.into()))?;
        if self.connection.watched.is_empty() {
            return Ok(true);
        }
        let unreadable = |error: anyhow::Error| Trouble::Repository(error);
        let parents = self.platform.repository(self.app.id).await.map_err(unreadable)?;
        let line = repository.line_of(head, LONGEST).await.map_err(|error| unreadable(error.into()))?;
        let known = parents.first_of(line).await.map_err(|error| unreadable(error.into()))?;
        // Without a common commit all of it is new.
        let Some(base) = known else { return Ok(true) };
        let paths = repository.changed_paths(base, head).await.map_err(|error| unreadable(error.into()))?;
        Ok(watch.any(paths.iter().map(String::as_str)))
    }

    /// Of an app that was not made nothing stays.
    async fn forget_repository_of(&self, id: AppId) {
        let found = async { apps::by_id(&mut *self.platform.pool.acquire().await?, id).await };
        let made: sqlx::Result<Option<App>> = found.await;
        if !matches!(made, Ok(None)) {
            return;
        }
        if let Err(error) = tokio::fs::remove_dir_all(self.platform.repository_path(id)).await
            && error.kind() != std::io::ErrorKind::NotFound
        {
            warn!("A repository that nobody needs could not be removed: {error}");
        }
    }
}

/// Why a commit is not in a review app, and what can be done.
pub(crate) fn said(row: &PullRequest, lack: Lack, commit: &str) -> String {
    let number = row.number;
    let short = commit.get(..7).unwrap_or(commit);
    match lack {
        Lack::Approval => {
            let fork = row.fork.as_deref().unwrap_or("a fork");
            format!(
                "comes from {fork}: look at {short}, then `reviewapps:approve {number} {short}` builds it, without config vars \
                 of this app"
            )
        }
        Lack::Room => {
            "there are as many review apps as this app may have: it gets one when another goes (`reviewapps:remove`), or \
             with a higher `reviewapps:enable --limit`"
                .to_owned()
        }
        Lack::Age => "its app was removed, for nobody had pushed to it for long: the next push makes it again".to_owned(),
        Lack::Unwatched => "it changes nothing in the watched paths".to_owned(),
        Lack::Skipped => "the commit's message asks that nothing be deployed".to_owned(),
    }
}
