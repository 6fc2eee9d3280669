//! Repositories elsewhere that apps follow.

use jiff::Timestamp;
use sqlx::PgConnection;

use crate::domain::hook::{Access, Provider};
use crate::domain::ids::AppId;

/// Which branch of which repository an app follows, and how it is reached.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    pub(crate) app_id: AppId,
    pub(crate) provider: Provider,
    pub(crate) url: String,
    pub(crate) branch: String,
    pub(crate) automatic: bool,
    pub(crate) watched: Vec<String>,
    /// Until the checks of a commit are good, it is not deployed.
    pub(crate) wait_for_checks: bool,
    pub(crate) access: Access,
    pub(crate) secret: Vec<u8>,
    /// The secret before this one, while it counts.
    pub(crate) old_secret: Option<Vec<u8>>,
    pub(crate) old_secret_until: Option<jiff_sqlx::Timestamp>,
    pub(crate) public_key: Option<String>,
    pub(crate) private_key: Option<Vec<u8>>,
    pub(crate) token: Option<Vec<u8>>,
    /// A line of known_hosts.
    pub(crate) host_key: Option<String>,
    /// The newest head of the branch that was judged.
    pub(crate) head: Option<String>,
    pub(crate) looked_at: Option<jiff_sqlx::Timestamp>,
    pub(crate) trouble: Option<String>,
    pub(crate) refused: Option<String>,
    pub(crate) refused_at: Option<jiff_sqlx::Timestamp>,
    pub(crate) created_at: jiff_sqlx::Timestamp,
    pub(crate) updated_at: jiff_sqlx::Timestamp,
}

/// A connection to be made.
#[derive(Debug)]
pub(crate) struct NewConnection<'a> {
    pub(crate) app_id: AppId,
    pub(crate) provider: Provider,
    pub(crate) url: &'a str,
    pub(crate) branch: &'a str,
    pub(crate) access: Access,
    pub(crate) secret: &'a [u8],
    pub(crate) public_key: Option<&'a str>,
    pub(crate) private_key: Option<&'a [u8]>,
    pub(crate) token: Option<&'a [u8]>,
}

macro_rules! fetch_connection {
    ($conn:expr, $how:ident, $tail:literal, $($arg:expr),*) => {
        sqlx::query_as!(
            Connection,
            r#"SELECT c.app_id AS "app_id: AppId", c.provider AS "provider: Provider", c.url, c.branch, c.automatic,
                   c.watched, c.wait_for_checks, c.access AS "access: Access", c.secret, CASE WHEN c.old_secret_until > now() THEN c.old_secret END AS old_secret,
                   c.old_secret_until AS "old_secret_until: jiff_sqlx::Timestamp", c.public_key, c.private_key, c.token,
                   c.host_key, c.head, c.looked_at AS "looked_at: jiff_sqlx::Timestamp", c.trouble, c.refused,
                   c.refused_at AS "refused_at: jiff_sqlx::Timestamp", c.created_at AS "created_at: jiff_sqlx::Timestamp",
                   c.updated_at AS "updated_at: jiff_sqlx::Timestamp"
               FROM connections c "# + $tail,
            $($arg),*
        )
        .$how($conn)
        .await
    };
}

pub(crate) async fn of_app(conn: &mut PgConnection, app: AppId) -> sqlx::Result<Option<Connection>> {
    fetch_connection!(conn, fetch_optional, "WHERE c.app_id = $1", app.0)
}

/// Whose repository the app follows, and where it is.
pub(crate) async fn place_of(
    conn: &mut PgConnection,
    app: AppId,
) -> sqlx::Result<Option<(Provider, String)>> {
    let row = sqlx::query!(
        r#"SELECT provider AS "provider: Provider", url FROM connections WHERE app_id = $1"#,
        app.0
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| (row.provider, row.url)))
}

/// Those that deploy by themselves and of which nothing is in hand: their branches are worth a look.
pub(crate) async fn to_search(conn: &mut PgConnection) -> sqlx::Result<Vec<Connection>> {
    fetch_connection!(
        conn,
        fetch_all,
        "WHERE c.automatic AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.app_id = c.app_id AND d.verdict IS NULL) \
         ORDER BY c.looked_at NULLS FIRST",
    )
}

/// False if the app is connected already.
pub(crate) async fn add(conn: &mut PgConnection, new: &NewConnection<'_>) -> sqlx::Result<bool> {
    let added = sqlx::query!(
        "INSERT INTO connections (app_id, provider, url, branch, secret, public_key, private_key, token, access)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING",
        new.app_id.0,
        new.provider.as_str(),
        new.url,
        new.branch,
        new.secret,
        new.public_key,
        new.private_key,
        new.token,
        new.access.as_str(),
    )
    .execute(conn)
    .await?;
    Ok(added.rows_affected() == 1)
}

/// False if the app was not connected.
pub(crate) async fn remove(conn: &mut PgConnection, app: AppId) -> sqlx::Result<bool> {
    let gone = sqlx::query!("DELETE FROM connections WHERE app_id = $1", app.0).execute(conn).await?;
    Ok(gone.rows_affected() == 1)
}

/// What a person may change; `None` leaves it as it is.
#[derive(Debug, Default)]
pub(crate) struct Change<'a> {
    pub(crate) automatic: Option<bool>,
    pub(crate) watched: Option<&'a [String]>,
    pub(crate) wait_for_checks: Option<bool>,
    pub(crate) branch: Option<&'a str>,
    /// A token of one's own takes the GitHub App's place, and the other way round.
    pub(crate) access: Option<Access>,
    pub(crate) token: Option<&'a [u8]>,
}

/// Another branch has another head: none of it was judged.
pub(crate) async fn change(conn: &mut PgConnection, app: AppId, change: &Change<'_>) -> sqlx::Result<bool> {
    let changed = sqlx::query!(
        "UPDATE connections SET automatic = coalesce($2, automatic), watched = coalesce($3, watched),
             head = CASE WHEN $4 <> branch THEN NULL ELSE head END, branch = coalesce($4, branch),
             token = CASE WHEN $7 = 'github-app' THEN NULL ELSE coalesce($5, token) END,
             access = coalesce($7, access), wait_for_checks = coalesce($6, wait_for_checks), updated_at = now()
         WHERE app_id = $1",
        app.0,
        change.automatic,
        change.watched,
        change.branch,
        change.token,
        change.wait_for_checks,
        change.access.map(Access::as_str),
    )
    .execute(conn)
    .await?;
    Ok(changed.rows_affected() == 1)
}

/// Puts a new secret in place; the one before it counts until `until`.
pub(crate) async fn rotate_secret(
    conn: &mut PgConnection,
    app: AppId,
    secret: &[u8],
    until: Timestamp,
) -> sqlx::Result<bool> {
    let rotated = sqlx::query!(
        "UPDATE connections SET old_secret = secret, old_secret_until = $3, secret = $2, updated_at = now()
         WHERE app_id = $1",
        app.0,
        secret,
        jiff_sqlx::Timestamp::from(until) as jiff_sqlx::Timestamp,
    )
    .execute(conn)
    .await?;
    Ok(rotated.rows_affected() == 1)
}

/// Notes which head of the branch was judged last.
pub(crate) async fn judged(conn: &mut PgConnection, app: AppId, head: &str) -> sqlx::Result<()> {
    sqlx::query!("UPDATE connections SET head = $2 WHERE app_id = $1", app.0, head)
        .execute(conn)
        .await
        .map(drop)
}

/// Notes how a look at the branch went: what was in the way, and the host's key when it was met first.
pub(crate) async fn looked(
    conn: &mut PgConnection,
    app: AppId,
    trouble: Option<&str>,
    host_key: Option<&str>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE connections SET looked_at = now(), trouble = $2, host_key = coalesce(host_key, $3) WHERE app_id = $1",
        app.0,
        trouble,
        host_key,
    )
    .execute(conn)
    .await
    .map(drop)
}

/// Notes why a delivery was turned away; at most every ten seconds, for anybody may send what is turned away.
pub(crate) async fn refused(conn: &mut PgConnection, app: AppId, why: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE connections SET refused = $2, refused_at = now()
         WHERE app_id = $1 AND (refused_at IS NULL OR refused_at < now() - interval '10 seconds')",
        app.0,
        why,
    )
    .execute(conn)
    .await
    .map(drop)
}
