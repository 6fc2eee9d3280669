//! Apps: their names, settings and the team that each belongs to.

use jiff::Timestamp;
use serde_json::Value;
use sqlx::PgConnection;
use sqlx::types::Json;

use crate::domain::access::Role;
use crate::domain::ids::{AppId, TeamId, UserId};
use crate::domain::names::AppName;
use crate::target::Adoption;

/// An app with its settings.
#[derive(Debug, Clone)]
pub(crate) struct App {
    pub(crate) id: AppId,
    pub(crate) name: AppName,
    pub(crate) team: TeamId,
    pub(crate) team_name: String,
    pub(crate) deploy_branch: String,
    /// Where the deploy branch stands; `None` before the first release of a push.
    pub(crate) branch_commit: Option<String>,
    pub(crate) dockerfile: Option<String>,
    /// The folder of the tree that is built.
    pub(crate) folder: Option<String>,
    /// A buildpack's name.
    pub(crate) buildpack: Option<String>,
    /// An image with Cloud Native Buildpacks.
    pub(crate) builder: Option<String>,
    pub(crate) health_path: Option<String>,
    pub(crate) adoption: Option<Adoption>,
    /// The key of the app's config vars, encrypted with the platform's key file.
    pub(crate) wrapped_key: Vec<u8>,
    /// `{"NAME": version of the value}`.
    pub(crate) config: Value,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    pub(crate) released_at: Option<Timestamp>,
}

/// An app to be made.
#[derive(Debug)]
pub(crate) struct NewApp<'a> {
    pub(crate) id: AppId,
    pub(crate) name: &'a AppName,
    pub(crate) team: TeamId,
    pub(crate) wrapped_key: &'a [u8],
}

/// Settings that an owner may change.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) deploy_branch: String,
    pub(crate) dockerfile: Option<String>,
    /// The folder of the tree that is built.
    pub(crate) folder: Option<String>,
    /// A buildpack's name.
    pub(crate) buildpack: Option<String>,
    /// An image with Cloud Native Buildpacks.
    pub(crate) builder: Option<String>,
    pub(crate) health_path: Option<String>,
    pub(crate) adoption: Option<Adoption>,
}

struct Row {
    id: AppId,
    name: String,
    team: TeamId,
    team_name: String,
    deploy_branch: String,
    branch_commit: Option<String>,
    dockerfile: Option<String>,
    folder: Option<String>,
    buildpack: Option<String>,
    builder: Option<String>,
    health_path: Option<String>,
    adoption: Option<Json<Adoption>>,
    wrapped_key: Vec<u8>,
    config: Value,
    created_at: jiff_sqlx::Timestamp,
    updated_at: jiff_sqlx::Timestamp,
    released_at: Option<jiff_sqlx::Timestamp>,
}

impl TryFrom<Row> for App {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.id,
            name: row.name.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
            team: row.team,
            team_name: row.team_name,
            deploy_branch: row.deploy_branch,
            branch_commit: row.branch_commit,
            dockerfile: row.dockerfile,
            folder: row.folder,
            buildpack: row.buildpack,
            builder: row.builder,
            health_path: row.health_path,
            adoption: row.adoption.map(|json| json.0),
            wrapped_key: row.wrapped_key,
            config: row.config,
            created_at: row.created_at.to_jiff(),
            updated_at: row.updated_at.to_jiff(),
            released_at: row.released_at.map(jiff_sqlx::Timestamp::to_jiff),
        })
    }
}

macro_rules! select_apps {
    ($tail:literal, $($arg:expr),*) => {
        sqlx::query_as!(
            Row,
            r#"SELECT a.id AS "id: AppId", a.name, a.team_id AS "team: TeamId", t.name AS team_name,
                      a.deploy_branch, a.branch_commit, a.dockerfile, a.folder, a.buildpack, a.builder, a.health_path,
                      a.adoption AS "adoption: Json<Adoption>", a.wrapped_key, a.config,
                      a.created_at AS "created_at: jiff_sqlx::Timestamp",
                      a.updated_at AS "updated_at: jiff_sqlx::Timestamp",
                      (SELECT r.finished_at FROM releases r WHERE r.app_id = a.id AND r.status = 'succeeded'
                       ORDER BY r.version DESC LIMIT 1) AS "released_at: jiff_sqlx::Timestamp"
               FROM apps a JOIN teams t ON t.id = a.team_id "# + $tail,
            $($arg),*
        )
    };
}

pub(crate) async fn by_id(conn: &mut PgConnection, id: AppId) -> sqlx::Result<Option<App>> {
    select_apps!("WHERE a.id = $1", id.0).fetch_optional(conn).await?.map(App::try_from).transpose()
}

pub(crate) async fn named(conn: &mut PgConnection, name: &str) -> sqlx::Result<Option<App>> {
    select_apps!("WHERE a.name = $1", name).fetch_optional(conn).await?.map(App::try_from).transpose()
}

/// The apps that `user` has a role for, by name.
pub(crate) async fn of_user(conn: &mut PgConnection, user: UserId) -> sqlx::Result<Vec<App>> {
    select_apps!(
        "WHERE a.team_id IN (SELECT team_id FROM memberships WHERE user_id = $1)
            OR a.id IN (SELECT app_id FROM collaborators WHERE user_id = $1) ORDER BY a.name",
        user.0
    )
    .fetch_all(conn)
    .await?
    .into_iter()
    .map(App::try_from)
    .collect()
}

/// Every app, by name: what an admin sees.
pub(crate) async fn all(conn: &mut PgConnection) -> sqlx::Result<Vec<App>> {
    select_apps!("ORDER BY a.name",).fetch_all(conn).await?.into_iter().map(App::try_from).collect()
}

/// What `user` is for the app: in its team, or as a collaborator, whichever is more.
pub(crate) async fn role_of(conn: &mut PgConnection, app: AppId, user: UserId) -> sqlx::Result<Option<Role>> {
    sqlx::query_scalar!(
        r#"SELECT m.role AS "role!: Role" FROM memberships m JOIN apps a ON a.team_id = m.team_id
           WHERE a.id = $1 AND m.user_id = $2
           UNION ALL SELECT role FROM collaborators WHERE app_id = $1 AND user_id = $2"#,
        app.0,
        user.0,
    )
    .fetch_all(conn)
    .await
    .map(|roles| roles.into_iter().max())
}

/// Makes an app; false if the name is taken.
pub(crate) async fn create(conn: &mut PgConnection, app: &NewApp<'_>) -> sqlx::Result<bool> {
    let made = sqlx::query!(
        "INSERT INTO apps (id, name, team_id, wrapped_key) VALUES ($1, $2, $3, $4) ON CONFLICT (name) DO NOTHING",
        app.id.0,
        app.name.as_str(),
        app.team.0,
        app.wrapped_key,
    )
    .execute(conn)
    .await?;
    Ok(made.rows_affected() == 1)
}

/// Replaces the settings.
pub(crate) async fn change_settings(
    conn: &mut PgConnection,
    app: AppId,
    settings: &Settings,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE apps SET deploy_branch = $2, dockerfile = $3, folder = $4, buildpack = $5, builder = $6,
                health_path = $7, adoption = $8, updated_at = now()
         WHERE id = $1",
        app.0,
        settings.deploy_branch,
        settings.dockerfile,
        settings.folder,
        settings.buildpack,
        settings.builder,
        settings.health_path,
        settings.adoption.as_ref().map(Json) as Option<Json<&Adoption>>,
    )
    .execute(conn)
    .await
    .map(drop)
}

/// Replaces the app's key by the same key, sealed otherwise; false if the stored one is not `old` any more.
pub(crate) async fn set_wrapped_key(
    conn: &mut PgConnection,
    app: AppId,
    old: &[u8],
    new: &[u8],
) -> sqlx::Result<bool> {
    let set =
        sqlx::query!("UPDATE apps SET wrapped_key = $3 WHERE id = $1 AND wrapped_key = $2", app.0, old, new)
            .execute(conn)
            .await?;
    Ok(set.rows_affected() == 1)
}

/// Removes the app with its builds, releases, logs and config; false if somebody else was quicker.
pub(crate) async fn destroy(conn: &mut PgConnection, app: AppId) -> sqlx::Result<bool> {
    let gone = sqlx::query!("DELETE FROM apps WHERE id = $1", app.0).execute(conn).await?;
    Ok(gone.rows_affected() == 1)
}
