//! `/apps/{app}/logs`: what an app's processes write and what the platform says of them, as text, JSON lines or events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream::{self, StreamExt};
use jiff::Timestamp;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::shapes;
use crate::db::apps::App;
use crate::journal::{AppJournal, Batch, Entry, Filter, Follower, Journals, Line, Source};
use crate::platform::Platform;
use crate::web::error::ApiError;

/// Lines of a log when the request names no number.
const USUAL_LINES: usize = 100;
/// Lines from before now at most.
const MOST_LINES: usize = 1500;
/// A stream on which nothing has come for so long shows that it is alive.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// What a request says.
#[derive(Debug, Clone, Default, Deserialize)]
pub(in crate::web) struct LogsQuery {
    lines: Option<usize>,
    /// A process type, or one process.
    ps: Option<String>,
    source: Option<Source>,
    /// A span before now, or a time.
    since: Option<String>,
    #[serde(default)]
    follow: String,
    /// The id of the last line that was seen: what came after it is told.
    after: Option<i64>,
    #[serde(default)]
    format: Format,
}

/// How lines are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Format {
    /// Heroku's lines.
    #[default]
    Text,
    /// An object a line.
    Json,
    /// Server-sent events with Heroku's lines.
    Events,
}

/// Which lines are told, and how.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) filter: Filter,
    pub(super) lines: usize,
    pub(super) follow: bool,
    pub(super) after: Option<i64>,
    pub(super) format: Format,
}

pub(in crate::web) async fn read(
    State(platform): State<Platform>,
    Extension(app): Extension<App>,
    query: Result<Query<LogsQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(query) = query.map_err(|_| {
        ApiError::InvalidParams(
            "logs take lines=<number>, ps=<process>, source=app|slipway, since=<span or time>, follow=1, after=<id> and \
             format=text|json|events"
                .to_owned(),
        )
    })?;
    let since = query.since.as_deref().map(since).transpose()?;
    let usual = if since.is_some() { MOST_LINES } else { USUAL_LINES };
    let wanted = Wanted {
        filter: Filter { process: query.ps, source: query.source, since },
        lines: query.lines.unwrap_or(usual).min(MOST_LINES),
        follow: !matches!(query.follow.as_str(), "" | "0" | "false"),
        after: query.after,
        format: query.format,
    };
    tell(&platform.journals, &app, wanted).await
}

/// A span before now, or a time.
pub(super) fn since(text: &str) -> Result<Timestamp, ApiError> {
    if let Ok(span) = humantime::parse_duration(text) {
        return Ok(Timestamp::now().saturating_sub(span).unwrap_or(Timestamp::UNIX_EPOCH));
    }
    text.parse().map_err(|_| {
        ApiError::InvalidParams(
            "since is a span such as `10m`, or a time such as `2026-11-26T15:00:00Z`".to_owned(),
        )
    })
}

/// The answer: what is there, and, followed, what comes.
pub(super) async fn tell(journals: &Journals, app: &App, wanted: Wanted) -> Result<Response, ApiError> {
    let closing = journals.closing();
    if wanted.follow && closing.is_cancelled() {
        return Err(ApiError::Unavailable(
            "the server is about to restart: ask again in a moment".to_owned(),
        ));
    }
    let journal = journals.app(&app.name);
    let format = wanted.format;
    let (first, position) = first(&journal, &wanted).await;
    let kind = match format {
        Format::Text => "text/plain; charset=utf-8",
        Format::Json => "application/x-ndjson",
        Format::Events => "text/event-stream",
    };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    if !wanted.follow {
        return Ok((headers, first).into_response());
    }
    let follower = journal.follow(position, wanted.filter).await;
    let begin = stream::iter((!first.is_empty()).then(|| Ok::<_, Infallible>(Bytes::from(first))));
    let more = following(follower, format, closing).map(Ok);
    Ok((headers, Body::from_stream(begin.chain(more))).into_response())
}

/// What is there already, and the position behind it.
async fn first(journal: &Arc<AppJournal>, wanted: &Wanted) -> (String, i64) {
    let mut text = String::new();
    let position = match wanted.after {
        Some(after) if wanted.follow => after,
        Some(after) => {
            let end = journal.newest().await;
            let mut follower = journal.follow(after, wanted.filter.clone()).await;
            while follower.position() < end {
                write_batch(&mut text, wanted.format, &follower.take().await);
            }
            follower.position()
        }
        None => {
            let (lines, position) = journal.history(&wanted.filter, wanted.lines).await;
            lines.iter().for_each(|line| write_line(&mut text, wanted.format, line));
            position
        }
    };
    if wanted.follow {
        write_position(&mut text, wanted.format, position);
    }
    (text, position)
}

/// What comes, until the app is gone or the server ends.
fn following(
    follower: Follower,
    format: Format,
    closing: CancellationToken,
) -> impl futures::Stream<Item = Bytes> + Send {
    stream::unfold((follower, closing), move |(mut follower, closing)| async move {
        let mut text = String::new();
        loop {
            tokio::select! {
                () = closing.cancelled() => return None,
                batch = follower.next() => write_batch(&mut text, format, &batch?),
                () = tokio::time::sleep(KEEPALIVE) => write_position(&mut text, format, follower.position()),
            }
            if !text.is_empty() {
                return Some((Bytes::from(text), (follower, closing)));
            }
        }
    })
}

fn write_batch(text: &mut String, format: Format, batch: &Batch) {
    if batch.missed > 0 {
        let before = batch.lines.first().map_or(batch.position, |line| line.id - 1);
        write_line(text, format, &missed(before, batch.missed));
    }
    batch.lines.iter().for_each(|line| write_line(text, format, line));
}

/// As Heroku says that a reader was too slow.
fn missed(id: i64, count: i64) -> Line {
    let entry = Entry {
        at: Timestamp::now(),
        source: Source::Slipway,
        process: "logs".to_owned(),
        kind: "logs".to_owned(),
        cursor: String::new(),
        text: format!("Error L11 (Tail buffer overflow) -> This session missed up to {count} lines"),
    };
    Line { id, entry }
}

fn write_line(text: &mut String, format: Format, line: &Line) {
    match format {
        Format::Text => text.extend([&line.text(), "\n"]),
        Format::Events => text.push_str(&format!("id: {}\ndata: {}\n\n", line.id, line.text())),
        Format::Json => {
            let Entry { at, source, process, text: message, .. } = &line.entry;
            let said = shapes::Said {
                at: *at,
                source: source.as_str().to_owned(),
                process: process.clone(),
                message: message.clone(),
            };
            write_json(text, &shapes::LogLine { id: line.id, said: Some(said) });
        }
    }
}

/// Where the reader stands; it also shows that the stream is alive.
fn write_position(text: &mut String, format: Format, position: i64) {
    match format {
        Format::Text => {}
        Format::Events => text.push_str(&format!("id: {position}\n: nothing new\n\n")),
        Format::Json => write_json(text, &shapes::LogLine { id: position, said: None }),
    }
}

fn write_json(text: &mut String, line: &shapes::LogLine) {
    text.push_str(&serde_json::to_string(line).expect("invariant: the API's shapes are JSON"));
    text.push('\n');
}
