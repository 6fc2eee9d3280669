//! The one error of the HTTP doors, and the one place that turns it into a status, an id of Heroku's and a sentence.
//!
//! Invariant: what is ours to mend never reaches the user as text. It travels in the response's extensions to
//! [`super::request::identify`], which logs it once and shows the request's id instead.

use std::sync::Arc;

use axum::Json;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::api::shapes::Refusal;
use super::auth::NotAdmitted;
use crate::actions::ActionError;
use crate::db;
use crate::domain::access::Denied;
use crate::pipeline::source::SourceError;

/// PostgreSQL's codes for a text, and for JSON, with a NUL in it.
const NO_TEXT: [&str; 2] = ["22021", "22P05"];

/// Why a request was not served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// No credentials, or none that we know.
    #[error("{0}")]
    Unauthorized(String),
    /// The transport, too many bad tokens, a database that is away: the gate's own words.
    #[error(transparent)]
    NotAdmitted(#[from] NotAdmitted),
    #[error(transparent)]
    Denied(#[from] Denied),
    /// Whoever it is, not like this.
    #[error("{0}")]
    Refused(String),
    /// The thing asked for is not there; the text names it and the verb that lists its kind.
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    InvalidParams(String),
    /// The request is fine, but not while things are as they are.
    #[error("{0}")]
    Conflict(String),
    #[error("{0}")]
    InvalidRange(String),
    #[error("{0}")]
    TooLarge(String),
    /// The request did not come to its end in time.
    #[error("{0}")]
    Timeout(String),
    #[error("{0}")]
    MethodNotAllowed(String),
    /// Something outside of us is away; trying again later helps.
    #[error("{0}")]
    Unavailable(String),
    /// Ours to mend.
    #[error("internal error")]
    Internal(#[source] anyhow::Error),
}

/// What went wrong on our side, for the log.
#[derive(Debug, Clone)]
pub(super) struct Fault(pub(super) Arc<anyhow::Error>);

impl ApiError {
    pub(crate) fn invalid(error: impl std::fmt::Display) -> Self {
        Self::InvalidParams(error.to_string())
    }

    pub(super) fn status(&self) -> StatusCode {
        self.status_and_id().0
    }

    fn status_and_id(&self) -> (StatusCode, &'static str) {
        match self {
            Self::NotAdmitted(refused) => (refused.status(), gate_id(refused)),
            Self::Unauthorized(_) => (StatusCode::UNAUTHORIZED, "unauthorized"),
            Self::Refused(_) => (StatusCode::FORBIDDEN, "forbidden"),
            Self::Denied(Denied::Unknown) | Self::NotFound(_) => (StatusCode::NOT_FOUND, "not_found"),
            Self::Denied(Denied::RoleTooLow { .. } | Denied::AdminOnly) => {
                (StatusCode::FORBIDDEN, "forbidden")
            }
            Self::InvalidParams(_) => (StatusCode::UNPROCESSABLE_ENTITY, "invalid_params"),
            Self::Conflict(_) => (StatusCode::CONFLICT, "conflict"),
            Self::InvalidRange(_) => (StatusCode::RANGE_NOT_SATISFIABLE, "requested_range_not_satisfiable"),
            Self::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "request_too_large"),
            Self::Timeout(_) => (StatusCode::REQUEST_TIMEOUT, "request_timeout"),
            Self::MethodNotAllowed(_) => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            Self::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal_server_error"),
        }
    }
}

fn gate_id(refused: &NotAdmitted) -> &'static str {
    match refused {
        NotAdmitted::NoToken | NotAdmitted::BadToken => "unauthorized",
        NotAdmitted::TooMany(_) => "rate_limit",
        NotAdmitted::Unavailable => "unavailable",
        NotAdmitted::PlainHttp | NotAdmitted::StrangeProxy => "forbidden",
    }
}

impl From<sqlx::Error> for ApiError {
    fn from(error: sqlx::Error) -> Self {
        if db::is_away(&error) {
            return Self::Unavailable(
                "the platform's database does not answer: nothing was changed; try again in a moment"
                    .to_owned(),
            );
        }
        let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
        if code.is_some_and(|code| NO_TEXT.contains(&&*code)) {
            return Self::InvalidParams("text must not hold NUL characters: leave them out".to_owned());
        }
        Self::Internal(anyhow::Error::new(error).context("querying the database"))
    }
}

/// Middleware: what the framework refuses (a path that is no text, a query that does not parse) is refused as by us.
pub(super) async fn in_our_words(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let kind =
        response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let said = match response.status() {
        StatusCode::BAD_REQUEST if !kind.starts_with("application/json") => {
            "the path or the query is not as this address takes them: compare /openapi.json"
        }
        StatusCode::UPGRADE_REQUIRED => "this address is for WebSockets: send `Upgrade: websocket`",
        _ => return response,
    };
    let refusal = Refusal { id: "bad_request".to_owned(), message: said.to_owned(), url: None };
    (response.status(), Json(refusal)).into_response()
}

impl From<ActionError> for ApiError {
    fn from(error: ActionError) -> Self {
        match error {
            ActionError::Invalid(text) => Self::InvalidParams(text),
            ActionError::Conflict(text) => Self::Conflict(text),
            ActionError::NotFound(text) => Self::NotFound(text),
            ActionError::Unavailable(text) => Self::Unavailable(text),
            ActionError::Database(error) => error.into(),
            ActionError::Internal(error) => Self::Internal(error),
            ActionError::Crypto(error) => {
                Self::Internal(anyhow::Error::new(error).context("opening the app's config vars"))
            }
        }
    }
}

/// The commit is the one that was pushed last: another push mends it.
impl From<SourceError> for ApiError {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::Pushers(said) => Self::Conflict(said),
            SourceError::Ours(error) => Self::Internal(error),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, id) = self.status_and_id();
        let refusal = Refusal { id: id.to_owned(), message: self.to_string(), url: None };
        let mut response = (status, Json(refusal)).into_response();
        if let Self::Internal(fault) = self {
            response.extensions_mut().insert(Fault(Arc::new(fault)));
        }
        response
    }
}
