//! `/apps/{app}/log-sessions`: Heroku's way to read a log. The answer is an address that needs no token, because it is
//! one; whoever opens it gets Heroku's lines, as text or as server-sent events.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use axum::{Extension, Json};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::logs::{Format, Wanted, tell};
use super::shapes;
use crate::db::apps::{self, App};
use crate::db::log_drains;
use crate::domain::ids::SessionId;
use crate::journal::{Filter, Source};
use crate::platform::Platform;
use crate::web::body::Body;
use crate::web::error::ApiError;

/// How long an address is good; a stream that is open then goes on until its connection breaks.
const LIFE: SignedDuration = SignedDuration::from_hours(1);
/// Lines from before now: if none are named, and at most.
const USUAL_LINES: usize = 100;
const MOST_LINES: usize = 1500;

/// What Heroku's command line asks for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::web) struct Wish {
    /// `web`, or `web.1`.
    #[serde(default)]
    dyno: Option<String>,
    #[serde(default, rename = "type")]
    process_type: Option<String>,
    #[serde(default)]
    lines: Option<usize>,
    /// `app` or `heroku`.
    #[serde(default)]
    source: Option<String>,
    #[serde(default)]
    tail: bool,
}

pub(in crate::web) async fn create(
    State(platform): State<Platform>,
    State(doors): State<Arc<shapes::Doors>>,
    Extension(app): Extension<App>,
    Body(wish): Body<Wish>,
) -> Result<(StatusCode, Json<shapes::LogSession>), ApiError> {
    let (id, secret) = (SessionId::new(), hex::encode(rand::random::<[u8; 32]>()));
    let wanted = serde_json::to_value(&wish).map_err(|error| ApiError::Internal(error.into()))?;
    let mut conn = platform.pool.acquire().await?;
    log_drains::add_session(&mut conn, id, app.id, (&hash(&secret), &wanted), LIFE).await?;
    let now = Timestamp::now();
    let logplex_url = format!("{}/log-sessions/{secret}", doors.http_url.trim_end_matches('/'));
    Ok((
        StatusCode::CREATED,
        Json(shapes::LogSession { id: id.0, logplex_url, created_at: now, updated_at: now }),
    ))
}

pub(in crate::web) async fn read(
    State(platform): State<Platform>,
    Path(secret): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let over = || ApiError::NotFound("this log session is over: ask for the logs again".to_owned());
    let mut conn = platform.pool.acquire().await?;
    let (app, wanted) = log_drains::session(&mut conn, &hash(&secret)).await?.ok_or_else(over)?;
    let app = apps::by_id(&mut conn, app).await?.ok_or_else(over)?;
    drop(conn);
    let wish: Wish = serde_json::from_value(wanted).map_err(|error| ApiError::Internal(error.into()))?;
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let events = text(header::ACCEPT).is_some_and(|accept| accept.contains("text/event-stream"));
    let after = headers.get("last-event-id").and_then(|value| value.to_str().ok()?.parse().ok());
    let source = match wish.source.as_deref() {
        Some("app") => Some(Source::App),
        Some("heroku" | "slipway") => Some(Source::Slipway),
        _ => None,
    };
    let wanted = Wanted {
        filter: Filter { process: wish.dyno.or(wish.process_type), source, since: None },
        lines: wish.lines.unwrap_or(USUAL_LINES).min(MOST_LINES),
        follow: wish.tail,
        after,
        format: if events { Format::Events } else { Format::Text },
    };
    tell(&platform.journals, &app, wanted).await
}

fn hash(secret: &str) -> Vec<u8> {
    Sha256::digest(secret).to_vec()
}
