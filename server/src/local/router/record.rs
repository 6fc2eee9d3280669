//! One request on its way through, as a line of its app's log: written when the answer has ended, however it ends.

use std::fmt::Write;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::HOST;
use hyper::{HeaderMap, Request, Response, StatusCode};
use jiff::Timestamp;

use super::Shared;
use super::body::{BoxError, ProxyBody};
use super::headers::{FORWARDED_FOR, FORWARDED_PROTO, Origin, RequestId};
use super::pages::Problem;
use super::requests::Answered;
use crate::domain::names::AppName;

/// Characters of a path or a host that are told.
const LONGEST: usize = 2_000;

/// What is known of a request so far.
pub(super) struct Record {
    shared: Arc<Shared>,
    app: AppName,
    at: Timestamp,
    began: Instant,
    /// `method=GET path="/" host=… request_id=…`.
    asked: String,
    forwarded: String,
    protocol: String,
    backend: Option<SocketAddr>,
    connect: Duration,
    /// Heroku's code and words for an answer that is not the app's.
    problem: Option<(&'static str, &'static str)>,
    status: StatusCode,
    bytes: u64,
}

impl Record {
    pub(super) fn new(
        shared: &Arc<Shared>,
        origin: Origin,
        app: AppName,
        id: &RequestId,
        request: &Request<Incoming>,
    ) -> Self {
        let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        let (method, path, host) = (request.method(), quoted(path), short(host));
        Self {
            shared: Arc::clone(shared),
            app,
            at: Timestamp::now(),
            began: Instant::now(),
            asked: format!("method={method} path=\"{path}\" host={host} request_id={id}"),
            forwarded: origin.client.ip().to_canonical().to_string(),
            protocol: "http".to_owned(),
            backend: None,
            connect: Duration::ZERO,
            problem: None,
            status: StatusCode::OK,
            bytes: 0,
        }
    }

    pub(super) fn app(&self) -> &AppName {
        &self.app
    }

    /// The headers as the backend gets them.
    pub(super) fn sent_with(&mut self, headers: &HeaderMap) {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(quoted);
        if let Some(forwarded) = text(FORWARDED_FOR) {
            self.forwarded = forwarded;
        }
        if let Some(protocol) = text(FORWARDED_PROTO) {
            self.protocol = protocol;
        }
    }

    /// This backend took, or refused, the connection after so long.
    pub(super) fn connected(&mut self, backend: SocketAddr, after: Duration) {
        self.backend = Some(backend);
        self.connect = after;
    }

    pub(super) fn failed(&mut self, problem: &Problem) {
        self.problem = code(problem);
    }

    /// The answer, which carries the record with it to its end.
    pub(super) fn answer(mut self, response: Response<ProxyBody>) -> Response<ProxyBody> {
        self.status = response.status();
        response.map(|inner| Counted { inner, record: self }.boxed_unsync())
    }

    fn line(&self) -> (String, String) {
        let mut before = match self.problem {
            None => "at=info".to_owned(),
            Some((code, words)) => format!("at=error code={code} desc=\"{words}\""),
        };
        // Writing to a string cannot fail.
        let _ = write!(before, " {} fwd=\"{}\"", self.asked, self.forwarded);
        let service = self.began.elapsed().saturating_sub(self.connect);
        let after = format!(
            "connect={}ms service={}ms status={} bytes={} protocol={}",
            self.connect.as_millis(),
            service.as_millis(),
            self.status.as_u16(),
            self.bytes,
            self.protocol,
        );
        (before, after)
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let (before, after) = self.line();
        let (app, at, backend) = (self.app.clone(), self.at, self.backend);
        let millis = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let status = self.status.as_u16();
        self.shared.requests.add(Answered { number: 0, app, at, backend, before, after, status, millis });
    }
}

/// `None` where the request was none of an app's.
fn code(problem: &Problem) -> Option<(&'static str, &'static str)> {
    match problem {
        Problem::Refused => Some(("H21", "Backend connection refused")),
        Problem::Lost => Some(("H13", "Connection closed without response")),
        Problem::TimedOut => Some(("H12", "Request timeout")),
        Problem::Busy => Some(("H11", "Backlog too deep")),
        Problem::NoWebProcess(_) => Some(("H14", "No web processes running")),
        Problem::NoHost | Problem::OtherHost | Problem::NoSuchApp(_) | Problem::Connect => None,
    }
}

fn quoted(text: &str) -> String {
    let plain: String = text.chars().filter(|c| !c.is_control()).take(LONGEST).collect();
    if plain.contains('"') { plain.replace('"', "%22") } else { plain }
}

fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() && !c.is_whitespace()).take(LONGEST).collect()
}

/// A body whose bytes are counted.
struct Counted {
    inner: ProxyBody,
    record: Record,
}

impl Body for Counted {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        if let Some(bytes) = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()) {
            self.record.bytes += bytes.len() as u64;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
