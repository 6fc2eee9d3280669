//! `/apps/{app}/cron`: what a clock starts, and what became of it.

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Deserialize;

use super::shapes::{self, DynoRelease};
use crate::actions::cron::Shown;
use crate::db::apps::App;
use crate::db::unattended::Unattended;
use crate::domain::access::Principal;
use crate::platform::Platform;
use crate::web::error::ApiError;

/// Runs that are told at most, and unless somebody says how many.
const MOST_RUNS: i64 = 1000;
const USUAL_RUNS: i64 = 100;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct Wanted {
    /// An entry; all if left out.
    name: Option<String>,
    num: Option<i64>,
}

pub(in crate::web) async fn list(
    State(platform): State<Platform>,
    Extension(app): Extension<App>,
) -> Result<Json<Vec<shapes::CronEntry>>, ApiError> {
    let entries = platform.cron_of(&app).await?;
    Ok(Json(entries.into_iter().map(entry).collect()))
}

pub(in crate::web) async fn history(
    State(platform): State<Platform>,
    Extension(app): Extension<App>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Vec<shapes::CronRun>>, ApiError> {
    let most = wanted.num.unwrap_or(USUAL_RUNS).clamp(1, MOST_RUNS);
    let runs = platform.cron_history(&app, wanted.name.as_deref(), most).await?;
    Ok(Json(runs.into_iter().map(run).collect()))
}

/// Runs an entry now.
pub(in crate::web) async fn start(
    State(platform): State<Platform>,
    Extension(app): Extension<App>,
    Extension(principal): Extension<Principal>,
    Path((_, name)): Path<(String, String)>,
) -> Result<(StatusCode, Json<shapes::CronRun>), ApiError> {
    let started = platform.run_cron(&app, &principal, &name).await?;
    Ok((StatusCode::CREATED, Json(run(started))))
}

fn entry(shown: Shown) -> shapes::CronEntry {
    shapes::CronEntry {
        name: shown.entry.name,
        command: shown.entry.command,
        schedule: shown.entry.schedule,
        timezone: shown.entry.timezone,
        next_at: shown.next_at,
        last: shown.last.map(run),
    }
}

fn run(row: Unattended) -> shapes::CronRun {
    shapes::CronRun {
        id: row.id.0,
        name: row.name,
        command: row.command,
        user: row.actor_name,
        release: DynoRelease { version: row.version },
        status: row.status.as_str().to_owned(),
        exit_status: row.exit_status,
        reason: row.reason,
        due_at: row.due_at.map(jiff_sqlx::Timestamp::to_jiff),
        created_at: row.created_at,
        started_at: row.started_at.map(jiff_sqlx::Timestamp::to_jiff),
        finished_at: row.finished_at.map(jiff_sqlx::Timestamp::to_jiff),
    }
}
