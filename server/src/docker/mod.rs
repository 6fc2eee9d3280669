//! The Docker Engine API: connecting, building with BuildKit, pushing.
//!
//! Engines from 20.10 to 29 are spoken to; no one API version is understood by all of them, so it is negotiated.
//! An image's id is whatever the engine calls it: on engines with a containerd store it is the manifest's digest,
//! so that ids are never compared with a config's digest.

pub(crate) mod build;
pub(crate) mod images;
pub(crate) mod lifecycle;
mod patterns;
pub(crate) mod push;
#[cfg(test)]
pub(crate) mod testing;
mod wire;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bollard::{API_DEFAULT_VERSION, Docker};
use bytesize::ByteSize;
use tracing::warn;

use self::wire::{Address, WireError};

/// How long the engine may take to answer a question about itself.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an ordinary request (inspect, tag, remove, a container's start) may take, in seconds.
const REQUEST_TIMEOUT_SECS: u64 = 120;

/// One Docker engine. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Engine {
    api: Docker,
    address: Arc<Address>,
    /// Whether a version has been agreed on.
    agreed: Arc<AtomicBool>,
}

/// What the engine says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EngineInfo {
    /// `20.10.24`.
    pub(crate) version: String,
    /// `1.41`, as negotiated.
    pub(crate) api_version: String,
    pub(crate) memory_bytes: u64,
    pub(crate) cpus: u64,
}

impl fmt::Display for EngineInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, api_version, memory_bytes, cpus } = self;
        let memory = ByteSize(*memory_bytes);
        write!(f, "Docker Engine {version} (API {api_version}) with {cpus} CPUs and {memory}")
    }
}

/// Why the engine did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EngineError {
    #[error(
        "the Docker engine at {host} does not answer: is it running? `DOCKER_HOST={host} docker info` tells more"
    )]
    Unreachable {
        host: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("DOCKER_HOST is {0:?}; give unix:///path/to/docker.sock or tcp://host:port")]
    BadAddress(String),
    #[error("the Docker engine has no image {0}")]
    NoSuchImage(String),
    #[error("the Docker engine refused: {0}")]
    Refused(String),
}

impl Engine {
    /// Connects to `unix://path` or `tcp://host:port`. An engine that is away at the time is no reason not to start:
    /// what needs it says so, and the version is agreed on when it is there.
    ///
    /// # Errors
    /// `Unreachable` if there is no such socket, which the client wants to see.
    pub(crate) async fn connect(docker_host: &str) -> Result<Self, EngineError> {
        let address = Address::parse(docker_host)?;
        let api = match &address {
            Address::Unix(path) => {
                Docker::connect_with_unix(&path.to_string_lossy(), REQUEST_TIMEOUT_SECS, API_DEFAULT_VERSION)
            }
            Address::Tcp(authority) => {
                Docker::connect_with_http(authority, REQUEST_TIMEOUT_SECS, API_DEFAULT_VERSION)
            }
        };
        let unreachable = |source: bollard::errors::Error| EngineError::Unreachable {
            host: address.to_string(),
            source: source.into(),
        };
        let engine =
            Self { api: api.map_err(unreachable)?, address: Arc::new(address), agreed: Arc::default() };
        if let Err(source) = engine.agree().await {
            warn!("{}", engine.unreachable(source));
        }
        Ok(engine)
    }

    /// Agrees on an API version, once; all clones of the client speak it from then on.
    pub(crate) async fn agree(&self) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        if !self.agreed.load(Ordering::Relaxed) {
            answered(self.api.clone().negotiate_version()).await?;
            self.agreed.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// The client for whatever this module does not wrap, with the version already agreed on.
    pub(crate) fn api(&self) -> &Docker {
        &self.api
    }

    /// `unix:///var/run/docker.sock`: for messages.
    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    pub(crate) async fn ping(&self) -> Result<(), EngineError> {
        self.agree().await.map_err(|source| self.unreachable(source))?;
        answered(self.api.ping()).await.map(drop).map_err(|source| self.unreachable(source))
    }

    /// Tells who answers: version, memory and processors.
    pub(crate) async fn info(&self) -> Result<EngineInfo, EngineError> {
        let info = answered(self.api.info()).await.map_err(|source| self.unreachable(source))?;
        Ok(EngineInfo {
            version: info.server_version.unwrap_or_default(),
            api_version: self.api.client_version().to_string(),
            memory_bytes: info.mem_total.and_then(|bytes| bytes.try_into().ok()).unwrap_or_default(),
            cpus: info.ncpu.and_then(|cpus| cpus.try_into().ok()).unwrap_or_default(),
        })
    }

    /// What it runs, as images name it: `amd64`. `None` if it does not answer.
    pub(crate) async fn architecture(&self) -> Option<String> {
        answered(self.api.version()).await.ok()?.arch
    }

    fn unreachable(&self, source: Box<dyn std::error::Error + Send + Sync>) -> EngineError {
        EngineError::Unreachable { host: self.host(), source }
    }

    /// An error of the client in our words.
    fn explain(&self, error: bollard::errors::Error) -> EngineError {
        match error {
            bollard::errors::Error::DockerResponseServerError { message, .. } => {
                EngineError::Refused(message)
            }
            other => self.unreachable(other.into()),
        }
    }

    fn explain_wire(&self, error: WireError) -> EngineError {
        match error {
            WireError::Refused { message, .. } => EngineError::Refused(message),
            other => self.unreachable(other.into()),
        }
    }
}

async fn answered<T>(
    question: impl Future<Output = Result<T, bollard::errors::Error>>,
) -> Result<T, Box<dyn std::error::Error + Send + Sync>> {
    Ok(tokio::time::timeout(ANSWER_TIMEOUT, question).await??)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn connects_and_agrees_on_a_version() {
        let Some(engine) = testing::engine().await else { return };
        engine.ping().await.unwrap();
        let info = engine.info().await.unwrap();
        assert!(info.memory_bytes > 0, "{info:?}");
        assert!(info.api_version.starts_with("1."), "{info:?}");
    }

    #[tokio::test]
    async fn an_engine_that_is_not_there_is_named() {
        let error = Engine::connect("unix:///nowhere/docker.sock").await.unwrap_err();
        assert!(
            error.to_string().starts_with(
                "the Docker engine at unix:///nowhere/docker.sock does not answer: is it running?"
            ),
            "{error}"
        );
        // Nobody there, but an address that is possible: connecting only warns, so that the server starts.
        let error = Engine::connect("tcp://127.0.0.1:1").await.unwrap().ping().await.unwrap_err();
        assert!(matches!(error, EngineError::Unreachable { .. }), "{error}");
        let error = Engine::connect("ssh://somewhere").await.unwrap_err();
        assert!(matches!(error, EngineError::BadAddress(_)), "{error}");
    }
}
