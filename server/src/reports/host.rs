//! How each host is told: a deployment with statuses at GitHub, a status of the commit at the others.

use std::time::Duration;

use reqwest::{Client, Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use url::form_urlencoded::byte_serialize;

use crate::crypto::CryptoError;
use crate::db::apps::App;
use crate::db::connections::Connection;
use crate::db::reports::Due;
use crate::domain::hook::{Access, Provider};
use crate::domain::names::AppName;
use crate::hooks::address::{Address, AddressError, Scheme};
use crate::hooks::github_app::{AppError, Place};
use crate::hooks::outgoing::{self, ClientError};
use crate::hooks::token_of;
use crate::platform::Platform;

/// For a host to take a report.
const ANSWER: Duration = Duration::from_secs(20);
/// What the hosts take of a description, in characters.
const LONGEST: usize = 140;
/// Bytes of an answer that are read.
const LARGEST: usize = 1024 * 1024;

/// What a GitHub App has to be given for all that is done at a repository.
const APP_RIGHTS: &str =
    "Deployments (read and write), and Checks and Commit statuses (read) where they are waited for";

/// Why a host was not told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReportError {
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error("{host} answers {status} with this token: it needs {right}")]
    Denied { host: String, status: StatusCode, right: &'static str },
    #[error(
        "{host} answers {status} to the platform's GitHub App: it needs the permissions {APP_RIGHTS}, in its settings \
         there, and who owns the repository has to accept them at the installation"
    )]
    AppDenied { host: String, status: StatusCode },
    #[error(transparent)]
    App(#[from] AppError),
    #[error("{host} answered {status}")]
    Refused { host: String, status: StatusCode },
    #[error("{0} answered with something else than its API does")]
    Garbled(String),
    #[error("{0} does not answer")]
    Unreachable(String),
    #[error("the certificates in SLIPWAY_HOOK_CA cannot be read")]
    Authorities,
    #[error("the token cannot be opened")]
    Crypto(#[from] CryptoError),
    #[error("the database does not answer")]
    Database(#[from] sqlx::Error),
}

impl ReportError {
    /// Whether a little later things may have changed by themselves.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Address(error) => matches!(error, AddressError::Unknown(_)),
            Self::App(error) => error.may_pass(),
            Self::Refused { .. } | Self::Garbled(_) | Self::Unreachable(_) | Self::Database(_) => true,
            Self::Denied { .. } | Self::AppDenied { .. } | Self::Authorities | Self::Crypto(_) => false,
        }
    }
}

impl From<ClientError> for ReportError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Address(error) => Self::Address(error),
            ClientError::Authorities => Self::Authorities,
        }
    }
}

/// A host's API, with what lets us in.
pub(crate) struct Host {
    pub(super) provider: Provider,
    pub(super) name: String,
    /// Without a slash at its end.
    base: String,
    /// `ada/blog`.
    pub(super) repository: String,
    way_in: WayIn,
    client: Client,
    platform: Platform,
}

enum WayIn {
    Token(SecretString),
    GithubApp(Place),
}

/// What is told.
pub(super) struct Report<'a> {
    pub(super) app: &'a AppName,
    pub(super) due: &'a Due,
    pub(super) text: &'a str,
    pub(super) environment_url: Option<&'a str>,
    /// The build's page.
    pub(super) log_url: &'a str,
}

/// One line on how a build stands.
pub(super) fn text(due: &Due) -> String {
    let number = due.number;
    let because = || due.reason.as_deref().and_then(|reason| reason.lines().next()).unwrap_or("see its log");
    let text = match (due.state.as_str(), due.version) {
        ("queued", _) => format!("Build {number} is waiting"),
        ("running", Some(version)) => format!("v{version} is being rolled out"),
        ("running", None) => format!("Build {number} is running"),
        ("success", Some(version)) => format!("v{version} is live"),
        ("failure" | "error", _) => format!("Build {number}: {}", because()),
        _ => format!("Build {number} was left: {}", because()),
    };
    text.chars().filter(|c| !c.is_control()).take(LONGEST).collect()
}

impl Host {
    pub(crate) async fn of(
        platform: &Platform,
        app: &App,
        connection: &Connection,
    ) -> Result<Self, ReportError> {
        let address = Address::parse(&connection.url)?;
        // Where git is spoken over SSH, the API is at the usual place.
        let port = if address.scheme == Scheme::Https { address.port } else { 443 };
        let (name, base) = api(connection.provider, &address.host, port);
        let hooks = &platform.settings.hooks;
        let client = outgoing::api_client(hooks, (&name, port), ANSWER).await?;
        let way_in = match connection.access {
            Access::Own => WayIn::Token(token_of(platform, app, connection)?.unwrap_or_default()),
            Access::GithubApp => {
                WayIn::GithubApp(Place::of(&hooks.github_app, connection.provider, &address)?)
            }
        };
        Ok(Self {
            provider: connection.provider,
            base,
            repository: address.path.trim_start_matches('/').trim_end_matches(".git").to_owned(),
            way_in,
            client,
            name,
            platform: platform.clone(),
        })
    }

    /// Tells it; what it calls the deployment, if it has just made one, which is then to be told of again.
    pub(super) async fn tell(&self, report: &Report<'_>) -> Result<Option<String>, ReportError> {
        match (self.provider, &report.due.remote) {
            (Provider::Github, None) => self.deployment(report).await.map(Some),
            (Provider::Github, Some(remote)) => self.deployment_status(report, remote).await.map(|()| None),
            _ => self.commit_status(report).await.map(|()| None),
        }
    }

    async fn deployment(&self, report: &Report<'_>) -> Result<String, ReportError> {
        let body = json!({
            "ref": report.due.commit, "environment": report.app, "description": report.text,
            "auto_merge": false, "required_contexts": [], "payload": { "build": report.due.number },
            // A review app's environment will be gone one day.
            "transient_environment": report.due.connected != report.due.app_id,
        });
        let path = format!("/repos/{}/deployments", self.repository);
        let made = self.post(&path, &body).await?;
        let refused = || ReportError::Refused { host: self.name.clone(), status: StatusCode::OK };
        made["id"].as_i64().map(|id| id.to_string()).ok_or_else(refused)
    }

    async fn deployment_status(&self, report: &Report<'_>, remote: &str) -> Result<(), ReportError> {
        let state = match report.due.state.as_str() {
            "running" => "in_progress",
            other => other,
        };
        let mut body = json!({ "state": state, "description": report.text, "auto_inactive": true, "log_url": report.log_url });
        if let Some(url) = report.environment_url {
            body["environment_url"] = json!(url);
        }
        let path = format!("/repos/{}/deployments/{remote}/statuses", self.repository);
        self.post(&path, &body).await.map(drop)
    }

    /// Tells that what was deployed is there no more; only GitHub has a word for it.
    pub(super) async fn retire(&self, remote: &str) -> Result<(), ReportError> {
        if self.provider != Provider::Github {
            return Ok(());
        }
        let path = format!("/repos/{}/deployments/{remote}/statuses", self.repository);
        let body = json!({ "state": "inactive", "description": "The review app is gone" });
        self.post(&path, &body).await.map(drop)
    }

    async fn commit_status(&self, report: &Report<'_>) -> Result<(), ReportError> {
        let Due { commit, state, .. } = report.due;
        let context = format!("slipway/{}", report.app);
        let (path, mut body) = if self.provider == Provider::Gitlab {
            let state = match state.as_str() {
                "queued" => "pending",
                "running" | "success" => state,
                "inactive" => "canceled",
                _ => "failed",
            };
            let project: String = byte_serialize(self.repository.as_bytes()).collect();
            (format!("/projects/{project}/statuses/{commit}"), json!({ "state": state, "name": context }))
        } else {
            let state = match state.as_str() {
                "queued" | "running" => "pending",
                "inactive" => "warning",
                other => other,
            };
            let path = format!("/repos/{}/statuses/{commit}", self.repository);
            (path, json!({ "state": state, "context": context }))
        };
        body["description"] = json!(report.text);
        body["target_url"] = json!(report.environment_url.unwrap_or(report.log_url));
        self.post(&path, &body).await.map(drop)
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Value, ReportError> {
        match self.call(Method::POST, path, Some(body)).await {
            // A transition that the host has had already, as GitLab puts it.
            Err(ReportError::Refused { status: StatusCode::BAD_REQUEST, .. })
                if self.provider == Provider::Gitlab =>
            {
                Ok(Value::Null)
            }
            other => other,
        }
    }

    pub(super) async fn get(&self, path: &str) -> Result<Value, ReportError> {
        self.call(Method::GET, path, None).await
    }

    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, ReportError> {
        let place = match &self.way_in {
            WayIn::Token(token) => return self.ask(method, path, body, token).await,
            WayIn::GithubApp(place) => place,
        };
        let (app, hooks) = (&self.platform.github_app, &self.platform.settings.hooks);
        let token = app.token(hooks, place).await?;
        match self.ask(method.clone(), path, body, &token).await {
            // It may have been revoked before its time, or be older than what it may do now.
            Err(ReportError::Denied { .. }) => app.forget(place, &token).await,
            other => return other,
        }
        let token = app.token(hooks, place).await?;
        match self.ask(method, path, body, &token).await {
            // A token that has just been made may not be known everywhere yet.
            Err(ReportError::Denied { host, status: StatusCode::UNAUTHORIZED, .. }) => {
                Err(AppError::NotLetIn(host).into())
            }
            Err(ReportError::Denied { host, status, .. }) => Err(ReportError::AppDenied { host, status }),
            other => other,
        }
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        token: &SecretString,
    ) -> Result<Value, ReportError> {
        let mut request = self
            .client
            .request(method, format!("{}{path}", self.base))
            .bearer_auth(token.expose_secret())
            .header("Accept", "application/json");
        if let Some(body) = body {
            request = request.json(body);
        }
        let unreachable = |_| ReportError::Unreachable(self.name.clone());
        let answer = request.send().await.map_err(unreachable)?;
        let status = answer.status();
        let host = self.name.clone();
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => {
                return Err(ReportError::Denied { host, status, right: right(self.provider) });
            }
            _ if status.is_success() => {}
            _ => return Err(ReportError::Refused { host, status }),
        }
        let bytes = outgoing::read(answer, LARGEST).await.map_err(unreachable)?;
        let bytes = bytes.ok_or(ReportError::Refused { host, status })?;
        Ok(serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }
}

/// The host of the API, and where it begins.
pub(crate) fn api(provider: Provider, host: &str, port: u16) -> (String, String) {
    let at = |path: &str| match port {
        443 => format!("https://{host}{path}"),
        port => format!("https://{host}:{port}{path}"),
    };
    match provider {
        Provider::Github if host == "github.com" => {
            ("api.github.com".to_owned(), "https://api.github.com".to_owned())
        }
        Provider::Github => (host.to_owned(), at("/api/v3")),
        Provider::Gitlab => (host.to_owned(), at("/api/v4")),
        Provider::Gitea | Provider::Forgejo | Provider::Generic => (host.to_owned(), at("/api/v1")),
    }
}

fn right(provider: Provider) -> &'static str {
    match provider {
        Provider::Github => {
            "the right to write deployments, and to read checks and commit statuses where they are waited for"
        }
        Provider::Gitlab => "the scope `api`, and the role of a developer",
        Provider::Gitea | Provider::Forgejo | Provider::Generic => "the scope `write:repository`",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{AppId, BuildId};

    fn due(state: &str, version: Option<i64>, reason: Option<&str>) -> Due {
        let app = AppId::new();
        Due {
            build: BuildId::new(),
            app_id: app,
            connected: app,
            number: 12,
            commit: "c".to_owned(),
            state: state.to_owned(),
            reason: reason.map(str::to_owned),
            version,
            remote: None,
            tries: 0,
        }
    }

    #[test]
    fn a_line_says_how_a_build_stands() {
        assert_eq!(text(&due("queued", None, None)), "Build 12 is waiting");
        assert_eq!(text(&due("success", Some(3), None)), "v3 is live");
        assert_eq!(text(&due("failure", None, Some("no Dockerfile\nmore"))), "Build 12: no Dockerfile");
        assert_eq!(
            text(&due("inactive", None, Some("superseded by build 13"))),
            "Build 12 was left: superseded by build 13"
        );
        assert_eq!(text(&due("failure", None, Some(&"x".repeat(500)))).chars().count(), LONGEST);
    }

    #[test]
    fn each_host_has_its_api_at_its_own_place() {
        assert_eq!(api(Provider::Github, "github.com", 443).1, "https://api.github.com");
        assert_eq!(api(Provider::Github, "git.example.com", 8443).1, "https://git.example.com:8443/api/v3");
        assert_eq!(api(Provider::Gitlab, "gitlab.com", 443).1, "https://gitlab.com/api/v4");
        assert_eq!(api(Provider::Forgejo, "codeberg.org", 443).1, "https://codeberg.org/api/v1");
    }
}
