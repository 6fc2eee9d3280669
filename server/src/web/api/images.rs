//! `/apps/{app}/container:release`: images that were built elsewhere.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};

use super::{releases, shapes};
use crate::actions::images::Images;
use crate::db::apps::App;
use crate::domain::access::Principal;
use crate::domain::names::ProcessType;
use crate::platform::Platform;
use crate::web::body::Body;
use crate::web::error::ApiError;

pub(in crate::web) async fn release(
    State(platform): State<Platform>,
    State(doors): State<Arc<shapes::Doors>>,
    Extension(app): Extension<App>,
    Extension(principal): Extension<Principal>,
    Body(wish): Body<shapes::NewImages>,
) -> Result<(StatusCode, Json<shapes::Release>), ApiError> {
    let mut images = Images::new();
    for update in wish.updates {
        let name: ProcessType = update.process_type.parse().map_err(ApiError::invalid)?;
        if images.insert(name.clone(), update.docker_image).is_some() {
            return Err(ApiError::InvalidParams(format!("{name} is named twice: give it one image")));
        }
    }
    let made = platform.release_images(&app, &principal, &images).await?;
    let made = releases::find(&platform.pool, &app, &made.version.to_string(), &doors).await?;
    Ok((StatusCode::CREATED, Json(made)))
}
