//! Builds: accepted in one transaction, changed only by the worker whose attempt is current.

use jiff_sqlx::ToSqlx;
use serde_json::Value;
use sqlx::PgConnection;

use super::app_lock::LockedApp;
use super::jobs::Fenced;
use crate::domain::build::BuildStatus;
use crate::domain::ids::{AppId, BuildId, UserId};

/// A build as its worker and those who follow it see it.
#[derive(Debug, Clone)]
pub(crate) struct Build {
    pub(crate) id: BuildId,
    pub(crate) app_id: AppId,
    pub(crate) number: i64,
    pub(crate) status: BuildStatus,
    pub(crate) trigger: String,
    pub(crate) commit: String,
    /// What the pusher saw the deploy branch at.
    pub(crate) branch_was: Option<String>,
    pub(crate) forced: bool,
    pub(crate) no_cache: bool,
    pub(crate) actor_id: Option<UserId>,
    pub(crate) actor_name: String,
    pub(crate) attempt: i32,
    pub(crate) blueprint: Option<Value>,
    pub(crate) digest: Option<String>,
    /// Why it ended as it did.
    pub(crate) reason: Option<String>,
    pub(crate) log_closed: bool,
}

/// A build to be accepted.
#[derive(Debug)]
pub(crate) struct NewBuild<'a> {
    pub(crate) number: i64,
    pub(crate) trigger: &'a str,
    pub(crate) commit: &'a str,
    pub(crate) tree: &'a str,
    pub(crate) subject: &'a str,
    pub(crate) branch_was: Option<&'a str>,
    pub(crate) forced: bool,
    pub(crate) detached: bool,
    pub(crate) no_cache: bool,
    pub(crate) actor_id: Option<UserId>,
    pub(crate) actor_name: &'a str,
}

macro_rules! fetch_build {
    ($conn:expr, $tail:literal, $($arg:expr),*) => {
        sqlx::query_as!(
            Build,
            r#"SELECT id AS "id: BuildId", app_id AS "app_id: AppId", number, status AS "status: BuildStatus", trigger,
                   commit, branch_was, forced, no_cache, actor_id AS "actor_id: UserId", actor_name, attempt,
                   blueprint, digest, reason, log_closed_at IS NOT NULL AS "log_closed!"
               FROM builds "# + $tail,
            $($arg),*
        )
        .fetch_optional($conn)
        .await
    };
}

pub(crate) async fn by_id(conn: &mut PgConnection, id: BuildId) -> sqlx::Result<Option<Build>> {
    fetch_build!(conn, "WHERE id = $1", id.0)
}

pub(crate) async fn by_number(
    conn: &mut PgConnection,
    app: AppId,
    number: i64,
) -> sqlx::Result<Option<Build>> {
    fetch_build!(conn, "WHERE app_id = $1 AND number = $2", app.0, number)
}

/// The build of the app that a worker is busy with, if any.
pub(crate) async fn running_of(conn: &mut PgConnection, app: AppId) -> sqlx::Result<Option<Build>> {
    fetch_build!(
        conn,
        "WHERE app_id = $1 AND status IN ('building', 'pushing') ORDER BY number DESC LIMIT 1",
        app.0
    )
}

/// The build of which the release phase runs.
pub(crate) async fn in_release_phase(conn: &mut PgConnection, app: AppId) -> sqlx::Result<Option<Build>> {
    fetch_build!(
        conn,
        "WHERE app_id = $1 AND id = (
             SELECT r.build_id FROM releases r JOIN batches b ON b.release_id = r.id AND b.kind = 'release'
             WHERE r.app_id = $1 AND r.status = 'pending' AND b.finished_at IS NULL AND r.build_id IS NOT NULL
             ORDER BY r.version DESC LIMIT 1)",
        app.0
    )
}

/// The build that the app's build `number` waits for, if any: of the older ones whose log is open the oldest. It is
/// worked on until its release is rolled out, which is longer than it is `building` or `pushing`.
pub(crate) async fn in_hand_before(
    conn: &mut PgConnection,
    app: AppId,
    number: i64,
) -> sqlx::Result<Option<Build>> {
    fetch_build!(
        conn,
        "WHERE app_id = $1 AND number < $2 AND log_closed_at IS NULL ORDER BY number LIMIT 1",
        app.0,
        number
    )
}

/// The newest build of the app whatever its state.
pub(crate) async fn latest_of(conn: &mut PgConnection, app: AppId) -> sqlx::Result<Option<Build>> {
    fetch_build!(conn, "WHERE app_id = $1 ORDER BY number DESC LIMIT 1", app.0)
}

/// Ends the app's waiting build in favour of build `by`; its id and number, if there was one.
///
/// Call it before [`insert`]: the index allows one waiting build per app.
pub(crate) async fn supersede_pending(
    conn: &mut PgConnection,
    app: &LockedApp,
    by: i64,
) -> sqlx::Result<Option<(BuildId, i64)>> {
    let row = sqlx::query!(
        r#"UPDATE builds SET status = 'superseded', superseded_by = $2, finished_at = now(), log_closed_at = now(),
               reason = format('superseded by build %s', $2::bigint)
           WHERE app_id = $1 AND status = 'queued' AND attempt = 0
           RETURNING id AS "id: BuildId", number"#,
        app.id.0,
        by,
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| (row.id, row.number)))
}

pub(crate) async fn insert(
    conn: &mut PgConnection,
    app: &LockedApp,
    build: &NewBuild<'_>,
) -> sqlx::Result<BuildId> {
    let id = BuildId::new();
    sqlx::query!(
        "INSERT INTO builds (id, app_id, number, trigger, commit, tree, subject, branch_was, forced, detached,
             no_cache, actor_id, actor_name)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        id.0,
        app.id.0,
        build.number,
        build.trigger,
        build.commit,
        build.tree,
        build.subject,
        build.branch_was,
        build.forced,
        build.detached,
        build.no_cache,
        build.actor_id.map(|user| user.0),
        build.actor_name,
    )
    .execute(conn)
    .await?;
    Ok(id)
}

/// Takes the build for `attempt`: from here on only that attempt writes. `Lost` if it has ended meanwhile.
pub(crate) async fn begin(conn: &mut PgConnection, id: BuildId, attempt: i32) -> sqlx::Result<Fenced> {
    sqlx::query!(
        "UPDATE builds SET attempt = $2, started_at = coalesce(started_at, now()),
             status = CASE WHEN status = 'queued' THEN 'building' ELSE status END
         WHERE id = $1 AND attempt <= $2 AND log_closed_at IS NULL",
        id.0,
        attempt,
    )
    .execute(conn)
    .await
    .map(|result| Fenced::of(&result))
}

/// The cancel boundary: `Lost` if a cancel was asked for before, so that nothing is pushed after it.
pub(crate) async fn begin_pushing(conn: &mut PgConnection, build: &Build) -> sqlx::Result<Fenced> {
    sqlx::query!(
        "UPDATE builds SET status = 'pushing'
         WHERE id = $1 AND attempt = $2 AND status IN ('building', 'pushing') AND NOT cancel_requested",
        build.id.0,
        build.attempt,
    )
    .execute(conn)
    .await
    .map(|result| Fenced::of(&result))
}

/// What the stages have made of a build, stored so that a crash resumes after it.
#[derive(Debug, Clone)]
pub(crate) struct Made<'a> {
    pub(crate) digest: &'a str,
    pub(crate) blueprint: &'a Value,
    /// What the image was made of; `None` if it must not be used again.
    pub(crate) reuse_key: Option<&'a str>,
}

/// Stores the digest that lies in the registry now.
pub(crate) async fn store_digest(
    conn: &mut PgConnection,
    build: &Build,
    made: &Made<'_>,
) -> sqlx::Result<Fenced> {
    sqlx::query!(
        "UPDATE builds SET digest = $3, blueprint = $4, reuse_key = $5
         WHERE id = $1 AND attempt = $2 AND status IN ('building', 'pushing')",
        build.id.0,
        build.attempt,
        made.digest,
        made.blueprint,
        made.reuse_key,
    )
    .execute(conn)
    .await
    .map(|result| Fenced::of(&result))
}

/// An image that was made before of just the same.
#[derive(Debug, Clone)]
pub(crate) struct Reusable {
    pub(crate) number: i64,
    pub(crate) digest: String,
    pub(crate) blueprint: Value,
}

/// The newest image of the app that was made of `reuse_key`.
pub(crate) async fn made_of(
    conn: &mut PgConnection,
    app: AppId,
    reuse_key: &str,
) -> sqlx::Result<Option<Reusable>> {
    sqlx::query_as!(
        Reusable,
        r#"SELECT number, digest AS "digest!", blueprint AS "blueprint!" FROM builds
           WHERE app_id = $1 AND reuse_key = $2 AND digest IS NOT NULL AND blueprint IS NOT NULL
           ORDER BY number DESC LIMIT 1"#,
        app.0,
        reuse_key,
    )
    .fetch_optional(conn)
    .await
}

/// Ends the build. The reason is for the user.
pub(crate) async fn end(
    conn: &mut PgConnection,
    build: &Build,
    status: BuildStatus,
    reason: Option<&str>,
) -> sqlx::Result<Fenced> {
    sqlx::query!(
        "UPDATE builds SET status = $3, reason = $4, finished_at = now()
         WHERE id = $1 AND attempt = $2 AND status IN ('queued', 'building', 'pushing')",
        build.id.0,
        build.attempt,
        status.as_str(),
        reason,
    )
    .execute(conn)
    .await
    .map(|result| Fenced::of(&result))
}

/// Says that nothing more will be written to the log; followers leave.
pub(crate) async fn close_log(conn: &mut PgConnection, build: &Build) -> sqlx::Result<Fenced> {
    sqlx::query!(
        "UPDATE builds SET log_closed_at = coalesce(log_closed_at, now()) WHERE id = $1 AND attempt = $2",
        build.id.0,
        build.attempt,
    )
    .execute(conn)
    .await
    .map(|result| Fenced::of(&result))
}

/// What became of a request to cancel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cancel {
    /// It had not begun: it is canceled now.
    Ended,
    /// Its worker has been told.
    Requested,
    /// The image is being pushed or the build is over: nothing to cancel any more.
    TooLate,
}

pub(crate) async fn cancel(conn: &mut PgConnection, id: BuildId, by: &str) -> sqlx::Result<Cancel> {
    let status = sqlx::query_scalar!(
        r#"UPDATE builds SET cancel_requested = true, reason = $2,
               status = CASE WHEN status = 'queued' AND attempt = 0 THEN 'canceled' ELSE status END,
               finished_at = CASE WHEN status = 'queued' AND attempt = 0 THEN now() END,
               log_closed_at = CASE WHEN status = 'queued' AND attempt = 0 THEN now() END
           WHERE id = $1 AND status IN ('queued', 'building')
           RETURNING status AS "status: BuildStatus""#,
        id.0,
        format!("canceled by {by}"),
    )
    .fetch_optional(conn)
    .await?;
    Ok(match status {
        None => Cancel::TooLate,
        Some(BuildStatus::Canceled) => Cancel::Ended,
        Some(_) => Cancel::Requested,
    })
}

/// Whether the build's worker has been asked to stop.
pub(crate) async fn cancel_requested(conn: &mut PgConnection, id: BuildId) -> sqlx::Result<bool> {
    sqlx::query_scalar!("SELECT cancel_requested FROM builds WHERE id = $1", id.0).fetch_one(conn).await
}

/// Records when a stage began.
pub(crate) async fn stage_began(conn: &mut PgConnection, id: BuildId, stage: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO build_stages (build_id, stage, started_at) VALUES ($1, $2, $3)
         ON CONFLICT (build_id, stage) DO UPDATE SET started_at = excluded.started_at, finished_at = NULL",
        id.0,
        stage,
        jiff::Timestamp::now().to_sqlx() as _,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Records when a stage ended.
pub(crate) async fn stage_ended(conn: &mut PgConnection, id: BuildId, stage: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE build_stages SET finished_at = $3 WHERE build_id = $1 AND stage = $2",
        id.0,
        stage,
        jiff::Timestamp::now().to_sqlx() as _,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The build's stages in order, with the seconds that each took; `None` while it runs.
pub(crate) async fn stages_of(
    conn: &mut PgConnection,
    id: BuildId,
) -> sqlx::Result<Vec<(String, Option<f64>)>> {
    let rows = sqlx::query!(
        "SELECT stage, extract(epoch FROM finished_at - started_at)::float8 AS seconds
         FROM build_stages WHERE build_id = $1 ORDER BY started_at",
        id.0,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.stage, row.seconds)).collect())
}

/// Builds that were accepted but that no job will ever take up: their log was never closed and their job is gone.
pub(crate) async fn orphaned(conn: &mut PgConnection) -> sqlx::Result<Vec<BuildId>> {
    sqlx::query_scalar!(
        r#"SELECT id AS "id: BuildId" FROM builds
           WHERE log_closed_at IS NULL
             AND NOT EXISTS (SELECT 1 FROM jobs WHERE kind = 'build' AND status IN ('queued', 'running')
                             AND payload ->> 'build' = builds.id::text)"#,
    )
    .fetch_all(conn)
    .await
}

/// Ends a build without a worker: its job died.
pub(crate) async fn end_orphan(conn: &mut PgConnection, id: BuildId, reason: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE builds SET log_closed_at = now(), finished_at = coalesce(finished_at, now()),
             reason = coalesce(reason, $2),
             status = CASE WHEN status IN ('queued', 'building', 'pushing') THEN 'errored' ELSE status END
         WHERE id = $1 AND log_closed_at IS NULL",
        id.0,
        reason,
    )
    .execute(conn)
    .await?;
    Ok(())
}
