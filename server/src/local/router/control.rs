//! The orders that the server gives, as HTTP on a Unix socket that only its owner may open.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use axum::extract::{Path as UrlPath, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::RwLock;

use super::handover::{self, Successor};
use super::requests::{Answered, Heard};
use super::{Route, Shared, client};
use crate::domain::names::AppName;

/// Changes when an older server could no longer speak to the router.
pub(super) const PROTOCOL: u32 = 1;

/// The longest that one question about a backend may wait; who wants to wait longer asks again.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(25);

/// How often a router that was replaced hands on what it still answers.
const HAND_ON_EVERY: Duration = Duration::from_millis(500);

/// Who answers on the socket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Version {
    pub(crate) version: String,
    pub(crate) protocol: u32,
    /// Identity of the executable: its device, inode, size and time of change.
    pub(crate) build: String,
    pub(crate) pid: u32,
    /// The settings in force, as a command line.
    pub(crate) args: Vec<String>,
    /// Where the router really listens.
    pub(crate) address: SocketAddr,
}

/// The end of the control socket that answers.
pub(super) struct Control {
    socket: UnixListener,
    context: Arc<Context>,
}

struct Context {
    shared: Arc<Shared>,
    /// Written while the router hands over: a route that is set now would be lost.
    gate: RwLock<Gate>,
    /// The accept loop owns it: the socket is closed with that.
    listener: Weak<TcpListener>,
    version: Version,
}

#[derive(Clone, Copy, PartialEq)]
enum Gate {
    Open,
    Gone,
}

impl Control {
    /// Takes the socket's path over from whoever had it, in one step.
    pub(super) fn bind(shared: Arc<Shared>, listener: &Arc<TcpListener>) -> io::Result<Self> {
        let version = Version {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            protocol: PROTOCOL,
            build: build_of(Path::new("/proc/self/exe"))?,
            pid: std::process::id(),
            args: shared.settings.to_args(),
            address: listener.local_addr()?,
        };
        let path = &shared.settings.socket;
        let fresh = path.with_extension(std::process::id().to_string());
        drop(std::fs::remove_file(&fresh));
        let socket = UnixListener::bind(&fresh)?;
        std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o600))?;
        std::fs::rename(&fresh, path)?;
        let listener = Arc::downgrade(listener);
        Ok(Self {
            socket,
            context: Arc::new(Context { shared, gate: RwLock::new(Gate::Open), listener, version }),
        })
    }

    pub(super) async fn serve(self) {
        let app = Router::new()
            .route("/version", get(version))
            .route("/routes", get(routes))
            .route("/routes/{app}", put(set_route).delete(remove_route))
            .route("/drained", get(drained))
            .route("/requests", get(requests).post(take_requests))
            .route("/upgrade", post(upgrade))
            .route("/stop", post(stop))
            .with_state(self.context);
        if let Err(error) = axum::serve(self.socket, app).await {
            tracing::error!(error = %error, "The router's control socket broke");
        }
    }
}

/// Tells two builds of a program apart without reading them.
pub(super) fn build_of(program: &Path) -> io::Result<String> {
    let file = std::fs::metadata(program)?;
    Ok(format!("{}-{}-{}-{}.{}", file.dev(), file.ino(), file.size(), file.mtime(), file.mtime_nsec()))
}

async fn version(State(context): State<Arc<Context>>) -> Json<Version> {
    Json(context.version.clone())
}

async fn routes(State(context): State<Arc<Context>>) -> Response {
    Json(context.shared.table.routes()).into_response()
}

async fn set_route(
    State(context): State<Arc<Context>>,
    UrlPath(app): UrlPath<AppName>,
    Json(route): Json<Route>,
) -> Response {
    let gate = context.gate.read().await;
    if *gate == Gate::Gone {
        return gone();
    }
    saved(context.shared.table.set(app, route).await)
}

async fn remove_route(State(context): State<Arc<Context>>, UrlPath(app): UrlPath<AppName>) -> Response {
    let gate = context.gate.read().await;
    if *gate == Gate::Gone {
        return gone();
    }
    saved(context.shared.table.remove(&app).await)
}

fn gone() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "this router has been replaced: ask again").into_response()
}

/// The route is in force either way; only a restart of the router alone would miss it.
fn saved(result: io::Result<()>) -> Response {
    match result {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => {
            tracing::error!(error = %error, "The routes are in force and could not be saved");
            StatusCode::NO_CONTENT.into_response()
        }
    }
}

#[derive(Deserialize)]
struct DrainedQuestion {
    backend: SocketAddr,
    #[serde(default)]
    wait_ms: u64,
}

/// What is left on a backend.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Left {
    pub(super) in_flight: usize,
}

async fn drained(State(context): State<Arc<Context>>, Query(question): Query<DrainedQuestion>) -> Json<Left> {
    let patience = Duration::from_millis(question.wait_ms).min(LONGEST_WAIT);
    Json(Left { in_flight: context.shared.table.drained(question.backend, patience).await })
}

#[derive(Deserialize)]
struct RequestsQuestion {
    /// Which router has given the number.
    #[serde(default)]
    router: String,
    after: u64,
    #[serde(default)]
    wait_ms: u64,
}

async fn requests(
    State(context): State<Arc<Context>>,
    Query(RequestsQuestion { router, after, wait_ms }): Query<RequestsQuestion>,
) -> Json<Heard> {
    let patience = Duration::from_millis(wait_ms).min(LONGEST_WAIT);
    Json(context.shared.requests.after(&router, after, patience).await)
}

/// What the router before this one has answered last.
async fn take_requests(
    State(context): State<Arc<Context>>,
    Json(requests): Json<Vec<Answered>>,
) -> StatusCode {
    requests.into_iter().for_each(|answered| context.shared.requests.add(answered));
    StatusCode::NO_CONTENT
}

async fn upgrade(State(context): State<Arc<Context>>, Json(successor): Json<Successor>) -> Response {
    let mut gate = context.gate.write().await;
    let Some(socket) = context.listener.upgrade().filter(|_| *gate == Gate::Open) else { return gone() };
    match handover::hand_over(&successor, &socket, &context.shared.settings).await {
        Ok(()) => {
            *gate = Gate::Gone;
            context.shared.leaving.cancel();
            tracing::info!("A new router has taken over");
            let shared = Arc::clone(&context.shared);
            tokio::spawn(async move {
                loop {
                    client::hand_requests_on(&shared).await;
                    tokio::time::sleep(HAND_ON_EVERY).await;
                }
            });
            StatusCode::NO_CONTENT.into_response()
        }
        Err(error) => {
            tracing::error!(error = %error, "The router goes on: its successor did not take over");
            (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response()
        }
    }
}

async fn stop(State(context): State<Arc<Context>>) -> Response {
    let mut gate = context.gate.write().await;
    if *gate == Gate::Open {
        drop(std::fs::remove_file(&context.shared.settings.socket));
    }
    *gate = Gate::Gone;
    context.shared.leaving.cancel();
    StatusCode::NO_CONTENT.into_response()
}
