//! One HTTP/1.1 connection to the engine for each long exchange: builds, sessions, pushes.
//!
//! The connection belongs to its `Exchange`: dropping that closes the socket, which is how a running step is stopped.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::upgrade::Upgraded;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_util::task::AbortOnDropHandle;

use super::{Engine, EngineError};

/// How long opening the socket may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A refusal's body is read up to this size.
const REFUSAL_LIMIT: usize = 64 * 1024;

/// One message of a stream may be this long; a step's log comes in far smaller pieces.
const MESSAGE_LIMIT: usize = 16 * 1024 * 1024;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    Unix(PathBuf),
    /// `host:port`.
    Tcp(String),
}

impl Address {
    pub(super) fn parse(docker_host: &str) -> Result<Self, EngineError> {
        let bad = || EngineError::BadAddress(docker_host.to_owned());
        if let Some(path) = docker_host.strip_prefix("unix://") {
            return if path.is_empty() { Err(bad()) } else { Ok(Self::Unix(path.into())) };
        }
        let authority = docker_host
            .strip_prefix("tcp://")
            .or_else(|| docker_host.strip_prefix("http://"))
            .ok_or_else(bad)?;
        let authority = authority.trim_end_matches('/');
        match authority.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => {
                Ok(Self::Tcp(authority.to_owned()))
            }
            _ => Err(bad()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(authority) => write!(f, "tcp://{authority}"),
        }
    }
}

/// Why an exchange with the engine ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    #[error("the connection to the Docker engine was lost")]
    Lost(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the Docker engine refused: {message}")]
    Refused { status: StatusCode, message: String },
    #[error("the Docker engine sent what is not understood")]
    Garbled(#[source] serde_json::Error),
}

impl WireError {
    fn lost(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Lost(source.into())
    }
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A request that was accepted: its answer as a stream of JSON messages.
pub(super) struct Exchange {
    body: Incoming,
    buffer: BytesMut,
    /// How much of the buffer is known to hold no end of line.
    searched: usize,
    _connection: AbortOnDropHandle<()>,
}

impl Engine {
    /// Posts to `path` (with its query; the version is put before it) and hands out the answer as it comes.
    pub(super) async fn post(&self, path: &str, headers: &[(&str, &str)]) -> Result<Exchange, WireError> {
        let (response, connection) = self.send(path, headers).await?;
        if !response.status().is_success() {
            return Err(refusal(response).await);
        }
        let body = response.into_body();
        Ok(Exchange { body, buffer: BytesMut::new(), searched: 0, _connection: connection })
    }

    /// Posts to `path` and takes the connection over.
    pub(super) async fn hijack(&self, path: &str, headers: &[(&str, &str)]) -> Result<Upgraded, WireError> {
        let (response, connection) = self.send(path, headers).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(refusal(response).await);
        }
        let upgraded = hyper::upgrade::on(response).await.map_err(WireError::lost)?;
        // The connection's task has ended with the upgrade; the socket is ours.
        connection.detach();
        Ok(upgraded)
    }

    async fn send(
        &self,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<(Response<Incoming>, AbortOnDropHandle<()>), WireError> {
        let socket = tokio::time::timeout(CONNECT_TIMEOUT, self.dial())
            .await
            .map_err(WireError::lost)?
            .map_err(WireError::lost)?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(socket)).await.map_err(WireError::lost)?;
        let connection = AbortOnDropHandle::new(tokio::spawn(async move {
            // What went wrong is seen by whoever reads the answer.
            drop(connection.with_upgrades().await);
        }));
        let version = self.api.client_version();
        let mut request = Request::post(format!("/v{version}{path}"))
            .header("Host", "docker")
            .header("Content-Length", "0");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::<Bytes>::default()).map_err(WireError::lost)?;
        let response = sender.send_request(request).await.map_err(WireError::lost)?;
        Ok((response, connection))
    }

    async fn dial(&self) -> std::io::Result<Box<dyn Io>> {
        Ok(match self.address.as_ref() {
            Address::Unix(path) => Box::new(UnixStream::connect(path).await?),
            Address::Tcp(authority) => {
                let stream = TcpStream::connect(authority).await?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
        })
    }
}

impl Exchange {
    /// The next message; `None` when the engine has said everything.
    pub(super) async fn next<T: serde::de::DeserializeOwned>(&mut self) -> Result<Option<T>, WireError> {
        loop {
            if let Some(line) = self.line() {
                let line = line.trim_ascii();
                if line.is_empty() {
                    continue;
                }
                return serde_json::from_slice(line).map(Some).map_err(WireError::Garbled);
            }
            if self.buffer.len() > MESSAGE_LIMIT {
                return Err(WireError::lost(format!("a message is longer than {MESSAGE_LIMIT} bytes")));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
                Some(Err(error)) => return Err(WireError::lost(error)),
                None if self.buffer.trim_ascii().is_empty() => return Ok(None),
                // The last message need not end in a newline.
                None => self.buffer.extend_from_slice(b"\n"),
            }
        }
    }

    fn line(&mut self) -> Option<BytesMut> {
        let fresh = &self.buffer[self.searched..];
        match fresh.iter().position(|byte| *byte == b'\n') {
            Some(at) => {
                let end = self.searched + at + 1;
                self.searched = 0;
                Some(self.buffer.split_to(end))
            }
            None => {
                self.searched = self.buffer.len();
                None
            }
        }
    }
}

/// The engine's own words for a refusal: `{"message": "…"}`, or plain text.
async fn refusal(response: Response<Incoming>) -> WireError {
    #[derive(serde::Deserialize)]
    struct Words {
        message: String,
    }
    let status = response.status();
    let body = http_body_util::Limited::new(response.into_body(), REFUSAL_LIMIT);
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return WireError::Lost(error),
    };
    let message = match serde_json::from_slice::<Words>(&body) {
        Ok(words) => words.message,
        Err(_) if body.is_empty() => status.to_string(),
        Err(_) => String::from_utf8_lossy(&body).trim().to_owned(),
    };
    WireError::Refused { status, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        assert_eq!(Address::parse("unix:///run/d.sock").unwrap(), Address::Unix("/run/d.sock".into()));
        assert_eq!(Address::parse("tcp://10.0.0.1:2375").unwrap().to_string(), "tcp://10.0.0.1:2375");
        assert_eq!(Address::parse("tcp://[::1]:2375/").unwrap(), Address::Tcp("[::1]:2375".into()));
        for bad in ["", "unix://", "tcp://host", "tcp://:1", "npipe://x", "/var/run/docker.sock"] {
            assert!(Address::parse(bad).is_err(), "{bad}");
        }
    }
}
