//! Git over HTTP ("smart" only): the refs by GET, then one question and one answer for each POST.
//!
//! Bodies are streamed both ways and never collected. The head of an answer waits for its first byte, so that whatever
//! goes wrong before has a status of its own and a text that git shows.

mod reply;
#[cfg(test)]
mod tests;
mod upload;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Path, Query, Request, State};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use serde::Deserialize;
use tokio_util::task::TaskTracker;

use self::reply::{kind, refusal};
use self::upload::Upload;
use super::auth::Gate;
use super::tls::Peer;
use crate::domain::names::AppName;
use crate::doors::{self, Exchange, GitRequest, GitService, GitStreams, GitWork, RefusedReason, Services};

/// What git sends to find out whether its credentials are good before it sends a pack in chunks: a flush packet.
const PROBE: &[u8] = b"0000";

/// The door's limits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    /// How long a client may send nothing in the middle of a request.
    pub(crate) upload_idle: Duration,
    /// How long a client may read nothing in the middle of an answer; its build goes on.
    pub(crate) download_idle: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { upload_idle: Duration::from_secs(60), download_idle: Duration::from_secs(300) }
    }
}

#[derive(Clone)]
pub(crate) struct GitDoor {
    pub(crate) gate: Gate,
    pub(crate) services: Services,
    pub(crate) settings: Settings,
    /// Work goes on in here when a client has gone.
    pub(crate) tasks: TaskTracker,
}

/// `/{app}.git/…`; every request needs `Extension<Peer>`.
pub(crate) fn routes(door: GitDoor) -> Router {
    Router::new()
        .route("/{repository}/info/refs", get(refs))
        .route("/{repository}/git-receive-pack", post(receive))
        .route("/{repository}/git-upload-pack", post(upload_pack))
        .with_state(Arc::new(door))
}

#[derive(Deserialize)]
struct Wanted {
    service: Option<String>,
}

async fn refs(
    State(door): State<Arc<GitDoor>>,
    Extension(peer): Extension<Peer>,
    Path(repository): Path<String>,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
) -> Response {
    let service = match wanted.service.as_deref() {
        Some("git-receive-pack") => GitService::Receive,
        Some("git-upload-pack") => GitService::Upload,
        _ => return refusal(StatusCode::FORBIDDEN, "only git's smart HTTP protocol is served: update git"),
    };
    let ask = Ask { peer, repository, service, exchange: Exchange::Advertise };
    let (protocol, work) = match door.open(ask, &headers).await {
        Ok(opened) => opened,
        Err(response) => return response,
    };
    let (output, answer) = reply::channel(door.settings.download_idle);
    door.tasks.spawn(work(GitStreams { input: Box::new(tokio::io::empty()), output }));
    // Clients that speak version 2 expect its first line first; only fetches have a version 2.
    let version_2 = service == GitService::Upload && protocol.as_deref() == Some("version=2");
    let introduction = if version_2 { Bytes::new() } else { introduction(service) };
    answer.into_response(kind(service, "advertisement"), introduction, None).await
}

async fn receive(
    State(door): State<Arc<GitDoor>>,
    Extension(peer): Extension<Peer>,
    Path(repository): Path<String>,
    request: Request,
) -> Response {
    let ask = Ask { peer, repository, service: GitService::Receive, exchange: Exchange::Rpc };
    door.rpc(ask, request).await
}

async fn upload_pack(
    State(door): State<Arc<GitDoor>>,
    Extension(peer): Extension<Peer>,
    Path(repository): Path<String>,
    request: Request,
) -> Response {
    let ask = Ask { peer, repository, service: GitService::Upload, exchange: Exchange::Rpc };
    door.rpc(ask, request).await
}

/// What a request wants, from its line and its connection.
struct Ask {
    peer: Peer,
    repository: String,
    service: GitService,
    exchange: Exchange,
}

impl GitDoor {
    async fn rpc(&self, ask: Ask, request: Request) -> Response {
        let service = ask.service;
        let (head, body) = request.into_parts();
        let (_, work) = match self.open(ask, &head.headers).await {
            Ok(opened) => opened,
            Err(response) => return response,
        };
        if head.headers.get(CONTENT_TYPE).is_none_or(|found| *found != kind(service, "request")) {
            let text = format!("expected the content type {:?}", kind(service, "request"));
            return refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, &text);
        }
        let Some(mut upload) = self.upload(&head.headers, body) else {
            let text = "only gzip is understood as content encoding";
            return refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, text);
        };
        match upload.is_exactly(PROBE).await {
            Ok(false) => {}
            Ok(true) => return reply::empty(kind(service, "result")),
            Err(failure) => return failure.into_response(),
        }
        let failure = upload.failure();
        let (output, answer) = reply::channel(self.settings.download_idle);
        self.tasks.spawn(work(GitStreams { input: upload.into_input(), output }));
        answer.into_response(kind(service, "result"), Bytes::new(), Some(failure)).await
    }

    /// Authenticates, authorises, and hands out the work with the protocol that was asked for.
    async fn open(&self, ask: Ask, headers: &HeaderMap) -> Result<(Option<String>, GitWork), Response> {
        let caller = self.gate.admit(ask.peer, headers).await.map_err(reply::not_admitted)?;
        let name = ask.repository.strip_suffix(".git").unwrap_or(&ask.repository);
        let app: AppName =
            name.parse().map_err(|reason| refusal(StatusCode::NOT_FOUND, &format!("{reason}")))?;
        let protocol =
            headers.get("git-protocol").and_then(|value| value.to_str().ok()).and_then(doors::protocol);
        let request = GitRequest {
            principal: caller.principal,
            app,
            service: ask.service,
            exchange: ask.exchange,
            protocol: protocol.clone(),
            address: caller.address,
        };
        match self.services.open_repository(request).await {
            Ok(work) => Ok((protocol, work)),
            Err(refused) => {
                let status = match refused.reason {
                    RefusedReason::NotFound => StatusCode::NOT_FOUND,
                    RefusedReason::Forbidden => StatusCode::FORBIDDEN,
                    RefusedReason::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
                };
                Err(refusal(status, &refused.text))
            }
        }
    }

    /// The body as git wrote it; `None` if its encoding is unknown.
    fn upload(&self, headers: &HeaderMap, body: Body) -> Option<Upload> {
        let idle = self.settings.upload_idle;
        match headers.get(CONTENT_ENCODING).map(|value| value.as_bytes()) {
            None | Some(b"identity") => Some(Upload::plain(body, idle)),
            Some(b"gzip" | b"x-gzip") => Some(Upload::gzip(body, idle)),
            Some(_) => None,
        }
    }
}

/// `# service=…` as a packet, and a flush packet.
fn introduction(service: GitService) -> Bytes {
    let line = format!("# service={}\n", service.as_str());
    format!("{:04x}{line}0000", line.len() + 4).into()
}
