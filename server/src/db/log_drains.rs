//! Log drains, and sessions that read a log by their address alone.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use sqlx::PgConnection;
use sqlx::types::Json;

use crate::domain::ids::{AppId, DrainId, SessionId};
use crate::domain::names::AppName;
use crate::target::Adoption;

/// Where an app's log is sent.
#[derive(Debug, Clone)]
pub(crate) struct Drain {
    pub(crate) id: DrainId,
    pub(crate) app_id: AppId,
    pub(crate) app: AppName,
    /// The app's key, wrapped: it opens the address.
    pub(crate) wrapped_key: Vec<u8>,
    pub(crate) sealed: Vec<u8>,
    /// The last line that was delivered.
    pub(crate) position: i64,
    pub(crate) created_at: Timestamp,
}

struct Row {
    id: DrainId,
    app_id: AppId,
    app: String,
    wrapped_key: Vec<u8>,
    sealed: Vec<u8>,
    position: i64,
    created_at: jiff_sqlx::Timestamp,
}

impl TryFrom<Row> for Drain {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.id,
            app_id: row.app_id,
            app: row.app.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
            wrapped_key: row.wrapped_key,
            sealed: row.sealed,
            position: row.position,
            created_at: row.created_at.to_jiff(),
        })
    }
}

/// The drains of an app, or of all, the oldest first.
pub(crate) async fn drains(conn: &mut PgConnection, app: Option<AppId>) -> sqlx::Result<Vec<Drain>> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT d.id AS "id: DrainId", d.app_id AS "app_id: AppId", a.name AS app, a.wrapped_key, d.sealed, d.position,
                  d.created_at AS "created_at: jiff_sqlx::Timestamp"
           FROM log_drains d JOIN apps a ON a.id = d.app_id
           WHERE $1::uuid IS NULL OR d.app_id = $1 ORDER BY d.id"#,
        app.map(|app| app.0),
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Drain::try_from).collect()
}

pub(crate) async fn add_drain(
    conn: &mut PgConnection,
    id: DrainId,
    app: AppId,
    sealed: &[u8],
    position: i64,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO log_drains (id, app_id, sealed, position) VALUES ($1, $2, $3, $4)",
        id.0,
        app.0,
        sealed,
        position,
    )
    .execute(conn)
    .await
    .map(drop)
}

/// Removes a drain; false if somebody else was quicker.
pub(crate) async fn remove_drain(conn: &mut PgConnection, id: DrainId) -> sqlx::Result<bool> {
    let gone = sqlx::query!("DELETE FROM log_drains WHERE id = $1", id.0).execute(conn).await?;
    Ok(gone.rows_affected() == 1)
}

/// Records what was delivered.
pub(crate) async fn delivered(conn: &mut PgConnection, id: DrainId, position: i64) -> sqlx::Result<()> {
    sqlx::query!("UPDATE log_drains SET position = $2 WHERE id = $1", id.0, position)
        .execute(conn)
        .await
        .map(drop)
}

/// The apps that move Deployments of others: their pods bear no label of ours.
pub(crate) async fn adopted(conn: &mut PgConnection) -> sqlx::Result<Vec<(AppName, Adoption)>> {
    let rows = sqlx::query!(
        r#"SELECT name, adoption AS "adoption!: Json<Adoption>" FROM apps WHERE adoption IS NOT NULL ORDER BY name"#
    )
    .fetch_all(conn)
    .await?;
    let parsed = |name: String| name.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)));
    rows.into_iter().map(|row| Ok((parsed(row.name)?, row.adoption.0))).collect()
}

/// Adds a session for so long, and forgets those that are over.
pub(crate) async fn add_session(
    conn: &mut PgConnection,
    id: SessionId,
    app: AppId,
    (sha256, wanted): (&[u8], &Value),
    life: SignedDuration,
) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM log_sessions WHERE expires_at < now()").execute(&mut *conn).await?;
    let expires_at = jiff_sqlx::Timestamp::from(Timestamp::now() + life);
    sqlx::query!(
        "INSERT INTO log_sessions (id, app_id, sha256, wanted, expires_at) VALUES ($1, $2, $3, $4, $5)",
        id.0,
        app.0,
        sha256,
        wanted,
        expires_at as jiff_sqlx::Timestamp,
    )
    .execute(conn)
    .await
    .map(drop)
}

/// The app and the wish of a session that is not over.
pub(crate) async fn session(conn: &mut PgConnection, sha256: &[u8]) -> sqlx::Result<Option<(AppId, Value)>> {
    let row = sqlx::query!(
        r#"SELECT app_id AS "app_id: AppId", wanted FROM log_sessions WHERE sha256 = $1 AND expires_at > now()"#,
        sha256,
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| (row.app_id, row.wanted)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::apps::{self, NewApp};
    use crate::db::people;
    use crate::db::testing::TestDatabase;
    use crate::domain::names::TeamName;

    async fn app(conn: &mut PgConnection) -> AppId {
        let team = people::create_team(conn, &TeamName::default_team()).await.expect("inserts").expect("new");
        let (id, name) = (AppId::new(), "blog".parse().expect("a name"));
        assert!(
            apps::create(conn, &NewApp { id, name: &name, team, wrapped_key: b"key" })
                .await
                .expect("inserts")
        );
        id
    }

    #[tokio::test]
    async fn drains_keep_their_position_and_go_with_their_app() {
        let database = TestDatabase::new().await;
        let mut conn = database.pool.acquire().await.expect("connects");
        let (app, id) = (app(&mut conn).await, DrainId::new());
        add_drain(&mut conn, id, app, b"sealed", 7).await.expect("inserts");
        delivered(&mut conn, id, 12).await.expect("updates");
        let found = drains(&mut conn, Some(app)).await.expect("answers");
        assert_eq!((found.len(), found[0].position, found[0].app.as_str()), (1, 12, "blog"));
        assert!(drains(&mut conn, Some(AppId::new())).await.expect("answers").is_empty());
        apps::destroy(&mut conn, app).await.expect("deletes");
        assert!(drains(&mut conn, None).await.expect("answers").is_empty());
        assert!(!remove_drain(&mut conn, id).await.expect("answers"));
    }

    #[tokio::test]
    async fn a_session_opens_by_its_hash_until_it_is_over() {
        let database = TestDatabase::new().await;
        let mut conn = database.pool.acquire().await.expect("connects");
        let app = app(&mut conn).await;
        let wish = serde_json::json!({ "lines": 3 });
        let (long, over) = (SignedDuration::from_mins(5), SignedDuration::from_secs(-1));
        add_session(&mut conn, SessionId::new(), app, (b"over", &wish), over).await.expect("inserts");
        assert!(session(&mut conn, b"over").await.expect("answers").is_none());
        add_session(&mut conn, SessionId::new(), app, (b"open", &wish), long).await.expect("inserts");
        assert_eq!(session(&mut conn, b"open").await.expect("answers"), Some((app, wish)));
    }
}
