//! `/apps/{app}/builds`: builds and their output.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use sqlx::PgPool;
use uuid::Uuid;

use super::output::{OutputQuery, Stay};
use super::{render, shapes};
use crate::db::apps::App;
use crate::db::build_log;
use crate::db::history::{self, BuildEntry, Which};
use crate::domain::access::Principal;
use crate::domain::ids::BuildId;
use crate::pipeline::log::Follower;
use crate::platform::Platform;
use crate::web::error::ApiError;
use crate::web::range::Range;

/// The state of the build when its output began to be sent.
const BUILD_STATE: HeaderName = HeaderName::from_static("slipway-build-state");

pub(in crate::web) async fn list(
    State(pool): State<PgPool>,
    State(doors): State<Arc<shapes::Doors>>,
    Extension(app): Extension<App>,
    range: Range,
) -> Result<Response, ApiError> {
    let entries = history::builds(&mut *pool.acquire().await?, app.id, range.page_and_one()).await?;
    let builds = entries.into_iter().map(|entry| render::build(entry, &app, &doors)).collect();
    Ok(range.answer("number", builds, |build: &shapes::Build| build.number))
}

pub(in crate::web) async fn info(
    State(pool): State<PgPool>,
    State(doors): State<Arc<shapes::Doors>>,
    Extension(app): Extension<App>,
    Path((_, which)): Path<(String, String)>,
) -> Result<Json<shapes::Build>, ApiError> {
    let entry = find(&pool, &app, &which).await?;
    let stages = crate::db::builds::stages_of(&mut *pool.acquire().await?, entry.id).await?;
    let mut build = render::build(entry, &app, &doors);
    build.stages = stages.into_iter().map(|(name, seconds)| shapes::Stage { name, seconds }).collect();
    Ok(Json(build))
}

pub(in crate::web) async fn output(
    State(platform): State<Platform>,
    Extension(app): Extension<App>,
    Path((_, which)): Path<(String, String)>,
    Query(query): Query<OutputQuery>,
) -> Result<Response, ApiError> {
    let offset = query.offset()?;
    let build = find(&platform.pool, &app, &which).await?;
    let text = match query.stay() {
        Stay::ForWhatIsThere => stored(platform.pool.clone(), build.id, offset),
        Stay::ToTheEnd => followed(Follower::new(platform.pool.clone(), &platform.logs, build.id, offset)),
    };
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (BUILD_STATE, build.status.as_str()),
    ];
    Ok((headers, text).into_response())
}

pub(in crate::web) async fn cancel(
    State(platform): State<Platform>,
    State(doors): State<Arc<shapes::Doors>>,
    Extension(app): Extension<App>,
    Extension(principal): Extension<Principal>,
    Path((_, which)): Path<(String, String)>,
) -> Result<Json<shapes::Build>, ApiError> {
    let build = find(&platform.pool, &app, &which).await?;
    platform.cancel_build(&app, &principal, build.number).await?;
    let canceled = find(&platform.pool, &app, &which).await?;
    Ok(Json(render::build(canceled, &app, &doors)))
}

/// Builds the same commit again, as a build of its own.
pub(in crate::web) async fn retry(
    State(platform): State<Platform>,
    State(doors): State<Arc<shapes::Doors>>,
    Extension(app): Extension<App>,
    Extension(principal): Extension<Principal>,
    Path((_, which)): Path<(String, String)>,
) -> Result<(StatusCode, Json<shapes::Build>), ApiError> {
    let build = find(&platform.pool, &app, &which).await?;
    let accepted = platform.retry_build(&app, &principal, Some(build.number)).await?;
    let retried = find(&platform.pool, &app, &accepted.number.to_string()).await?;
    Ok((StatusCode::CREATED, Json(render::build(retried, &app, &doors))))
}

fn followed(follower: Follower) -> Body {
    Body::from_stream(futures::stream::try_unfold(follower, |mut follower| async move {
        let text = follower.next().await?;
        Ok::<_, sqlx::Error>(text.map(|text| (text, follower)))
    }))
}

fn stored(pool: PgPool, build: BuildId, offset: i64) -> Body {
    Body::from_stream(futures::stream::try_unfold((pool, offset), move |(pool, offset)| async move {
        let text = build_log::read_from(&mut *pool.acquire().await?, build, offset).await?;
        let read = i64::try_from(text.len()).unwrap_or(0);
        Ok::<_, sqlx::Error>((read > 0).then_some((text, (pool, offset + read))))
    }))
}

pub(in crate::web) async fn find(pool: &PgPool, app: &App, which: &str) -> Result<BuildEntry, ApiError> {
    let entry = match parse_which(which) {
        Some(which) => history::build(&mut *pool.acquire().await?, app.id, which).await?,
        None => None,
    };
    entry.ok_or_else(|| {
        let which: String = which.chars().filter(|c| !c.is_control()).take(40).collect();
        ApiError::NotFound(format!("{} has no build `{which}`: `builds` lists them", app.name))
    })
}

/// `12`, `#12` or an id.
fn parse_which(text: &str) -> Option<Which<BuildId>> {
    if let Ok(number) = text.strip_prefix('#').unwrap_or(text).parse() {
        return Some(Which::Number(number));
    }
    text.parse::<Uuid>().ok().map(|id| Which::Id(BuildId(id)))
}

/// The log of a build as far as it goes now.
pub(in crate::web) fn whole_log(pool: PgPool, build: BuildId) -> Body {
    stored(pool, build, 0)
}
