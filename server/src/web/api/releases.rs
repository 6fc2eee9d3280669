//! `/apps/{app}/releases`: the history of what ran.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::{Extension, Json};
use sqlx::PgPool;
use uuid::Uuid;

use super::{render, shapes};
use crate::db::apps::App;
use crate::db::history::{self, Which};
use crate::domain::access::Principal;
use crate::domain::ids::ReleaseId;
use crate::platform::Platform;
use crate::web::body::Body;
use crate::web::error::ApiError;
use crate::web::range::Range;

pub(in crate::web) async fn list(
    State(pool): State<PgPool>,
    State(doors): State<Arc<shapes::Doors>>,
    Extension(app): Extension<App>,
    range: Range,
) -> Result<Response, ApiError> {
    let entries = history::releases(&mut *pool.acquire().await?, app.id, range.page_and_one()).await?;
    let releases = entries.into_iter().map(|entry| render::release(entry, &app, &doors)).collect();
    Ok(range.answer("version", releases, |release| release.version))
}

pub(in crate::web) async fn info(
    State(pool): State<PgPool>,
    State(doors): State<Arc<shapes::Doors>>,
    Extension(app): Extension<App>,
    Path((_, which)): Path<(String, String)>,
) -> Result<Json<shapes::Release>, ApiError> {
    find(&pool, &app, &which, &doors).await.map(Json)
}

/// A rollback: to the release that is named, or else to the one before the current.
pub(in crate::web) async fn roll_back(
    State(platform): State<Platform>,
    State(doors): State<Arc<shapes::Doors>>,
    Extension(app): Extension<App>,
    Extension(principal): Extension<Principal>,
    Body(wish): Body<shapes::NewRelease>,
) -> Result<(StatusCode, Json<shapes::Release>), ApiError> {
    let to = match wish.release {
        Some(which) => Some(find(&platform.pool, &app, &which.to_string(), &doors).await?.version),
        None => None,
    };
    let made = platform.rollback(&app, &principal, to).await?;
    let made = find(&platform.pool, &app, &made.version.to_string(), &doors).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

pub(super) async fn find(
    pool: &PgPool,
    app: &App,
    which: &str,
    doors: &shapes::Doors,
) -> Result<shapes::Release, ApiError> {
    let parsed = parse_which(which);
    let entry = match parsed {
        Some(which) => history::release(&mut *pool.acquire().await?, app.id, which).await?,
        None => None,
    };
    let entry = entry.ok_or_else(|| {
        let which: String = which.chars().filter(|c| !c.is_control()).take(40).collect();
        ApiError::NotFound(format!("{} has no release `{which}`: `releases` lists them", app.name))
    })?;
    Ok(render::release(entry, app, doors))
}

/// `v12`, `12` or an id.
fn parse_which(text: &str) -> Option<Which<ReleaseId>> {
    if let Ok(version) = text.strip_prefix('v').unwrap_or(text).parse() {
        return Some(Which::Number(version));
    }
    text.parse::<Uuid>().ok().map(|id| Which::Id(ReleaseId(id)))
}
