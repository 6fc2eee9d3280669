//! The server's side of the router's control socket.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::control::{LONGEST_WAIT, Left, PROTOCOL, Version, build_of};
use super::handover::Successor;
use super::requests::Heard;
use super::{Route, Settings, Shared};
use crate::domain::names::AppName;

/// For the router to answer an order, the wait for a drain aside.
const ANSWER: Duration = Duration::from_secs(30);

/// For a router that was started to answer.
const START: Duration = Duration::from_secs(20);

/// For a router that is being replaced to point to its successor.
const SUCCESSION: Duration = Duration::from_secs(5);

/// Pause between two looks at the socket while a router starts.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Requests that are handed on at a time: a body may have two megabytes.
const REQUESTS_AT_ONCE: usize = 200;

/// Bytes of the router's log that are quoted when it did not start.
const LOG_TAIL: usize = 600;

/// Why an order was not carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControlError {
    #[error("the apps' router does not answer on {socket}")]
    Unreachable { socket: String, source: io::Error },
    #[error("the apps' router did not answer within {} s", ANSWER.as_secs())]
    Silent,
    #[error("the apps' router refused: {status} {text}")]
    Refused { status: StatusCode, text: String },
    #[error("the apps' router answered something else than expected")]
    Unintelligible(#[source] serde_json::Error),
    #[error("the apps' router could not be started")]
    Start(#[source] io::Error),
    #[error("the apps' router ended as soon as it was started. Its log ends with:\n{tail}")]
    Ended { tail: String },
}

/// The program that is the router, and the words in front of its settings.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    pub(crate) words: Vec<String>,
}

impl Program {
    /// This very executable, as `slipway router`.
    pub(crate) fn this() -> io::Result<Self> {
        Ok(Self { path: std::env::current_exe()?, words: vec!["router".to_owned()] })
    }
}

/// All that it takes to have the router run, and to have it run again.
#[derive(Debug)]
pub(crate) struct Keeper {
    pub(crate) control: Control,
    pub(crate) program: Program,
    pub(crate) settings: Settings,
    /// Gets what the router says.
    pub(crate) log: PathBuf,
}

impl Keeper {
    /// See [`Control::ensure_running`].
    pub(crate) async fn ensure(&self) -> Result<Version, ControlError> {
        self.control.ensure_running(&self.program, &self.settings, &self.log).await
    }
}

/// Gives orders to the router behind a socket. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Control {
    socket: PathBuf,
}

impl Control {
    pub(crate) fn new(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into() }
    }

    /// Starts the router if none answers, and replaces one of another build or with other settings, without
    /// refusing a connection. `log` gets what it says.
    pub(crate) async fn ensure_running(
        &self,
        program: &Program,
        settings: &Settings,
        log: &Path,
    ) -> Result<Version, ControlError> {
        let running = match self.version().await {
            Ok(running) => running,
            Err(ControlError::Unreachable { .. }) => return self.start(program, settings, log).await,
            Err(other) => return Err(other),
        };
        let build = build_of(&program.path).map_err(ControlError::Start)?;
        if running.build == build && running.protocol == PROTOCOL && running.args == settings.to_args() {
            return Ok(running);
        }
        let successor = Successor {
            program: program.path.clone(),
            args: command_line(program, settings),
            same_address: running.args.first() == settings.to_args().first(),
        };
        tracing::info!(from = %running.version, "Replacing the apps' router");
        self.call(Method::POST, "/upgrade", Some(&successor), ANSWER).await?;
        self.version().await
    }

    pub(crate) async fn version(&self) -> Result<Version, ControlError> {
        self.ask("/version", ANSWER).await
    }

    pub(crate) async fn routes(&self) -> Result<BTreeMap<AppName, Route>, ControlError> {
        self.ask("/routes", ANSWER).await
    }

    /// Puts an app's route in force: from the answer on, no request goes to a backend that is not in it.
    pub(crate) async fn set_route(&self, app: &AppName, route: &Route) -> Result<(), ControlError> {
        self.order(Method::PUT, app, Some(route)).await
    }

    pub(crate) async fn remove_route(&self, app: &AppName) -> Result<(), ControlError> {
        self.order(Method::DELETE, app, None).await
    }

    /// Waits until a backend has no request in flight, at most for `patience`; tells how many are left.
    pub(crate) async fn drained(
        &self,
        backend: SocketAddr,
        patience: Duration,
    ) -> Result<usize, ControlError> {
        let deadline = Instant::now() + patience;
        loop {
            let wait = deadline.saturating_duration_since(Instant::now()).min(LONGEST_WAIT);
            let question = format!("/drained?backend={backend}&wait_ms={}", wait.as_millis());
            let left: Left = self.ask(&question, ANSWER).await?;
            if left.in_flight == 0 || Instant::now() >= deadline {
                return Ok(left.in_flight);
            }
        }
    }

    /// Requests that were answered after the one with this number of this router, as soon as there are any, or after
    /// `patience`. Those up to it are forgotten there.
    pub(crate) async fn requests(
        &self,
        router: &str,
        after: u64,
        patience: Duration,
    ) -> Result<Heard, ControlError> {
        let wait = patience.min(LONGEST_WAIT).as_millis();
        self.ask(&format!("/requests?router={router}&after={after}&wait_ms={wait}"), ANSWER).await
    }

    /// Ends the router when its requests have ended. The server never does; operators ask the socket themselves.
    #[cfg(test)]
    pub(crate) async fn stop(&self) -> Result<(), ControlError> {
        self.call(Method::POST, "/stop", None::<&()>, ANSWER).await.map(drop)
    }

    async fn start(
        &self,
        program: &Program,
        settings: &Settings,
        log: &Path,
    ) -> Result<Version, ControlError> {
        // Outlives the server: no kill_on_drop; it takes a session of its own.
        let mut child = spawn(program, settings, log).map_err(ControlError::Start)?;
        let pid = child.id();
        let answered = tokio::select! {
            ended = child.wait() => Err(ended),
            answered = tokio::time::timeout(START, answers_as(&self.socket, pid)) => Ok(answered),
        };
        match answered {
            Ok(Ok(())) => self.version().await,
            Ok(Err(_)) => Err(ControlError::Silent),
            Err(_) => Err(ControlError::Ended { tail: tail(log) }),
        }
    }

    /// Sends an order about one app; a router that is just being replaced is asked again.
    async fn order(&self, method: Method, app: &AppName, route: Option<&Route>) -> Result<(), ControlError> {
        let deadline = Instant::now() + SUCCESSION;
        loop {
            let path = format!("/routes/{app}");
            match self.call(method.clone(), &path, route, ANSWER).await {
                Err(ControlError::Refused { status: StatusCode::SERVICE_UNAVAILABLE, .. })
                    if Instant::now() < deadline =>
                {
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
                result => return result.map(drop),
            }
        }
    }

    async fn ask<T: DeserializeOwned>(&self, path: &str, patience: Duration) -> Result<T, ControlError> {
        let text = self.call(Method::GET, path, None::<&()>, patience).await?;
        serde_json::from_slice(&text).map_err(ControlError::Unintelligible)
    }

    async fn call<T: Serialize>(
        &self,
        method: Method,
        path: &str,
        body: Option<&T>,
        patience: Duration,
    ) -> Result<Bytes, ControlError> {
        let body = body.map(serde_json::to_vec).transpose().map_err(ControlError::Unintelligible)?;
        let exchanged = tokio::time::timeout(patience, exchange(&self.socket, method, path, body)).await;
        let (status, text) = exchanged.map_err(|_| ControlError::Silent)?.map_err(|source| {
            ControlError::Unreachable { socket: self.socket.display().to_string(), source }
        })?;
        if status.is_success() {
            Ok(text)
        } else {
            Err(ControlError::Refused { status, text: String::from_utf8_lossy(&text).into_owned() })
        }
    }
}

/// Hands the requests that wait to the router that has taken this one's place; to nobody while there is none.
pub(super) async fn hand_requests_on(shared: &Shared) {
    let control = Control::new(&shared.settings.socket);
    if !control.version().await.is_ok_and(|version| version.pid != std::process::id()) {
        return;
    }
    let waiting = shared.requests.take();
    for requests in waiting.chunks(REQUESTS_AT_ONCE) {
        if let Err(error) = control.call(Method::POST, "/requests", Some(&requests), ANSWER).await {
            tracing::warn!("{} requests are missing in the apps' logs: {error}", requests.len());
        }
    }
}

/// Ends once the process `pid` answers on the socket.
pub(super) async fn answers_as(socket: &Path, pid: Option<u32>) {
    let control = Control::new(socket);
    loop {
        if control.version().await.is_ok_and(|version| Some(version.pid) == pid) {
            return;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

fn command_line(program: &Program, settings: &Settings) -> Vec<String> {
    program.words.iter().cloned().chain(settings.to_args()).collect()
}

fn spawn(program: &Program, settings: &Settings, log: &Path) -> io::Result<tokio::process::Child> {
    let log = std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(log)?;
    tokio::process::Command::new(&program.path)
        .args(command_line(program, settings))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
}

fn tail(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    String::from_utf8_lossy(&text[text.len().saturating_sub(LOG_TAIL)..]).trim().to_owned()
}

async fn exchange(
    socket: &Path,
    method: Method,
    path: &str,
    body: Option<Vec<u8>>,
) -> io::Result<(StatusCode, Bytes)> {
    let stream = UnixStream::connect(socket).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    // Ends with the exchange: the sender is dropped on return.
    tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "router")
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body.unwrap_or_default())))
        .map_err(io::Error::other)?;
    let response = sender.send_request(request).await.map_err(io::Error::other)?;
    let status = response.status();
    let text = response.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
    Ok((status, text))
}
