//! The API as a verb sees it: over the network with a token, or in this process on behalf of a principal.

use std::pin::Pin;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tower::ServiceExt;
use url::Url;
use uuid::Uuid;

use crate::domain::access::Principal;
use crate::web::InProcess;
use crate::web::api::config_vars::RELEASE;
use crate::web::api::formation::CHANGE;
use crate::web::api::shapes::Refusal;

/// How long the server may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the server may take to begin to answer, and then to finish an answer that is no stream.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// A connection on which nothing moves is probed this often, so that a server that has vanished is noticed.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// The largest JSON that is read, in bytes.
const LARGEST_ANSWER: usize = 32 * 1024 * 1024;

/// Text as it arrives.
pub(super) type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes, ClientError>> + Send>>;

/// The two ways to the API.
#[derive(Clone)]
pub(crate) enum Client {
    Http(HttpClient),
    InProcess { api: Router, principal: Principal },
}

/// Over the network.
#[derive(Clone)]
pub(crate) struct HttpClient {
    base: Url,
    token: SecretString,
    http: reqwest::Client,
}

/// Why the API did not do as it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("{}", .0.message)]
    Refused(Refusal),
    #[error("{url} does not answer ({reason}): is `slipway serve` running, and is the address right?")]
    Unreachable { url: String, reason: String },
    #[error("the connection to the server broke: {0}")]
    Broken(String),
    #[error("the server's answer ({status}) is not the API's: is this the address of a Slipway server?")]
    Foreign { status: StatusCode },
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: ByteStream,
}

struct Call<'a> {
    method: Method,
    path: &'a str,
    range: Option<&'a str>,
    body: Option<Vec<u8>>,
}

impl Client {
    pub(crate) fn http(base: Url, token: SecretString) -> Result<Self, ClientError> {
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_keepalive(KEEPALIVE)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("slipway/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| ClientError::Broken(innermost(&error)))?;
        Ok(Self::Http(HttpClient { base, token, http }))
    }

    /// What a later verb needs to be let in again; nothing within this process.
    pub(super) fn credentials(&self) -> Option<(&Url, &SecretString)> {
        match self {
            Self::Http(client) => Some((&client.base, &client.token)),
            Self::InProcess { .. } => None,
        }
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let answer = self.call(Call { method: Method::GET, path, range: None, body: None }).await?;
        parsed(answer).await
    }

    /// The newest `max` rows of a list.
    pub(super) async fn newest<T: DeserializeOwned>(
        &self,
        path: &str,
        max: u16,
    ) -> Result<Vec<T>, ClientError> {
        self.newest_before(path, max, None).await
    }

    /// The newest `max` rows of a list before the one with that id.
    pub(super) async fn newest_before<T: DeserializeOwned>(
        &self,
        path: &str,
        max: u16,
        before: Option<Uuid>,
    ) -> Result<Vec<T>, ClientError> {
        let first = before.map(|id| format!("]{id}")).unwrap_or_default();
        let range = format!("id {first}..; max={max}, order=desc");
        let answer = self.call(Call { method: Method::GET, path, range: Some(&range), body: None }).await?;
        parsed(answer).await
    }

    pub(super) async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).expect("invariant: the API's shapes are JSON");
        let answer = self.call(Call { method, path, range: None, body: Some(body) }).await?;
        parsed(answer).await
    }

    /// Changes config vars; the version of the release that it made, or `None` if nothing changed.
    pub(super) async fn change_config(
        &self,
        path: &str,
        changes: &impl Serialize,
    ) -> Result<Option<i64>, ClientError> {
        let body = serde_json::to_vec(changes).expect("invariant: the API's shapes are JSON");
        let answer = self.call(Call { method: Method::PATCH, path, range: None, body: Some(body) }).await?;
        let release = answer.headers.get(RELEASE).and_then(|value| value.to_str().ok()?.parse().ok());
        parsed::<serde_json::Value>(answer).await?;
        Ok(release)
    }

    /// Asks something of an app's processes; the id under which its end can be asked for.
    pub(super) async fn ask_change(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<String, ClientError> {
        let body = serde_json::to_vec(body).expect("invariant: the API's shapes are JSON");
        let answer = self.call(Call { method, path, range: None, body: Some(body) }).await?;
        let (status, id) = (answer.status, answer.headers.get(CHANGE).cloned());
        parsed::<serde_json::Value>(answer).await?;
        id.and_then(|id| id.to_str().ok().map(str::to_owned)).ok_or(ClientError::Foreign { status })
    }

    pub(super) async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let answer = self.call(Call { method: Method::DELETE, path, range: None, body: None }).await?;
        parsed(answer).await
    }

    /// Text that is printed as it comes.
    pub(super) async fn stream(&self, path: &str) -> Result<ByteStream, ClientError> {
        let answer = self.call(Call { method: Method::GET, path, range: None, body: None }).await?;
        if answer.status.is_success() { Ok(answer.body) } else { Err(refusal(answer).await) }
    }

    async fn call(&self, call: Call<'_>) -> Result<Answer, ClientError> {
        let answered = async {
            match self {
                Self::Http(client) => client.call(call).await,
                Self::InProcess { api, principal } => in_process(api, principal, call).await,
            }
        };
        tokio::time::timeout(ANSWER_TIMEOUT, answered).await.unwrap_or_else(|_| Err(too_slow()))
    }
}

impl HttpClient {
    pub(super) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let url = format!("{}{path}", self.base.as_str().trim_end_matches('/'));
        self.http
            .request(method, url)
            .bearer_auth(self.token.expose_secret())
            .header(header::ACCEPT, "application/vnd.heroku+json; version=3")
    }

    pub(super) async fn sent(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<reqwest::Response, ClientError> {
        request.send().await.map_err(|error| ClientError::Unreachable {
            url: self.base.origin().ascii_serialization(),
            reason: innermost(&error),
        })
    }

    async fn call(&self, call: Call<'_>) -> Result<Answer, ClientError> {
        let mut request = self.request(call.method, call.path);
        if let Some(range) = call.range {
            request = request.header(header::RANGE, range);
        }
        if let Some(body) = call.body {
            request = request.header(header::CONTENT_TYPE, "application/json").body(body);
        }
        Ok(answer_of(self.sent(request).await?))
    }

    /// What a response that is no success says.
    pub(super) async fn refused(&self, response: reqwest::Response) -> ClientError {
        refusal(answer_of(response)).await
    }
}

fn answer_of(response: reqwest::Response) -> Answer {
    Answer {
        status: response.status(),
        headers: response.headers().clone(),
        body: response.bytes_stream().map_err(|error| ClientError::Broken(innermost(&error))).boxed(),
    }
}

async fn in_process(api: &Router, principal: &Principal, call: Call<'_>) -> Result<Answer, ClientError> {
    let mut request = Request::builder().method(call.method).uri(call.path);
    if let Some(range) = call.range {
        request = request.header(header::RANGE, range);
    }
    let request = request
        .extension(InProcess(principal.clone()))
        .body(call.body.map_or_else(Body::empty, Body::from))
        .map_err(|error| ClientError::Broken(error.to_string()))?;
    let response = api.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
    Ok(answer_in_process(response))
}

fn answer_in_process(response: axum::response::Response) -> Answer {
    let (parts, body) = response.into_parts();
    let body = body.into_data_stream().map_err(|error| ClientError::Broken(innermost(&error))).boxed();
    Answer { status: parts.status, headers: parts.headers, body }
}

/// What a response of this process that is no success says.
pub(super) async fn refused(response: axum::response::Response) -> ClientError {
    refusal(answer_in_process(response)).await
}

async fn parsed<T: DeserializeOwned>(answer: Answer) -> Result<T, ClientError> {
    if !answer.status.is_success() {
        return Err(refusal(answer).await);
    }
    let status = answer.status;
    serde_json::from_slice(&whole(answer.body).await?).map_err(|_| ClientError::Foreign { status })
}

async fn refusal(answer: Answer) -> ClientError {
    let status = answer.status;
    let json = answer
        .headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/json"));
    match whole(answer.body).await {
        Err(error) => error,
        Ok(text) if json => {
            serde_json::from_slice(&text).map_or(ClientError::Foreign { status }, ClientError::Refused)
        }
        Ok(_) => ClientError::Foreign { status },
    }
}

async fn whole(mut body: ByteStream) -> Result<Vec<u8>, ClientError> {
    let read = async {
        let mut text = Vec::new();
        while let Some(chunk) = body.try_next().await? {
            if text.len() + chunk.len() > LARGEST_ANSWER {
                return Err(ClientError::Broken(format!("the answer has more than {LARGEST_ANSWER} bytes")));
            }
            text.extend_from_slice(&chunk);
        }
        Ok(text)
    };
    tokio::time::timeout(ANSWER_TIMEOUT, read).await.unwrap_or_else(|_| Err(too_slow()))
}

fn too_slow() -> ClientError {
    ClientError::Broken(format!("no answer within {} seconds", ANSWER_TIMEOUT.as_secs()))
}

/// The cause at the bottom: `Connection refused` says more than what wraps it.
pub(super) fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// A path from segments that may hold anything.
pub(super) fn path(segments: &[&str]) -> String {
    let mut url = Url::parse("http://api/").expect("invariant: a constant address");
    if let Ok(mut parts) = url.path_segments_mut() {
        parts.clear().extend(segments);
    }
    url.path().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_cannot_leave_their_place() {
        assert_eq!(path(&["apps", "blog"]), "/apps/blog");
        assert_eq!(path(&["account", "keys", "SHA256:a/b?c"]), "/account/keys/SHA256:a%2Fb%3Fc");
    }
}
