//! What proves who somebody is: tokens and SSH keys.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::PgConnection;

use crate::domain::access::Principal;
use crate::domain::ids::{KeyId, TokenId, UserId};
use crate::domain::public_key::AcceptedKey;

/// A token as its owner sees it later: without the token.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub(crate) id: TokenId,
    pub(crate) description: String,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Option<jiff_sqlx::Timestamp>,
    pub(crate) last_used_at: Option<jiff_sqlx::Timestamp>,
}

/// An SSH key of somebody.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) id: KeyId,
    pub(crate) comment: String,
    pub(crate) fingerprint: String,
    pub(crate) public_key: String,
    pub(crate) created_at: Timestamp,
    pub(crate) last_used_at: Option<jiff_sqlx::Timestamp>,
}

/// Who holds the unexpired token with this hash. Its last use is noted, at most once a minute.
pub(crate) async fn principal_by_token(
    conn: &mut PgConnection,
    sha256: &[u8],
) -> sqlx::Result<Option<Principal>> {
    let found = sqlx::query!(
        r#"SELECT u.id AS "user: UserId", u.name, u.admin, t.id AS "token: TokenId",
                  coalesce(t.last_used_at < now() - interval '1 minute', true) AS "stale!"
           FROM tokens t JOIN users u ON u.id = t.user_id
           WHERE t.sha256 = $1 AND coalesce(t.expires_at > now(), true)"#,
        sha256,
    )
    .fetch_optional(&mut *conn)
    .await?;
    let Some(found) = found else { return Ok(None) };
    if found.stale {
        sqlx::query!("UPDATE tokens SET last_used_at = now() WHERE id = $1", found.token.0)
            .execute(conn)
            .await?;
    }
    Ok(Some(Principal { user: found.user, name: found.name, admin: found.admin }))
}

/// Who holds the SSH key with this fingerprint (`SHA256:…`). Its last use is noted, at most once a minute.
pub(crate) async fn principal_by_key(
    conn: &mut PgConnection,
    fingerprint: &str,
) -> sqlx::Result<Option<Principal>> {
    let found = sqlx::query!(
        r#"SELECT u.id AS "user: UserId", u.name, u.admin, k.id AS "key: KeyId",
                  coalesce(k.last_used_at < now() - interval '1 minute', true) AS "stale!"
           FROM ssh_keys k JOIN users u ON u.id = k.user_id WHERE k.fingerprint = $1"#,
        fingerprint,
    )
    .fetch_optional(&mut *conn)
    .await?;
    let Some(found) = found else { return Ok(None) };
    if found.stale {
        sqlx::query!("UPDATE ssh_keys SET last_used_at = now() WHERE id = $1", found.key.0)
            .execute(conn)
            .await?;
    }
    Ok(Some(Principal { user: found.user, name: found.name, admin: found.admin }))
}

/// Whose key this is, without noting a use: a client has only claimed to have it.
pub(crate) async fn claimed_owner_of_key(
    conn: &mut PgConnection,
    fingerprint: &str,
) -> sqlx::Result<Option<Principal>> {
    sqlx::query_as!(
        Principal,
        r#"SELECT u.id AS "user: UserId", u.name, u.admin
           FROM ssh_keys k JOIN users u ON u.id = k.user_id WHERE k.fingerprint = $1"#,
        fingerprint,
    )
    .fetch_optional(conn)
    .await
}

/// Keeps the hash of a fresh token.
pub(crate) async fn add_token(
    conn: &mut PgConnection,
    user: UserId,
    sha256: &[u8],
    description: &str,
    expires_at: Option<Timestamp>,
) -> sqlx::Result<Token> {
    sqlx::query_as!(
        Token,
        r#"INSERT INTO tokens (id, user_id, sha256, description, expires_at) VALUES ($1, $2, $3, $4, $5)
           RETURNING id AS "id: TokenId", description, created_at AS "created_at: jiff_sqlx::Timestamp",
                     expires_at AS "expires_at: jiff_sqlx::Timestamp",
                     last_used_at AS "last_used_at: jiff_sqlx::Timestamp""#,
        TokenId::new().0,
        user.0,
        sha256,
        description,
        expires_at.map(ToSqlx::to_sqlx) as Option<jiff_sqlx::Timestamp>,
    )
    .fetch_one(conn)
    .await
}

/// The tokens of somebody, oldest first; expired ones too.
pub(crate) async fn tokens_of(conn: &mut PgConnection, user: UserId) -> sqlx::Result<Vec<Token>> {
    sqlx::query_as!(
        Token,
        r#"SELECT id AS "id: TokenId", description, created_at AS "created_at: jiff_sqlx::Timestamp",
                  expires_at AS "expires_at: jiff_sqlx::Timestamp",
                  last_used_at AS "last_used_at: jiff_sqlx::Timestamp"
           FROM tokens WHERE user_id = $1 ORDER BY id"#,
        user.0,
    )
    .fetch_all(conn)
    .await
}

/// Ends a token of `user`; `None` if there is none such.
pub(crate) async fn revoke_token(
    conn: &mut PgConnection,
    user: UserId,
    id: TokenId,
) -> sqlx::Result<Option<Token>> {
    sqlx::query_as!(
        Token,
        r#"DELETE FROM tokens WHERE user_id = $1 AND id = $2
           RETURNING id AS "id: TokenId", description, created_at AS "created_at: jiff_sqlx::Timestamp",
                     expires_at AS "expires_at: jiff_sqlx::Timestamp",
                     last_used_at AS "last_used_at: jiff_sqlx::Timestamp""#,
        user.0,
        id.0,
    )
    .fetch_optional(conn)
    .await
}

/// Adds a key; `None` if it is known already, whosever it is.
pub(crate) async fn add_key(
    conn: &mut PgConnection,
    user: UserId,
    key: &AcceptedKey,
) -> sqlx::Result<Option<Key>> {
    sqlx::query_as!(
        Key,
        r#"INSERT INTO ssh_keys (id, user_id, comment, fingerprint, public_key) VALUES ($1, $2, $3, $4, $5)
           ON CONFLICT (fingerprint) DO NOTHING
           RETURNING id AS "id: KeyId", comment, fingerprint, public_key,
                     created_at AS "created_at: jiff_sqlx::Timestamp",
                     last_used_at AS "last_used_at: jiff_sqlx::Timestamp""#,
        KeyId::new().0,
        user.0,
        key.comment,
        key.fingerprint,
        key.openssh,
    )
    .fetch_optional(conn)
    .await
}

/// The keys of somebody, oldest first.
pub(crate) async fn keys_of(conn: &mut PgConnection, user: UserId) -> sqlx::Result<Vec<Key>> {
    sqlx::query_as!(
        Key,
        r#"SELECT id AS "id: KeyId", comment, fingerprint, public_key,
                  created_at AS "created_at: jiff_sqlx::Timestamp",
                  last_used_at AS "last_used_at: jiff_sqlx::Timestamp"
           FROM ssh_keys WHERE user_id = $1 ORDER BY id"#,
        user.0,
    )
    .fetch_all(conn)
    .await
}

/// Removes a key of `user` by id, fingerprint or comment. `None` if there is none such, or several share the comment.
pub(crate) async fn remove_key(
    conn: &mut PgConnection,
    user: UserId,
    which: &str,
) -> sqlx::Result<Option<Key>> {
    sqlx::query_as!(
        Key,
        r#"WITH chosen AS (SELECT id FROM ssh_keys
                           WHERE user_id = $1 AND $2 IN (id::text, fingerprint, comment))
           DELETE FROM ssh_keys WHERE id IN (SELECT id FROM chosen) AND (SELECT count(*) FROM chosen) = 1
           RETURNING id AS "id: KeyId", comment, fingerprint, public_key,
                     created_at AS "created_at: jiff_sqlx::Timestamp",
                     last_used_at AS "last_used_at: jiff_sqlx::Timestamp""#,
        user.0,
        which,
    )
    .fetch_optional(conn)
    .await
}
