//! What people ask of cron: what there is, what became of it, and a run by hand.

use jiff::Timestamp;
use serde_json::json;

use super::ActionError;
use crate::db::apps::App;
use crate::db::audit;
use crate::db::cron::{self, Entry};
use crate::db::unattended::{self as rows, Unattended};
use crate::domain::access::Principal;
use crate::domain::batch::BatchKind;
use crate::domain::cron::Schedule;
use crate::domain::ids::BatchId;
use crate::pipeline::cron::{Started, insert, start};
use crate::platform::Platform;

/// An entry with what became of it.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) entry: Entry,
    pub(crate) next_at: Option<Timestamp>,
    pub(crate) last: Option<Unattended>,
}

impl Platform {
    /// The entries in force.
    pub(crate) async fn cron_of(&self, app: &App) -> Result<Vec<Shown>, ActionError> {
        let mut conn = self.pool.acquire().await?;
        let entries = cron::of(&mut conn, app.id).await?;
        let mut newest = rows::newest_of_each(&mut conn, app.id).await?;
        let now = Timestamp::now();
        let shown = entries.into_iter().map(|entry| {
            let schedule = Schedule::parse(&entry.schedule, &entry.timezone).ok();
            let last = newest.iter().position(|run| run.name == entry.name);
            Shown {
                next_at: schedule.and_then(|schedule| schedule.next_after(now)),
                last: last.map(|at| newest.swap_remove(at)),
                entry,
            }
        });
        Ok(shown.collect())
    }

    /// Runs of entries that began, newest first.
    pub(crate) async fn cron_history(
        &self,
        app: &App,
        name: Option<&str>,
        most: i64,
    ) -> Result<Vec<Unattended>, ActionError> {
        let mut conn = self.pool.acquire().await?;
        Ok(rows::history(&mut conn, app.id, name, most).await?)
    }

    /// Runs an entry now, unless it runs.
    pub(crate) async fn run_cron(
        &self,
        app: &App,
        principal: &Principal,
        name: &str,
    ) -> Result<Unattended, ActionError> {
        let id = BatchId::new();
        let place = self.attendants.enter(id);
        let place = place.ok_or_else(|| ActionError::Internal(anyhow::anyhow!("an id twice")))?;
        let mut tx = self.pool.begin().await?;
        let entry = cron::of(&mut tx, app.id).await?.into_iter().find(|entry| entry.name == name);
        let entry = entry.ok_or_else(|| {
            ActionError::NotFound(format!("{} has no entry `{name}` of cron: `cron` lists them", app.name))
        })?;
        let running = rows::alive_of(&mut tx, app.id, BatchKind::Cron).await?;
        let running = running.into_iter().any(|run| run.name == name);
        let started = Started { due_at: None, by: Some(&principal.name) };
        if running || !insert(self, &mut tx, &entry, (id, &started)).await? {
            return Err(ActionError::Conflict(format!(
                "cron.{name} runs already, and an entry runs once at a time: `run:list` shows it, `run:stop cron.{name}` \
                 ends it"
            )));
        }
        audit::note(&mut tx, principal, Some((app.id, &app.name)), "cron:run", json!({ "name": name }))
            .await?;
        let row = rows::by_id(&mut tx, id).await?.ok_or(sqlx::Error::RowNotFound)?;
        tx.commit().await?;
        start(self, place, app, (id, &entry)).await.map_err(ActionError::Internal)?;
        Ok(row)
    }
}
