//! What people read when the router itself answers.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};

use super::body::ProxyBody;
use super::headers::{REQUEST_ID, RequestId};

/// Why the router answers in an app's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Problem {
    /// The request named no host, or one that is no host name.
    NoHost,
    /// The host is not below a domain of the platform.
    OtherHost,
    NoSuchApp(String),
    NoWebProcess(String),
    /// Every backend is at its cap of requests.
    Busy,
    /// No backend accepted a connection.
    Refused,
    /// The connection broke before the answer.
    Lost,
    TimedOut,
    /// CONNECT, which is for forward proxies.
    Connect,
}

impl Problem {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::NoHost => StatusCode::BAD_REQUEST,
            Self::Connect => StatusCode::METHOD_NOT_ALLOWED,
            Self::OtherHost | Self::NoSuchApp(_) => StatusCode::NOT_FOUND,
            Self::NoWebProcess(_) | Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Refused | Self::Lost => StatusCode::BAD_GATEWAY,
            Self::TimedOut => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// A headline, and what it means and what to do.
    fn words(&self) -> (String, String) {
        match self {
            Self::NoHost => ("Which app?".into(), "The request names no host. Open http://<app>.localhost with the port of this address.".into()),
            Self::OtherHost => (
                "No app lives at this address".into(),
                "Apps are served at <app>.localhost and below the domains of this platform. `apps` lists them.".into(),
            ),
            Self::NoSuchApp(app) => (
                format!("There is no app called {app}"),
                "Check the name, or push a first release of it: `apps` lists what there is.".into(),
            ),
            Self::NoWebProcess(app) => (
                format!("{app} has no web process"),
                format!("Nothing of {app} answers requests. Declare `web:` in the Procfile, or start it with `ps:scale web=1`."),
            ),
            Self::Busy => ("The app is busy".into(), "Every web process has as many requests as it may have. Try again, or start more of them.".into()),
            Self::Refused => (
                "The app does not answer".into(),
                "Its web process accepted no connection. `ps` shows whether it runs, `logs` why it stopped.".into(),
            ),
            Self::Lost => (
                "The app hung up".into(),
                "Its web process closed the connection before it answered. `logs` shows what it wrote last.".into(),
            ),
            Self::TimedOut => ("The app took too long".into(), "Its web process did not begin to answer in time.".into()),
            Self::Connect => ("Not a forward proxy".into(), "This address serves apps; it does not open tunnels to others.".into()),
        }
    }

    /// The answer: HTML for who asks for it, else plain text.
    pub(super) fn page(&self, request: &HeaderMap, id: &RequestId) -> Response<ProxyBody> {
        let status = self.status();
        let (headline, text) = self.words();
        let html = request
            .get(ACCEPT)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|accept| accept.contains("text/html"));
        let (kind, body) = if html {
            ("text/html; charset=utf-8", page(status, &headline, &text, id))
        } else {
            ("text/plain; charset=utf-8", format!("{headline}\n{text}\nRequest {id}\n"))
        };
        let body = Full::new(Bytes::from(body)).map_err(|never| match never {}).boxed_unsync();
        let mut response = Response::new(body);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(REQUEST_ID, id.header());
        response
    }
}

fn page(status: StatusCode, headline: &str, text: &str, id: &RequestId) -> String {
    let (headline, text) = (escape(headline), escape(text));
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{headline}</title><style>body{{font:16px/1.5 system-ui,sans-serif;max-width:36rem;margin:15vh auto;padding:0 1rem}}\
         small{{color:#666}}</style></head>\n<body><h1>{headline}</h1><p>{text}</p><small>{code} · request {id}</small></body></html>\n",
        code = status.as_u16(),
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
