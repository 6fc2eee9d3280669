//! Batches that somebody started and left, or that a clock starts: `run:detached` and `cron`.

use std::time::Duration;

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::PgConnection;

use crate::domain::batch::{BatchKind, BatchStatus};
use crate::domain::ids::{AppId, BatchId, ReleaseId};

/// One of them with what it takes to follow it.
#[derive(Debug, Clone)]
pub(crate) struct Unattended {
    pub(crate) id: BatchId,
    pub(crate) app_id: AppId,
    pub(crate) release_id: ReleaseId,
    pub(crate) version: i64,
    pub(crate) kind: BatchKind,
    pub(crate) name: String,
    pub(crate) command: String,
    /// Whoever started it; `None` is the clock.
    pub(crate) actor_name: Option<String>,
    pub(crate) time_limit_seconds: Option<i64>,
    /// The Job that the cluster has made for it.
    pub(crate) job: Option<String>,
    pub(crate) status: BatchStatus,
    pub(crate) exit_status: Option<i64>,
    pub(crate) reason: Option<String>,
    pub(crate) due_at: Option<jiff_sqlx::Timestamp>,
    pub(crate) created_at: Timestamp,
    pub(crate) started_at: Option<jiff_sqlx::Timestamp>,
    pub(crate) finished_at: Option<jiff_sqlx::Timestamp>,
}

/// One to be made.
#[derive(Debug, Clone)]
pub(crate) struct NewUnattended<'a> {
    pub(crate) id: BatchId,
    pub(crate) app: AppId,
    pub(crate) release: ReleaseId,
    pub(crate) kind: BatchKind,
    pub(crate) name: &'a str,
    pub(crate) command: &'a str,
    pub(crate) actor_name: Option<&'a str>,
    pub(crate) time_limit: Duration,
    pub(crate) due_at: Option<Timestamp>,
    pub(crate) job: Option<&'a str>,
}

impl Unattended {
    pub(crate) fn time_limit(&self) -> Option<Duration> {
        self.time_limit_seconds.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs)
    }
}

macro_rules! select_unattended {
    ($tail:literal, $($arg:expr),*) => {
        sqlx::query_as!(
            Unattended,
            r#"SELECT b.id AS "id: BatchId", b.app_id AS "app_id: AppId", b.release_id AS "release_id: ReleaseId",
                   r.version, b.kind AS "kind: BatchKind", coalesce(b.name, b.kind) AS "name!", b.command, b.actor_name,
                   b.time_limit_seconds, b.job, b.status AS "status: BatchStatus", b.exit_status, b.reason,
                   b.due_at AS "due_at: jiff_sqlx::Timestamp",
                   b.created_at AS "created_at: jiff_sqlx::Timestamp",
                   b.started_at AS "started_at: jiff_sqlx::Timestamp",
                   b.finished_at AS "finished_at: jiff_sqlx::Timestamp"
               FROM batches b JOIN releases r ON r.id = b.release_id "# + $tail,
            $($arg),*
        )
    };
}

/// Adds one; false if it is there already, or if one of that name runs.
pub(crate) async fn insert(conn: &mut PgConnection, new: &NewUnattended<'_>) -> sqlx::Result<bool> {
    let inserted = sqlx::query!(
        "INSERT INTO batches (id, app_id, release_id, kind, command, name, actor_name, time_limit_seconds, due_at, job)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING",
        new.id.0,
        new.app.0,
        new.release.0,
        new.kind.as_str(),
        new.command,
        new.name,
        new.actor_name,
        i64::try_from(new.time_limit.as_secs()).unwrap_or(i64::MAX),
        new.due_at.map(ToSqlx::to_sqlx) as _,
        new.job,
    )
    .execute(conn)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

pub(crate) async fn by_id(conn: &mut PgConnection, id: BatchId) -> sqlx::Result<Option<Unattended>> {
    select_unattended!("WHERE b.id = $1", id.0).fetch_optional(conn).await
}

/// Those of all apps that have not ended.
pub(crate) async fn alive(conn: &mut PgConnection) -> sqlx::Result<Vec<Unattended>> {
    select_unattended!("WHERE b.kind IN ('cron', 'run') AND b.finished_at IS NULL ORDER BY b.created_at",)
        .fetch_all(conn)
        .await
}

/// The app's that have not ended.
pub(crate) async fn alive_of(
    conn: &mut PgConnection,
    app: AppId,
    kind: BatchKind,
) -> sqlx::Result<Vec<Unattended>> {
    select_unattended!(
        "WHERE b.app_id = $1 AND b.kind = $2 AND b.finished_at IS NULL ORDER BY b.created_at",
        app.0,
        kind.as_str()
    )
    .fetch_all(conn)
    .await
}

/// Runs of the app's entries, of all or of one, newest first.
pub(crate) async fn history(
    conn: &mut PgConnection,
    app: AppId,
    name: Option<&str>,
    most: i64,
) -> sqlx::Result<Vec<Unattended>> {
    select_unattended!(
        "WHERE b.app_id = $1 AND b.kind = 'cron' AND ($2::text IS NULL OR b.name = $2)
         ORDER BY b.created_at DESC LIMIT $3",
        app.0,
        name,
        most
    )
    .fetch_all(conn)
    .await
}

/// Each entry's newest run.
pub(crate) async fn newest_of_each(conn: &mut PgConnection, app: AppId) -> sqlx::Result<Vec<Unattended>> {
    select_unattended!(
        "WHERE b.id IN (SELECT DISTINCT ON (name) id FROM batches WHERE app_id = $1 AND kind = 'cron'
                        ORDER BY name, created_at DESC)",
        app.0
    )
    .fetch_all(conn)
    .await
}

/// Forgets those that ended so long ago.
pub(crate) async fn prune(conn: &mut PgConnection, kept: Duration) -> sqlx::Result<u64> {
    let gone = sqlx::query!(
        "DELETE FROM batches WHERE kind IN ('cron', 'run') AND finished_at < now() - make_interval(secs => $1)",
        kept.as_secs_f64(),
    )
    .execute(conn)
    .await?;
    Ok(gone.rows_affected())
}
