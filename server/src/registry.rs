//! The registry: digests verified, tags moved.
//!
//! Invariant: a digest never changes by our doing. A manifest is moved as the bytes that it came in, whatever its
//! media type.

mod copy;
pub(crate) mod found;
mod size;
#[cfg(test)]
pub(crate) mod testing;

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::errors::{OciDistributionError, OciErrorCode};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};
use secrecy::ExposeSecret;

use crate::target::RegistryLogin;

/// How long the registry may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long it may take to answer any question; none of ours moves more than a manifest.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Every kind of manifest that an image can have, so that registries convert nothing.
const MANIFESTS: [&str; 4] = [
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    OCI_MANIFEST,
    OCI_INDEX,
];
const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// One registry, as we reach it and as others do. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Registry {
    push_address: String,
    pull_address: String,
    login: Option<RegistryLogin>,
    is_plain: bool,
    client: Client,
}

/// How a registry is spoken to; one on loopback is always spoken to in the clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Https,
    Http,
}

/// What an image in the registry declares.
#[derive(Debug, Clone, Default, serde::Deserialize)]
pub(crate) struct ImageConfig {
    #[serde(rename = "Labels", default)]
    pub(crate) labels: Option<HashMap<String, String>>,
    #[serde(rename = "Entrypoint", default)]
    pub(crate) entrypoint: Option<Vec<String>>,
}

/// Why the registry did not do what was asked. No text of these holds a credential.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RegistryError {
    #[error("the registry has no {0}")]
    NotThere(String),
    #[error("the registry at {0} refused its credentials; check its user name and password in the settings")]
    Unauthorized(String),
    /// Worth another try.
    #[error("the registry at {host} does not answer: is it running, and is its address right?")]
    Unreachable {
        host: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("the registry at {host} refused {action}: {words}")]
    Refused { host: String, action: String, words: String },
}

impl RegistryError {
    /// Whether the same question can succeed without anybody changing something.
    pub(crate) fn is_temporary(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}

impl Registry {
    /// `push_address` is where this server and the builder reach the registry, `pull_address` where the machines do
    /// that run the apps: `host` or `host:port`.
    pub(crate) fn new(
        push_address: &str,
        pull_address: &str,
        login: Option<RegistryLogin>,
        scheme: Scheme,
    ) -> Self {
        let is_plain = scheme == Scheme::Http || is_loopback(push_address);
        let plain = if is_plain { vec![push_address.to_owned()] } else { Vec::new() };
        let client = Client::new(ClientConfig {
            protocol: ClientProtocol::HttpsExcept(plain),
            connect_timeout: Some(CONNECT_TIMEOUT),
            read_timeout: Some(ANSWER_TIMEOUT),
            user_agent: concat!("slipway/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        });
        let login = login.filter(|login| login.host == push_address);
        let (push_address, pull_address) = (push_address.to_owned(), pull_address.to_owned());
        Self { push_address, pull_address, login, is_plain, client }
    }

    /// Where this server and the builder reach it: `127.0.0.1:5000`.
    pub(crate) fn address(&self) -> &str {
        &self.push_address
    }

    /// Whether it is spoken to without TLS.
    pub(crate) fn is_plain(&self) -> bool {
        self.is_plain
    }

    /// The repository as the builder pushes to it: `127.0.0.1:5000/blog`.
    pub(crate) fn push_repository(&self, repository: &str) -> String {
        format!("{}/{repository}", self.push_address)
    }

    /// Where the machines reach it that run the apps.
    pub(crate) fn pull_address(&self) -> &str {
        &self.pull_address
    }

    /// Whether it is the registry at `host`, by either of its addresses.
    pub(crate) fn is_at(&self, host: &str) -> bool {
        host == self.push_address || host == self.pull_address
    }

    /// A registry of somebody else, of which no login is known.
    pub(crate) fn foreign(host: &str) -> Self {
        Self::new(host, host, None, Scheme::Https)
    }

    pub(crate) fn login(&self) -> Option<&RegistryLogin> {
        self.login.as_ref()
    }

    /// Whether the registry is there and takes our credentials.
    pub(crate) async fn ping(&self) -> Result<(), RegistryError> {
        // A question about an image that nobody has exercises the address, TLS and the credentials alike.
        self.digest_of("slipway/ping", "none").await.map(drop)
    }

    /// The digest behind a tag or digest; `None` if the registry does not have it.
    pub(crate) async fn digest_of(
        &self,
        repository: &str,
        reference: &str,
    ) -> Result<Option<String>, RegistryError> {
        let image = self.reference(repository, reference);
        let credentials = self.credentials();
        let asked = self.client.fetch_manifest_digest(&image, &credentials);
        match self.answered(asked, "to tell the digest", &image).await {
            Ok(digest) => Ok(Some(digest)),
            Err(RegistryError::NotThere(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) async fn exists(&self, repository: &str, digest: &str) -> Result<bool, RegistryError> {
        Ok(self.digest_of(repository, digest).await?.is_some())
    }

    /// What the image behind a digest declares.
    pub(crate) async fn config_of(
        &self,
        repository: &str,
        digest: &str,
    ) -> Result<ImageConfig, RegistryError> {
        #[derive(serde::Deserialize)]
        struct Image {
            #[serde(default)]
            config: ImageConfig,
        }
        let image = self.reference(repository, digest);
        let credentials = self.credentials();
        let pulled = self.client.pull_manifest_and_config(&image, &credentials);
        let (_, _, config) = self.answered(pulled, "the config", &image).await?;
        match serde_json::from_str::<Image>(&config) {
            Ok(image) => Ok(image.config),
            Err(error) => Err(RegistryError::Refused {
                host: self.push_address.clone(),
                action: format!("a readable config of {}", image.whole()),
                words: error.to_string(),
            }),
        }
    }

    /// Gives the image behind `digest` one more tag, or moves the tag to it.
    pub(crate) async fn tag(
        &self,
        repository: &str,
        digest: &str,
        new_tag: &str,
    ) -> Result<(), RegistryError> {
        let manifest = self.manifest(&self.reference(repository, digest)).await?;
        self.put(&self.reference(repository, new_tag), manifest).await
    }

    fn reference(&self, repository: &str, reference: &str) -> Reference {
        let (registry, repository) = (self.push_address.clone(), repository.to_owned());
        if reference.contains(':') {
            Reference::with_digest(registry, repository, reference.to_owned())
        } else {
            Reference::with_tag(registry, repository, reference.to_owned())
        }
    }

    fn credentials(&self) -> RegistryAuth {
        match &self.login {
            Some(login) => {
                RegistryAuth::Basic(login.username.clone(), login.password.expose_secret().to_owned())
            }
            None => RegistryAuth::Anonymous,
        }
    }

    async fn answered<T>(
        &self,
        question: impl Future<Output = oci_client::errors::Result<T>>,
        action: &str,
        image: &Reference,
    ) -> Result<T, RegistryError> {
        match tokio::time::timeout(ANSWER_TIMEOUT, question).await {
            Ok(answer) => answer.map_err(|error| self.explain(error, action, image)),
            Err(late) => {
                Err(RegistryError::Unreachable { host: self.push_address.clone(), source: late.into() })
            }
        }
    }

    fn explain(&self, error: OciDistributionError, action: &str, image: &Reference) -> RegistryError {
        let host = self.push_address.clone();
        let refused = |words: String| RegistryError::Refused {
            host: host.clone(),
            action: format!("{action} of {}", image.whole()),
            words,
        };
        match error {
            OciDistributionError::ImageManifestNotFoundError(_)
            | OciDistributionError::ServerError { code: 404, .. } => RegistryError::NotThere(image.whole()),
            OciDistributionError::UnauthorizedError { .. }
            | OciDistributionError::AuthenticationFailure(_)
            | OciDistributionError::ServerError { code: 401 | 403, .. } => RegistryError::Unauthorized(host),
            OciDistributionError::RegistryError { envelope, .. } => {
                let code = |wanted: &[OciErrorCode]| envelope.errors.iter().any(|e| wanted.contains(&e.code));
                if code(&[OciErrorCode::ManifestUnknown, OciErrorCode::NameUnknown, OciErrorCode::NotFound]) {
                    RegistryError::NotThere(image.whole())
                } else if code(&[OciErrorCode::Unauthorized, OciErrorCode::Denied]) {
                    RegistryError::Unauthorized(host)
                } else {
                    refused(envelope.to_string())
                }
            }
            OciDistributionError::RequestError(source) => {
                // Its URL can hold the token service's parameters; the host says enough.
                RegistryError::Unreachable { host, source: source.without_url().into() }
            }
            OciDistributionError::ServerError { code, .. } if code >= 500 => {
                RegistryError::Unreachable { host, source: format!("it answered {code}").into() }
            }
            other => refused(other.to_string()),
        }
    }
}

/// Whether the address is this machine's own: spoken to without TLS, as Docker does.
pub(crate) fn is_loopback(address: &str) -> bool {
    let host = match address.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() => host,
        _ => address,
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// What a manifest says it is. OCI lets it say nothing; then its shape tells.
fn media_type(manifest: &Bytes) -> String {
    #[derive(serde::Deserialize)]
    struct Shape {
        #[serde(rename = "mediaType")]
        media_type: Option<String>,
        manifests: Option<serde::de::IgnoredAny>,
    }
    match serde_json::from_slice::<Shape>(manifest) {
        Ok(Shape { media_type: Some(media_type), .. }) => media_type,
        Ok(Shape { manifests: Some(_), .. }) => OCI_INDEX.to_owned(),
        _ => OCI_MANIFEST.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;
    use wiremock::matchers::any;
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::*;
    use crate::docker::Engine;
    use crate::docker::push::{PushError, PushRequest};
    use crate::docker::testing;

    fn registry(address: &str, login: Option<RegistryLogin>) -> Registry {
        // A second call finds it installed already.
        drop(rustls::crypto::ring::default_provider().install_default());
        Registry::new(address, address, login, Scheme::Https)
    }

    /// Imports a tiny image of ours with `content` in it.
    async fn image(engine: &Engine, content: &str) -> String {
        use crate::docker::testing::{Given, Tree};
        let tree = Tree::new();
        let snapshot = tree
            .with(&[("Dockerfile", Given::File("FROM scratch\nCOPY f /\n")), ("f", Given::File(content))]);
        let (transcript, _text) = testing::recorder();
        engine.build(testing::request(snapshot), &transcript).await.unwrap().id
    }

    #[tokio::test]
    async fn a_pushed_image_is_found_by_its_digest_and_keeps_it_under_a_new_tag() {
        let (Some(engine), Some(address)) = (testing::engine().await, testing::registry()) else { return };
        let registry = registry(&address, None);
        registry.ping().await.unwrap();
        let name = format!("slipway-test/{}", uuid::Uuid::new_v4().simple());
        let request = PushRequest {
            image: image(&engine, &name).await,
            repository: registry.push_repository(&name),
            tag: "1a2b3c-1".into(),
            login: None,
            cancel: CancellationToken::new(),
        };
        assert_eq!(registry.digest_of(&name, "1a2b3c-1").await.unwrap(), None);

        let (transcript, text) = testing::recorder();
        let digest = engine.push(&request, &transcript).await.unwrap();
        assert_eq!(engine.push(&request, &transcript).await.unwrap(), digest);
        drop(transcript);
        let text = text.await.unwrap();
        assert!(text.contains(" pushed, ") && text.contains("1 layer already in the registry"), "{text}");

        assert_eq!(registry.digest_of(&name, "1a2b3c-1").await.unwrap().as_deref(), Some(digest.as_str()));
        assert!(registry.exists(&name, &digest).await.unwrap());
        registry.tag(&name, &digest, "v1").await.unwrap();
        assert_eq!(registry.digest_of(&name, "v1").await.unwrap().as_deref(), Some(digest.as_str()));

        let nobody = format!("sha256:{}", "0".repeat(64));
        assert!(!registry.exists(&name, &nobody).await.unwrap());
        let error = registry.tag(&name, &nobody, "v2").await.unwrap_err();
        assert!(matches!(error, RegistryError::NotThere(_)), "{error:?}");

        testing::remove_image(&engine, &format!("{}:1a2b3c-1", request.repository)).await;
        testing::remove_image(&engine, &request.image).await;
    }

    #[tokio::test]
    async fn a_push_to_nowhere_says_so() {
        let Some(engine) = testing::engine().await else { return };
        let request = PushRequest {
            image: image(&engine, "nowhere").await,
            repository: "127.0.0.1:1/x".into(),
            tag: "1".into(),
            login: None,
            cancel: CancellationToken::new(),
        };
        let (transcript, _text) = testing::recorder();
        let error = engine.push(&request, &transcript).await.unwrap_err();
        assert!(matches!(error, PushError::Unreachable { .. }) && error.is_temporary(), "{error:?}");
        testing::remove_image(&engine, "127.0.0.1:1/x:1").await;
        let missing = PushRequest { image: "slipway/nobody-has-this:1".into(), ..request };
        let error = engine.push(&missing, &transcript).await.unwrap_err();
        assert_eq!(error.to_string(), "the Docker engine has no image slipway/nobody-has-this:1");
    }

    #[tokio::test]
    async fn refusals_silence_and_credentials() {
        let error = registry("127.0.0.1:1", None).ping().await.unwrap_err();
        assert!(matches!(error, RegistryError::Unreachable { .. }), "{error:?}");

        let server = MockServer::start().await;
        Mock::given(any())
            .respond_with(ResponseTemplate::new(401).insert_header("WWW-Authenticate", "Basic realm=\"x\""))
            .mount(&server)
            .await;
        let address = server.address().to_string();
        let login = |host: &str| RegistryLogin {
            host: host.to_owned(),
            username: "deployer".into(),
            password: "hunter2".to_owned().into(),
        };
        let error = registry(&address, Some(login(&address))).ping().await.unwrap_err();
        assert!(matches!(error, RegistryError::Unauthorized(_)), "{error:?}");
        assert!(!format!("{error:?} {error}").contains("hunter2"));
        let sent = server.received_requests().await.unwrap();
        assert!(sent.iter().any(|request| request.headers.contains_key("authorization")));

        // Credentials go to their own host only.
        server.reset().await;
        assert!(registry(&address, Some(login("elsewhere.example"))).login().is_none());
    }

    #[test]
    fn loopback_is_known_in_every_spelling() {
        for here in ["localhost", "localhost:5000", "127.0.0.1:5000", "127.9.9.9", "[::1]:5000"] {
            assert!(is_loopback(here), "{here}");
        }
        for there in ["registry.example", "10.0.0.1:5000", "localhost.example:5000", "127.0.0.1.example"] {
            assert!(!is_loopback(there), "{there}");
        }
    }

    #[test]
    fn a_manifest_without_a_media_type_is_told_by_its_shape() {
        let told = |json: &str| media_type(&Bytes::from(json.to_owned()));
        assert_eq!(told(r#"{"mediaType":"x/y"}"#), "x/y");
        assert_eq!(told(r#"{"manifests":[]}"#), OCI_INDEX);
        assert_eq!(told(r#"{"config":{}}"#), OCI_MANIFEST);
    }

    #[tokio::test]
    async fn the_engine_understands_what_clearing_up_asks_for() {
        let Some(engine) = testing::engine().await else { return };
        // More than any disk holds: nothing may go, but the engine understands the question.
        engine.prune_build_cache(1 << 50).await.unwrap();
        engine.prune_images(24 * 365).await.unwrap();
    }
}
