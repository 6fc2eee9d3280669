//! The entries of cron of the releases that are live, and when each is due.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::PgConnection;

use super::jobs::Fenced;
use crate::domain::ids::{AppId, ReleaseId};

#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) app_id: AppId,
    pub(crate) name: String,
    pub(crate) release_id: ReleaseId,
    pub(crate) command: String,
    pub(crate) schedule: String,
    pub(crate) timezone: String,
    /// The earliest time that is neither run nor passed over.
    pub(crate) next_at: Timestamp,
}

macro_rules! select_entries {
    ($tail:literal, $($arg:expr),*) => {
        sqlx::query_as!(
            Entry,
            r#"SELECT app_id AS "app_id: AppId", name, release_id AS "release_id: ReleaseId", command, schedule, timezone,
                   next_at AS "next_at: jiff_sqlx::Timestamp"
               FROM cron_entries "# + $tail,
            $($arg),*
        )
    };
}

pub(crate) async fn of(conn: &mut PgConnection, app: AppId) -> sqlx::Result<Vec<Entry>> {
    select_entries!("WHERE app_id = $1 ORDER BY name", app.0).fetch_all(conn).await
}

/// Those of which a time has come that nothing was done for.
pub(crate) async fn due(conn: &mut PgConnection, now: Timestamp) -> sqlx::Result<Vec<Entry>> {
    select_entries!("WHERE next_at <= $1 ORDER BY next_at", now.to_sqlx() as _).fetch_all(conn).await
}

/// The next time after `now` at which one is due.
pub(crate) async fn earliest(conn: &mut PgConnection, now: Timestamp) -> sqlx::Result<Option<Timestamp>> {
    let next = sqlx::query_scalar!(
        r#"SELECT min(next_at) AS "next: jiff_sqlx::Timestamp" FROM cron_entries WHERE next_at > $1"#,
        now.to_sqlx() as _,
    )
    .fetch_one(conn)
    .await?;
    Ok(next.map(jiff_sqlx::Timestamp::to_jiff))
}

/// Puts an entry in force. One whose schedule stays goes on where it stood.
pub(crate) async fn put(conn: &mut PgConnection, entry: &Entry) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO cron_entries (app_id, name, release_id, command, schedule, timezone, next_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (app_id, name) DO UPDATE SET release_id = excluded.release_id, command = excluded.command,
             schedule = excluded.schedule, timezone = excluded.timezone, updated_at = now(),
             next_at = CASE WHEN cron_entries.schedule = excluded.schedule AND cron_entries.timezone = excluded.timezone
                            THEN cron_entries.next_at ELSE excluded.next_at END",
        entry.app_id.0,
        entry.name,
        entry.release_id.0,
        entry.command,
        entry.schedule,
        entry.timezone,
        entry.next_at.to_sqlx() as _,
    )
    .execute(conn)
    .await
    .map(drop)
}

/// Takes away all entries of the app that have other names than these.
pub(crate) async fn keep(conn: &mut PgConnection, app: AppId, names: &[String]) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM cron_entries WHERE app_id = $1 AND NOT name = ANY ($2)", app.0, names)
        .execute(conn)
        .await
        .map(drop)
}

/// What was due is done or passed over; `Lost` if somebody else did that, or the entry has changed.
pub(crate) async fn settle(
    conn: &mut PgConnection,
    entry: &Entry,
    next_at: Timestamp,
) -> sqlx::Result<Fenced> {
    sqlx::query!(
        "UPDATE cron_entries SET next_at = $3, updated_at = now() WHERE app_id = $1 AND name = $2 AND next_at = $4",
        entry.app_id.0,
        entry.name,
        next_at.to_sqlx() as _,
        entry.next_at.to_sqlx() as _,
    )
    .execute(conn)
    .await
    .map(|result| Fenced::of(&result))
}
