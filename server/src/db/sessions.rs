//! Who is signed in at the web page, and what signs them in.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::PgConnection;

use crate::domain::access::Principal;
use crate::domain::ids::{UserId, WebSessionId};

/// A session that nobody uses for so long has ended.
pub(crate) const IDLE: Duration = Duration::from_secs(12 * 3600);
/// A session has ended after so long, however busy it is.
pub(crate) const LIFE: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long a sign-in link works.
pub(crate) const LINK_LIFE: Duration = Duration::from_secs(15 * 60);

/// A session as its owner sees it.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) id: WebSessionId,
    pub(crate) address: String,
    pub(crate) browser: String,
    pub(crate) created_at: Timestamp,
    pub(crate) last_used_at: Timestamp,
}

/// Where a session begins.
#[derive(Debug, Clone)]
pub(crate) struct Place<'a> {
    pub(crate) address: &'a str,
    pub(crate) browser: &'a str,
}

/// Somebody with what their password is checked against.
#[derive(Debug, Clone)]
pub(crate) struct Claimed {
    pub(crate) principal: Principal,
    pub(crate) password: Option<String>,
}

/// Begins a session of `user`; those that have ended are swept away.
pub(crate) async fn begin(
    conn: &mut PgConnection,
    user: UserId,
    sha256: &[u8],
    place: &Place<'_>,
) -> sqlx::Result<WebSessionId> {
    sqlx::query!(
        "DELETE FROM web_sessions WHERE expires_at < now() OR last_used_at < now() - make_interval(secs => $1)",
        IDLE.as_secs_f64(),
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query_scalar!(
        r#"INSERT INTO web_sessions (id, user_id, sha256, address, browser, expires_at)
           VALUES ($1, $2, $3, $4, $5, now() + make_interval(secs => $6)) RETURNING id AS "id: WebSessionId""#,
        WebSessionId::new().0,
        user.0,
        sha256,
        place.address,
        place.browser,
        LIFE.as_secs_f64(),
    )
    .fetch_one(conn)
    .await
}

/// Whose session has this hash, if it has not ended. Its use is noted, at most once a minute.
pub(crate) async fn visitor(
    conn: &mut PgConnection,
    sha256: &[u8],
) -> sqlx::Result<Option<(WebSessionId, Principal)>> {
    let found = sqlx::query!(
        r#"SELECT s.id AS "session: WebSessionId", u.id AS "user: UserId", u.name, u.admin,
                  s.last_used_at < now() - interval '1 minute' AS "stale!"
           FROM web_sessions s JOIN users u ON u.id = s.user_id
           WHERE s.sha256 = $1 AND s.expires_at > now() AND s.last_used_at > now() - make_interval(secs => $2)"#,
        sha256,
        IDLE.as_secs_f64(),
    )
    .fetch_optional(&mut *conn)
    .await?;
    let Some(found) = found else { return Ok(None) };
    if found.stale {
        sqlx::query!("UPDATE web_sessions SET last_used_at = now() WHERE id = $1", found.session.0)
            .execute(conn)
            .await?;
    }
    Ok(Some((found.session, Principal { user: found.user, name: found.name, admin: found.admin })))
}

/// The sessions of somebody that have not ended, the last used first.
pub(crate) async fn of_user(conn: &mut PgConnection, user: UserId) -> sqlx::Result<Vec<Session>> {
    sqlx::query_as!(
        Session,
        r#"SELECT id AS "id: WebSessionId", address, browser, created_at AS "created_at: jiff_sqlx::Timestamp",
                  last_used_at AS "last_used_at: jiff_sqlx::Timestamp"
           FROM web_sessions
           WHERE user_id = $1 AND expires_at > now() AND last_used_at > now() - make_interval(secs => $2)
           ORDER BY last_used_at DESC"#,
        user.0,
        IDLE.as_secs_f64(),
    )
    .fetch_all(conn)
    .await
}

/// Ends a session of `user`; false if there is none such.
pub(crate) async fn end(conn: &mut PgConnection, user: UserId, id: WebSessionId) -> sqlx::Result<bool> {
    let ended = sqlx::query!("DELETE FROM web_sessions WHERE user_id = $1 AND id = $2", user.0, id.0)
        .execute(conn)
        .await?;
    Ok(ended.rows_affected() == 1)
}

/// Ends the sessions of `user`, but for the one that is given.
pub(crate) async fn end_others(
    conn: &mut PgConnection,
    user: UserId,
    kept: Option<WebSessionId>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "DELETE FROM web_sessions WHERE user_id = $1 AND ($2::uuid IS NULL OR id <> $2)",
        user.0,
        kept.map(|kept| kept.0),
    )
    .execute(conn)
    .await
    .map(drop)
}

/// Who is called `name`, with the hash of their password.
pub(crate) async fn claimed(conn: &mut PgConnection, name: &str) -> sqlx::Result<Option<Claimed>> {
    let found = sqlx::query!(
        r#"SELECT id AS "user: UserId", name, admin, password FROM users WHERE name = $1"#,
        name,
    )
    .fetch_optional(conn)
    .await?;
    Ok(found.map(|found| Claimed {
        principal: Principal { user: found.user, name: found.name, admin: found.admin },
        password: found.password,
    }))
}

/// Replaces the password's hash.
pub(crate) async fn set_password(conn: &mut PgConnection, user: UserId, hash: &str) -> sqlx::Result<()> {
    sqlx::query!("UPDATE users SET password = $2 WHERE id = $1", user.0, hash).execute(conn).await.map(drop)
}

/// Keeps the hash of a fresh sign-in link.
pub(crate) async fn add_link(conn: &mut PgConnection, user: UserId, sha256: &[u8]) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO sign_in_links (sha256, user_id, expires_at) VALUES ($1, $2, now() + make_interval(secs => $3))",
        sha256,
        user.0,
        LINK_LIFE.as_secs_f64(),
    )
    .execute(conn)
    .await
    .map(drop)
}

/// Whose link has this hash, if it still works; it works no second time.
pub(crate) async fn take_link(conn: &mut PgConnection, sha256: &[u8]) -> sqlx::Result<Option<Principal>> {
    sqlx::query_as!(
        Principal,
        r#"WITH taken AS (DELETE FROM sign_in_links WHERE sha256 = $1 OR expires_at < now()
                          RETURNING sha256, user_id, expires_at)
           SELECT u.id AS "user: UserId", u.name, u.admin FROM taken t JOIN users u ON u.id = t.user_id
           WHERE t.sha256 = $1 AND t.expires_at > now()"#,
        sha256,
    )
    .fetch_optional(conn)
    .await
}
