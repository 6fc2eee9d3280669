//! `/apps/{app}/config-vars`: names and values. Reading them is an action of its own: viewers are refused.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::{Extension, Json};
use secrecy::{ExposeSecret, SecretString};

use crate::actions::releases::Changes;
use crate::db::apps::{self, App};
use crate::domain::access::Principal;
use crate::domain::names::ConfigKey;
use crate::platform::Platform;
use crate::web::body::Body;
use crate::web::error::ApiError;

pub(in crate::web) async fn list(
    State(platform): State<Platform>,
    Extension(app): Extension<App>,
) -> Result<Json<BTreeMap<ConfigKey, String>>, ApiError> {
    shown(&platform, &app).await
}

/// Sets the vars that have a value and unsets those that are null; the release that it makes is in `releases`.
pub(in crate::web) async fn change(
    State(platform): State<Platform>,
    Extension(app): Extension<App>,
    Extension(principal): Extension<Principal>,
    Body(wanted): Body<BTreeMap<ConfigKey, Option<String>>>,
) -> Result<Json<BTreeMap<ConfigKey, String>>, ApiError> {
    let wanted: Changes =
        wanted.into_iter().map(|(name, value)| (name, value.map(SecretString::from))).collect();
    platform.set_config(&app, &principal, &wanted).await?;
    let mut conn = platform.pool.acquire().await?;
    let changed = apps::by_id(&mut conn, app.id).await?.unwrap_or(app);
    drop(conn);
    shown(&platform, &changed).await
}

async fn shown(platform: &Platform, app: &App) -> Result<Json<BTreeMap<ConfigKey, String>>, ApiError> {
    let config = platform.config_of(app).await?;
    Ok(Json(config.into_iter().map(|(name, value)| (name, value.expose_secret().to_owned())).collect()))
}
