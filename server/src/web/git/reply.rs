//! Answers to git: the head waits for the first byte, the rest is streamed.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, EXPIRES, PRAGMA};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, stream};
use tokio::io::{AsyncReadExt, AsyncWrite, DuplexStream, duplex};
use tokio::time::{Sleep, sleep};
use tokio_util::io::ReaderStream;

use super::upload::UploadFailure;
use crate::doors::{GitService, Output};
use crate::web::auth::NotAdmitted;

/// Bytes that wait between the work and the client; then the work waits.
const BUFFER: usize = 64 * 1024;

/// The end that the work writes to, and the answer that comes of it. Writing fails once the client has gone, or has
/// read nothing for `idle`.
pub(super) fn channel(idle: Duration) -> (Output, Answer) {
    let (near, far) = duplex(BUFFER);
    (Box::new(Unstalled { inner: near, idle, stalled: None }), Answer { far })
}

pub(super) struct Answer {
    far: DuplexStream,
}

impl Answer {
    /// Waits for the first byte; work that ends without one has failed, and `failure` may know why.
    pub(super) async fn into_response(
        mut self,
        kind: HeaderValue,
        introduction: Bytes,
        failure: Option<Arc<OnceLock<UploadFailure>>>,
    ) -> Response {
        let mut first = BytesMut::with_capacity(BUFFER);
        // A duplex pipe reads without errors: it only ends.
        let ended = self.far.read_buf(&mut first).await.unwrap_or_default() == 0;
        if ended {
            return match failure.and_then(|failure| failure.get().copied()) {
                Some(failure) => failure.into_response(),
                None => refusal(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "Slipway could not answer; its log says why. Try again, or ask the platform's admin",
                ),
            };
        }
        let head = [introduction, first.freeze()].into_iter().filter(|chunk| !chunk.is_empty()).map(Ok);
        let rest = ReaderStream::with_capacity(self.far, BUFFER);
        with_kind(kind, Body::from_stream(stream::iter(head).chain(rest)))
    }
}

/// 200 and nothing else.
pub(super) fn empty(kind: HeaderValue) -> Response {
    with_kind(kind, Body::empty())
}

/// A status with a text that git shows to its user.
pub(super) fn refusal(status: StatusCode, text: &str) -> Response {
    uncached((status, format!("{text}\n")).into_response())
}

pub(super) fn not_admitted(reason: NotAdmitted) -> Response {
    uncached(reason.into_response())
}

/// `application/x-git-receive-pack-result` and its kin.
pub(super) fn kind(service: GitService, part: &'static str) -> HeaderValue {
    let text = format!("application/x-{}-{part}", service.as_str());
    HeaderValue::try_from(text).expect("invariant: made of letters, dashes and a slash")
}

fn with_kind(kind: HeaderValue, body: Body) -> Response {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    uncached(response)
}

fn uncached(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, max-age=0, must-revalidate"));
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    headers.insert(EXPIRES, HeaderValue::from_static("Fri, 01 Jan 1980 00:00:00 GMT"));
    response
}

/// A writer that gives up when nothing could be written for `idle`.
struct Unstalled {
    inner: DuplexStream,
    idle: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Unstalled {
    fn watch<T>(&mut self, cx: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.stalled = None;
            return polled;
        }
        let idle = self.idle;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(idle)));
        stalled.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncWrite for Unstalled {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.watch(cx, polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
