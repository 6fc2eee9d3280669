//! What GitHub is asked with the App's own signature: where it is installed, and for a token.

use std::time::Duration;

use jiff::fmt::rfc2822;
use jiff::{SignedDuration, Timestamp};
use reqwest::header::DATE;
use reqwest::{Client, Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};

use super::cache::Token;
use super::fault::Page;
use super::{AppError, Place};
use crate::config::HookSettings;
use crate::domain::hook::Provider;
use crate::hooks::outgoing;
use crate::reports::host::api;

/// For an answer.
const ANSWER: Duration = Duration::from_secs(20);
/// Bytes of an answer that are read.
const LARGEST: usize = 256 * 1024;
/// Letters of the address of the App's page.
const LONGEST: usize = 200;
/// What our clock may differ before that is why a signature is not taken.
const CLOCK: SignedDuration = SignedDuration::from_secs(45);

/// What a token may do: what fetching, deployments, checks and pull requests take. Of these, what an installation was
/// not given is not asked for, since that would be refused as a whole.
const PERMISSIONS: [(&str, &str); 5] = [
    ("contents", "read"),
    ("deployments", "write"),
    ("checks", "read"),
    ("statuses", "read"),
    ("pull_requests", "read"),
];

/// The API of the host where the App is, with what says who asks.
pub(super) struct Api {
    client: Client,
    /// Without a slash at its end.
    base: String,
    name: String,
    signed: SecretString,
}

/// An installation of the App.
pub(super) struct Installation {
    id: i64,
    permissions: Map<String, Value>,
}

struct Answer {
    status: StatusCode,
    /// What the host's clock said.
    date: Option<Timestamp>,
    body: Value,
}

impl Api {
    pub(super) async fn of(
        settings: &HookSettings,
        place: &Place,
        signed: SecretString,
    ) -> Result<Self, AppError> {
        let (name, base) = api(Provider::Github, &place.host, place.port);
        let client = outgoing::api_client(settings, (&name, place.port), ANSWER).await?;
        Ok(Self { client, base, name, signed })
    }

    /// The installation that has the repository.
    pub(super) async fn installation(&self, place: &Place) -> Result<Installation, AppError> {
        let repository = place.repository();
        let answer = self.ask(Method::GET, &format!("/repos/{repository}/installation"), None).await?;
        match answer.status {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => {
                return Err(AppError::NotInstalled { repository, page: self.page().await? });
            }
            _ => return Err(self.refused(&repository, &answer)),
        }
        if answer.body["suspended_at"].is_string() {
            return Err(AppError::Suspended(repository));
        }
        let known = answer.body["id"].as_i64().zip(answer.body["permissions"].as_object());
        let (id, permissions) = known.ok_or_else(|| AppError::Garbled(self.name.clone()))?;
        Ok(Installation { id, permissions: permissions.clone() })
    }

    /// A token for the repository alone.
    pub(super) async fn token(&self, place: &Place, installation: &Installation) -> Result<Token, AppError> {
        let repository = place.repository();
        let permissions = wanted(&installation.permissions);
        if !permissions.contains_key("contents") {
            return Err(AppError::NoContents(repository));
        }
        let path = format!("/app/installations/{}/access_tokens", installation.id);
        let body = json!({ "repositories": [place.name], "permissions": permissions });
        let answer = self.ask(Method::POST, &path, Some(&body)).await?;
        match answer.status {
            StatusCode::CREATED => self.made(&answer),
            // It was uninstalled, or the repository taken from it, in between.
            StatusCode::NOT_FOUND | StatusCode::UNPROCESSABLE_ENTITY => {
                Err(AppError::NotInstalled { repository, page: Page::default() })
            }
            StatusCode::FORBIDDEN if said(&answer).contains("suspended") => {
                Err(AppError::Suspended(repository))
            }
            _ => Err(self.refused(&repository, &answer)),
        }
    }

    /// The end is by the host's clock; what is left counts from now on by ours.
    fn made(&self, answer: &Answer) -> Result<Token, AppError> {
        let garbled = || AppError::Garbled(self.name.clone());
        let text = answer.body["token"].as_str().filter(|text| is_token(text)).ok_or_else(garbled)?;
        let end: Timestamp =
            answer.body["expires_at"].as_str().and_then(|end| end.parse().ok()).ok_or_else(garbled)?;
        let now = Timestamp::now();
        let left = end.duration_since(answer.date.unwrap_or(now));
        let until = now.checked_add(left).map_err(|_| garbled())?;
        Ok(Token { text: text.to_owned().into(), until })
    }

    /// Where the App is to be installed. That it cannot be said keeps nobody from the rest of the sentence.
    async fn page(&self) -> Result<Page, AppError> {
        let answer = self.ask(Method::GET, "/app", None).await?;
        if answer.status == StatusCode::UNAUTHORIZED {
            return Err(self.refused("", &answer));
        }
        let page = answer.body["html_url"].as_str();
        let plain = |page: &&str| {
            page.starts_with("https://")
                && page.len() <= LONGEST
                && page.chars().all(|c| c.is_ascii_graphic())
        };
        Ok(Page(page.filter(plain).map(|page| format!("{page}/installations/new"))))
    }

    /// Why an answer is none that helps.
    fn refused(&self, repository: &str, answer: &Answer) -> AppError {
        let host = self.name.clone();
        match answer.status {
            StatusCode::UNAUTHORIZED => match answer.date.map(|date| date.duration_since(Timestamp::now())) {
                Some(off) if off.abs() > CLOCK => AppError::Clock { host, seconds: off.abs().as_secs() },
                _ => AppError::Unknown(host),
            },
            status if status.is_redirection() => AppError::Moved(repository.to_owned()),
            status => AppError::Refused { host, status },
        }
    }

    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer, AppError> {
        let unreachable = || AppError::Unreachable(self.name.clone());
        let mut request = self
            .client
            .request(method, format!("{}{path}", self.base))
            .bearer_auth(self.signed.expose_secret())
            .header("Accept", "application/vnd.github+json");
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.map_err(|_| unreachable())?;
        let status = answer.status();
        let date = answer.headers().get(DATE).and_then(|date| date.to_str().ok());
        let date = date.and_then(|date| Some(rfc2822::parse(date).ok()?.timestamp()));
        let bytes = outgoing::read(answer, LARGEST).await.map_err(|_| unreachable())?;
        let bytes = bytes.ok_or_else(|| AppError::Garbled(self.name.clone()))?;
        Ok(Answer { status, date, body: serde_json::from_slice(&bytes).unwrap_or_default() })
    }
}

fn said(answer: &Answer) -> &str {
    answer.body["message"].as_str().unwrap_or_default()
}

/// It goes into a header.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic())
}

/// What is asked for of what was given.
fn wanted(given: &Map<String, Value>) -> Map<String, Value> {
    let has = |name: &str, right: &str| match given.get(name).and_then(Value::as_str) {
        Some("write" | "admin") => true,
        Some(given) => given == right,
        None => false,
    };
    PERMISSIONS
        .into_iter()
        .filter(|(name, right)| has(name, right))
        .map(|(name, right)| (name.to_owned(), right.into()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_asked_for_than_is_needed_and_was_given() {
        let given = |given: Value| Value::Object(wanted(given.as_object().expect("an object")));
        let all = json!({ "contents": "write", "metadata": "read", "deployments": "write", "checks": "read",
            "statuses": "write", "pull_requests": "read", "issues": "write" });
        assert_eq!(
            given(all),
            json!({ "contents": "read", "deployments": "write", "checks": "read", "statuses": "read", "pull_requests": "read" })
        );
        let little = json!({ "contents": "read", "deployments": "read" });
        assert_eq!(given(little), json!({ "contents": "read" }));
    }
}
