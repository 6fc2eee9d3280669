//! Batches: commands that run unattended to their end beside an app's processes.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::PgConnection;

use super::jobs::Fenced;
use crate::domain::batch::{BatchKind, BatchStatus};
use crate::domain::ids::{AppId, BatchId, ReleaseId};

#[derive(Debug, Clone)]
pub(crate) struct Batch {
    pub(crate) id: BatchId,
    pub(crate) kind: BatchKind,
    pub(crate) command: String,
    pub(crate) status: BatchStatus,
    pub(crate) exit_status: Option<i64>,
    /// Why it did not succeed.
    pub(crate) reason: Option<String>,
    pub(crate) started_at: Option<jiff_sqlx::Timestamp>,
    pub(crate) finished_at: Option<jiff_sqlx::Timestamp>,
}

/// A batch to be made.
#[derive(Debug)]
pub(crate) struct NewBatch<'a> {
    pub(crate) app: AppId,
    pub(crate) release: ReleaseId,
    pub(crate) kind: BatchKind,
    pub(crate) command: &'a str,
}

/// How a batch ended.
#[derive(Debug, Clone)]
pub(crate) struct End {
    pub(crate) status: BatchStatus,
    pub(crate) exit_status: Option<i64>,
    pub(crate) reason: Option<String>,
}

macro_rules! select_batches {
    ($tail:literal, $($arg:expr),*) => {
        sqlx::query_as!(
            Batch,
            r#"SELECT id AS "id: BatchId", kind AS "kind: BatchKind", command, status AS "status: BatchStatus",
                   exit_status, reason, started_at AS "started_at: jiff_sqlx::Timestamp",
                   finished_at AS "finished_at: jiff_sqlx::Timestamp"
               FROM batches "# + $tail,
            $($arg),*
        )
    };
}

/// Adds a batch that waits for its turn.
pub(crate) async fn insert(conn: &mut PgConnection, new: &NewBatch<'_>) -> sqlx::Result<BatchId> {
    let id = BatchId::new();
    sqlx::query!(
        "INSERT INTO batches (id, app_id, release_id, kind, command) VALUES ($1, $2, $3, $4, $5)",
        id.0,
        new.app.0,
        new.release.0,
        new.kind.as_str(),
        new.command,
    )
    .execute(conn)
    .await?;
    Ok(id)
}

pub(crate) async fn by_id(conn: &mut PgConnection, id: BatchId) -> sqlx::Result<Option<Batch>> {
    select_batches!("WHERE id = $1", id.0).fetch_optional(conn).await
}

/// The phases of a release in the order in which they run.
pub(crate) async fn phases_of(conn: &mut PgConnection, release: ReleaseId) -> sqlx::Result<Vec<Batch>> {
    select_batches!(
        "WHERE release_id = $1 AND kind IN ('release', 'postdeploy') ORDER BY kind DESC",
        release.0
    )
    .fetch_all(conn)
    .await
}

/// The phase of this kind of a release.
pub(crate) async fn phase_of(
    conn: &mut PgConnection,
    release: ReleaseId,
    kind: BatchKind,
) -> sqlx::Result<Option<Batch>> {
    select_batches!("WHERE release_id = $1 AND kind = $2", release.0, kind.as_str())
        .fetch_optional(conn)
        .await
}

/// Marks it as running, from the first time on; `Lost` if it is over already.
pub(crate) async fn begin(conn: &mut PgConnection, id: BatchId) -> sqlx::Result<Fenced> {
    sqlx::query!(
        "UPDATE batches SET status = 'running', started_at = coalesce(started_at, $2)
         WHERE id = $1 AND finished_at IS NULL",
        id.0,
        Timestamp::now().to_sqlx() as _,
    )
    .execute(conn)
    .await
    .map(|result| Fenced::of(&result))
}

/// Ends it; nothing is written to its log any more. `Lost` if somebody else has ended it.
pub(crate) async fn end(conn: &mut PgConnection, id: BatchId, end: &End) -> sqlx::Result<Fenced> {
    sqlx::query!(
        "UPDATE batches SET status = $2, exit_status = $3, reason = $4, finished_at = $5
         WHERE id = $1 AND finished_at IS NULL",
        id.0,
        end.status.as_str(),
        end.exit_status,
        end.reason,
        Timestamp::now().to_sqlx() as _,
    )
    .execute(conn)
    .await
    .map(|result| Fenced::of(&result))
}

/// Those of which something may run at this moment: a container or Job of another is left over.
pub(crate) async fn alive(conn: &mut PgConnection) -> sqlx::Result<Vec<BatchId>> {
    sqlx::query_scalar!(
        r#"SELECT b.id AS "id: BatchId" FROM batches b JOIN releases r ON r.id = b.release_id
           WHERE b.finished_at IS NULL AND (b.kind <> 'release' OR r.status = 'pending')"#,
    )
    .fetch_all(conn)
    .await
}

/// Ends release phases whose release has ended without them: a crash between two writes.
pub(crate) async fn end_orphans(conn: &mut PgConnection) -> sqlx::Result<u64> {
    let ended = sqlx::query!(
        "UPDATE batches SET status = 'canceled', reason = 'its release has ended', finished_at = now()
         FROM releases WHERE releases.id = batches.release_id AND batches.kind = 'release'
             AND batches.finished_at IS NULL AND releases.status <> 'pending'",
    )
    .execute(conn)
    .await?;
    Ok(ended.rows_affected())
}
