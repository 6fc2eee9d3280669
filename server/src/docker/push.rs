//! Pushing an image that lies in the engine: the engine does it, we watch.
//!
//! One attempt; whether to try again is the caller's business, and the error says if that can help.

use std::collections::HashMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE as BASE64;
use secrecy::{ExposeSecret, SecretString};
use tokio_util::sync::CancellationToken;

use super::wire::{Exchange, WireError};
use super::{Engine, EngineError};
use crate::target::RegistryLogin;
use crate::transcript::Transcript;

/// How long the engine may say nothing while it pushes. It reports a layer's progress several times a second.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(120);

/// What to push, and where to.
#[derive(Debug, Clone)]
pub(crate) struct PushRequest {
    /// The engine's id, or a name.
    pub(crate) image: String,
    /// With the registry's host: `127.0.0.1:5000/blog`.
    pub(crate) repository: String,
    pub(crate) tag: String,
    pub(crate) login: Option<RegistryLogin>,
    pub(crate) cancel: CancellationToken,
}

/// Why the image is not in the registry.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PushError {
    #[error(
        "the registry refused the push of {repository}: {words}; check its user name and password in the settings"
    )]
    Unauthorized { repository: String, words: String },
    #[error(
        "the Docker engine wants TLS from the registry of {repository}, which speaks plain HTTP; add it to \
         \"insecure-registries\" in the engine's daemon.json, or give the registry a certificate"
    )]
    WantsTls { repository: String },
    /// Worth another try.
    #[error("the Docker engine cannot reach the registry of {repository}: {words}; is the registry running?")]
    Unreachable { repository: String, words: String },
    /// Worth another try.
    #[error("the Docker engine did not finish the push of {repository}: {words}")]
    Failed { repository: String, words: String },
    #[error("the push was cancelled")]
    Cancelled,
    /// Worth another try.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl PushError {
    /// Whether the same push can succeed without anybody changing something.
    pub(crate) fn is_temporary(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::Failed { .. } | Self::Engine(EngineError::Unreachable { .. })
        )
    }
}

#[derive(serde::Deserialize)]
struct Message {
    #[serde(default)]
    status: String,
    #[serde(default)]
    id: String,
    #[serde(rename = "progressDetail")]
    progress: Option<Progress>,
    aux: Option<Pushed>,
    #[serde(rename = "errorDetail")]
    error: Option<ErrorDetail>,
}

#[derive(serde::Deserialize)]
struct Progress {
    #[serde(default)]
    current: u64,
    #[serde(default)]
    total: u64,
}

#[derive(serde::Deserialize)]
struct Pushed {
    #[serde(rename = "Digest")]
    digest: Option<String>,
}

#[derive(serde::Deserialize)]
struct ErrorDetail {
    #[serde(default)]
    message: String,
}

impl Engine {
    /// Pushes an image and returns its digest (`sha256:…`).
    pub(crate) async fn push(
        &self,
        request: &PushRequest,
        transcript: &Transcript,
    ) -> Result<String, PushError> {
        tokio::select! {
            biased;
            () = request.cancel.cancelled() => Err(PushError::Cancelled),
            pushed = self.run_push(request, transcript) => pushed,
        }
    }

    async fn run_push(&self, request: &PushRequest, transcript: &Transcript) -> Result<String, PushError> {
        let PushRequest { image, repository, tag, .. } = request;
        self.tag_image(image, repository, tag).await?;
        let credentials = credentials(request.login.as_ref());
        let headers = [("X-Registry-Auth", credentials.expose_secret())];
        let path = format!("/images/{repository}/push?tag={tag}");
        let posting = tokio::time::timeout(SILENCE_TIMEOUT, self.post(&path, &headers));
        let exchange = posting.await.map_err(|_| silent(repository))?;
        let exchange = exchange.map_err(|error| self.lost(error, repository))?;
        self.follow_push(exchange, repository, transcript).await
    }

    async fn follow_push(
        &self,
        mut exchange: Exchange,
        repository: &str,
        transcript: &Transcript,
    ) -> Result<String, PushError> {
        let (mut digest, mut there, mut sizes) = (None, 0, HashMap::new());
        loop {
            let next = tokio::time::timeout(SILENCE_TIMEOUT, exchange.next::<Message>());
            let message = next.await.map_err(|_| silent(repository))?;
            let Some(message) = message.map_err(|error| self.lost(error, repository))? else { break };
            if let Some(error) = message.error {
                return Err(refused(repository, error.message));
            }
            if let Some(pushed) = message.aux.and_then(|aux| aux.digest) {
                digest = Some(pushed);
            }
            if let Some(progress) = message.progress {
                let size = progress.current.max(progress.total);
                sizes
                    .entry(message.id.clone())
                    .and_modify(|known: &mut u64| *known = size.max(*known))
                    .or_insert(size);
            }
            match message.status.as_str() {
                "Pushed" => transcript.detail(pushed_line(&message.id, &sizes)).await,
                "Layer already exists" => there += 1,
                status if status.starts_with("Mounted from") => there += 1,
                status => digest = digest.or_else(|| digest_in(status)),
            }
        }
        if there > 0 {
            let noun = if there == 1 { "layer" } else { "layers" };
            transcript.detail(format!("{there} {noun} already in the registry")).await;
        }
        let words = || "it reported no digest".to_owned();
        digest.ok_or_else(|| PushError::Failed { repository: repository.to_owned(), words: words() })
    }

    fn lost(&self, error: WireError, repository: &str) -> PushError {
        match error {
            WireError::Refused { message, .. } => refused(repository, message),
            other => PushError::Engine(self.unreachable(other.into())),
        }
    }
}

fn pushed_line(layer: &str, sizes: &HashMap<String, u64>) -> String {
    match sizes.get(layer) {
        Some(size) if *size > 0 => format!("{layer} pushed, {}", bytesize::ByteSize::b(*size).display().si()),
        _ => format!("{layer} pushed"),
    }
}

fn silent(repository: &str) -> PushError {
    let words = format!("it said nothing for {}", humantime::format_duration(SILENCE_TIMEOUT));
    PushError::Failed { repository: repository.to_owned(), words }
}

/// Sorts the engine's words.
fn refused(repository: &str, words: String) -> PushError {
    let repository = repository.to_owned();
    let says = |signs: &[&str]| signs.iter().any(|sign| words.contains(sign));
    if says(&["HTTP response to HTTPS client", "first record does not look like a TLS handshake"]) {
        return PushError::WantsTls { repository };
    }
    if says(&[
        "unauthorized",
        "denied",
        "no basic auth credentials",
        "authentication required",
        "403 Forbidden",
    ]) {
        return PushError::Unauthorized { repository, words };
    }
    if says(&["connection refused", "no such host", "i/o timeout", "no route to host", "dial tcp", "EOF"]) {
        return PushError::Unreachable { repository, words };
    }
    PushError::Failed { repository, words }
}

/// `v3: digest: sha256:… size: 1234`, as engines say it that send no structured result.
fn digest_in(status: &str) -> Option<String> {
    let (_, rest) = status.split_once("digest: ")?;
    rest.split_whitespace().next().filter(|digest| digest.starts_with("sha256:")).map(str::to_owned)
}

/// The header with which the engine logs in at the registry.
fn credentials(login: Option<&RegistryLogin>) -> SecretString {
    let json = match login {
        Some(login) => serde_json::json!({
            "username": login.username,
            "password": login.password.expose_secret(),
            "serveraddress": login.host,
        }),
        None => serde_json::json!({}),
    };
    BASE64.encode(json.to_string()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_say_what_to_do() {
        let say = |words: &str| refused("reg.example/blog", words.to_owned());
        assert!(matches!(
            say("denied: requested access to the resource is denied"),
            PushError::Unauthorized { .. }
        ));
        assert!(matches!(
            say("Get \"https://reg.example/v2/\": http: server gave HTTP response to HTTPS client"),
            PushError::WantsTls { .. }
        ));
        assert!(say("dial tcp 127.0.0.1:1: connect: connection refused").is_temporary());
        assert!(!say("unauthorized: authentication required").is_temporary());
    }

    #[test]
    fn a_digest_is_found_in_words() {
        assert_eq!(digest_in("v3: digest: sha256:abc size: 12"), Some("sha256:abc".to_owned()));
        assert_eq!(digest_in("Preparing"), None);
    }
}
