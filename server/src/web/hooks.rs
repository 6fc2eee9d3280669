//! `POST /hooks/<host>/<app>`: the door that web hooks come to.
//!
//! Invariant: nobody learns here whether an app exists. An app that is not there, one that is not connected to this
//! host, and a wrong signature get the same answer; whose hook it is reads the reason in `hooks:info`.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{MethodRouter, post};
use axum::{Extension, Json};
use bytes::BytesMut;
use bytesize::ByteSize;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::Web;
use super::error::ApiError;
use crate::db::apps::{self, App};
use crate::db::connections::{self, Connection};
use crate::domain::hook::Provider;
use crate::hooks::receive::{self, NotTaken, Receipt};
use crate::platform::Platform;

/// How long a host may take to send a delivery.
const READING: Duration = Duration::from_secs(10);
/// Deliveries that are read at the same time: with the size of one, this bounds the memory that strangers can take.
const AT_A_TIME: usize = 32;
/// Bytes of one that is too large that are read and dropped: GitHub sends no more.
const DROPPED: u64 = 25 * 1024 * 1024;
/// How long a delivery waits to be read.
const TURN: Duration = Duration::from_secs(5);

/// The handler, with the places of its readers.
pub(super) fn door() -> MethodRouter<Web> {
    post(deliver).layer(Extension(Arc::new(Semaphore::new(AT_A_TIME))))
}

async fn deliver(
    State(platform): State<Platform>,
    Extension(readers): Extension<Arc<Semaphore>>,
    Path((host, name)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let provider = Provider::named(&host).ok_or_else(|| {
        let known: Vec<&str> = Provider::ALL.iter().map(|provider| provider.as_str()).collect();
        ApiError::NotFound(format!("web hooks come to /hooks/<host>/<app>; hosts are {}", known.join(", ")))
    })?;
    let most = platform.settings.hooks.body_bytes;
    let (app, connection) = find(&platform, provider, &name).await?;
    let turn = timeout(TURN, readers.acquire()).await;
    let Ok(Ok(_reading)) = turn else {
        return Err(ApiError::Unavailable("too many deliveries come in at once: send it again".to_owned()));
    };
    let body = read(body, most).await?;
    let receipt = receive::take(&platform, (&app, &connection), &headers, &body).await.map_err(refusal)?;
    let (status, said, id) = match receipt {
        Receipt::Pong(id) => (StatusCode::OK, "pong", id),
        Receipt::Taken(id) => (StatusCode::ACCEPTED, "taken", id),
        Receipt::Known(id) => (StatusCode::OK, "known", id),
    };
    Ok((status, Json(json!({ "id": id, "status": said }))))
}

async fn find(platform: &Platform, provider: Provider, name: &str) -> Result<(App, Connection), ApiError> {
    let mut conn = platform.pool.acquire().await?;
    let app = apps::named(&mut conn, name).await?.ok_or_else(unknown)?;
    let connection = connections::of_app(&mut conn, app.id).await?;
    let connection = connection.filter(|connection| connection.provider == provider).ok_or_else(unknown)?;
    Ok((app, connection))
}

async fn read(body: Body, most: u64) -> Result<Bytes, ApiError> {
    match timeout(READING, collect(body, most)).await {
        Ok(Ok(Some(bytes))) => Ok(bytes),
        Ok(Ok(None)) => Err(too_large(most)),
        Ok(Err(_)) => Err(ApiError::InvalidParams("the delivery ended too early: send it again".to_owned())),
        Err(_) => Err(ApiError::Timeout(format!(
            "the delivery took longer than {} s to arrive: send it again",
            READING.as_secs()
        ))),
    }
}

/// `None` if it is too large. Then the rest is read and dropped, as far as hosts send any: a connection that is closed
/// on who still sends may lose the answer.
async fn collect(mut body: Body, most: u64) -> Result<Option<Bytes>, axum::Error> {
    let (mut kept, mut seen) = (BytesMut::new(), 0u64);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        seen += data.len() as u64;
        if seen <= most {
            kept.extend_from_slice(&data);
        } else if seen > most.max(DROPPED) {
            return Ok(None);
        }
    }
    Ok((seen <= most).then(|| kept.freeze()))
}

fn too_large(most: u64) -> ApiError {
    ApiError::TooLarge(format!("a delivery may have {} at most (SLIPWAY_HOOK_BYTES)", ByteSize::b(most)))
}

fn unknown() -> ApiError {
    ApiError::Unauthorized(
        "no app of this name listens to this host with this secret: `hooks:info` shows the address, the host's name in \
         it, and why the last delivery was turned away"
            .to_owned(),
    )
}

fn refusal(error: NotTaken) -> ApiError {
    match error {
        NotTaken::Forged(_) => unknown(),
        NotTaken::Malformed(malformed) => ApiError::InvalidParams(malformed.to_string()),
        NotTaken::Database(error) => error.into(),
        NotTaken::Crypto(error) => ApiError::Internal(error.into()),
    }
}
