//! The audit, read: what was done on the whole platform, and how the platform's work stands.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

/// Something that somebody has done.
#[derive(Debug, Clone)]
pub(crate) struct Deed {
    pub(crate) id: Uuid,
    pub(crate) at: Timestamp,
    pub(crate) actor_name: String,
    pub(crate) app_name: Option<String>,
    pub(crate) action: String,
    pub(crate) detail: Value,
}

/// Which deeds; what is empty does not filter.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted<'a> {
    pub(crate) actor: &'a str,
    pub(crate) app: &'a str,
    /// A verb, or how it begins: `config`.
    pub(crate) action: &'a str,
    pub(crate) since: Option<Timestamp>,
    pub(crate) until: Option<Timestamp>,
    /// Only deeds before this one: their ids sort by time.
    pub(crate) before: Option<Uuid>,
    pub(crate) limit: i64,
}

/// The newest first.
pub(crate) async fn deeds(conn: &mut PgConnection, wanted: &Wanted<'_>) -> sqlx::Result<Vec<Deed>> {
    sqlx::query_as!(
        Deed,
        r#"SELECT id, at AS "at: jiff_sqlx::Timestamp", actor_name, app_name, action, detail FROM audit
           WHERE ($1 = '' OR actor_name = $1) AND ($2 = '' OR app_name = $2) AND starts_with(action, $3)
             AND ($4::timestamptz IS NULL OR at >= $4) AND ($5::timestamptz IS NULL OR at < $5)
             AND ($6::uuid IS NULL OR id < $6)
           ORDER BY id DESC LIMIT $7"#,
        wanted.actor,
        wanted.app,
        wanted.action,
        wanted.since.map(ToSqlx::to_sqlx) as Option<jiff_sqlx::Timestamp>,
        wanted.until.map(ToSqlx::to_sqlx) as Option<jiff_sqlx::Timestamp>,
        wanted.before,
        wanted.limit,
    )
    .fetch_all(conn)
    .await
}

/// The work that is on its way.
#[derive(Debug, Clone)]
pub(crate) struct Work {
    pub(crate) queued: i64,
    pub(crate) running: i64,
    /// Jobs that were given up in the last day.
    pub(crate) dead: i64,
}

pub(crate) async fn work(conn: &mut PgConnection) -> sqlx::Result<Work> {
    sqlx::query_as!(
        Work,
        r#"SELECT count(*) FILTER (WHERE status = 'queued') AS "queued!",
                  count(*) FILTER (WHERE status = 'running') AS "running!",
                  count(*) FILTER (WHERE status = 'dead' AND finished_at > now() - interval '1 day') AS "dead!"
           FROM jobs WHERE status <> 'done'"#,
    )
    .fetch_one(conn)
    .await
}

/// A build that waits for its turn.
#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    pub(crate) app: String,
    pub(crate) number: i64,
    pub(crate) since: Timestamp,
}

pub(crate) async fn oldest_waiting_build(conn: &mut PgConnection) -> sqlx::Result<Option<Waiting>> {
    sqlx::query_as!(
        Waiting,
        r#"SELECT a.name AS app, b.number, b.created_at AS "since: jiff_sqlx::Timestamp"
           FROM builds b JOIN apps a ON a.id = b.app_id WHERE b.status = 'queued' ORDER BY b.created_at LIMIT 1"#,
    )
    .fetch_optional(conn)
    .await
}

/// What PostgreSQL says that it is.
pub(crate) async fn server_version(conn: &mut PgConnection) -> sqlx::Result<String> {
    sqlx::query_scalar!(r#"SELECT current_setting('server_version') AS "version!""#).fetch_one(conn).await
}
