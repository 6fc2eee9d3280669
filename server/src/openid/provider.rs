//! The provider at the wire: what it says of itself (OpenID Connect Discovery 1.0), its keys, the exchange of a code
//! for tokens, and its answer about somebody.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use reqwest::{Certificate, Client, RequestBuilder, StatusCode, header};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::{Url, form_urlencoded};

use super::token::{Address, Key};
use super::{Email, SignInError};
use crate::config::OpenIdSettings;

/// For the provider to answer one request.
const ANSWER: Duration = Duration::from_secs(10);
/// Bytes of an answer that are read.
const LARGEST: usize = 512 * 1024;
/// How long what the provider says of itself is believed without asking again.
const KNOWN_FOR: Duration = Duration::from_secs(3600);

pub(super) struct Provider {
    issuer: String,
    client: String,
    secret: Option<SecretString>,
    authorities: Option<PathBuf>,
    /// Where it sends browsers back to.
    back: String,
    known: Mutex<Option<Arc<Known>>>,
}

/// What it says of itself.
pub(super) struct Known {
    authorization: Url,
    token: Url,
    userinfo: Option<Url>,
    /// Whether the secret goes into the head of a request.
    by_header: bool,
    pub(super) keys: Vec<Key>,
    http: Client,
    asked: Instant,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    userinfo_endpoint: Option<String>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
pub(super) struct Tokens {
    pub(super) id_token: String,
    access_token: Option<String>,
}

#[derive(Deserialize)]
struct Refused {
    error: String,
}

#[derive(Deserialize)]
struct Person {
    sub: String,
    #[serde(flatten)]
    address: Address,
}

impl Provider {
    /// `None` unless the settings name one; `check` has refused half of one.
    pub(super) fn new(settings: &OpenIdSettings, back: String) -> Option<Self> {
        Some(Self {
            issuer: settings.issuer.clone()?,
            client: settings.client_id.clone()?,
            secret: settings.client_secret().ok()?,
            authorities: settings.authorities.clone(),
            back,
            known: Mutex::default(),
        })
    }

    pub(super) fn issuer(&self) -> &str {
        &self.issuer
    }

    pub(super) fn client(&self) -> &str {
        &self.client
    }

    /// What it says of itself, asked for at most once an hour.
    pub(super) async fn known(&self) -> anyhow::Result<Arc<Known>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match known.filter(|known| known.asked.elapsed() < KNOWN_FOR) {
            Some(known) => Ok(known),
            None => self.renew().await,
        }
    }

    /// What it says of itself now.
    pub(super) async fn renew(&self) -> anyhow::Result<Arc<Known>> {
        let asked = Instant::now();
        let http = self.http().await?;
        let place = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let metadata: Metadata = good(http.get(&place)).await.with_context(|| format!("asking {place}"))?;
        ensure!(
            metadata.issuer == self.issuer,
            "it calls itself `{}`, and SLIPWAY_OIDC_ISSUER is `{}`: set that to the former, letter by letter",
            metadata.issuer,
            self.issuer
        );
        let keys = endpoint(&metadata.jwks_uri)?;
        let set: KeySet = good(http.get(keys)).await.context("asking for its keys")?;
        // Keys of kinds that we do not know are none for us.
        let keys = set.keys.into_iter().filter_map(|key| serde_json::from_value(key).ok()).collect();
        let methods = metadata.token_endpoint_auth_methods_supported;
        let known = Arc::new(Known {
            authorization: endpoint(&metadata.authorization_endpoint)?,
            token: endpoint(&metadata.token_endpoint)?,
            userinfo: metadata.userinfo_endpoint.as_deref().map(endpoint).transpose()?,
            // The way that is meant where nothing is said.
            by_header: methods.is_none_or(|methods| methods.iter().any(|way| way == "client_secret_basic")),
            keys,
            http,
            asked,
        });
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&known));
        Ok(known)
    }

    async fn http(&self) -> anyhow::Result<Client> {
        let mut client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(ANSWER)
            .user_agent(concat!("slipway/", env!("CARGO_PKG_VERSION")));
        if let Some(path) = &self.authorities {
            let unreadable =
                || format!("the certificates in {} (SLIPWAY_OIDC_CA) cannot be read", path.display());
            let pem = tokio::fs::read(path).await.with_context(unreadable)?;
            client = client.tls_certs_merge(Certificate::from_pem_bundle(&pem).with_context(unreadable)?);
        }
        Ok(client.build()?)
    }

    /// Where a browser asks for somebody to be named to us.
    pub(super) fn address(&self, known: &Known, about: &[(&str, &str)]) -> Url {
        let mut to = known.authorization.clone();
        to.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.client)
            .append_pair("redirect_uri", &self.back)
            .append_pair("scope", "openid email")
            .extend_pairs(about);
        to
    }

    /// Exchanges a code for tokens; nobody can who has not the verifier.
    pub(super) async fn redeem(
        &self,
        known: &Known,
        code: &str,
        verifier: &str,
    ) -> Result<Tokens, SignInError> {
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &self.back),
            ("code_verifier", verifier),
        ];
        let mut request = known.http.post(known.token.clone());
        match &self.secret {
            Some(secret) if known.by_header => {
                request = request.header(header::AUTHORIZATION, self.basic(secret));
            }
            secret => {
                fields.push(("client_id", &self.client));
                fields.extend(secret.as_ref().map(|secret| ("client_secret", secret.expose_secret())));
            }
        }
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = request
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT, "application/json")
            .body(form);
        let (status, bytes) = sent(request).await.map_err(SignInError::Away)?;
        if status.is_success() {
            let tokens = serde_json::from_slice(&bytes).context("its answer to a code has no ID token");
            return tokens.map_err(SignInError::Away);
        }
        match serde_json::from_slice::<Refused>(&bytes) {
            // The code was used already, or is none of its.
            Ok(refused) if refused.error == "invalid_grant" => Err(SignInError::Stale),
            Ok(refused) => Err(SignInError::Away(anyhow::anyhow!(
                "it refused a code with `{}` ({status}): look at SLIPWAY_OIDC_CLIENT_ID and its secret",
                refused.error.chars().filter(|c| !c.is_control()).take(60).collect::<String>()
            ))),
            Err(_) => Err(SignInError::Away(anyhow::anyhow!("it answered {status} to a code"))),
        }
    }

    /// Name and secret, each encoded as in a form (RFC 6749, section 2.3.1).
    fn basic(&self, secret: &SecretString) -> String {
        let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let pair = format!("{}:{}", encoded(&self.client), encoded(secret.expose_secret()));
        format!("Basic {}", BASE64_STANDARD.encode(pair))
    }

    /// The e-mail address of `subject`, where the ID token has none.
    pub(super) async fn email(
        &self,
        known: &Known,
        tokens: &Tokens,
        subject: &str,
    ) -> anyhow::Result<Option<Email>> {
        let (Some(place), Some(token)) = (&known.userinfo, &tokens.access_token) else {
            return Ok(None);
        };
        let request = known.http.get(place.clone()).bearer_auth(token);
        let person: Person = good(request).await.context("asking it about somebody")?;
        // Section 5.3.2: else it may be about somebody else.
        ensure!(person.sub == subject, "its answer about somebody is about somebody else");
        Ok(person.address.email())
    }
}

/// An address that it names.
fn endpoint(text: &str) -> anyhow::Result<Url> {
    let url = Url::parse(text).ok().filter(OpenIdSettings::is_safe);
    url.with_context(|| format!("`{text}`, which it names, is no address over https"))
}

/// A good answer, as JSON.
async fn good<T: DeserializeOwned>(request: RequestBuilder) -> anyhow::Result<T> {
    let (status, bytes) = sent(request.header(header::ACCEPT, "application/json")).await?;
    if !status.is_success() {
        bail!("it answered {status}");
    }
    serde_json::from_slice(&bytes).context("its answer is not what OpenID Connect says")
}

async fn sent(request: RequestBuilder) -> anyhow::Result<(StatusCode, Vec<u8>)> {
    let mut answer = request.send().await?;
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        bytes.extend_from_slice(&chunk);
        ensure!(bytes.len() <= LARGEST, "its answer has more than {LARGEST} bytes");
    }
    Ok((answer.status(), bytes))
}
