//! `/pipelines`, and an app's place in one.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use sqlx::{PgConnection, PgPool};

use super::shapes::{self, Actor, Named};
use super::{apps as api_apps, releases};
use crate::actions::pipelines::in_no_pipeline;
use crate::db::apps::{self, App};
use crate::db::pipelines::{self, Coupling, Pipeline};
use crate::domain::access::{self, Action, Principal};
use crate::domain::names::PipelineName;
use crate::domain::pipeline::Stage;
use crate::platform::Platform;
use crate::web::admission::{pipeline_for, team_for};
use crate::web::body::Body;
use crate::web::error::ApiError;

pub(in crate::web) async fn list(
    State(pool): State<PgPool>,
    Extension(principal): Extension<Principal>,
) -> Result<Json<Vec<shapes::Pipeline>>, ApiError> {
    let mut conn = pool.acquire().await?;
    let found = match principal.admin {
        true => pipelines::all(&mut conn).await?,
        false => pipelines::of_user(&mut conn, principal.user).await?,
    };
    Ok(Json(found.into_iter().map(render).collect()))
}

pub(in crate::web) async fn create(
    State(platform): State<Platform>,
    Extension(principal): Extension<Principal>,
    Body(new): Body<shapes::NewPipeline>,
) -> Result<(StatusCode, Json<shapes::Pipeline>), ApiError> {
    let name: PipelineName = new.name.parse().map_err(ApiError::invalid)?;
    let team = {
        let mut conn = platform.pool.acquire().await?;
        let team = match new.team {
            Some(team) => team,
            None => api_apps::usual_team(&mut conn, &principal).await?,
        };
        team_for(&mut conn, &principal, &team, Action::Deploy).await?.0
    };
    let made = platform.create_pipeline(&principal, &name, team.id).await?;
    Ok((StatusCode::CREATED, Json(render(made))))
}

pub(in crate::web) async fn info(Extension(pipeline): Extension<Pipeline>) -> Json<shapes::Pipeline> {
    Json(render(pipeline))
}

pub(in crate::web) async fn destroy(
    State(platform): State<Platform>,
    Extension(principal): Extension<Principal>,
    Extension(pipeline): Extension<Pipeline>,
) -> Result<Json<shapes::Pipeline>, ApiError> {
    platform.destroy_pipeline(&principal, &pipeline).await?;
    Ok(Json(render(pipeline)))
}

pub(in crate::web) async fn couplings(
    State(pool): State<PgPool>,
    Extension(pipeline): Extension<Pipeline>,
) -> Result<Json<Vec<shapes::Coupling>>, ApiError> {
    let found = pipelines::couplings_in(&mut *pool.acquire().await?, pipeline.id).await?;
    Ok(Json(found.into_iter().map(render_coupling).collect()))
}

/// The app's own place.
pub(in crate::web) async fn coupling(
    State(pool): State<PgPool>,
    Extension(app): Extension<App>,
) -> Result<Json<shapes::Coupling>, ApiError> {
    let found = pipelines::coupling_of(&mut *pool.acquire().await?, app.id).await?;
    Ok(Json(render_coupling(found.ok_or_else(|| in_no_pipeline(&app))?)))
}

pub(in crate::web) async fn couple(
    State(platform): State<Platform>,
    Extension(app): Extension<App>,
    Extension(principal): Extension<Principal>,
    Body(new): Body<shapes::NewCoupling>,
) -> Result<Json<shapes::Coupling>, ApiError> {
    let stage: Stage = new.stage.parse().map_err(ApiError::invalid)?;
    let pipeline = {
        let mut conn = platform.pool.acquire().await?;
        pipeline_for(&mut conn, &principal, &new.pipeline, Action::Deploy).await?
    };
    let coupling = platform.add_to_pipeline(&app, &principal, (&pipeline, stage)).await?;
    Ok(Json(render_coupling(coupling)))
}

pub(in crate::web) async fn uncouple(
    State(platform): State<Platform>,
    Extension(app): Extension<App>,
    Extension(principal): Extension<Principal>,
) -> Result<Json<shapes::Coupling>, ApiError> {
    Ok(Json(render_coupling(platform.remove_from_pipeline(&app, &principal).await?)))
}

pub(in crate::web) async fn promote(
    State(platform): State<Platform>,
    State(doors): State<Arc<shapes::Doors>>,
    Extension(app): Extension<App>,
    Extension(principal): Extension<Principal>,
    Body(wish): Body<shapes::NewPromotion>,
) -> Result<(StatusCode, Json<shapes::Promotion>), ApiError> {
    let targets = {
        let mut conn = platform.pool.acquire().await?;
        targets(&mut conn, &app, &principal, &wish.targets).await?
    };
    let (source, made) = platform.promote(&app, &principal, &targets).await?;
    let shown = async |app: &App, version: i64| {
        releases::find(&platform.pool, app, &version.to_string(), &doors).await
    };
    let mut releases = Vec::with_capacity(made.len());
    for release in &made {
        if let Some(target) = targets.iter().find(|target| target.id == release.app_id) {
            releases.push(shown(target, release.version).await?);
        }
    }
    let promotion = shapes::Promotion { source: shown(&app, source.version).await?, targets: releases };
    Ok((StatusCode::CREATED, Json(promotion)))
}

/// The apps that a promotion goes to, each of which whoever asks may deploy.
async fn targets(
    conn: &mut PgConnection,
    app: &App,
    principal: &Principal,
    named: &[String],
) -> Result<Vec<App>, ApiError> {
    let place = pipelines::coupling_of(conn, app.id).await?.ok_or_else(|| in_no_pipeline(app))?;
    let all = pipelines::couplings_in(conn, place.pipeline).await?;
    let mut targets = Vec::new();
    for coupling in chosen(&place, &all, named)? {
        let role = apps::role_of(conn, coupling.app, principal.user).await?;
        access::authorise(principal, role, Action::Deploy)?;
        let target = apps::by_id(conn, coupling.app).await?;
        targets.push(
            target.ok_or_else(|| {
                ApiError::NotFound(format!("{} has just been destroyed", coupling.app_name))
            })?,
        );
    }
    Ok(targets)
}

fn chosen<'a>(
    place: &Coupling,
    all: &'a [Coupling],
    named: &[String],
) -> Result<Vec<&'a Coupling>, ApiError> {
    let (app, pipeline) = (&place.app_name, &place.pipeline_name);
    if named.is_empty() {
        let next = place.stage.next().ok_or_else(|| {
            ApiError::Conflict(format!(
                "{app} is in {}, and nothing comes after it: name the apps that shall get its release with --to",
                place.stage
            ))
        })?;
        let found: Vec<&Coupling> = all.iter().filter(|other| other.stage == next).collect();
        return if found.is_empty() {
            Err(ApiError::Conflict(format!(
                "{pipeline} has no app in {next}: `pipelines:add {pipeline} --app <app> --stage {next}` puts one there"
            )))
        } else {
            Ok(found)
        };
    }
    let mut found: Vec<&Coupling> = Vec::new();
    for name in named {
        let other = all.iter().find(|other| other.app_name == *name && other.app != place.app);
        let other = other.ok_or_else(|| {
            let name: String = name.chars().filter(|c| !c.is_control()).take(40).collect();
            ApiError::NotFound(format!(
                "`{name}` is no other app of the pipeline {pipeline}: `pipelines:info {pipeline}` lists them"
            ))
        })?;
        if found.iter().all(|seen| seen.app != other.app) {
            found.push(other);
        }
    }
    Ok(found)
}

fn render(pipeline: Pipeline) -> shapes::Pipeline {
    shapes::Pipeline {
        id: pipeline.id.0,
        name: pipeline.name,
        owner: Actor { id: Some(pipeline.team.0), email: pipeline.team_name },
        apps: pipeline.apps,
        created_at: pipeline.created_at,
        updated_at: pipeline.created_at,
    }
}

fn render_coupling(coupling: Coupling) -> shapes::Coupling {
    shapes::Coupling {
        app: Named { id: coupling.app.0, name: coupling.app_name },
        pipeline: Named { id: coupling.pipeline.0, name: coupling.pipeline_name },
        stage: coupling.stage,
        version: coupling.version,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{AppId, PipelineId};

    fn at(app: &str, stage: Stage) -> Coupling {
        Coupling {
            app: AppId::new(),
            app_name: app.to_owned(),
            pipeline: PipelineId::new(),
            pipeline_name: "blogs".to_owned(),
            stage,
            version: None,
        }
    }

    #[test]
    fn a_promotion_goes_to_the_next_stage_or_to_the_apps_that_are_named() {
        let all = [
            at("blog-dev", Stage::Development),
            at("blog-staging", Stage::Staging),
            at("blog", Stage::Production),
            at("blog-eu", Stage::Production),
        ];
        let names = |place: &Coupling, named: &[&str]| {
            let named: Vec<String> = named.iter().map(|name| (*name).to_owned()).collect();
            let found = chosen(place, &all, &named).map_err(|error| error.to_string())?;
            Ok::<_, String>(found.into_iter().map(|found| found.app_name.clone()).collect::<Vec<_>>())
        };
        assert_eq!(names(&all[1], &[]), Ok(vec!["blog".to_owned(), "blog-eu".to_owned()]));
        assert_eq!(names(&all[1], &["blog-eu", "blog-eu"]), Ok(vec!["blog-eu".to_owned()]));
        assert_eq!(names(&all[0], &["blog"]), Ok(vec!["blog".to_owned()]));
        let last = names(&all[2], &[]).expect_err("nothing comes after");
        assert!(last.starts_with("blog is in production, and nothing comes after it"), "{last}");
        let itself = names(&all[1], &["blog-staging"]).expect_err("itself");
        assert!(itself.contains("is no other app of the pipeline blogs"), "{itself}");
    }
}
