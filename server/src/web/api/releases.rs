//! `/apps/{app}/releases`: the history of what ran.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use sqlx::PgPool;
use tokio::time::Instant;
use uuid::Uuid;

use super::output::{OutputQuery, PhaseOutput};
use super::{render, shapes};
use crate::db::apps::App;
use crate::db::batches;
use crate::db::history::{self, Which};
use crate::domain::access::Principal;
use crate::domain::ids::ReleaseId;
use crate::platform::Platform;
use crate::web::body::Body;
use crate::web::error::ApiError;
use crate::web::range::Range;

/// The status of the release when its output began to be sent.
const RELEASE_STATUS: HeaderName = HeaderName::from_static("slipway-release-status");

/// How long a request may wait for news of a release, and how often it looks without any.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_secs(2);

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

/// Whether to wait for what comes of a release.
#[derive(Debug, Deserialize)]
pub(in crate::web) struct InfoQuery {
    /// Seconds.
    #[serde(default)]
    wait: i64,
}

impl InfoQuery {
    fn wait(&self) -> Result<Duration, ApiError> {
        let seconds = u64::try_from(self.wait)
            .map_err(|_| ApiError::InvalidParams("wait is a number of seconds, from 0".to_owned()))?;
        Ok(Duration::from_secs(seconds).min(LONGEST_WAIT))
    }
}

pub(in crate::web) async fn info(
    State(platform): State<Platform>,
    State(doors): State<Arc<shapes::Doors>>,
    Extension(app): Extension<App>,
    Path((_, which)): Path<(String, String)>,
    Query(query): Query<InfoQuery>,
) -> Result<Json<shapes::Release>, ApiError> {
    let pool = &platform.pool;
    let end = Instant::now() + query.wait()?;
    let mut news = platform.rollouts.news(app.id);
    let mut release = find(pool, &app, &which, &doors).await?;
    while release.status == "pending" && release.output_stream_url.is_none() && Instant::now() < end {
        // What is told by nobody, as by a server before this one, is found by looking.
        let next = end.min(Instant::now() + LOOK_EVERY);
        drop(tokio::time::timeout_at(next, news.changed()).await);
        release = find(pool, &app, &which, &doors).await?;
    }
    let phases = batches::phases_of(&mut *pool.acquire().await?, ReleaseId(release.id)).await?;
    release.phases = phases.into_iter().map(render::phase).collect();
    Ok(Json(release))
}

/// What the release phase and the postdeploy script wrote, one after the other.
pub(in crate::web) async fn output(
    State(platform): State<Platform>,
    State(doors): State<Arc<shapes::Doors>>,
    Extension(app): Extension<App>,
    Path((_, which)): Path<(String, String)>,
    Query(query): Query<OutputQuery>,
) -> Result<Response, ApiError> {
    let release = find(&platform.pool, &app, &which, &doors).await?;
    let offset = query.offset()?;
    // One that is on its way may be about to begin its phase.
    if release.output_stream_url.is_none() && release.status != "pending" {
        return Err(ApiError::NotFound(format!(
            "v{} ran no release phase, so there is no output: a `release:` line in the Procfile makes one for later releases",
            release.version
        )));
    }
    let output = PhaseOutput::new(platform, (app.id, ReleaseId(release.id)), offset, query.stay());
    let text = axum::body::Body::from_stream(output.into_stream());
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (RELEASE_STATUS, release.status.as_str()),
    ];
    Ok((headers, text).into_response())
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
