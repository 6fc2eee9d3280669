//! What OpenID Connect providers call people.

use sqlx::PgConnection;

use crate::domain::access::Principal;
use crate::domain::ids::UserId;

/// Whose identity this is; its use is noted.
pub(crate) async fn owner(
    conn: &mut PgConnection,
    issuer: &str,
    subject: &str,
) -> sqlx::Result<Option<Principal>> {
    sqlx::query_as!(
        Principal,
        r#"WITH used AS (UPDATE identities SET last_used_at = now() WHERE issuer = $1 AND subject = $2
                         RETURNING user_id)
           SELECT u.id AS "user: UserId", u.name, u.admin FROM used JOIN users u ON u.id = used.user_id"#,
        issuer,
        subject,
    )
    .fetch_optional(conn)
    .await
}

/// Who has this address to sign in by.
pub(crate) async fn person_with(conn: &mut PgConnection, email: &str) -> sqlx::Result<Option<Principal>> {
    sqlx::query_as!(
        Principal,
        r#"SELECT id AS "user: UserId", name, admin FROM users WHERE email = $1"#,
        email,
    )
    .fetch_optional(conn)
    .await
}

/// Links an identity with somebody; false if they have another one at this issuer, or it is somebody else's.
pub(crate) async fn link(
    conn: &mut PgConnection,
    (issuer, subject): (&str, &str),
    user: UserId,
) -> sqlx::Result<bool> {
    let linked = sqlx::query!(
        "INSERT INTO identities (issuer, subject, user_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        issuer,
        subject,
        user.0,
    )
    .execute(conn)
    .await?;
    Ok(linked.rows_affected() == 1)
}

/// Sets the address by which somebody is known at their next first sign-in: identities that they had count no more.
/// False if somebody else has the address.
pub(crate) async fn set_email(
    conn: &mut PgConnection,
    user: UserId,
    email: Option<&str>,
) -> sqlx::Result<bool> {
    let set = sqlx::query!(
        "UPDATE users SET email = $2
         WHERE id = $1 AND NOT EXISTS (SELECT FROM users WHERE email = $2 AND id <> $1)",
        user.0,
        email,
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!("DELETE FROM identities WHERE user_id = $1", user.0).execute(conn).await?;
    Ok(set.rows_affected() == 1)
}
