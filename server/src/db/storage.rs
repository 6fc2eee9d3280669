//! What the logs of builds take, and clearing away those that are old.

use sqlx::PgConnection;

use crate::domain::ids::AppId;

/// Logs of an app's builds.
#[derive(Debug, Clone)]
pub(crate) struct Logs {
    pub(crate) app: AppId,
    pub(crate) name: String,
    pub(crate) builds: i64,
    pub(crate) bytes: i64,
    /// Of those builds that are not among the newest, and over.
    pub(crate) old_builds: i64,
    pub(crate) old_bytes: i64,
}

/// All apps, the one with the most text first; `keep` is how many of an app's builds count as its newest.
pub(crate) async fn logs(conn: &mut PgConnection, keep: i64) -> sqlx::Result<Vec<Logs>> {
    sqlx::query_as!(
        Logs,
        r#"WITH per_build AS (
               SELECT b.app_id, b.number <= a.last_build - $1 AND b.log_closed_at IS NOT NULL AS old,
                      sum(octet_length(l.text)) AS bytes
               FROM build_log l JOIN builds b ON b.id = l.build_id JOIN apps a ON a.id = b.app_id
               GROUP BY b.id, a.id)
           SELECT a.id AS "app: AppId", a.name, count(p.bytes) AS "builds!", coalesce(sum(p.bytes), 0)::bigint AS "bytes!",
                  count(p.bytes) FILTER (WHERE p.old) AS "old_builds!",
                  coalesce(sum(p.bytes) FILTER (WHERE p.old), 0)::bigint AS "old_bytes!"
           FROM apps a LEFT JOIN per_build p ON p.app_id = a.id
           GROUP BY a.id ORDER BY coalesce(sum(p.bytes), 0) DESC, a.name"#,
        keep,
    )
    .fetch_all(conn)
    .await
}

/// Removes logs of an app's builds that are over and not among its newest `keep`: of `most` builds, so that a statement
/// has its time. Of how many it was.
pub(crate) async fn clear(conn: &mut PgConnection, app: AppId, keep: i64, most: i64) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"WITH old AS (
               SELECT b.id FROM builds b JOIN apps a ON a.id = b.app_id
               WHERE a.id = $1 AND b.number <= a.last_build - $2 AND b.log_closed_at IS NOT NULL
                 AND EXISTS (SELECT FROM build_log l WHERE l.build_id = b.id)
               LIMIT $3),
           gone AS (DELETE FROM build_log USING old WHERE build_id = old.id)
           SELECT count(*) AS "count!" FROM old"#,
        app.0,
        keep,
        most,
    )
    .fetch_one(conn)
    .await
}
