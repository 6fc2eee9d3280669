//! Who may do something with one app, besides the members of its team.

use jiff::Timestamp;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::access::Role;
use crate::domain::ids::{AppId, UserId};

/// Somebody's own role for an app.
#[derive(Debug, Clone)]
pub(crate) struct Collaborator {
    pub(crate) id: Uuid,
    pub(crate) user: UserId,
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

/// Those of an app or one of them, by name.
pub(crate) async fn of_app(
    conn: &mut PgConnection,
    app: AppId,
    one: Option<UserId>,
) -> sqlx::Result<Vec<Collaborator>> {
    sqlx::query_as!(
        Collaborator,
        r#"SELECT c.id, u.id AS "user: UserId", u.name, c.role AS "role: Role",
                  c.created_at AS "created_at: jiff_sqlx::Timestamp", c.updated_at AS "updated_at: jiff_sqlx::Timestamp"
           FROM collaborators c JOIN users u ON u.id = c.user_id
           WHERE c.app_id = $1 AND ($2::uuid IS NULL OR u.id = $2) ORDER BY u.name"#,
        app.0,
        one.map(|one| one.0),
    )
    .fetch_all(conn)
    .await
}

/// Gives somebody a role for the app; false if they have one.
pub(crate) async fn add(conn: &mut PgConnection, app: AppId, user: UserId, role: Role) -> sqlx::Result<bool> {
    let added = sqlx::query!(
        "INSERT INTO collaborators (id, app_id, user_id, role) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        Uuid::now_v7(),
        app.0,
        user.0,
        role.as_str(),
    )
    .execute(conn)
    .await?;
    Ok(added.rows_affected() == 1)
}

/// Gives an app the collaborators of another.
pub(crate) async fn copy(conn: &mut PgConnection, from: AppId, to: AppId) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO collaborators (id, app_id, user_id, role)
         SELECT gen_random_uuid(), $2, user_id, role FROM collaborators WHERE app_id = $1",
        from.0,
        to.0,
    )
    .execute(conn)
    .await
    .map(drop)
}

/// Changes somebody's role for the app; false if they have none.
pub(crate) async fn change(
    conn: &mut PgConnection,
    app: AppId,
    user: UserId,
    role: Role,
) -> sqlx::Result<bool> {
    let changed = sqlx::query!(
        "UPDATE collaborators SET role = $3, updated_at = now() WHERE app_id = $1 AND user_id = $2",
        app.0,
        user.0,
        role.as_str(),
    )
    .execute(conn)
    .await?;
    Ok(changed.rows_affected() == 1)
}

/// Takes somebody's role for the app away.
pub(crate) async fn remove(conn: &mut PgConnection, app: AppId, user: UserId) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM collaborators WHERE app_id = $1 AND user_id = $2", app.0, user.0)
        .execute(conn)
        .await
        .map(drop)
}
