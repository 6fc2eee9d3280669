//! Building an image: BuildKit by way of the engine's own API, with a session of our own.
//!
//! Three connections would be two too many to lose track of, so here is who holds what: the session serves the
//! context and the secrets, the exchange carries the progress, and both belong to the future that `Engine::build`
//! returns. Dropping it closes them, and the engine then kills the running step.

mod authority;
mod context;
mod error;
mod excerpt;
mod progress;
mod select;
mod session;
#[cfg(test)]
mod tests;
mod title;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bollard_buildkit_proto::moby::buildkit::v1::StatusResponse;
use bytes::Bytes;
use prost::Message as _;
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub(super) use self::authority::bundle_with;
use self::context::{ContextServer, Sent, ServedInstructions};
pub(crate) use self::error::BuildError;
use self::error::{Place, classify};
use self::progress::Progress;
use self::session::{Served, Session};
use super::Engine;
use super::wire::Exchange;
use crate::git::snapshot::{EntryKind, Snapshot};
use crate::target::RegistryLogin;
use crate::transcript::Transcript;

/// Everything that a build depends on.
#[derive(Debug, Clone)]
pub(crate) struct BuildRequest {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) recipe: Recipe,
    /// Ids of `RUN --mount=type=secret,id=…` and what they hold. They enter neither the image nor its history.
    pub(crate) secrets: BTreeMap<String, SecretString>,
    /// Visible to everybody who has the image.
    pub(crate) build_args: BTreeMap<String, String>,
    pub(crate) labels: BTreeMap<String, String>,
    /// `repository:tag`; may be empty.
    pub(crate) tags: Vec<String>,
    pub(crate) cache: Cache,
    /// The network of the steps: `default`, `host` or `none`.
    pub(crate) network: &'static str,
    /// The stage to stop at; the last one if `None`.
    pub(crate) target: Option<String>,
    /// Certificates (PEM) to trust besides the usual ones, handed to builds as the secret `ca`.
    pub(crate) extra_ca: Option<Bytes>,
    /// How long the build may take.
    pub(crate) deadline: Duration,
    /// How long it may say nothing.
    pub(crate) idle_deadline: Duration,
    /// For pulling base images.
    pub(crate) logins: Vec<RegistryLogin>,
    pub(crate) cancel: CancellationToken,
}

/// The instructions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Recipe {
    /// A Dockerfile of the snapshot, by its path.
    InTree(String),
    /// A Dockerfile of ours; the snapshot need not have one.
    Written(Arc<str>),
}

/// Whether layers of earlier builds may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cache {
    Use,
    Ignore,
}

/// What a build made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BuiltImage {
    /// The engine's id.
    pub(crate) id: String,
    /// Files of the context that the engine did not have yet.
    pub(crate) sent_files: u64,
    pub(crate) sent_bytes: u64,
}

/// One message of the engine's answer.
#[derive(serde::Deserialize)]
struct Message {
    #[serde(default)]
    id: String,
    aux: Option<serde_json::Value>,
    #[serde(rename = "errorDetail")]
    error_detail: Option<ErrorDetail>,
    error: Option<String>,
    stream: Option<String>,
}

#[derive(serde::Deserialize)]
struct ErrorDetail {
    #[serde(default)]
    message: String,
}

impl Engine {
    /// Builds an image and writes what happens to `transcript`. Dropping the future stops the running step.
    pub(crate) async fn build(
        &self,
        request: BuildRequest,
        transcript: &Transcript,
    ) -> Result<BuiltImage, BuildError> {
        let (cancel, deadline) = (request.cancel.clone(), request.deadline);
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(BuildError::Cancelled),
            built = timeout(deadline, self.run_build(request, transcript)) => {
                built.unwrap_or(Err(BuildError::Deadline(deadline)))
            }
        }
    }

    async fn run_build(
        &self,
        request: BuildRequest,
        transcript: &Transcript,
    ) -> Result<BuiltImage, BuildError> {
        self.agree().await.map_err(BuildError::EngineLost)?;
        let recipe = Instructions::read(&request).await?;
        let sent = Arc::new(Sent::default());
        let served = Served {
            context: ContextServer {
                context: request.snapshot.clone(),
                instructions: match &request.recipe {
                    Recipe::InTree(_) => ServedInstructions::InFolder(recipe.folder.clone()),
                    Recipe::Written(text) => ServedInstructions::Written(text.clone()),
                },
                sent: sent.clone(),
            },
            secrets: authority::with_extra_ca(request.secrets.clone(), request.extra_ca.as_deref()).await,
            logins: request.logins.clone(),
            shared_key: shared_key(&request.snapshot.repository),
        };
        let starting = async {
            let session = Session::open(self, served).await?;
            let exchange = self.post(&path(&request, &recipe.name, &session.id), &[]).await?;
            Ok::<_, BuildError>((session, exchange))
        };
        let (_session, exchange) = timeout(request.idle_deadline, starting)
            .await
            .map_err(|_| BuildError::NoProgress(request.idle_deadline))??;
        let watched = Watched { recipe, sent, idle_deadline: request.idle_deadline, transcript };
        watched.follow(exchange).await
    }
}

/// The Dockerfile as the engine and our messages need it.
struct Instructions {
    /// The file's folder in the tree; empty for the root.
    folder: String,
    /// Its name there.
    name: String,
    /// As people know it: the path in the tree.
    shown: String,
    text: String,
}

impl Instructions {
    async fn read(request: &BuildRequest) -> Result<Self, BuildError> {
        let path = match &request.recipe {
            Recipe::InTree(path) => path,
            Recipe::Written(text) => {
                let name = context::WRITTEN.to_owned();
                let shown = "the buildpack's Dockerfile".to_owned();
                return Ok(Self { folder: String::new(), name, shown, text: text.to_string() });
            }
        };
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let text = read_text(request.snapshot.clone(), path.clone()).await?;
        Ok(Self { folder: folder.to_owned(), name: name.to_owned(), shown: path.clone(), text })
    }
}

/// The file's text; empty for a symlink, which the engine follows itself.
async fn read_text(snapshot: Arc<Snapshot>, path: String) -> Result<String, BuildError> {
    let reading = tokio::task::spawn_blocking(move || {
        let unreadable = |error| BuildError::Engine(format!("{path} cannot be read: {error}"));
        match select::find(&snapshot.entries, &path).map(|entry| &entry.kind) {
            None | Some(EntryKind::Folder) => Err(BuildError::NoDockerfile(path)),
            Some(EntryKind::Symlink { .. }) => Ok(String::new()),
            Some(EntryKind::File { .. }) => {
                let text = snapshot.read(&path).map_err(unreadable)?.unwrap_or_default();
                Ok(String::from_utf8_lossy(&text).into_owned())
            }
        }
    });
    reading.await.unwrap_or_else(|error| Err(BuildError::Engine(error.to_string())))
}

/// Contexts are compared within one repository only: nothing of one app's tree serves another's build.
fn shared_key(repository: &Path) -> String {
    hex::encode(Sha256::digest(format!("slipway context {}", repository.display())))
}

fn path(request: &BuildRequest, dockerfile: &str, session: &str) -> String {
    let json = |map: &BTreeMap<String, String>| serde_json::json!(map).to_string();
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("version", "2");
    query.append_pair("remote", "client-session");
    query.append_pair("session", session);
    query.append_pair("dockerfile", dockerfile);
    query.append_pair("buildargs", &json(&request.build_args));
    query.append_pair("labels", &json(&request.labels));
    query.append_pair("rm", "1");
    query.append_pair("networkmode", request.network);
    if request.cache == Cache::Ignore {
        query.append_pair("nocache", "1");
    }
    if let Some(target) = &request.target {
        query.append_pair("target", target);
    }
    for tag in &request.tags {
        query.append_pair("t", tag);
    }
    format!("/build?{}", query.finish())
}

/// A build under way.
struct Watched<'a> {
    recipe: Instructions,
    sent: Arc<Sent>,
    idle_deadline: Duration,
    transcript: &'a Transcript,
}

impl Watched<'_> {
    async fn follow(&self, mut exchange: Exchange) -> Result<BuiltImage, BuildError> {
        let mut progress = Progress::new(self.sent.clone());
        let mut id = None;
        loop {
            let message = timeout(self.idle_deadline, exchange.next::<Message>())
                .await
                .map_err(|_| BuildError::NoProgress(self.idle_deadline))??;
            let Some(message) = message else { break };
            if let Some(words) = last_words(&message) {
                self.say(progress.finish()).await;
                return Err(self.failure(&words, &progress).await);
            }
            match (message.id.as_str(), &message.aux) {
                ("moby.buildkit.trace", Some(aux)) => self.say(progress.read(&trace(aux)?)).await,
                ("moby.image.id", Some(aux)) => id = aux["ID"].as_str().map(str::to_owned),
                _ => self.say(message.stream.unwrap_or_default()).await,
            }
        }
        self.say(progress.finish()).await;
        let id = id.ok_or_else(|| BuildError::EngineLost("the answer ended without an image".into()))?;
        Ok(BuiltImage {
            id,
            sent_files: self.sent.files.load(Ordering::Relaxed),
            sent_bytes: self.sent.bytes.load(Ordering::Relaxed),
        })
    }

    async fn say(&self, text: String) {
        if !text.is_empty() {
            self.transcript.output(text.into()).await;
        }
    }

    /// Shows where in the Dockerfile it went wrong, and sorts the error.
    async fn failure(&self, words: &str, progress: &Progress) -> BuildError {
        let lines = match progress.failed() {
            Some(failed) => excerpt::of_step(&self.recipe.text, &failed.name),
            None => excerpt::named_in(words),
        };
        if let Some(lines) = lines {
            let excerpt = excerpt::around(&self.recipe.text, lines);
            self.say(format!("{}:{}\n{excerpt}", self.recipe.shown, lines.first)).await;
        }
        let place = Place(lines.map(|lines| (self.recipe.shown.clone(), lines.first)));
        let heredoc = words.contains("unknown instruction") && self.recipe.text.contains("<<");
        if heredoc {
            self.transcript.warn("Heredocs (<<EOF) need Docker Engine 23 or later.").await;
        }
        classify(words, progress.failed(), place)
    }
}

fn last_words(message: &Message) -> Option<String> {
    match (&message.error_detail, &message.error) {
        (Some(detail), _) if !detail.message.is_empty() => Some(detail.message.clone()),
        (_, Some(error)) => Some(error.clone()),
        (Some(_), None) => Some("the engine gave no reason".to_owned()),
        (None, None) => None,
    }
}

/// Decodes a status message: protobuf in base64.
fn trace(aux: &serde_json::Value) -> Result<StatusResponse, BuildError> {
    let lost = |error: Box<dyn std::error::Error + Send + Sync>| BuildError::EngineLost(error);
    let bytes = BASE64.decode(aux.as_str().unwrap_or_default()).map_err(|error| lost(error.into()))?;
    StatusResponse::decode(bytes.as_slice()).map_err(|error| lost(error.into()))
}
