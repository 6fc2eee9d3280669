//! `run:detached`: a one-off process that goes on when its client has gone, and when its server has.
//!
//! It is a batch (`super::unattended`), so that it is found again; its words of the environment are stored nowhere, for
//! they may be secrets.

use rand::RngExt;
use serde_json::json;

use super::runs::{self, NUMBERS, Run, Wish};
use super::unattended;
use crate::actions::ActionError;
use crate::db::apps::App;
use crate::db::unattended::{NewUnattended, Unattended};
use crate::db::{self, audit};
use crate::domain::access::Principal;
use crate::domain::batch::BatchKind;
use crate::domain::ids::BatchId;
use crate::domain::names::ConfigKey;
use crate::platform::Platform;
use crate::target::Command;
use crate::target::attached::AttachError;
use crate::target::batch::{Batch, Take};

impl Platform {
    /// Starts a command and leaves it; it is stored when this returns, and starts by itself.
    pub(crate) async fn run_detached(
        &self,
        app: &App,
        principal: &Principal,
        wish: Wish,
    ) -> Result<Run, ActionError> {
        let (mut of, blueprint) = runs::runnable(self, app).await.map_err(refused)?;
        let size = self.settings.processes.size(wish.size.as_deref()).map_err(ActionError::Invalid)?;
        let most = self.settings.processes.run_time_limit;
        let time_limit = wish.time_limit.unwrap_or(most).min(most);
        let command = wish.command.join(" ");
        let id = BatchId::new();
        // Before its row is there, so that the upkeep does not take it for one that nobody attends to.
        let place =
            self.attendants.enter(id).ok_or_else(|| ActionError::Internal(anyhow::anyhow!("an id twice")))?;
        let mut tx = self.pool.begin().await?;
        let current = db::releases::by_version(&mut tx, app.id, of.version).await?;
        let release = current.ok_or_else(|| ActionError::NotFound(format!("{} was destroyed", app.name)))?;
        let name = loop {
            let name = format!("run.{}", rand::rng().random_range(NUMBERS));
            let new = NewUnattended {
                id,
                app: app.id,
                release: release.id,
                kind: BatchKind::Run,
                name: &name,
                command: &command,
                actor_name: Some(&principal.name),
                time_limit,
                due_at: None,
                job: None,
            };
            if !self.runs.has(&name) && db::unattended::insert(&mut tx, &new).await? {
                break name;
            }
        };
        let names: Vec<&str> = wish.environment.keys().map(ConfigKey::as_str).collect();
        let detail = json!({ "name": name, "command": command, "environment": names, "version": of.version });
        audit::note(&mut tx, principal, Some((app.id, &app.name)), "run:detached", detail).await?;
        let stored = db::unattended::by_id(&mut tx, id).await?.ok_or(sqlx::Error::RowNotFound)?;
        tx.commit().await?;
        if let Some(image) = runs::image_of(&of) {
            of.image = image;
        }
        let batch = Batch {
            id,
            name: name.replace('.', "-"),
            dyno: name,
            of,
            command: Command::Argv(runs::argv(&wish.command, &blueprint.processes)),
            environment: wish.environment,
            limits: size.limits,
            deadline: time_limit,
            take: Take::StartOrFollow,
        };
        unattended::attend(self, place, app.clone(), batch, true);
        Ok(as_run(stored))
    }

    /// One-off processes of an app, those that somebody is attached to and those that were left.
    pub(crate) async fn runs_of(&self, app: &App) -> Result<Vec<Run>, ActionError> {
        let mut conn = self.pool.acquire().await?;
        let mut all = self.runs.of(app.id);
        for kind in [BatchKind::Run, BatchKind::Cron] {
            all.extend(db::unattended::alive_of(&mut conn, app.id, kind).await?.into_iter().map(as_run));
        }
        Ok(all)
    }

    /// Ends one that was left; `None` if there is none of that name.
    pub(super) async fn stop_unattended(
        &self,
        app: &App,
        principal: &Principal,
        name: &str,
    ) -> Result<Option<Run>, ActionError> {
        let mut conn = self.pool.acquire().await?;
        let mut alive = db::unattended::alive_of(&mut conn, app.id, BatchKind::Run).await?;
        alive.extend(db::unattended::alive_of(&mut conn, app.id, BatchKind::Cron).await?);
        drop(conn);
        let named = |row: &Unattended| unattended::process_of(row.kind, &row.name) == name;
        let Some(row) = alive.into_iter().find(named) else { return Ok(None) };
        // The upkeep may not have come to it since the server has started.
        if let Some(place) = self.attendants.enter(row.id) {
            unattended::follow(self, place, row.clone()).await.map_err(ActionError::Internal)?;
        }
        self.attendants.stop(row.id, &principal.name);
        Ok(Some(as_run(row)))
    }
}

fn as_run(row: Unattended) -> Run {
    Run {
        app: row.app_id,
        name: unattended::process_of(row.kind, &row.name),
        command: row.command,
        actor: row.actor_name.unwrap_or_else(|| "cron".to_owned()),
        version: row.version,
        since: row.created_at,
        detached: true,
    }
}

fn refused(error: AttachError) -> ActionError {
    match error {
        AttachError::Unreachable(text) => ActionError::Unavailable(text),
        other => ActionError::Conflict(other.to_string()),
    }
}
