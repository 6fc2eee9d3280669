//! `/apps/{app}/dynos` and `/logs`: what runs, as the target sees it now.

use std::pin::Pin;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use tokio::sync::mpsc;
use tracing::warn;

use super::{derived_id, render, shapes};
use crate::db::apps::App;
use crate::db::formation;
use crate::domain::formation::{USUAL_SIZE, scaling_of};
use crate::domain::names::ProcessType;
use crate::platform::Platform;
use crate::target::{Follow, LogLine, LogQuery, ProcessStatus, Whose};
use crate::web::error::ApiError;

/// How long the engine or the cluster may take to say what runs.
const TARGET_TIMEOUT: Duration = Duration::from_secs(15);
/// Lines of a log when the request names no number.
const USUAL_LINES: usize = 100;
/// Lines from before now at most.
const MOST_LINES: usize = 1500;
/// Lines that wait for a slow reader; then the source waits.
const BACKLOG: usize = 256;

pub(in crate::web) async fn dynos(
    State(platform): State<Platform>,
    Extension(app): Extension<App>,
) -> Result<Json<Vec<shapes::Dyno>>, ApiError> {
    let processes = running(&platform, &app).await?;
    let formation = formation::of(&mut *platform.pool.acquire().await?, app.id).await?;
    let sized = |process: ProcessStatus| {
        let size = scaling_of(&formation, &process.process_type).size;
        dyno(process, &app, size.unwrap_or_else(|| USUAL_SIZE.to_owned()))
    };
    Ok(Json(processes.into_iter().map(sized).collect()))
}

pub(super) async fn running(platform: &Platform, app: &App) -> Result<Vec<ProcessStatus>, ApiError> {
    let asked = platform.target.processes(whose(app));
    match tokio::time::timeout(TARGET_TIMEOUT, asked).await {
        Ok(Ok(processes)) => Ok(processes),
        Ok(Err(error)) => Err(away(&error)),
        Err(late) => Err(away(&late.into())),
    }
}

fn whose(app: &App) -> Whose<'_> {
    Whose { app: &app.name, adopted: app.adoption.as_ref() }
}

fn away(error: &anyhow::Error) -> ApiError {
    warn!("The target did not say what runs: {error:#}");
    ApiError::Unavailable(
        "where the apps run (the engine, or the cluster) does not answer: nothing is known of the processes now; try again in a moment"
            .to_owned(),
    )
}

fn dyno(process: ProcessStatus, app: &App, size: String) -> shapes::Dyno {
    shapes::Dyno {
        // Targets know no ids of ours; one that stays the same while the process does.
        id: derived_id(&[
            &app.id.to_string(),
            &process.name,
            &process.version.to_string(),
            &process.restarts.to_string(),
        ]),
        name: process.name,
        process_type: process.process_type.to_string(),
        state: process.state,
        command: process.command,
        size,
        restarts: process.restarts,
        release: shapes::DynoRelease { version: process.version },
        app: render::app_named(app),
        created_at: process.since,
        updated_at: process.since,
    }
}

#[derive(Debug, Deserialize)]
pub(in crate::web) struct LogsQuery {
    lines: Option<usize>,
    /// A process type.
    ps: Option<ProcessType>,
    #[serde(default)]
    follow: String,
}

pub(in crate::web) async fn logs(
    State(platform): State<Platform>,
    Extension(app): Extension<App>,
    query: Result<Query<LogsQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(query) = query.map_err(|_| {
        ApiError::InvalidParams("logs take lines=<number>, ps=<process type> and follow=1".to_owned())
    })?;
    let wanted = LogQuery {
        lines: query.lines.unwrap_or(USUAL_LINES).min(MOST_LINES),
        process_type: query.ps,
        follow: if matches!(query.follow.as_str(), "" | "0" | "false") { Follow::No } else { Follow::Yes },
    };
    let headers = [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, written(platform, app, wanted)).into_response())
}

type Telling = Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>;

/// What is told, line by line. The reader drives it: when it goes, the source is dropped with the body.
fn written(platform: Platform, app: App, query: LogQuery) -> Body {
    let (sender, lines) = mpsc::channel(BACKLOG);
    let telling: Telling = Box::pin(async move { platform.target.logs(whose(&app), query, sender).await });
    Body::from_stream(futures::stream::unfold(
        (Some(telling), lines),
        |(mut telling, mut lines)| async move {
            loop {
                let Some(source) = telling.as_mut() else {
                    let line = lines.recv().await?;
                    return Some((Ok(text_of(&line)), (telling, lines)));
                };
                tokio::select! {
                    biased;
                    line = lines.recv() => {
                        if let Some(line) = line {
                            return Some((Ok(text_of(&line)), (telling, lines)));
                        }
                        telling = None;
                    }
                    told = source => {
                        telling = None;
                        if let Err(error) = told {
                            warn!("The logs of an app broke off: {error:#}");
                            return Some((Err(std::io::Error::other("the logs broke off")), (telling, lines)));
                        }
                    }
                }
            }
        },
    ))
}

/// Heroku's form: `2026-11-21T10:00:00.000000+00:00 app[web.1]: text`. Control characters stay behind.
fn text_of(line: &LogLine) -> String {
    let text = line.text.replace(|c: char| c.is_control() && c != '\t', "");
    format!("{} app[{}]: {text}\n", line.at.strftime("%Y-%m-%dT%H:%M:%S.%6f+00:00"), line.process)
}
