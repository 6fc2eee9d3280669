//! `/apps/{app}/webhooks` and `/apps/{app}/webhook-deliveries`: whom an app tells of its builds and releases.

use axum::extract::{Path, State};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use secrecy::{ExposeSecret, SecretString};
use sqlx::PgPool;

use super::render::app_named;
use super::shapes;
use crate::db::apps::App;
use crate::db::webhooks::{self, Entry, Webhook};
use crate::domain::access::Principal;
use crate::platform::Platform;
use crate::web::body::Body;
use crate::web::error::ApiError;
use crate::web::range::Range;
use crate::webhooks::manage::{self, Change, Wish};

/// Where Heroku's clients look for a secret that was made for them.
const SECRET: HeaderName = HeaderName::from_static("heroku-webhook-secret");

pub(in crate::web) async fn list(
    State(pool): State<PgPool>,
    Extension(app): Extension<App>,
) -> Result<Json<Vec<shapes::Webhook>>, ApiError> {
    let found = webhooks::of_app(&mut *pool.acquire().await?, app.id).await?;
    Ok(Json(found.into_iter().map(|webhook| shape(webhook, &app)).collect()))
}

pub(in crate::web) async fn info(
    State(pool): State<PgPool>,
    Extension(app): Extension<App>,
    Path((_, webhook)): Path<(String, String)>,
) -> Result<Json<shapes::Webhook>, ApiError> {
    let found = webhooks::of_app(&mut *pool.acquire().await?, app.id).await?;
    Ok(Json(shape(manage::find(found, &webhook)?, &app)))
}

pub(in crate::web) async fn add(
    State(platform): State<Platform>,
    Extension(app): Extension<App>,
    Extension(principal): Extension<Principal>,
    Body(new): Body<shapes::NewWebhook>,
) -> Result<Response, ApiError> {
    let shapes::NewWebhook { url, include, level, secret } = new;
    let wish = Wish { url, include, level, secret: secret.map(SecretString::from) };
    let (added, made) = manage::add(&platform, &app, &principal, wish).await?;
    let secret = made.map(|secret| secret.expose_secret().to_owned());
    let header = secret.clone().map(|secret| [(SECRET, secret)]);
    let shape = shapes::Webhook { secret, ..shape(added, &app) };
    Ok((StatusCode::CREATED, header, Json(shape)).into_response())
}

pub(in crate::web) async fn change(
    State(platform): State<Platform>,
    Extension(app): Extension<App>,
    Extension(principal): Extension<Principal>,
    Path((_, webhook)): Path<(String, String)>,
    Body(change): Body<shapes::WebhookChange>,
) -> Result<Json<shapes::Webhook>, ApiError> {
    let shapes::WebhookChange { url, include, level, secret } = change;
    let change = Change { url, include, level, secret: secret.map(SecretString::from) };
    let changed = manage::change(&platform, &app, &principal, (&webhook, change)).await?;
    Ok(Json(shape(changed, &app)))
}

pub(in crate::web) async fn remove(
    State(platform): State<Platform>,
    Extension(app): Extension<App>,
    Extension(principal): Extension<Principal>,
    Path((_, webhook)): Path<(String, String)>,
) -> Result<Json<shapes::Webhook>, ApiError> {
    let gone = manage::remove(&platform, &app, &principal, &webhook).await?;
    Ok(Json(shape(gone, &app)))
}

pub(in crate::web) async fn deliveries(
    State(pool): State<PgPool>,
    Extension(app): Extension<App>,
    range: Range,
) -> Result<Response, ApiError> {
    let page = range.page_and_one();
    let rows = webhooks::deliveries(&mut *pool.acquire().await?, app.id, None, page).await?;
    let rows = rows.into_iter().map(delivery_shape).collect();
    Ok(range.answer("number", rows, |delivery: &shapes::WebhookDelivery| delivery.number))
}

pub(in crate::web) async fn delivery(
    State(pool): State<PgPool>,
    Extension(app): Extension<App>,
    Path((_, delivery)): Path<(String, String)>,
) -> Result<Json<shapes::WebhookDelivery>, ApiError> {
    let found = manage::delivery(&mut *pool.acquire().await?, &app, &delivery).await?;
    Ok(Json(delivery_shape(found)))
}

pub(in crate::web) async fn redeliver(
    State(platform): State<Platform>,
    Extension(app): Extension<App>,
    Extension(principal): Extension<Principal>,
    Path((_, delivery)): Path<(String, String)>,
) -> Result<(StatusCode, Json<shapes::WebhookDelivery>), ApiError> {
    let reopened = manage::redeliver(&platform, &app, &principal, &delivery).await?;
    Ok((StatusCode::ACCEPTED, Json(delivery_shape(reopened))))
}

fn shape(webhook: Webhook, app: &App) -> shapes::Webhook {
    let at = webhook.created_at.to_jiff();
    shapes::Webhook {
        id: webhook.id.0,
        app: app_named(app),
        include: webhook.include,
        level: webhook.level,
        url: webhook.url,
        secret: None,
        created_at: at,
        updated_at: at,
    }
}

fn delivery_shape(entry: Entry) -> shapes::WebhookDelivery {
    let created_at = entry.created_at.to_jiff();
    let attempted_at = entry.attempted_at.map(|at| at.to_jiff());
    let last_attempt = entry.attempt_id.zip(attempted_at).map(|(id, at)| shapes::WebhookAttempt {
        id,
        code: entry.code,
        status: if entry.error.is_none() { "succeeded" } else { "failed" }.to_owned(),
        error: entry.error,
        created_at: at,
    });
    shapes::WebhookDelivery {
        id: entry.id.0,
        number: entry.number,
        status: entry.status,
        event: shapes::WebhookEvent {
            id: entry.event.0,
            include: entry.include,
            action: entry.action,
            number: entry.about,
            state: entry.state,
        },
        webhook: shapes::WhichWebhook { id: entry.webhook.0, url: entry.url, level: entry.level },
        num_attempts: entry.tries,
        next_attempt_at: entry.due_at.map(|at| at.to_jiff()),
        last_attempt,
        created_at,
        updated_at: attempted_at.unwrap_or(created_at),
    }
}
