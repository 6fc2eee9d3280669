//! What people do to apps: the changes that more than one door makes, each in one transaction.

pub(crate) mod builds;
pub(crate) mod cron;
pub(crate) mod formation;
pub(crate) mod images;
pub(crate) mod pipelines;
pub(crate) mod releases;
pub(crate) mod review_apps;

use std::collections::BTreeMap;

use secrecy::SecretString;
use serde_json::{Value, json};
use sqlx::PgConnection;
use tracing::warn;

use crate::crypto::{self, CryptoError, Label};
use crate::db::apps::{App, NewApp, Settings};
use crate::db::{self, apps, audit, config};
use crate::domain::access::{Actor, Principal};
use crate::domain::ids::{AppId, TeamId};
use crate::domain::names::{AppName, ConfigKey};
use crate::pipeline::rollouts::Kind;
use crate::platform::Platform;
use crate::target::Whose;

/// Why an action was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ActionError {
    /// What was asked for cannot be; the text says what can.
    #[error("{0}")]
    Invalid(String),
    /// Not as things stand.
    #[error("{0}")]
    Conflict(String),
    #[error("{0}")]
    NotFound(String),
    /// Something outside of us is away.
    #[error("{0}")]
    Unavailable(String),
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    #[error("internal error")]
    Internal(#[source] anyhow::Error),
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}

impl ActionError {
    /// The sentence for the user; what is ours to mend stays in our log.
    pub(crate) fn said(&self) -> String {
        match self {
            Self::Invalid(text) | Self::Conflict(text) | Self::NotFound(text) | Self::Unavailable(text) => {
                text.clone()
            }
            Self::Database(_) => "the platform's database does not answer; try again in a minute".to_owned(),
            Self::Internal(_) | Self::Crypto(_) => {
                "the platform could not do it; its log has the cause".to_owned()
            }
        }
    }
}

impl Platform {
    /// Makes an app in `team`. Without a name it gets one such as `quiet-harbour-4821`.
    pub(crate) async fn create_app(
        &self,
        principal: &Principal,
        team: TeamId,
        name: Option<AppName>,
    ) -> Result<App, ActionError> {
        match name {
            Some(name) => self.try_create(principal, team, &name).await?.ok_or_else(|| {
                ActionError::Conflict(format!("the name `{name}` is taken: choose another, or leave it out"))
            }),
            None => loop {
                if let Some(app) = self.try_create(principal, team, &AppName::random()).await? {
                    return Ok(app);
                }
            },
        }
    }

    async fn try_create(
        &self,
        principal: &Principal,
        team: TeamId,
        name: &AppName,
    ) -> Result<Option<App>, ActionError> {
        let id = AppId::new();
        let wrapped_key = self.keys.new_app_key(id);
        let mut tx = self.pool.begin().await?;
        if !apps::create(&mut tx, &NewApp { id, name, team, wrapped_key: &wrapped_key }).await? {
            return Ok(None);
        }
        audit::note(&mut tx, principal, Some((id, name)), "apps:create", json!({})).await?;
        let app = apps::by_id(&mut tx, id).await?;
        tx.commit().await?;
        // Of an earlier app of this name a last word may have come late.
        self.journals.forget(name).await;
        Ok(app)
    }

    /// Changes the settings of an app.
    pub(crate) async fn change_settings(
        &self,
        app: &App,
        principal: &Principal,
        settings: &Settings,
    ) -> Result<App, ActionError> {
        let mut tx = self.pool.begin().await?;
        apps::change_settings(&mut tx, app.id, settings).await?;
        let detail = json!({
            "deploy_branch": settings.deploy_branch, "dockerfile": settings.dockerfile, "folder": settings.folder,
            "buildpack": settings.buildpack, "builder": settings.builder,
            "health_path": settings.health_path, "adoption": settings.adoption,
        });
        audit::note(&mut tx, principal, Some((app.id, &app.name)), "apps:set", detail).await?;
        let changed = apps::by_id(&mut tx, app.id).await?.ok_or_else(|| gone(app))?;
        tx.commit().await?;
        if app.adoption.is_some() && app.adoption != changed.adoption {
            let before = Whose { app: &app.name, adopted: app.adoption.as_ref() };
            if let Err(error) = self.target.remove(before).await {
                warn!(app = %app.name, "The Deployments that were adopted before keep our marks: {error:#}");
            }
        }
        Ok(changed)
    }

    /// Removes an app with everything that is stored of it, its review apps too; its processes and repository converge to
    /// that.
    pub(crate) async fn destroy_app(&self, app: &App, actor: Actor<'_>) -> Result<(), ActionError> {
        Box::pin(self.remove_review_apps(app, actor)).await?;
        let mut tx = self.pool.begin().await?;
        let running = db::builds::running_of(&mut tx, app.id).await?;
        if !apps::destroy(&mut tx, app.id).await? {
            return Err(gone(app));
        }
        audit::note(&mut tx, actor, Some((app.id, &app.name)), "apps:destroy", json!({})).await?;
        tx.commit().await?;
        if let Some(build) = running {
            self.cancels.cancel(build.id);
            self.logs.wake(build.id);
        }
        // A rollout in flight lets go; whatever fails below is found again by the upkeep.
        self.rollouts.announce(app.id, i64::MAX, Kind::Code);
        let whose = Whose { app: &app.name, adopted: app.adoption.as_ref() };
        if let Err(error) = self.target.remove(whose).await {
            warn!(app = %app.name, "The destroyed app's processes could not be ended yet: {error:#}");
        }
        if let Err(error) = self.engine.remove_lifecycle_cache(&self.id, &app.id.to_string()).await {
            warn!(app = %app.name, "The destroyed app's cache of buildpacks could not be removed: {error}");
        }
        if let Err(error) = tokio::fs::remove_dir_all(self.repository_path(app.id)).await
            && error.kind() != std::io::ErrorKind::NotFound
        {
            warn!(app = %app.name, "The destroyed app's repository could not be removed: {error}");
        }
        self.journals.forget(&app.name).await;
        Ok(())
    }

    /// The app's config vars as they are now, opened.
    pub(crate) async fn config_of(
        &self,
        app: &App,
    ) -> Result<BTreeMap<ConfigKey, SecretString>, ActionError> {
        let mut conn = self.pool.acquire().await?;
        self.open_config(&mut conn, app, &app.config).await
    }

    /// The values that `versions` (`{"NAME": version}`, an app's or a release's) points at, opened.
    pub(crate) async fn open_config(
        &self,
        conn: &mut PgConnection,
        app: &App,
        versions: &Value,
    ) -> Result<BTreeMap<ConfigKey, SecretString>, ActionError> {
        let sealed = config::values(conn, app.id, versions).await?;
        if sealed.is_empty() {
            return Ok(BTreeMap::new());
        }
        let key = self.keys.unwrap(app.id, &app.wrapped_key)?;
        sealed
            .into_iter()
            .map(|value| {
                let label = Label { app: app.id, name: &value.name, version: value.version };
                let plaintext = crypto::open(&key, label, &value.sealed)?;
                Ok((value.name, plaintext))
            })
            .collect()
    }
}

fn gone(app: &App) -> ActionError {
    ActionError::NotFound(format!("the app `{}` has just been destroyed", app.name))
}
