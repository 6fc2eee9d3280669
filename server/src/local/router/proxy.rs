//! One request: find its app, hand it to a backend, hand the answer back.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Incoming};
use hyper::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderValue};
use hyper::http::request::Parts;
use hyper::http::uri::PathAndQuery;
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response, StatusCode, Uri, Version};

use super::Shared;
use super::backend::{self, Failure};
use super::body::{Progress, ProxyBody, Watched};
use super::headers::{self, Origin, RequestId};
use super::pages::Problem;
use super::record::Record;
use super::table::{Lease, NoBackend};
use super::tunnel;
use crate::domain::names::AppName;

/// Answers a request, from the app or in its place.
pub(super) async fn handle(
    shared: Arc<Shared>,
    origin: Origin,
    request: Request<Incoming>,
) -> Response<ProxyBody> {
    let began = Instant::now();
    let id = RequestId::of(request.headers());
    let asked = request.headers().clone();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let (response, app) = match known_app(&shared, &request) {
        Ok(app) => {
            let mut record = Record::new(&shared, origin, app.clone(), &id, &request);
            let response =
                proxy(&shared, origin, &mut record, &id, request).await.unwrap_or_else(|problem| {
                    record.failed(&problem);
                    problem.page(&asked, &id)
                });
            (record.answer(response), Some(app))
        }
        Err(problem) => (problem.page(&asked, &id), None),
    };
    tracing::debug!(
        app = app.as_ref().map(AppName::as_str), %method, path, request.id = %id,
        status = response.status().as_u16(), ms = began.elapsed().as_millis(), "Answered",
    );
    finish(&shared, response)
}

fn known_app(shared: &Shared, request: &Request<Incoming>) -> Result<AppName, Problem> {
    let app = app_of(shared, request)?;
    if shared.table.knows(&app) { Ok(app) } else { Err(Problem::NoSuchApp(app.to_string())) }
}

/// A router that is being replaced closes each connection behind the answer, so that clients come to the new one.
fn finish(shared: &Shared, mut response: Response<ProxyBody>) -> Response<ProxyBody> {
    if shared.leaving.is_cancelled() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// The app that the request's host names.
fn app_of(shared: &Shared, request: &Request<Incoming>) -> Result<AppName, Problem> {
    if request.method() == Method::CONNECT {
        return Err(Problem::Connect);
    }
    let header = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let host = request.uri().host().or(header).ok_or(Problem::NoHost)?;
    let name = without_port(host).trim_end_matches('.').to_ascii_lowercase();
    if name.is_empty() {
        return Err(Problem::NoHost);
    }
    let domains = std::iter::once("localhost").chain(shared.settings.domains.iter().map(String::as_str));
    let mut labels = domains.filter_map(|domain| name.strip_suffix(domain)?.strip_suffix('.'));
    labels.next().and_then(|label| label.parse().ok()).ok_or(Problem::OtherHost)
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|c| c.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Tries one backend after the other until one has taken the request.
async fn proxy(
    shared: &Arc<Shared>,
    origin: Origin,
    record: &mut Record,
    id: &RequestId,
    mut request: Request<Incoming>,
) -> Result<Response<ProxyBody>, Problem> {
    let client = hyper::upgrade::on(&mut request);
    let (outgoing, progress, upgrade) = outgoing(shared, origin, id, request);
    record.sent_with(outgoing.headers());
    let replay = Replay::of(&outgoing);
    let mut tried = Vec::new();
    let mut next = Some(outgoing);
    let mut problem = Problem::Refused;
    while let Some(request) = next.take() {
        let lease = match shared.table.lease(record.app(), &tried) {
            Ok(lease) => lease,
            Err(NoBackend::AllTried) => return Err(problem),
            Err(other) => return Err(no_backend(other, record.app())),
        };
        tried.push(lease.address());
        match backend::send(lease.address(), request, &progress, &shared.settings.timeouts, record).await {
            Ok(response) => return Ok(answer(shared, response, lease, upgrade.as_ref().map(|_| client))),
            Err(Failure::NotSent(unsent)) => next = Some(*unsent),
            Err(Failure::TimedOut) => return Err(Problem::TimedOut),
            Err(Failure::Lost) => {
                problem = Problem::Lost;
                next = replay.as_ref().map(Replay::request);
            }
        }
    }
    Err(problem)
}

fn no_backend(reason: NoBackend, app: &AppName) -> Problem {
    match reason {
        NoBackend::NoSuchApp => Problem::NoSuchApp(app.to_string()),
        NoBackend::NoWebProcess => Problem::NoWebProcess(app.to_string()),
        NoBackend::AllBusy => Problem::Busy,
        NoBackend::AllTried => Problem::Refused,
    }
}

/// The request as a backend shall see it.
fn outgoing(
    shared: &Shared,
    origin: Origin,
    id: &RequestId,
    request: Request<Incoming>,
) -> (Request<ProxyBody>, Progress, Option<HeaderValue>) {
    let (mut parts, body) = request.into_parts();
    keep_host(&mut parts);
    parts.uri = origin_form(&parts.uri);
    parts.version = Version::HTTP_11;
    parts.extensions.clear();
    let upgrade = headers::toward_backend(&mut parts.headers, origin, &shared.settings.trusted_proxies, id);
    let progress = Progress::new();
    let body = if body.is_end_stream() {
        parts.headers.remove(hyper::header::TRANSFER_ENCODING);
        empty()
    } else {
        Watched::request(body, shared.settings.timeouts.idle_timeout, progress.clone()).boxed_unsync()
    };
    (Request::from_parts(parts, body), progress, upgrade)
}

/// A request that names its host in the first line counts as naming it in `Host` (RFC 9112, 3.2.2).
fn keep_host(parts: &mut Parts) {
    let host = parts.uri.authority().and_then(|authority| {
        let host_and_port = authority.as_str().rsplit('@').next()?;
        HeaderValue::from_str(host_and_port).ok()
    });
    if let Some(host) = host {
        parts.headers.insert(HOST, host);
    }
}

fn origin_form(uri: &Uri) -> Uri {
    let path = uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    Uri::from(path)
}

fn empty() -> ProxyBody {
    Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync()
}

/// What a request without a body and without effects needs to be sent once more.
struct Replay {
    method: Method,
    uri: Uri,
    headers: hyper::HeaderMap,
}

impl Replay {
    fn of(request: &Request<ProxyBody>) -> Option<Self> {
        let harmless = request.method().is_safe() && request.body().is_end_stream();
        harmless.then(|| Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            headers: request.headers().clone(),
        })
    }

    fn request(&self) -> Request<ProxyBody> {
        let mut request = Request::new(empty());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }
}

/// The answer as the client shall see it; a switch of protocols opens the tunnel.
fn answer(
    shared: &Arc<Shared>,
    mut response: Response<Incoming>,
    lease: Lease,
    client: Option<OnUpgrade>,
) -> Response<ProxyBody> {
    let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    let protocol = response.headers().get(hyper::header::UPGRADE).cloned().filter(|_| switched);
    *response.version_mut() = Version::HTTP_11;
    headers::toward_client(response.headers_mut(), protocol.as_ref());
    let idle = shared.settings.timeouts.idle_timeout;
    match client.filter(|_| switched) {
        Some(client) => {
            let backend = hyper::upgrade::on(&mut response);
            shared.tasks.spawn(tunnel::run(client, backend, idle, lease));
            response.headers_mut().remove(CONTENT_LENGTH);
            response.map(|_| empty())
        }
        None => response.map(|body| Watched::response(body, idle, lease).boxed_unsync()),
    }
}
