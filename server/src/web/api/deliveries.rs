//! `/apps/{app}/hook-deliveries`: what hosts, the search and people have told of an app's repository.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::{Extension, Json};
use serde_json::json;

use super::shapes;
use crate::db::apps::App;
use crate::db::deliveries::{self, Entry, Rows};
use crate::db::{audit, connections};
use crate::domain::access::Principal;
use crate::domain::ids::DeliveryId;
use crate::hooks::{connect, search};
use crate::platform::Platform;
use crate::web::error::ApiError;
use crate::web::newest::Newest;

pub(in crate::web) async fn list(
    State(platform): State<Platform>,
    Extension(app): Extension<App>,
    page: Newest,
) -> Result<Response, ApiError> {
    let rows = Rows::Newest { before: page.before, limit: page.limit_and_one() };
    let entries = deliveries::ledger(&mut *platform.pool.acquire().await?, app.id, rows).await?;
    Ok(page.answer(entries.into_iter().map(shape).collect(), |delivery: &shapes::HookDelivery| delivery.id))
}

pub(in crate::web) async fn info(
    State(platform): State<Platform>,
    Extension(app): Extension<App>,
    Path((_, delivery)): Path<(String, String)>,
) -> Result<Json<shapes::HookDelivery>, ApiError> {
    one(&platform, &app, parse(&delivery)?).await.map(Json)
}

/// Has the branch looked at now.
pub(in crate::web) async fn check(
    State(platform): State<Platform>,
    Extension(app): Extension<App>,
    Extension(principal): Extension<Principal>,
) -> Result<(StatusCode, Json<shapes::HookDelivery>), ApiError> {
    let mut conn = platform.pool.acquire().await?;
    connections::of_app(&mut conn, app.id).await?.ok_or_else(connect::not_connected)?;
    let id = search::on_demand(&platform, &app, &principal.name).await?;
    audit::note(&mut conn, &principal, Some((app.id, &app.name)), "hooks:check", json!({ "delivery": id }))
        .await?;
    drop(conn);
    Ok((StatusCode::ACCEPTED, Json(one(&platform, &app, id).await?)))
}

pub(in crate::web) async fn redeliver(
    State(platform): State<Platform>,
    Extension(app): Extension<App>,
    Extension(principal): Extension<Principal>,
    Path((_, delivery)): Path<(String, String)>,
) -> Result<(StatusCode, Json<shapes::HookDelivery>), ApiError> {
    let id = parse(&delivery)?;
    connect::redeliver(&platform, &app, &principal, id).await?;
    Ok((StatusCode::ACCEPTED, Json(one(&platform, &app, id).await?)))
}

/// One row of the app's ledger.
pub(in crate::web) async fn one(
    platform: &Platform,
    app: &App,
    id: DeliveryId,
) -> Result<shapes::HookDelivery, ApiError> {
    let mut conn = platform.pool.acquire().await?;
    let found = deliveries::ledger(&mut conn, app.id, Rows::One(id)).await?.pop();
    found.map(shape).ok_or_else(unknown)
}

pub(in crate::web) fn parse(id: &str) -> Result<DeliveryId, ApiError> {
    id.parse().map(DeliveryId).map_err(|_| unknown())
}

fn unknown() -> ApiError {
    ApiError::NotFound("the app has had no such delivery: `hooks` lists them".to_owned())
}

pub(in crate::web) fn shape(entry: Entry) -> shapes::HookDelivery {
    let build = entry.build_id.zip(entry.build_number);
    shapes::HookDelivery {
        id: entry.id.0,
        source: entry.source,
        delivery: entry.delivery,
        event: entry.event,
        git_ref: entry.told.0.git_ref,
        actor: entry.told.0.actor,
        verdict: entry.verdict,
        reason: entry.reason,
        commit: entry.commit,
        review_app: entry.review_app,
        build: build.map(|(id, number)| shapes::Numbered { id: id.0, number }),
        created_at: entry.received_at.to_jiff(),
        judged_at: entry.judged_at.map(|time| time.to_jiff()),
    }
}
