//! `/apps/{app}/config-vars`: names and values. Reading them is an action of its own: viewers are refused.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use secrecy::{ExposeSecret, SecretString};

use crate::actions::releases::Changes;
use crate::db::apps;
use crate::db::apps::App;
use crate::domain::access::Principal;
use crate::domain::names::ConfigKey;
use crate::platform::Platform;
use crate::web::body::Body;
use crate::web::error::ApiError;

/// The version of the release that a change made; absent when nothing changed.
pub(crate) const RELEASE: HeaderName = HeaderName::from_static("slipway-release");
/// The longest value, in bytes: Linux hands a program no longer string (128 KiB with the name).
const LONGEST_VALUE: usize = 120 * 1024;

pub(in crate::web) async fn list(
    State(platform): State<Platform>,
    Extension(app): Extension<App>,
) -> Result<Response, ApiError> {
    opened(&platform, &app).await
}

/// Sets what has a value and unsets what is `null`; what is not named stays.
pub(in crate::web) async fn change(
    State(platform): State<Platform>,
    Extension(app): Extension<App>,
    Extension(principal): Extension<Principal>,
    Body(wanted): Body<BTreeMap<String, Option<String>>>,
) -> Result<Response, ApiError> {
    let changes = wanted.into_iter().map(checked).collect::<Result<Changes, ApiError>>()?;
    let release = platform.set_config(&app, &principal, &changes).await?;
    let app = {
        let mut conn = platform.pool.acquire().await?;
        apps::by_id(&mut conn, app.id).await?.unwrap_or(app)
    };
    let mut response = opened(&platform, &app).await?;
    if let Some(release) = release {
        response.headers_mut().insert(RELEASE, HeaderValue::from(release.version));
    }
    Ok(response)
}

async fn opened(platform: &Platform, app: &App) -> Result<Response, ApiError> {
    let config = platform.config_of(app).await?;
    let shown: BTreeMap<_, _> =
        config.into_iter().map(|(name, value)| (name, value.expose_secret().to_owned())).collect();
    Ok(Json(shown).into_response())
}

fn checked((name, value): (String, Option<String>)) -> Result<(ConfigKey, Option<SecretString>), ApiError> {
    let name: ConfigKey = name.parse().map_err(ApiError::invalid)?;
    let fault = match &value {
        Some(value) if value.len() > LONGEST_VALUE => format!("has more than {LONGEST_VALUE} bytes"),
        Some(value) if value.contains('\0') => "contains a NUL, which no environment variable can".to_owned(),
        _ => return Ok((name, value.map(SecretString::from))),
    };
    Err(ApiError::InvalidParams(format!("the value of {name} {fault}: nothing was changed")))
}
