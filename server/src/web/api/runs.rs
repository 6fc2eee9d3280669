//! `/apps/{app}/runs`: one-off processes, and `/apps/{app}/attach`: a WebSocket to one, or into a process that runs.
//!
//! The client's first message says what it wants ([`shapes::Wish`]). Then its binary messages are standard input, and
//! its texts are [`shapes::Sent`]. Ours are [`shapes::Told`] as texts, and output as binary messages whose first byte
//! is 1 for standard output and 2 for standard error.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::{Extension, Json};
use bytes::{BufMut, Bytes, BytesMut};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use secrecy::SecretString;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::shapes::{self, Sent, Told};
use crate::db::apps::App;
use crate::domain::access::{self, Action, Principal};
use crate::domain::names::ConfigKey;
use crate::pipeline::runs::{Place, Run, Wish};
use crate::platform::Platform;
use crate::target::attached::{Ends, Typed, Wrote};
use crate::web::admission::PathRole;
use crate::web::body::Body;
use crate::web::error::ApiError;

/// How long a client may take to say what it wants.
const WISH_DEADLINE: Duration = Duration::from_secs(10);
/// A client is asked for a sign of life this often, and has gone when it has given none for so long.
const PING_EVERY: Duration = Duration::from_secs(15);
const GONE_AFTER: Duration = Duration::from_secs(60);
/// How long a client that was told the end may take to hang up.
const LEAVING: Duration = Duration::from_secs(5);
/// The largest message that is taken, in bytes.
const LARGEST_MESSAGE: usize = 1024 * 1024;
/// Messages that wait in each direction; then the faster side waits.
const BACKLOG: usize = 16;
/// What the first byte of a message with output says.
pub(crate) const OUTPUT: u8 = 1;
pub(crate) const ERRORS: u8 = 2;

/// Those that run.
pub(in crate::web) async fn list(
    State(platform): State<Platform>,
    Extension(app): Extension<App>,
    Extension(principal): Extension<Principal>,
    Extension(PathRole(role)): Extension<PathRole>,
) -> Result<Json<Vec<shapes::Run>>, ApiError> {
    let may_run = access::authorise(&principal, role, Action::Deploy).is_ok();
    let shown = |run: Run| {
        let own = run.actor == principal.name;
        let run = rendered(run);
        shapes::Run { command: run.command.filter(|_| may_run || own), ..run }
    };
    Ok(Json(platform.runs_of(&app).await?.into_iter().map(shown).collect()))
}

/// Starts one that nobody is attached to.
pub(in crate::web) async fn start(
    State(platform): State<Platform>,
    Extension(app): Extension<App>,
    Extension(principal): Extension<Principal>,
    Body(wanted): Body<shapes::NewRun>,
) -> Result<(StatusCode, Json<shapes::Run>), ApiError> {
    let wish = Wish {
        place: Place::OneOff,
        environment: environment(wanted.env).map_err(ApiError::InvalidParams)?,
        command: checked(wanted.command).map_err(ApiError::InvalidParams)?,
        size: wanted.size,
        screen: None,
        time_limit: wanted.time_limit.map(Duration::from_secs),
    };
    let run = platform.run_detached(&app, &principal, wish).await?;
    Ok((StatusCode::CREATED, Json(rendered(run))))
}

pub(in crate::web) async fn stop(
    State(platform): State<Platform>,
    Extension(app): Extension<App>,
    Extension(principal): Extension<Principal>,
    Path((_, name)): Path<(String, String)>,
) -> Result<Json<shapes::Run>, ApiError> {
    let run = platform.stop_run(&app, &principal, &name).await?;
    Ok(Json(rendered(run)))
}

fn rendered(run: Run) -> shapes::Run {
    shapes::Run {
        name: run.name,
        command: Some(run.command),
        user: run.actor,
        detached: run.detached,
        release: shapes::DynoRelease { version: run.version },
        created_at: run.since,
    }
}

pub(in crate::web) async fn attach(
    State(platform): State<Platform>,
    Extension(app): Extension<App>,
    Extension(principal): Extension<Principal>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let tasks = platform.runs.tasks().clone();
    upgrade.max_message_size(LARGEST_MESSAGE).on_upgrade(move |socket| async move {
        // Tracked: a shutdown lets it finish, as a build.
        tasks.track_future(converse(platform, app, principal, socket)).await;
    })
}

async fn converse(platform: Platform, app: App, principal: Principal, mut socket: WebSocket) {
    let wish = match timeout(WISH_DEADLINE, socket.recv()).await {
        Ok(Some(Ok(Message::Text(text)))) => wish(text.as_str()),
        // Not one of ours, or gone already.
        _ => return,
    };
    let (mut sink, mut stream) = socket.split();
    let told = match wish {
        Err(message) => Told::Failed { message },
        Ok(wish) => serve(&platform, &app, &principal, wish, &mut sink, &mut stream).await,
    };
    // Whoever has gone is not told.
    drop(sink.send(text_of(&told)).await);
    drop(sink.close().await);
    // A client that still sends would find the connection broken, and not read what it was told.
    let leaving = async { while let Some(Ok(_)) = stream.next().await {} };
    drop(timeout(LEAVING, leaving).await);
}

fn wish(text: &str) -> Result<Wish, String> {
    let wish: shapes::Wish =
        serde_json::from_str(text).map_err(|error| format!("the first message is no wish: {error}"))?;
    Ok(Wish {
        place: wish.process.map_or(Place::OneOff, Place::Inside),
        command: checked(wish.command)?,
        environment: environment(wish.env)?,
        size: wish.size,
        screen: wish.screen,
        time_limit: wish.time_limit.map(Duration::from_secs),
    })
}

fn checked(command: Vec<String>) -> Result<Vec<String>, String> {
    if command.iter().all(|word| word.trim().is_empty()) {
        return Err("there is no command: say `run <command>`, for example `run bash`".to_owned());
    }
    Ok(command)
}

fn environment(env: BTreeMap<String, String>) -> Result<BTreeMap<ConfigKey, SecretString>, String> {
    let variable = |(name, value): (String, String)| {
        let key = name.parse::<ConfigKey>().map_err(|error| error.to_string())?;
        Ok((key, SecretString::from(value)))
    };
    env.into_iter().map(variable).collect()
}

async fn serve(
    platform: &Platform,
    app: &App,
    principal: &Principal,
    wish: Wish,
    sink: &mut SplitSink<WebSocket, Message>,
    stream: &mut SplitStream<WebSocket>,
) -> Told {
    let (typed, typed_there) = mpsc::channel(BACKLOG);
    let (wrote_there, wrote) = mpsc::channel(BACKLOG);
    let stop = platform.runs.stop_token();
    let ends = Ends { typed: typed_there, wrote: wrote_there };
    let carrying = async {
        tokio::select! {
            () = carry_typed(stream, typed) => stop.cancel(),
            () = carry_written(wrote, sink, &stop) => {}
        }
    };
    // The process' end closes what it writes to, and that ends the carrying.
    let (outcome, ()) =
        tokio::join!(platform.run_attached(app, principal, wish, ends, stop.clone()), carrying);
    match outcome {
        Ok(status) => Told::Exited { status },
        Err(why) => Told::Failed { message: why.to_string() },
    }
}

/// Until the client has gone.
async fn carry_typed(stream: &mut SplitStream<WebSocket>, typed: mpsc::Sender<Typed>) {
    while let Ok(Some(Ok(message))) = timeout(GONE_AFTER, stream.next()).await {
        let piece = match message {
            Message::Binary(bytes) => Typed::Bytes(bytes),
            Message::Text(text) => match serde_json::from_str(text.as_str()) {
                Ok(Sent::Screen(screen)) => Typed::Resized(screen),
                Ok(Sent::End) => Typed::End,
                Err(_) => continue,
            },
            Message::Ping(_) | Message::Pong(_) => continue,
            Message::Close(_) => return,
        };
        // A process that does not read must not keep us from hearing that its client has gone.
        let handed = tokio::select! {
            handed = typed.send(piece) => handed,
            () = typed.closed() => return std::future::pending().await,
        };
        if handed.is_err() {
            return std::future::pending().await;
        }
    }
}

/// Until the process has ended and all of its words are said, or the client takes none any more.
async fn carry_written(
    mut wrote: mpsc::Receiver<Wrote>,
    sink: &mut SplitSink<WebSocket, Message>,
    stop: &CancellationToken,
) {
    let mut pings = tokio::time::interval(PING_EVERY);
    loop {
        let message = tokio::select! {
            piece = wrote.recv() => match piece {
                Some(piece) => binary_of(piece),
                None => return,
            },
            _ = pings.tick() => Message::Ping(Bytes::new()),
        };
        if !matches!(timeout(GONE_AFTER, sink.send(message)).await, Ok(Ok(()))) {
            stop.cancel();
            return;
        }
    }
}

fn binary_of(piece: Wrote) -> Message {
    let (channel, bytes) = match piece {
        Wrote::Output(bytes) => (OUTPUT, bytes),
        Wrote::Errors(bytes) => (ERRORS, bytes),
    };
    let mut message = BytesMut::with_capacity(bytes.len() + 1);
    message.put_u8(channel);
    message.extend_from_slice(&bytes);
    Message::Binary(message.freeze())
}

fn text_of(told: &Told) -> Message {
    Message::Text(serde_json::to_string(told).expect("invariant: the API's shapes are JSON").into())
}
