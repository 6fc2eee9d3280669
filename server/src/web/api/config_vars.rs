//! `/apps/{app}/config-vars`: names and values. Reading them is an action of its own: viewers are refused.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::{Extension, Json};
use secrecy::ExposeSecret;

use crate::db::apps::App;
use crate::domain::names::ConfigKey;
use crate::platform::Platform;
use crate::web::error::ApiError;

pub(in crate::web) async fn list(
    State(platform): State<Platform>,
    Extension(app): Extension<App>,
) -> Result<Json<BTreeMap<ConfigKey, String>>, ApiError> {
    let config = platform.config_of(&app).await?;
    Ok(Json(config.into_iter().map(|(name, value)| (name, value.expose_secret().to_owned())).collect()))
}
