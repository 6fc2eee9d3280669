//! The outbox of reports: what hosts have been told of builds, and what they are to be told.

use jiff::Timestamp;
use sqlx::PgConnection;

use crate::domain::ids::{AppId, BuildId};

/// A build whose host has not been told how it stands.
#[derive(Debug, Clone)]
pub(crate) struct Due {
    pub(crate) build: BuildId,
    pub(crate) app_id: AppId,
    /// Whose connection reaches the host: the app itself, or the parent of a review app.
    pub(crate) connected: AppId,
    pub(crate) number: i64,
    pub(crate) commit: String,
    /// `queued`, `running`, `success`, `failure`, `error` or `inactive`.
    pub(crate) state: String,
    /// Why it ended as it did.
    pub(crate) reason: Option<String>,
    pub(crate) version: Option<i64>,
    /// What the host calls the deployment, once it has said so.
    pub(crate) remote: Option<String>,
    pub(crate) tries: i32,
}

/// Up to `most` reports that are due: of builds since the app was connected, whose host lets us in.
///
/// A report that was refused `tries` times is given up, and so is one of a build that is older than a day.
pub(crate) async fn due(conn: &mut PgConnection, most: i64, tries: i32) -> sqlx::Result<Vec<Due>> {
    sqlx::query_as!(
        Due,
        r#"SELECT build AS "build!: BuildId", app_id AS "app_id!: AppId",
               connected AS "connected!: AppId", number AS "number!", commit AS "commit!",
               state AS "state!", reason AS "reason?", version AS "version?", remote AS "remote?",
               tries AS "tries!"
           FROM (
               SELECT b.id AS build, b.app_id, c.app_id AS connected, b.number, b.commit, coalesce(r.reason, b.reason) AS reason, r.version,
                   t.remote, coalesce(t.tries, 0) AS tries, t.reported, t.due_at,
                   CASE
                       WHEN r.status = 'succeeded' THEN 'success'
                       WHEN r.status = 'failed' THEN 'failure'
                       WHEN b.status = 'queued' THEN 'queued'
                       WHEN b.status IN ('building', 'pushing', 'succeeded') THEN 'running'
                       WHEN b.status = 'failed' THEN 'failure'
                       WHEN b.status = 'errored' THEN 'error'
                       ELSE 'inactive'
                   END AS state
               FROM builds b
               LEFT JOIN pull_requests p ON p.app_id = b.app_id
               JOIN connections c ON c.app_id = coalesce(p.parent_id, b.app_id)
                   AND (c.token IS NOT NULL OR c.access = 'github-app') AND c.provider <> 'generic'
                   AND b.created_at >= c.created_at
               LEFT JOIN releases r ON r.build_id = b.id
               LEFT JOIN reports t ON t.build_id = b.id
               WHERE b.created_at > now() - interval '1 day'
           ) told
           WHERE reported IS DISTINCT FROM state AND (due_at IS NULL OR due_at <= now()) AND tries < $2
           ORDER BY build LIMIT $1"#,
        most,
        tries,
    )
    .fetch_all(conn)
    .await
}

/// Notes that the host has taken a state, and what it calls the deployment.
pub(crate) async fn taken(
    conn: &mut PgConnection,
    build: BuildId,
    state: &str,
    remote: Option<&str>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO reports (build_id, reported, remote) VALUES ($1, $2, $3)
         ON CONFLICT (build_id) DO UPDATE SET reported = $2, remote = coalesce($3, reports.remote), tries = 0,
             due_at = now(), trouble = NULL, updated_at = now()",
        build.0,
        state,
        remote,
    )
    .execute(conn)
    .await
    .map(drop)
}

/// Notes what the host calls the deployment, before it is told more of it.
pub(crate) async fn named(conn: &mut PgConnection, build: BuildId, remote: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO reports (build_id, remote) VALUES ($1, $2)
         ON CONFLICT (build_id) DO UPDATE SET remote = $2, updated_at = now()",
        build.0,
        remote,
    )
    .execute(conn)
    .await
    .map(drop)
}

/// What the host calls the deployment that runs in an app, as far as it has been told of it.
pub(crate) async fn deployed(conn: &mut PgConnection, app: AppId) -> sqlx::Result<Option<String>> {
    let newest = sqlx::query_scalar!(
        "SELECT t.remote FROM reports t JOIN builds b ON b.id = t.build_id
         WHERE b.app_id = $1 AND t.reported = 'success' ORDER BY b.number DESC LIMIT 1",
        app.0,
    )
    .fetch_optional(conn)
    .await?;
    Ok(newest.flatten())
}

/// Notes a try in vain; the next is due at `next`.
pub(crate) async fn failed(
    conn: &mut PgConnection,
    build: BuildId,
    trouble: &str,
    next: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO reports (build_id, tries, due_at, trouble) VALUES ($1, 1, $3, $2)
         ON CONFLICT (build_id) DO UPDATE SET tries = reports.tries + 1, due_at = $3, trouble = $2, updated_at = now()",
        build.0,
        trouble,
        jiff_sqlx::Timestamp::from(next) as jiff_sqlx::Timestamp,
    )
    .execute(conn)
    .await
    .map(drop)
}

/// What was in the way of an app's newest report, if something is.
pub(crate) async fn trouble_of(conn: &mut PgConnection, app: AppId) -> sqlx::Result<Option<String>> {
    let newest = sqlx::query_scalar!(
        "SELECT t.trouble FROM reports t JOIN builds b ON b.id = t.build_id WHERE b.app_id = $1
         ORDER BY b.number DESC LIMIT 1",
        app.0,
    )
    .fetch_optional(conn)
    .await?;
    Ok(newest.flatten())
}

/// Another token may be let in: what was given up is tried again.
pub(crate) async fn try_again(conn: &mut PgConnection, app: AppId) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE reports SET tries = 0, due_at = now()
         WHERE tries > 0 AND build_id IN (SELECT id FROM builds WHERE app_id = $1)",
        app.0,
    )
    .execute(conn)
    .await
    .map(drop)
}
