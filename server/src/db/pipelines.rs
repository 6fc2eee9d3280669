//! Pipelines: which apps the same code passes through.

use jiff::Timestamp;
use sqlx::PgConnection;

use crate::domain::ids::{AppId, PipelineId, TeamId, UserId};
use crate::domain::names::PipelineName;
use crate::domain::pipeline::Stage;

/// A pipeline and how many apps are in it.
#[derive(Debug, Clone)]
pub(crate) struct Pipeline {
    pub(crate) id: PipelineId,
    pub(crate) name: String,
    pub(crate) team: TeamId,
    pub(crate) team_name: String,
    pub(crate) apps: i64,
    pub(crate) created_at: Timestamp,
}

/// An app's place in its pipeline.
#[derive(Debug, Clone)]
pub(crate) struct Coupling {
    pub(crate) app: AppId,
    pub(crate) app_name: String,
    pub(crate) pipeline: PipelineId,
    pub(crate) pipeline_name: String,
    pub(crate) stage: Stage,
    /// The version that is live; `None` before the first.
    pub(crate) version: Option<i64>,
}

macro_rules! select_pipelines {
    ($tail:literal, $($arg:expr),*) => {
        sqlx::query_as!(
            Pipeline,
            r#"SELECT p.id AS "id: PipelineId", p.name, p.team_id AS "team: TeamId", t.name AS team_name,
                      (SELECT count(*) FROM pipeline_couplings c WHERE c.pipeline_id = p.id) AS "apps!",
                      p.created_at AS "created_at: jiff_sqlx::Timestamp"
               FROM pipelines p JOIN teams t ON t.id = p.team_id "# + $tail,
            $($arg),*
        )
    };
}

macro_rules! select_couplings {
    ($tail:literal, $($arg:expr),*) => {
        sqlx::query_as!(
            Coupling,
            r#"SELECT c.app_id AS "app: AppId", a.name AS app_name, c.pipeline_id AS "pipeline: PipelineId",
                      p.name AS pipeline_name, c.stage AS "stage: Stage",
                      (SELECT max(r.version) FROM releases r
                       WHERE r.app_id = c.app_id AND r.status = 'succeeded') AS version
               FROM pipeline_couplings c JOIN apps a ON a.id = c.app_id JOIN pipelines p ON p.id = c.pipeline_id "#
                + $tail,
            $($arg),*
        )
    };
}

pub(crate) async fn named(conn: &mut PgConnection, name: &str) -> sqlx::Result<Option<Pipeline>> {
    select_pipelines!("WHERE p.name = $1", name).fetch_optional(conn).await
}

/// The pipelines of the teams that `user` is in, by name.
pub(crate) async fn of_user(conn: &mut PgConnection, user: UserId) -> sqlx::Result<Vec<Pipeline>> {
    select_pipelines!(
        "WHERE p.team_id IN (SELECT team_id FROM memberships WHERE user_id = $1) ORDER BY p.name",
        user.0
    )
    .fetch_all(conn)
    .await
}

/// Every pipeline, by name: what an admin sees.
pub(crate) async fn all(conn: &mut PgConnection) -> sqlx::Result<Vec<Pipeline>> {
    select_pipelines!("ORDER BY p.name",).fetch_all(conn).await
}

/// Makes a pipeline; false if the name is taken.
pub(crate) async fn create(conn: &mut PgConnection, name: &PipelineName, team: TeamId) -> sqlx::Result<bool> {
    let made = sqlx::query!(
        "INSERT INTO pipelines (id, name, team_id) VALUES ($1, $2, $3) ON CONFLICT (name) DO NOTHING",
        PipelineId::new().0,
        name.as_str(),
        team.0,
    )
    .execute(conn)
    .await?;
    Ok(made.rows_affected() == 1)
}

/// Removes a pipeline; its apps stay. False if somebody else was quicker.
pub(crate) async fn destroy(conn: &mut PgConnection, pipeline: PipelineId) -> sqlx::Result<bool> {
    let gone = sqlx::query!("DELETE FROM pipelines WHERE id = $1", pipeline.0).execute(conn).await?;
    Ok(gone.rows_affected() == 1)
}

/// Where the app stands.
pub(crate) async fn coupling_of(conn: &mut PgConnection, app: AppId) -> sqlx::Result<Option<Coupling>> {
    select_couplings!("WHERE c.app_id = $1", app.0).fetch_optional(conn).await
}

/// The apps of a pipeline, in the order of stages and names.
pub(crate) async fn couplings_in(
    conn: &mut PgConnection,
    pipeline: PipelineId,
) -> sqlx::Result<Vec<Coupling>> {
    select_couplings!(
        "WHERE c.pipeline_id = $1
         ORDER BY array_position(ARRAY['review', 'development', 'staging', 'production'], c.stage), a.name",
        pipeline.0
    )
    .fetch_all(conn)
    .await
}

/// Puts the app into the pipeline, or moves it to another stage of it; false if it is in another pipeline.
pub(crate) async fn couple(
    conn: &mut PgConnection,
    app: AppId,
    pipeline: PipelineId,
    stage: Stage,
) -> sqlx::Result<bool> {
    let put = sqlx::query!(
        "INSERT INTO pipeline_couplings (app_id, pipeline_id, stage) VALUES ($1, $2, $3)
         ON CONFLICT (app_id) DO UPDATE SET stage = excluded.stage
             WHERE pipeline_couplings.pipeline_id = excluded.pipeline_id",
        app.0,
        pipeline.0,
        stage.as_str(),
    )
    .execute(conn)
    .await?;
    Ok(put.rows_affected() == 1)
}

/// Takes the app out of its pipeline; false if it was in none.
pub(crate) async fn uncouple(conn: &mut PgConnection, app: AppId) -> sqlx::Result<bool> {
    let gone = sqlx::query!("DELETE FROM pipeline_couplings WHERE app_id = $1", app.0).execute(conn).await?;
    Ok(gone.rows_affected() == 1)
}
