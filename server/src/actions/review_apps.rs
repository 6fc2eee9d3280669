//! Review apps: making one for a pull request, approving a fork's commit, removing one.
//!
//! Invariant: a review app has values of its parent's config vars only if its pull request comes from the parent's own
//! repository, to which strangers cannot push; and then only of those that an owner has named.

use std::collections::BTreeMap;

use secrecy::SecretString;
use serde_json::json;
use sqlx::PgConnection;
use tracing::{info, warn};

use super::ActionError;
use crate::db::apps::{self, App, NewApp};
use crate::db::pull_requests::{self, PullRequest, Settings};
use crate::db::{app_lock, audit, collaborators, connections};
use crate::domain::access::{Actor, Principal};
use crate::domain::hook::{Provider, Told};
use crate::domain::ids::AppId;
use crate::domain::names::ConfigKey;
use crate::domain::review::{self, Inherits, Lack};
use crate::hooks::connect::not_connected;
use crate::platform::Platform;
use crate::{hooks, reports};

/// Digits of a commit that tell it from others, when a person names one.
const SHORTEST_COMMIT: usize = 7;

impl Platform {
    /// Makes the review app of a pull request, with its commit's repository in the place of `id`.
    pub(crate) async fn create_review_app(
        &self,
        (parent, pull): (&App, &PullRequest),
        actor: Actor<'_>,
        id: AppId,
    ) -> Result<App, ActionError> {
        let name = review::name(&parent.name, pull.number)
            .map_err(|error| ActionError::Invalid(error.to_string()))?;
        let wrapped_key = self.keys.new_app_key(id);
        let mut tx = self.pool.begin().await?;
        let new = NewApp { id, name: &name, team: parent.team, wrapped_key: &wrapped_key };
        if !apps::create(&mut tx, &new).await? {
            return Err(ActionError::Conflict(format!(
                "there is an app {name} already, which is no review app of this pull request: destroy it, then \
                 `hooks:redeliver`"
            )));
        }
        let settings = apps::Settings {
            deploy_branch: parent.deploy_branch.clone(),
            dockerfile: parent.dockerfile.clone(),
            folder: parent.folder.clone(),
            buildpack: parent.buildpack.clone(),
            builder: parent.builder.clone(),
            health_path: parent.health_path.clone(),
            adoption: None,
        };
        apps::change_settings(&mut tx, id, &settings).await?;
        collaborators::copy(&mut tx, parent.id, id).await?;
        let app = apps::by_id(&mut tx, id).await?.ok_or_else(|| super::gone(parent))?;
        let mut values = self.inherited(&mut tx, parent, pull).await?;
        let inherited: Vec<String> = values.keys().map(|key| key.as_str().to_owned()).collect();
        values.extend(known_to_it(&app, pull));
        let locked = app_lock::lock(&mut tx, id).await?.ok_or_else(|| super::gone(&app))?;
        let all = values.into_iter().map(|(key, value)| (key, Some(value))).collect();
        let (versions, _) = self.store_changes(&mut tx, &app, &locked.config, &all).await?;
        locked.set_config(&mut tx, &versions).await?;
        pull_requests::linked(&mut tx, pull.id, id).await?;
        let detail = json!({
            "review_app_of": parent.name, "pull_request": pull.number, "fork": pull.fork, "inherited": inherited,
        });
        audit::note(&mut tx, actor, Some((id, &name)), "apps:create", detail).await?;
        tx.commit().await?;
        self.journals.forget(&name).await;
        info!(app = %name, "Made a review app of {}", parent.name);
        Ok(app)
    }

    /// What the parent's rule lets this pull request have.
    async fn inherited(
        &self,
        conn: &mut PgConnection,
        parent: &App,
        pull: &PullRequest,
    ) -> Result<BTreeMap<ConfigKey, SecretString>, ActionError> {
        if pull.fork.is_some() {
            return Ok(BTreeMap::new());
        }
        let Some(settings) = pull_requests::settings(conn, parent.id).await? else {
            return Ok(BTreeMap::new());
        };
        let inherits =
            Inherits::new(&settings.inherits).map_err(|error| ActionError::Invalid(error.to_string()))?;
        let mut values = self.open_config(conn, parent, &parent.config).await?;
        values.retain(|key, _| inherits.takes(key));
        Ok(values)
    }

    /// Removes the review app of a pull request, if it has one; the next in line for its room is looked at.
    pub(crate) async fn remove_review_app(
        &self,
        pull: &PullRequest,
        actor: Actor<'_>,
        lack: Option<Lack>,
    ) -> Result<Option<App>, ActionError> {
        let mut conn = self.pool.acquire().await?;
        let found = match pull.app {
            Some(app) => apps::by_id(&mut conn, app).await?,
            None => None,
        };
        drop(conn);
        if let Some(app) = &found {
            let deployed = reports::deployed(self, app.id).await?;
            self.destroy_app(app, actor).await?;
            info!(app = %app.name, "Removed a review app");
            reports::retire(self, pull.parent, deployed.as_slice()).await;
        }
        let mut conn = self.pool.acquire().await?;
        pull_requests::lacks(&mut conn, pull.id, lack).await?;
        let next = pull_requests::first_without_room(&mut conn, pull.parent).await?;
        drop(conn);
        if let Some(next) = next.filter(|_| found.is_some()) {
            hooks::review::look_again(self, next.parent, Told::look_at(next.number, None)).await?;
        }
        Ok(found)
    }

    /// Removes all review apps of an app, because it is to have none any more. Nobody waits for their room. The host is
    /// told while the app is still connected to it.
    pub(crate) async fn remove_review_apps(&self, parent: &App, actor: Actor<'_>) -> Result<(), ActionError> {
        let mut conn = self.pool.acquire().await?;
        let pulls = pull_requests::with_app(&mut conn, parent.id).await?;
        let mut deployed = Vec::new();
        for pull in &pulls {
            let Some(id) = pull.app else { continue };
            let Some(app) = apps::by_id(&mut conn, id).await? else { continue };
            deployed.extend(reports::deployed(self, id).await?);
            Box::pin(self.destroy_app(&app, actor)).await?;
        }
        pull_requests::forget(&mut conn, parent.id).await?;
        drop(conn);
        reports::retire(self, parent.id, &deployed).await;
        Ok(())
    }

    /// Removes what nobody has pushed to for as long as the parent lets a review app be.
    pub(crate) async fn remove_aged_review_apps(&self) -> Result<(), ActionError> {
        let aged = pull_requests::aged(&mut *self.pool.acquire().await?).await?;
        for pull in aged {
            let actor = Actor { user: None, name: "Slipway" };
            if let Err(error) = Box::pin(self.remove_review_app(&pull, actor, Some(Lack::Age))).await {
                warn!(pull_request = pull.number, "A review app could not be removed: {error}");
            }
        }
        Ok(())
    }

    /// Changes what an app's owners have set of its review apps; turned off, those that there are go.
    pub(crate) async fn change_review_apps(
        &self,
        parent: &App,
        principal: &Principal,
        settings: &Settings,
    ) -> Result<(), ActionError> {
        Inherits::new(&settings.inherits).map_err(|error| ActionError::Invalid(error.to_string()))?;
        if settings.limit < 1 || settings.days < 1 {
            return Err(ActionError::Invalid("the limits are numbers from 1 on".to_owned()));
        }
        let mut tx = self.pool.begin().await?;
        let (provider, _) = connections::place_of(&mut tx, parent.id).await?.ok_or_else(not_connected)?;
        if settings.enabled && provider == Provider::Generic {
            return Err(ActionError::Invalid(
                "only GitHub, GitLab, Gitea and Forgejo tell of pull requests: `hooks:connect --provider` says which it is"
                    .to_owned(),
            ));
        }
        if !pull_requests::change_settings(&mut tx, parent.id, settings).await? {
            return Err(not_connected());
        }
        let detail = json!({
            "enabled": settings.enabled, "limit": settings.limit, "days": settings.days, "inherits": settings.inherits,
        });
        audit::note(&mut tx, principal, Some((parent.id, &parent.name)), "reviewapps:set", detail).await?;
        tx.commit().await?;
        if !settings.enabled {
            self.remove_review_apps(parent, principal.into()).await?;
        }
        Ok(())
    }

    /// Lets the commit of a fork be built that the pull request stands at. Whoever approves has looked at that commit,
    /// so it is named; a newer one needs an approval of its own.
    pub(crate) async fn approve_pull_request(
        &self,
        parent: &App,
        principal: &Principal,
        (number, commit): (i64, &str),
    ) -> Result<PullRequest, ActionError> {
        let mut tx = self.pool.begin().await?;
        let pull = find(&mut tx, parent, number).await?;
        let Some(head) = pull.head.as_deref().filter(|_| pull.open) else {
            return Err(ActionError::Conflict(format!("pull request {number} has no commit to be approved")));
        };
        if pull.fork.is_none() {
            return Err(ActionError::Conflict(format!(
                "pull request {number} comes from the repository itself: its commits need no approval"
            )));
        }
        let named = commit.to_ascii_lowercase();
        let same = named.len() >= SHORTEST_COMMIT && head.starts_with(&named);
        if !same || !pull_requests::approve(&mut tx, pull.id, head).await? {
            return Err(ActionError::Conflict(format!(
                "pull request {number} stands at {head}: look at that commit, and name it (seven digits will do)"
            )));
        }
        let detail = json!({ "pull_request": number, "commit": head, "fork": pull.fork });
        audit::note(&mut tx, principal, Some((parent.id, &parent.name)), "reviewapps:approve", detail)
            .await?;
        tx.commit().await?;
        let told = Told::look_at(number, Some(principal.name.clone()));
        hooks::review::look_again(self, parent.id, told).await?;
        Ok(pull)
    }
}

/// One pull request of an app's repository.
pub(crate) async fn find(
    conn: &mut PgConnection,
    parent: &App,
    number: i64,
) -> Result<PullRequest, ActionError> {
    pull_requests::numbered(conn, parent.id, number).await?.ok_or_else(|| {
        ActionError::NotFound(format!(
            "nothing is known of a pull request {number} of {}: `reviewapps` lists the open ones",
            parent.name
        ))
    })
}

/// What an app may want to know of itself, in Heroku's names.
fn known_to_it(app: &App, pull: &PullRequest) -> Vec<(ConfigKey, SecretString)> {
    let number = pull.number.to_string();
    [
        ("HEROKU_APP_NAME", app.name.as_str()),
        ("HEROKU_BRANCH", pull.branch.as_str()),
        ("HEROKU_PR_NUMBER", number.as_str()),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name.parse().ok()?, value.to_owned().into())))
    .collect()
}
