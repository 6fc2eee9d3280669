//! Who looks at the page, and whether they may: before any handler runs.
//!
//! Invariant: a form is taken only if the browser says that a page of this very host sent it, and if it carries the
//! signature that only pages shown to this browser have. Who may do what, the API's admission asks the one authorise
//! function.

use std::net::IpAddr;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use subtle::ConstantTimeEq;
use url::{Url, form_urlencoded};

use super::Ui;
use super::cookie::{Jar, Line, signature};
use super::page::Failure;
use crate::db::sessions;
use crate::domain::access::Principal;
use crate::domain::ids::WebSessionId;
use crate::domain::token;
use crate::web::admission::{Access, authorised, path_name};
use crate::web::error::ApiError;
use crate::web::tls::Peer;

/// The largest form, in bytes: an SSH key of the largest kind fits.
pub(super) const LARGEST_FORM: usize = 64 * 1024;

/// How a request came here.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    pub(super) address: IpAddr,
    pub(super) line: Line,
}

/// Somebody who is signed in.
#[derive(Debug, Clone)]
pub(super) struct Visitor {
    pub(super) session: WebSessionId,
    pub(super) principal: Principal,
    /// What the forms that they are shown carry.
    pub(super) signature: String,
}

/// Middleware of one route.
pub(super) async fn admit(
    State((ui, access)): State<(Ui, Access)>,
    request: Request,
    next: Next,
) -> Response {
    let back = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
    let is_read = request.method() == Method::GET;
    match admitted(&ui, access, request).await {
        Ok(request) => next.run(request).await,
        Err(ApiError::Unauthorized(_)) => {
            // A form that came too late is not sent again by itself.
            let back = if is_read { back } else { "/ui/apps".to_owned() };
            let to: String = form_urlencoded::byte_serialize(back.as_bytes()).collect();
            Redirect::to(&format!("/ui/sign-in?next={to}")).into_response()
        }
        Err(refusal) => Failure(refusal).into_response(),
    }
}

async fn admitted(ui: &Ui, access: Access, request: Request) -> Result<Request, ApiError> {
    let (mut parts, body) = request.into_parts();
    let way = way(ui, &parts)?;
    let cookie = Jar::Session.read(way.line, &parts.headers);
    let visitor = match &cookie {
        Some(cookie) => visitor(ui, cookie).await?,
        None => None,
    };
    if access != Access::Public && visitor.is_none() {
        return Err(ApiError::Unauthorized("sign in first".to_owned()));
    }
    let body = match parts.method == Method::POST {
        true => signed(ui, &parts, way, visitor.as_ref(), body).await?,
        false => body,
    };
    if let Some(visitor) = visitor {
        if access != Access::Public {
            let named = path_name(&mut parts, access).await;
            authorised(&ui.web, access, visitor.principal.clone(), (&mut parts, &named)).await?;
        }
        parts.extensions.insert(visitor);
    }
    parts.extensions.insert(way);
    Ok(Request::from_parts(parts, body))
}

fn way(ui: &Ui, parts: &Parts) -> Result<Way, ApiError> {
    let peer = parts.extensions.get::<Peer>().copied();
    let peer =
        peer.ok_or_else(|| ApiError::Internal(anyhow::anyhow!("the connection has not introduced itself")))?;
    let address = ui.web.gate.origin(peer, &parts.headers)?;
    let line = match ui.web.gate.is_encrypted(peer, &parts.headers) {
        true => Line::Encrypted,
        false => Line::Loopback,
    };
    Ok(Way { address, line })
}

async fn visitor(ui: &Ui, cookie: &str) -> Result<Option<Visitor>, ApiError> {
    let Some(hash) = token::hash(cookie) else { return Ok(None) };
    let found = sessions::visitor(&mut *ui.web.platform.pool.acquire().await?, &hash).await?;
    Ok(found.map(|(session, principal)| Visitor { session, principal, signature: signature(cookie) }))
}

/// The form, if a page of ours that was shown to this browser sent it.
async fn signed(
    ui: &Ui,
    parts: &Parts,
    way: Way,
    visitor: Option<&Visitor>,
    body: Body,
) -> Result<Body, ApiError> {
    if !is_from_here(&parts.headers, ui.web.platform.settings.http.public_url.as_ref()) {
        return Err(forged());
    }
    let bytes = axum::body::to_bytes(body, LARGEST_FORM)
        .await
        .map_err(|_| ApiError::TooLarge(format!("a form may have {LARGEST_FORM} bytes at most")))?;
    let expected = match visitor {
        Some(visitor) => Some(visitor.signature.clone()),
        None => Jar::Form.read(way.line, &parts.headers).map(|cookie| signature(&cookie)),
    };
    let sent = form_urlencoded::parse(&bytes).find(|(name, _)| name == "csrf").map(|(_, value)| value);
    match (expected, sent) {
        (Some(expected), Some(sent)) if bool::from(expected.as_bytes().ct_eq(sent.as_bytes())) => {
            Ok(bytes.into())
        }
        _ => Err(forged()),
    }
}

/// Browsers say where a form was sent from. One that says neither is none that we know.
fn is_from_here(headers: &HeaderMap, public_url: Option<&Url>) -> bool {
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin") {
        return false;
    }
    let Some(origin) = text(header::ORIGIN) else {
        return headers.contains_key("sec-fetch-site");
    };
    let ours = || text(header::HOST).is_some_and(|host| strip_scheme(origin) == Some(host));
    // A proxy may have another name for us than people have.
    let public = || public_url.is_some_and(|url| url.origin().ascii_serialization() == origin);
    ours() || public()
}

fn strip_scheme(origin: &str) -> Option<&str> {
    origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"))
}

fn forged() -> ApiError {
    ApiError::Refused(
        "this form did not come from a page that Slipway has shown to you, or you have signed in anew since: go back, \
         reload the page and try again"
            .to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn forms_come_from_pages_of_this_host() {
        let public: Url = "https://slipway.example.com/".parse().unwrap();
        for (sent, expected) in [
            (headers(&[("host", "localhost:7080"), ("origin", "http://localhost:7080")]), true),
            (headers(&[("host", "10.0.0.7:7080"), ("origin", "https://slipway.example.com")]), true),
            (headers(&[("host", "localhost:7080"), ("origin", "http://localhost:9999")]), false),
            (headers(&[("host", "localhost:7080"), ("origin", "null")]), false),
            (headers(&[("host", "localhost:7080")]), false),
            (headers(&[("host", "localhost:7080"), ("sec-fetch-site", "same-origin")]), true),
            (headers(&[("host", "localhost:7080"), ("sec-fetch-site", "same-site")]), false),
        ] {
            assert_eq!(is_from_here(&sent, Some(&public)), expected, "{sent:?}");
        }
    }
}
