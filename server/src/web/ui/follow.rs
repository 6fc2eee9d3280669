//! A build's log on the page: a stretch of it as it is, and what comes after it as it comes.
//!
//! Invariant: an event's id is the byte of the log after its text, so that a browser that comes back goes on where it
//! was; lines travel as pieces of text with classes of ours, never as HTML.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt};
use serde::Deserialize;
use serde_json::json;
use sqlx::PgConnection;
use tracing::warn;

use super::mark::Mark;
use super::page::Failure;
use super::{Ui, colours};
use crate::db::apps::App;
use crate::db::logs::{self, LogId};
use crate::db::{build_log, builds};
use crate::domain::ids::BuildId;
use crate::pipeline::log::Follower;
use crate::platform::Platform;
use crate::web::api::builds::find;

/// What a page shows of a log, in bytes; about two thousand lines.
const STRETCH: i64 = 128 * 1024;
/// After so long a browser comes back, and it is looked anew whether it may.
const VISIT: Duration = Duration::from_secs(5 * 60);

/// A part of a log, in whole lines.
#[derive(Debug, Clone)]
pub(super) struct Stretch {
    pub(super) from: i64,
    /// The number of its first line; a log's first is 1.
    pub(super) first: i64,
    /// The byte after it.
    pub(super) end: i64,
    pub(super) text: Vec<u8>,
    /// Where the stretches before and after it begin.
    pub(super) earlier: Option<i64>,
    pub(super) later: Option<i64>,
    /// More may come.
    pub(super) is_live: bool,
}

/// Lines that are shown before one that was asked for.
const BEFORE: i64 = 20;

/// Where a stretch begins that has this line in it; `None` if the log has fewer.
pub(super) async fn around(conn: &mut PgConnection, build: BuildId, line: i64) -> sqlx::Result<Option<i64>> {
    if build_log::begin_of_line(conn, build, line).await?.is_none() {
        return Ok(None);
    }
    build_log::begin_of_line(conn, build, line.saturating_sub(BEFORE)).await
}

/// The stretch from a byte on, or else the last one.
pub(super) async fn stretch(
    conn: &mut PgConnection,
    build: BuildId,
    from: Option<i64>,
) -> sqlx::Result<Stretch> {
    // Asked first: closed now means that nothing comes after what is read then.
    let closed = logs::is_closed(conn, LogId::Build(build)).await?;
    let length = build_log::length(conn, build).await?;
    let from = from.unwrap_or(length - STRETCH).clamp(0, length);
    // The byte before tells whether a line begins here.
    let (mut begin, mut text) = ((from - 1).max(0), Vec::new());
    let wanted = usize::try_from(STRETCH + 1).unwrap_or(usize::MAX);
    while text.len() < wanted {
        let read = begin + i64::try_from(text.len()).unwrap_or(0);
        let more = build_log::read_from(conn, build, read).await?;
        if more.is_empty() {
            break;
        }
        text.extend(more);
    }
    if from > 0 {
        let line = text.iter().position(|byte| *byte == b'\n').map_or(text.len(), |newline| newline + 1);
        text.drain(..line);
        begin += i64::try_from(line).unwrap_or(0);
    }
    if text.len() > wanted {
        let last = text[..wanted].iter().rposition(|byte| *byte == b'\n');
        text.truncate(last.map_or(wanted, |newline| newline + 1));
    }
    let end = begin + i64::try_from(text.len()).unwrap_or(0);
    let later = (end < length).then_some(end);
    let first = 1 + build_log::lines_before(conn, build, begin).await?;
    Ok(Stretch {
        from: begin,
        first,
        end,
        text,
        earlier: (begin > 0).then_some((begin - STRETCH).max(0)),
        later,
        is_live: !closed && later.is_none(),
    })
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Since {
    #[serde(default)]
    from: String,
}

/// The log from a byte on, until it is closed. `Last-Event-ID` is what a browser sends that comes back.
pub(super) async fn events(
    State(ui): State<Ui>,
    Extension(app): Extension<App>,
    Path((_, which)): Path<(String, String)>,
    Query(since): Query<Since>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let platform = ui.web.platform.clone();
    let build = find(&platform.pool, &app, &which).await?;
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let from = last.unwrap_or(&since.from).parse::<i64>().unwrap_or(0).max(0);
    let follower = Follower::new(platform.pool.clone(), &platform.logs, build.id, from);
    let events =
        told((platform, ui.rendered), build.id, (follower, from)).take_until(tokio::time::sleep(VISIT));
    Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response())
}

/// A follower, the byte it has come to, and the build's state when it asked the database last.
struct Following {
    platform: Platform,
    rendered: Arc<Rendered>,
    follower: Follower,
    at: i64,
    mark: Option<&'static str>,
    looks: u64,
}

fn told(
    (platform, rendered): (Platform, Arc<Rendered>),
    build: BuildId,
    (follower, at): (Follower, i64),
) -> impl Stream<Item = Result<Event, Infallible>> + Send {
    let following = Following { platform, rendered, follower, at, mark: None, looks: 0 };
    futures::stream::unfold(Some(following), move |following| async move {
        let mut following = following?;
        match following.follower.next().await {
            Ok(Some(text)) => {
                let begin = following.at;
                following.at += i64::try_from(text.len()).unwrap_or(0);
                if following.looks != following.follower.looks() {
                    following.looks = following.follower.looks();
                    following.mark = mark(&following.platform, build).await;
                }
                let data = following.rendered.data((build, begin), &text, following.mark);
                let event = Event::default().id(following.at.to_string()).data(data);
                Some((Ok(event), Some(following)))
            }
            Ok(None) => Some((Ok(Event::default().event("end").data("the log is closed")), None)),
            Err(error) => {
                // The browser comes back by itself.
                warn!("A log could not be followed: {error}");
                None
            }
        }
    })
}

/// What was rendered last. A log only grows, so that the same stretch is the same text, and a thousand who follow a log
/// are sent what was rendered for the first of them.
#[derive(Debug, Default)]
pub(super) struct Rendered(Mutex<Option<Told>>);

#[derive(Debug)]
struct Told {
    of: (BuildId, i64),
    bytes: usize,
    mark: Option<&'static str>,
    data: Arc<str>,
}

impl Rendered {
    /// An event's data: the lines of `text`, which begins at this byte of the build's log, and the build's state.
    fn data(&self, of: (BuildId, i64), text: &[u8], mark: Option<&'static str>) -> Arc<str> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some(told) if told.of == of && told.bytes == text.len() && told.mark == mark => told.data.clone(),
            _ => {
                let data = json!({ "lines": colours::lines(text, of.1), "mark": mark }).to_string();
                let data: Arc<str> = data.into();
                *last = Some(Told { of, bytes: text.len(), mark, data: data.clone() });
                data
            }
        }
    }
}

/// The build's state now.
async fn mark(platform: &Platform, build: BuildId) -> Option<&'static str> {
    let mut conn = platform.pool.acquire().await.ok()?;
    let build = builds::by_id(&mut conn, build).await.ok()??;
    Some(Mark::of_build(build.status).word)
}
