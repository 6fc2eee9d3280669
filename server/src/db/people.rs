//! Users, teams and who is what in which team.

use jiff::Timestamp;
use sqlx::PgConnection;

use crate::domain::access::Role;
use crate::domain::ids::{TeamId, UserId};
use crate::domain::names::{TeamName, UserName};

/// A person or a machine with an account.
#[derive(Debug, Clone)]
pub(crate) struct User {
    pub(crate) id: UserId,
    pub(crate) name: String,
    pub(crate) admin: bool,
    /// By which an OpenID Connect provider may name them.
    pub(crate) email: Option<String>,
    pub(crate) created_at: Timestamp,
}

/// A team and how many are in it.
#[derive(Debug, Clone)]
pub(crate) struct Team {
    pub(crate) id: TeamId,
    pub(crate) name: String,
    pub(crate) created_at: Timestamp,
    pub(crate) members: i64,
    pub(crate) apps: i64,
}

/// A user's place in a team.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) id: UserId,
    pub(crate) name: String,
    pub(crate) role: Role,
}

/// Makes a user; `None` if the name is taken.
///
/// A name that is an e-mail address is the one to sign in by as well, unless somebody has it already.
pub(crate) async fn create_user(conn: &mut PgConnection, name: &UserName) -> sqlx::Result<Option<UserId>> {
    sqlx::query_scalar!(
        r#"INSERT INTO users (id, name, email)
           VALUES ($1, $2, CASE WHEN strpos($2, '@') > 0 AND NOT EXISTS (SELECT FROM users WHERE email = $2) THEN $2 END)
           ON CONFLICT (name) DO NOTHING RETURNING id AS "id: UserId""#,
        UserId::new().0,
        name.as_str(),
    )
    .fetch_optional(conn)
    .await
}

/// Makes a user an admin.
pub(crate) async fn make_admin(conn: &mut PgConnection, user: UserId) -> sqlx::Result<()> {
    sqlx::query!("UPDATE users SET admin = true WHERE id = $1", user.0).execute(conn).await.map(drop)
}

pub(crate) async fn user_named(conn: &mut PgConnection, name: &str) -> sqlx::Result<Option<User>> {
    sqlx::query_as!(
        User,
        r#"SELECT id AS "id: UserId", name, admin, email, created_at AS "created_at: jiff_sqlx::Timestamp"
           FROM users WHERE name = $1"#,
        name,
    )
    .fetch_optional(conn)
    .await
}

pub(crate) async fn user(conn: &mut PgConnection, id: UserId) -> sqlx::Result<Option<User>> {
    sqlx::query_as!(
        User,
        r#"SELECT id AS "id: UserId", name, admin, email, created_at AS "created_at: jiff_sqlx::Timestamp"
           FROM users WHERE id = $1"#,
        id.0,
    )
    .fetch_optional(conn)
    .await
}

/// Everybody, by name.
pub(crate) async fn users(conn: &mut PgConnection) -> sqlx::Result<Vec<User>> {
    sqlx::query_as!(
        User,
        r#"SELECT id AS "id: UserId", name, admin, email, created_at AS "created_at: jiff_sqlx::Timestamp"
           FROM users ORDER BY name"#,
    )
    .fetch_all(conn)
    .await
}

/// Somebody as admins see them.
#[derive(Debug, Clone)]
pub(crate) struct Overview {
    pub(crate) name: String,
    pub(crate) admin: bool,
    pub(crate) email: Option<String>,
    /// At the web page.
    pub(crate) signed_in_at: Option<jiff_sqlx::Timestamp>,
    /// Those that have not ended.
    pub(crate) tokens: i64,
    pub(crate) keys: i64,
}

/// A team that somebody is in.
#[derive(Debug, Clone)]
pub(crate) struct Standing {
    pub(crate) team: String,
    pub(crate) role: Role,
}

/// Everybody or one, by name.
pub(crate) async fn overview(conn: &mut PgConnection, one: Option<UserId>) -> sqlx::Result<Vec<Overview>> {
    sqlx::query_as!(
        Overview,
        r#"SELECT u.name, u.admin, u.email, s.at AS "signed_in_at?: jiff_sqlx::Timestamp",
                  (SELECT count(*) FROM tokens t WHERE t.user_id = u.id AND (t.expires_at IS NULL OR t.expires_at > now()))
                      AS "tokens!",
                  (SELECT count(*) FROM ssh_keys k WHERE k.user_id = u.id) AS "keys!"
           FROM users u
           LEFT JOIN (SELECT actor_id, max(at) AS at FROM audit WHERE action = 'sessions:create' GROUP BY actor_id) s
               ON s.actor_id = u.id
           WHERE $1::uuid IS NULL OR u.id = $1 ORDER BY u.name"#,
        one.map(|one| one.0),
    )
    .fetch_all(conn)
    .await
}

/// What somebody is in which team, by the team's name.
pub(crate) async fn standings(conn: &mut PgConnection, user: UserId) -> sqlx::Result<Vec<Standing>> {
    sqlx::query_as!(
        Standing,
        r#"SELECT t.name AS team, m.role AS "role: Role"
           FROM memberships m JOIN teams t ON t.id = m.team_id WHERE m.user_id = $1 ORDER BY t.name"#,
        user.0,
    )
    .fetch_all(conn)
    .await
}

/// The teams that have no owner but `user`, by name.
pub(crate) async fn teams_only_owned_by(conn: &mut PgConnection, user: UserId) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        "SELECT t.name FROM memberships m JOIN teams t ON t.id = m.team_id
         WHERE m.user_id = $1 AND m.role = 'owner'
           AND NOT EXISTS (SELECT FROM memberships o WHERE o.team_id = t.id AND o.role = 'owner' AND o.user_id <> $1)
         ORDER BY t.id",
        user.0,
    )
    .fetch_all(conn)
    .await
}

/// Locks the admins' rows, so that two cannot take the right from each other at the same time; says how many there are.
pub(crate) async fn admins_locked(conn: &mut PgConnection) -> sqlx::Result<usize> {
    let admins = sqlx::query_scalar!("SELECT id FROM users WHERE admin ORDER BY id FOR UPDATE");
    Ok(admins.fetch_all(conn).await?.len())
}

/// Makes an admin a member like others.
pub(crate) async fn end_admin(conn: &mut PgConnection, user: UserId) -> sqlx::Result<()> {
    sqlx::query!("UPDATE users SET admin = false WHERE id = $1", user.0).execute(conn).await.map(drop)
}

/// Removes somebody with their keys, tokens, sessions and roles; their name stays on what they did.
pub(crate) async fn remove(conn: &mut PgConnection, user: UserId) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM users WHERE id = $1", user.0).execute(conn).await.map(drop)
}

/// Makes a team; `None` if the name is taken.
pub(crate) async fn create_team(conn: &mut PgConnection, name: &TeamName) -> sqlx::Result<Option<TeamId>> {
    sqlx::query_scalar!(
        r#"INSERT INTO teams (id, name) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING RETURNING id AS "id: TeamId""#,
        TeamId::new().0,
        name.as_str(),
    )
    .fetch_optional(conn)
    .await
}

pub(crate) async fn team_named(conn: &mut PgConnection, name: &str) -> sqlx::Result<Option<TeamId>> {
    sqlx::query_scalar!(r#"SELECT id AS "id: TeamId" FROM teams WHERE name = $1"#, name)
        .fetch_optional(conn)
        .await
}

/// The teams that `user` is in, by name.
pub(crate) async fn teams_of(conn: &mut PgConnection, user: UserId) -> sqlx::Result<Vec<Team>> {
    sqlx::query_as!(
        Team,
        r#"SELECT t.id AS "id: TeamId", t.name, t.created_at AS "created_at: jiff_sqlx::Timestamp",
                  (SELECT count(*) FROM memberships m WHERE m.team_id = t.id) AS "members!",
                  (SELECT count(*) FROM apps a WHERE a.team_id = t.id) AS "apps!"
           FROM teams t JOIN memberships mine ON mine.team_id = t.id AND mine.user_id = $1 ORDER BY t.name"#,
        user.0,
    )
    .fetch_all(conn)
    .await
}

/// All teams, by name.
pub(crate) async fn teams(conn: &mut PgConnection) -> sqlx::Result<Vec<Team>> {
    sqlx::query_as!(
        Team,
        r#"SELECT t.id AS "id: TeamId", t.name, t.created_at AS "created_at: jiff_sqlx::Timestamp",
                  (SELECT count(*) FROM memberships m WHERE m.team_id = t.id) AS "members!",
                  (SELECT count(*) FROM apps a WHERE a.team_id = t.id) AS "apps!"
           FROM teams t ORDER BY t.name"#,
    )
    .fetch_all(conn)
    .await
}

/// Those who are in a team, by name.
pub(crate) async fn members(conn: &mut PgConnection, team: TeamId) -> sqlx::Result<Vec<Member>> {
    sqlx::query_as!(
        Member,
        r#"SELECT u.id AS "id: UserId", u.name, m.role AS "role: Role"
           FROM memberships m JOIN users u ON u.id = m.user_id WHERE m.team_id = $1 ORDER BY u.name"#,
        team.0,
    )
    .fetch_all(conn)
    .await
}

pub(crate) async fn role_in(
    conn: &mut PgConnection,
    team: TeamId,
    user: UserId,
) -> sqlx::Result<Option<Role>> {
    sqlx::query_scalar!(
        r#"SELECT role AS "role: Role" FROM memberships WHERE team_id = $1 AND user_id = $2"#,
        team.0,
        user.0,
    )
    .fetch_optional(conn)
    .await
}

/// Gives `user` the role, whatever it was before.
pub(crate) async fn set_role(
    conn: &mut PgConnection,
    team: TeamId,
    user: UserId,
    role: Role,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO memberships (team_id, user_id, role) VALUES ($1, $2, $3)
         ON CONFLICT (team_id, user_id) DO UPDATE SET role = excluded.role",
        team.0,
        user.0,
        role.as_str(),
    )
    .execute(conn)
    .await
    .map(drop)
}

/// Takes `user` out of the team; false if they were not in it.
pub(crate) async fn remove_member(conn: &mut PgConnection, team: TeamId, user: UserId) -> sqlx::Result<bool> {
    let gone = sqlx::query!("DELETE FROM memberships WHERE team_id = $1 AND user_id = $2", team.0, user.0)
        .execute(conn)
        .await?;
    Ok(gone.rows_affected() == 1)
}

/// Locks the team's row, so that two owners cannot demote each other at the same time; says how many owners there are.
pub(crate) async fn owners_locked(conn: &mut PgConnection, team: TeamId) -> sqlx::Result<i64> {
    sqlx::query!("SELECT id FROM teams WHERE id = $1 FOR UPDATE", team.0).fetch_one(&mut *conn).await?;
    sqlx::query_scalar!(
        r#"SELECT count(*) AS "owners!" FROM memberships WHERE team_id = $1 AND role = 'owner'"#,
        team.0,
    )
    .fetch_one(conn)
    .await
}
