//! `/apps/{app}/log-drains`: where an app's log is sent.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use jiff::Timestamp;
use serde_json::json;

use super::shapes;
use crate::db::apps::App;
use crate::db::{app_lock, audit, log_drains};
use crate::domain::access::Principal;
use crate::domain::ids::DrainId;
use crate::drains::{self, Address, Reach};
use crate::platform::Platform;
use crate::web::body::Body;
use crate::web::error::ApiError;

/// Drains of one app.
const MOST: usize = 10;

pub(in crate::web) async fn list(
    State(platform): State<Platform>,
    Extension(app): Extension<App>,
) -> Result<Json<Vec<shapes::LogDrain>>, ApiError> {
    Ok(Json(of(&platform, &app).await?))
}

pub(in crate::web) async fn info(
    State(platform): State<Platform>,
    Extension(app): Extension<App>,
    Path((_, drain)): Path<(String, String)>,
) -> Result<Json<shapes::LogDrain>, ApiError> {
    find(of(&platform, &app).await?, &drain).map(Json)
}

pub(in crate::web) async fn add(
    State(platform): State<Platform>,
    Extension(app): Extension<App>,
    Extension(principal): Extension<Principal>,
    Body(new): Body<shapes::NewLogDrain>,
) -> Result<(StatusCode, Json<shapes::LogDrain>), ApiError> {
    let address = Address::parse(&new.url).map_err(ApiError::invalid)?;
    let reach = Reach { allowed: platform.settings.drains.networks.clone() };
    reach.resolve(&address).await.map_err(ApiError::invalid)?;
    let id = DrainId::new();
    let sealed =
        drains::seal(&platform, &app, id, &address).map_err(|error| ApiError::Internal(error.into()))?;
    // What is written from now on.
    let position = platform.journals.app(&app.name).newest().await;
    let mut tx = platform.pool.begin().await?;
    // Two at the same time do not both find a last place.
    app_lock::lock(&mut tx, app.id).await?;
    let there = of(&platform, &app).await?;
    if there.iter().any(|drain| drain.url == address.text()) {
        return Err(ApiError::Conflict(
            "the logs are sent to this address already: `drains` lists them".to_owned(),
        ));
    }
    if there.len() >= MOST {
        return Err(ApiError::Conflict(format!(
            "an app has {MOST} drains at most: `drains:remove` one first"
        )));
    }
    log_drains::add_drain(&mut tx, id, app.id, &sealed, position).await?;
    let detail = json!({ "id": id, "host": format!("{address:?}") });
    audit::note(&mut tx, &principal, Some((app.id, &app.name)), "drains:add", detail).await?;
    tx.commit().await?;
    platform.drains.notify_one();
    Ok((StatusCode::CREATED, Json(shape(id, address.text().to_owned(), Timestamp::now()))))
}

pub(in crate::web) async fn remove(
    State(platform): State<Platform>,
    Extension(app): Extension<App>,
    Extension(principal): Extension<Principal>,
    Path((_, drain)): Path<(String, String)>,
) -> Result<Json<shapes::LogDrain>, ApiError> {
    let found = find(of(&platform, &app).await?, &drain)?;
    let mut tx = platform.pool.begin().await?;
    if !log_drains::remove_drain(&mut tx, DrainId(found.id)).await? {
        return Err(unknown());
    }
    let detail = json!({ "id": found.id });
    audit::note(&mut tx, &principal, Some((app.id, &app.name)), "drains:remove", detail).await?;
    tx.commit().await?;
    platform.drains.notify_one();
    Ok(Json(found))
}

async fn of(platform: &Platform, app: &App) -> Result<Vec<shapes::LogDrain>, ApiError> {
    let found = log_drains::drains(&mut *platform.pool.acquire().await?, Some(app.id)).await?;
    let open = |drain: log_drains::Drain| {
        let address =
            drains::address_of(platform, &drain).map_err(|error| ApiError::Internal(error.into()))?;
        Ok(shape(drain.id, address.text().to_owned(), drain.created_at))
    };
    found.into_iter().map(open).collect()
}

/// By id, token or address.
fn find(drains: Vec<shapes::LogDrain>, named: &str) -> Result<shapes::LogDrain, ApiError> {
    let is_meant = |drain: &shapes::LogDrain| {
        drain.id.to_string() == named || drain.token == named || drain.url == named
    };
    drains.into_iter().find(is_meant).ok_or_else(unknown)
}

fn unknown() -> ApiError {
    ApiError::NotFound("the app has no such drain: `drains` lists them".to_owned())
}

fn shape(id: DrainId, url: String, at: Timestamp) -> shapes::LogDrain {
    shapes::LogDrain { id: id.0, token: drains::token(id), url, addon: None, created_at: at, updated_at: at }
}
