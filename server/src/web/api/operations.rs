//! What watches the platform: health, readiness, metrics; and where its doors are.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use sqlx::PgPool;

use super::shapes::Doors;
use crate::web::Web;
use crate::web::error::ApiError;

/// The database has to answer a probe within this time.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// The process alone.
pub(in crate::web) async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether requests make sense now: the database answers.
pub(in crate::web) async fn readyz(State(pool): State<PgPool>) -> Response {
    let answer = tokio::time::timeout(PROBE_TIMEOUT, crate::db::answers(&pool)).await;
    match answer {
        Ok(Ok(())) => "ready\n".into_response(),
        Ok(Err(_)) | Err(_) => {
            (StatusCode::SERVICE_UNAVAILABLE, "not ready: the database does not answer\n").into_response()
        }
    }
}

pub(in crate::web) async fn metrics(State(web): State<Web>) -> Result<Response, ApiError> {
    let recorder = web.metrics.ok_or_else(|| ApiError::NotFound("metrics are switched off".to_owned()))?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], recorder.render()).into_response())
}

pub(in crate::web) async fn doors(State(doors): State<Arc<Doors>>) -> Json<Doors> {
    Json((*doors).clone())
}
