//! Request bodies: JSON, whatever the content type says; an empty body is `{}`.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use serde::de::DeserializeOwned;

use super::error::ApiError;

/// The largest body of an API request, in bytes.
pub(super) const LARGEST_BODY: usize = 1024 * 1024;

/// A parsed body.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let bytes = Bytes::from_request(request, state).await.map_err(refusal)?;
        let text: &[u8] = if bytes.trim_ascii().is_empty() { b"{}" } else { &bytes };
        serde_json::from_slice(text).map(Self).map_err(|error| {
            ApiError::InvalidParams(format!(
                "the request's body is not the JSON that this path takes: {error}"
            ))
        })
    }
}

fn refusal(rejection: BytesRejection) -> ApiError {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        ApiError::TooLarge(format!("a request's body may have {LARGEST_BODY} bytes at most"))
    } else {
        ApiError::InvalidParams("the request's body ended too early: send it again".to_owned())
    }
}
