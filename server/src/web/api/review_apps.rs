//! `/apps/{app}/review-apps` and `/apps/{app}/review-app-config`: an app for each pull request.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};

use super::shapes;
use crate::actions::review_apps::find;
use crate::db::apps::App;
use crate::db::pull_requests::{self, PullRequest, Settings};
use crate::domain::access::Principal;
use crate::domain::review::Lack;
use crate::hooks::connect::not_connected;
use crate::hooks::review::said;
use crate::platform::Platform;
use crate::web::body::Body;
use crate::web::error::ApiError;

pub(in crate::web) async fn config(
    State(platform): State<Platform>,
    Extension(app): Extension<App>,
) -> Result<Json<shapes::ReviewAppConfig>, ApiError> {
    let found = pull_requests::settings(&mut *platform.pool.acquire().await?, app.id).await?;
    Ok(Json(config_shape(found.ok_or_else(not_connected)?)))
}

pub(in crate::web) async fn change_config(
    State(platform): State<Platform>,
    Extension(app): Extension<App>,
    Extension(principal): Extension<Principal>,
    Body(change): Body<shapes::ReviewAppConfigChange>,
) -> Result<Json<shapes::ReviewAppConfig>, ApiError> {
    let before = pull_requests::settings(&mut *platform.pool.acquire().await?, app.id).await?;
    let before = before.ok_or_else(not_connected)?;
    let settings = Settings {
        enabled: change.automatic_review_apps.unwrap_or(before.enabled),
        limit: change.limit.unwrap_or(before.limit),
        days: change.stale_days.unwrap_or(before.days),
        inherits: change.inherits.unwrap_or(before.inherits),
    };
    platform.change_review_apps(&app, &principal, &settings).await?;
    Ok(Json(config_shape(settings)))
}

pub(in crate::web) async fn list(
    State(platform): State<Platform>,
    Extension(app): Extension<App>,
) -> Result<Json<Vec<shapes::ReviewApp>>, ApiError> {
    Ok(Json(all(&platform, &app).await?))
}

/// The open pull requests of an app's repository.
pub(in crate::web) async fn all(platform: &Platform, app: &App) -> Result<Vec<shapes::ReviewApp>, ApiError> {
    let found = pull_requests::open_of(&mut *platform.pool.acquire().await?, app.id).await?;
    Ok(found.into_iter().map(|pull| shape(platform, pull)).collect())
}

pub(in crate::web) async fn approve(
    State(platform): State<Platform>,
    Extension(app): Extension<App>,
    Extension(principal): Extension<Principal>,
    Path((_, number)): Path<(String, String)>,
    Body(approval): Body<shapes::Approval>,
) -> Result<(StatusCode, Json<shapes::ReviewApp>), ApiError> {
    let number = parse(&number)?;
    let approved = platform.approve_pull_request(&app, &principal, (number, &approval.commit)).await?;
    Ok((StatusCode::ACCEPTED, Json(shape(&platform, approved))))
}

pub(in crate::web) async fn remove(
    State(platform): State<Platform>,
    Extension(app): Extension<App>,
    Extension(principal): Extension<Principal>,
    Path((_, number)): Path<(String, String)>,
) -> Result<Json<shapes::ReviewApp>, ApiError> {
    let pull = find(&mut *platform.pool.acquire().await?, &app, parse(&number)?).await?;
    let gone = platform.remove_review_app(&pull, (&principal).into(), None).await?;
    if gone.is_none() {
        return Err(ApiError::NotFound(format!("pull request {} has no review app", pull.number)));
    }
    Ok(Json(shape(&platform, pull)))
}

/// The number of a pull request, as a path has it.
pub(in crate::web) fn parse(number: &str) -> Result<i64, ApiError> {
    number.parse().map_err(|_| {
        ApiError::NotFound("a pull request is named by its number: `reviewapps` lists them".to_owned())
    })
}

fn config_shape(settings: Settings) -> shapes::ReviewAppConfig {
    shapes::ReviewAppConfig {
        automatic_review_apps: settings.enabled,
        limit: settings.limit,
        stale_days: settings.days,
        inherits: settings.inherits,
    }
}

fn shape(platform: &Platform, pull: PullRequest) -> shapes::ReviewApp {
    let app = pull.app.zip(pull.app_name.clone());
    let status = match (pull.lacks, &app) {
        (Some(Lack::Approval), _) => "approval",
        (Some(Lack::Room), _) => "room",
        (Some(Lack::Skipped | Lack::Unwatched), _) => "skipped",
        (None, Some(_)) => "created",
        (Some(Lack::Age), _) | (None, None) => "removed",
    };
    let commit = pull.head.as_deref().unwrap_or_default();
    let message = match (pull.lacks, &app) {
        (Some(lack), _) => Some(said(&pull, lack, commit)),
        (None, None) => Some("it has no app: the next push to it makes one".to_owned()),
        (None, Some(_)) => None,
    };
    let web_url =
        app.as_ref().filter(|_| platform.routes_apps()).map(|(_, name)| platform.settings.apps.url_of(name));
    shapes::ReviewApp {
        pr_number: pull.number,
        title: pull.title,
        branch: pull.branch,
        fork_repo: pull.fork,
        commit: pull.head,
        approved_commit: pull.approved,
        app: app.map(|(id, name)| shapes::Named { id: id.0, name }),
        status: status.to_owned(),
        message,
        web_url,
        created_at: pull.created_at.to_jiff(),
        updated_at: pull.updated_at.to_jiff(),
    }
}
