//! Releases that people make without a push: rollback and config changes.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};
use sqlx::PgConnection;

use super::ActionError;
use crate::crypto::{self, Label};
use crate::db::apps::App;
use crate::db::config::Sealed;
use crate::db::releases::{NewRelease, Release};
use crate::db::{app_lock, audit, config, jobs, releases};
use crate::domain::access::Principal;
use crate::domain::ids::ReleaseId;
use crate::domain::names::ConfigKey;
use crate::domain::release::ReleaseStatus;
use crate::events;
use crate::pipeline::jobs::rollout_job;
use crate::pipeline::rollouts::Kind;
use crate::platform::Platform;

/// Changes to config vars: a value sets, `None` unsets.
pub(crate) type Changes = BTreeMap<ConfigKey, Option<SecretString>>;

impl Platform {
    /// Makes a release with the code and the config of an earlier one, which interrupts a rollout in flight. Without a
    /// version it goes back to the one before the current.
    pub(crate) async fn rollback(
        &self,
        app: &App,
        principal: &Principal,
        to: Option<i64>,
    ) -> Result<Release, ActionError> {
        let mut tx = self.pool.begin().await?;
        let locked = app_lock::lock(&mut tx, app.id).await?.ok_or_else(|| super::gone(app))?;
        let good = good_release(&mut tx, app, to).await?;
        let new = NewRelease {
            description: &format!("Rollback to v{}", good.version),
            trigger: "rollback",
            build_id: None,
            code: good.code.as_ref(),
            config: &good.config,
            actor_id: Some(principal.user),
            actor_name: &principal.name,
            rollback_of: Some(good.version),
        };
        let (id, version) = releases::insert(&mut tx, &locked, &new).await?;
        locked.set_config(&mut tx, &good.config).await?;
        locked.close_gate_for_all(&mut tx).await?;
        jobs::enqueue(&mut tx, rollout_job(app, id).as_new()).await?;
        let detail = json!({ "version": version, "rollback_of": good.version });
        audit::note(&mut tx, principal, Some((app.id, &app.name)), "releases:rollback", detail).await?;
        tx.commit().await?;
        self.rollouts.announce(app.id, version, Kind::Code);
        self.queue.wake();
        self.release(id).await
    }

    /// Sets and unsets config vars, which makes a release; `None` if nothing changed.
    pub(crate) async fn set_config(
        &self,
        app: &App,
        principal: &Principal,
        changes: &Changes,
    ) -> Result<Option<Release>, ActionError> {
        if app.adoption.is_some() {
            return Err(ActionError::Invalid(
                "this app moves Deployments that somebody else owns, so its config is theirs too: set the variables \
                 where those Deployments are defined"
                    .to_owned(),
            ));
        }
        let mut tx = self.pool.begin().await?;
        let locked = app_lock::lock(&mut tx, app.id).await?.ok_or_else(|| super::gone(app))?;
        let (versions, changed) = self.store_changes(&mut tx, app, &locked.config, changes).await?;
        if changed.is_empty() {
            return Ok(None);
        }
        locked.set_config(&mut tx, &versions).await?;
        let newest = releases::newest_live_or_pending_of(&mut tx, app.id).await?;
        let code = newest.and_then(|release| release.code);
        let new = NewRelease {
            description: &describe(&changed),
            trigger: "config",
            build_id: None,
            code: code.as_ref(),
            config: &versions,
            actor_id: Some(principal.user),
            actor_name: &principal.name,
            rollback_of: None,
        };
        let (id, version) = releases::insert(&mut tx, &locked, &new).await?;
        if code.is_some() {
            jobs::enqueue(&mut tx, rollout_job(app, id).as_new()).await?;
        } else {
            // Nothing runs yet: the first push takes the config along.
            let _just_made = releases::end(&mut tx, id, ReleaseStatus::Succeeded, None).await?;
        }
        let keys: Vec<&str> = changed.iter().map(|(key, _)| key.as_str()).collect();
        let detail = json!({ "version": version, "keys": keys });
        audit::note(&mut tx, principal, Some((app.id, &app.name)), "config:set", detail).await?;
        tx.commit().await?;
        self.rollouts.announce(app.id, version, Kind::Config);
        self.queue.wake();
        let made = self.release(id).await?;
        events::released(self, &app.name, &made).await;
        Ok(Some(made))
    }

    /// Adds the new values; the config after the changes, and what really changed.
    pub(super) async fn store_changes<'a>(
        &self,
        conn: &mut PgConnection,
        app: &App,
        before: &Value,
        changes: &'a Changes,
    ) -> Result<(Value, Vec<(&'a ConfigKey, Change)>), ActionError> {
        let key = self.keys.unwrap(app.id, &app.wrapped_key)?;
        let mut versions: Map<String, Value> = before.as_object().cloned().unwrap_or_default();
        let old = self.open_config(conn, app, before).await?;
        let mut changed = Vec::new();
        for (name, value) in changes {
            match value {
                Some(value)
                    if old.get(name).is_some_and(|old| old.expose_secret() == value.expose_secret()) => {}
                Some(value) => {
                    let version = config::next_version(conn, app.id, name).await?;
                    let sealed = crypto::seal(&key, Label { app: app.id, name, version }, value);
                    config::add(conn, app.id, &Sealed { name: name.clone(), version, sealed }).await?;
                    versions.insert(name.as_str().to_owned(), version.into());
                    changed.push((name, Change::Set));
                }
                None if versions.remove(name.as_str()).is_some() => changed.push((name, Change::Removed)),
                None => {}
            }
        }
        Ok((Value::Object(versions), changed))
    }

    pub(super) async fn release(&self, id: ReleaseId) -> Result<Release, ActionError> {
        let mut conn = self.pool.acquire().await?;
        releases::by_id(&mut conn, id)
            .await?
            .ok_or_else(|| ActionError::NotFound("the app has just been destroyed".to_owned()))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Set,
    Removed,
}

/// Heroku's words: `Set A, B config vars`, `Remove C config vars`.
fn describe(changed: &[(&ConfigKey, Change)]) -> String {
    let names = |wanted: Change| {
        let names: Vec<&str> =
            changed.iter().filter(|(_, change)| *change == wanted).map(|(key, _)| key.as_str()).collect();
        names.join(", ")
    };
    match (names(Change::Set), names(Change::Removed)) {
        (set, removed) if removed.is_empty() => format!("Set {set} config vars"),
        (set, removed) if set.is_empty() => format!("Remove {removed} config vars"),
        (set, removed) => format!("Set {set} and remove {removed} config vars"),
    }
}

/// The release to go back to: it must have run.
async fn good_release(conn: &mut PgConnection, app: &App, to: Option<i64>) -> Result<Release, ActionError> {
    let current = releases::current_of(conn, app.id).await?;
    let Some(version) = to else {
        let pending =
            releases::newest_pending_of(conn, app.id).await?.filter(|release| release.code.is_some());
        // Two people who go back at the same time mean the same release, not one back and one forth.
        if let Some(pending) = pending.as_ref().filter(|pending| pending.trigger == "rollback") {
            return Err(ActionError::Conflict(format!(
                "v{} is on its way already ({} by {}): name a version to go to another release",
                pending.version, pending.description, pending.actor_name
            )));
        }
        // With a rollout in flight the one before it is the current one.
        let before = match (&pending, &current) {
            (Some(pending), _) => pending.version,
            (None, Some(current)) => current.version,
            (None, None) => 0,
        };
        return releases::good_before(conn, app.id, before)
            .await?
            .ok_or_else(|| ActionError::Conflict("there is no earlier release to go back to".to_owned()));
    };
    let release = releases::by_version(conn, app.id, version)
        .await?
        .ok_or_else(|| ActionError::NotFound(format!("there is no v{version}: `releases` lists them")))?;
    if release.code.is_none() {
        return Err(ActionError::Invalid(format!(
            "v{version} has no code: it was made before the first push"
        )));
    }
    if release.status != ReleaseStatus::Succeeded {
        return Err(ActionError::Invalid(format!(
            "v{version} never ran ({}): choose one that did from `releases`",
            release.status.as_str()
        )));
    }
    Ok(release)
}
