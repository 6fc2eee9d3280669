//! ETags on JSON that was read: who asks again with `If-None-Match` gets 304 and no body.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use sha2::{Digest, Sha256};

/// Bigger answers go out without an ETag, in bytes. A page of 1000 releases has about half of this.
const LARGEST_TAGGED: u64 = 2 * 1024 * 1024;

/// Middleware: tags answers to GET whose whole text is at hand; streams pass untouched.
pub(super) async fn tag(request: Request, next: Next) -> Response {
    let wanted =
        (request.method() == Method::GET).then(|| request.headers().get(header::IF_NONE_MATCH).cloned());
    let response = next.run(request).await;
    match wanted {
        Some(known) if response.status().is_success() => tagged(response, known).await,
        _ => response,
    }
}

async fn tagged(response: Response, known: Option<HeaderValue>) -> Response {
    let whole = axum::body::HttpBody::size_hint(response.body()).exact().is_some_and(|n| n <= LARGEST_TAGGED);
    if !whole || !is_json(response.headers()) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    // A whole body in memory cannot fail to be read.
    let Ok(text) = body.collect().await.map(http_body_util::Collected::to_bytes) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let tag = format!("\"{}\"", &hex::encode(Sha256::digest(&text))[..32]);
    let same = known.as_ref().and_then(|known| known.to_str().ok()).is_some_and(|known| matches(known, &tag));
    if let Ok(value) = HeaderValue::try_from(tag) {
        parts.headers.insert(header::ETAG, value);
    }
    // Answers depend on who asks: no cache on the way may keep them.
    parts.headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    if same {
        parts.status = StatusCode::NOT_MODIFIED;
        parts.headers.remove(header::CONTENT_TYPE);
        parts.headers.remove(header::CONTENT_LENGTH);
        return Response::from_parts(parts, Body::empty());
    }
    Response::from_parts(parts, Body::from(text))
}

fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.starts_with("application/json"))
}

fn matches(known: &str, tag: &str) -> bool {
    known.split(',').map(str::trim).any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag)
}
