//! `/apps/{app}/dynos`, `/formation`, `/logs`: what runs, and what it writes.

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use futures::StreamExt;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tracing::{Instrument, info};
use uuid::Uuid;

use super::render::app_named;
use super::shapes;
use crate::db::apps::App;
use crate::db::releases;
use crate::domain::blueprint::Blueprint;
use crate::domain::names::ProcessType;
use crate::platform::Platform;
use crate::target::{Follow, LogLine, LogQuery, ProcessStatus, Whose};
use crate::web::error::ApiError;

/// Processes have no sizes to choose from yet.
const SIZE: &str = "standard";
/// Lines that wait for a slow reader before the target waits too.
const LINES_AHEAD: usize = 256;
/// Lines from before now, unless asked for more.
const LINES: usize = 100;
/// The most of them.
const MOST_LINES: usize = 1500;

pub(in crate::web) async fn dynos(
    State(platform): State<Platform>,
    Extension(app): Extension<App>,
) -> Result<Json<Vec<shapes::Dyno>>, ApiError> {
    let processes = platform.target.processes(whose(&app)).await.map_err(unavailable)?;
    Ok(Json(processes.into_iter().map(|process| dyno(process, &app)).collect()))
}

fn dyno(process: ProcessStatus, app: &App) -> shapes::Dyno {
    shapes::Dyno {
        // Heroku's clients want an id; the name is unique within the app.
        id: Uuid::new_v5(&app.id.0, process.name.as_bytes()),
        process_type: process.process_type.to_string(),
        name: process.name,
        state: process.state,
        command: process.command,
        size: SIZE.to_owned(),
        restarts: process.restarts,
        release: shapes::DynoRelease { version: process.version },
        app: app_named(app),
        created_at: process.since,
        updated_at: process.since,
    }
}

pub(in crate::web) async fn formation(
    State(platform): State<Platform>,
    Extension(app): Extension<App>,
) -> Result<Json<Vec<shapes::Formation>>, ApiError> {
    let mut conn = platform.pool.acquire().await?;
    let current = releases::current_of(&mut conn, app.id).await?;
    let Some(code) = current.and_then(|release| release.code) else { return Ok(Json(Vec::new())) };
    let blueprint: Blueprint = serde_json::from_value(code.blueprint)
        .map_err(|error| ApiError::Internal(anyhow::Error::new(error).context("the stored blueprint")))?;
    let formation = blueprint.processes.into_iter().map(|(name, command)| shapes::Formation {
        process_type: name.to_string(),
        quantity: 1,
        command: command.unwrap_or_else(|| "the image's own".to_owned()),
        size: SIZE.to_owned(),
        app: app_named(&app),
    });
    Ok(Json(formation.collect()))
}

/// Which lines are wanted.
#[derive(Debug, Deserialize)]
pub(in crate::web) struct LogWish {
    lines: Option<usize>,
    ps: Option<ProcessType>,
    #[serde(default)]
    follow: String,
}

/// One line each: time, `app[process]:`, text, as Heroku prints them.
pub(in crate::web) async fn logs(
    State(platform): State<Platform>,
    Extension(app): Extension<App>,
    Query(wish): Query<LogWish>,
) -> Response {
    let follow = if matches!(wish.follow.as_str(), "" | "0" | "false") { Follow::No } else { Follow::Yes };
    let lines = wish.lines.unwrap_or(LINES).min(MOST_LINES);
    let query = LogQuery { lines, process_type: wish.ps, follow };
    let (sender, receiver) = mpsc::channel(LINES_AHEAD);
    let reading = async move {
        // The reader's leaving ends it: the channel closes.
        if let Err(error) = platform.target.logs(whose(&app), query, sender).await {
            info!("The log ended early: {error:#}");
        }
    };
    tokio::spawn(reading.in_current_span());
    let text = ReceiverStream::new(receiver).map(|line: LogLine| Ok::<_, Infallible>(render(&line)));
    let headers = [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::CACHE_CONTROL, "no-store")];
    (headers, Body::from_stream(text)).into_response()
}

fn render(line: &LogLine) -> String {
    format!("{} app[{}]: {}\n", line.at.strftime("%Y-%m-%dT%H:%M:%S%.6f+00:00"), line.process, line.text)
}

fn whose(app: &App) -> Whose<'_> {
    Whose { app: &app.name, adopted: app.adoption.as_ref() }
}

fn unavailable(error: anyhow::Error) -> ApiError {
    ApiError::Unavailable(format!("what runs cannot be told at the moment: {error:#}"))
}
