//! Bodies that are passed on as they come, watched for standstill.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep};

use super::table::Lease;

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;
pub(super) type ProxyBody = UnsyncBoxBody<Bytes, BoxError>;

/// The other side moved no byte for too long.
#[derive(Debug, thiserror::Error)]
#[error("the body stood still for too long")]
pub(super) struct StoodStill;

/// When a request's body last moved, for whoever waits for the answer.
#[derive(Debug, Clone)]
pub(super) struct Progress(Arc<watch::Sender<Instant>>);

impl Progress {
    pub(super) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Instant::now())))
    }

    /// A byte went through.
    pub(super) fn moved(&self) {
        self.0.send_replace(Instant::now());
    }

    /// Ends once nothing has moved for `patience`.
    pub(super) async fn stalled(&self, patience: Duration) {
        loop {
            let last = *self.0.borrow();
            tokio::time::sleep_until(last + patience).await;
            if *self.0.borrow() == last {
                return;
            }
        }
    }
}

/// A body on its way through. Ends with an error when it stands still for `idle`; holds what it must keep until then.
pub(super) struct Watched {
    inner: Incoming,
    idle: Duration,
    timer: Pin<Box<Sleep>>,
    progress: Option<Progress>,
    _lease: Option<Lease>,
}

impl Watched {
    /// A request's body: whoever waits for the answer sees it move.
    pub(super) fn request(inner: Incoming, idle: Duration, progress: Progress) -> Self {
        Self::new(inner, idle, Some(progress), None)
    }

    /// An answer's body: the request counts as in flight until the body has ended.
    pub(super) fn response(inner: Incoming, idle: Duration, lease: Lease) -> Self {
        Self::new(inner, idle, None, Some(lease))
    }

    fn new(inner: Incoming, idle: Duration, progress: Option<Progress>, lease: Option<Lease>) -> Self {
        Self { inner, idle, timer: Box::pin(tokio::time::sleep(idle)), progress, _lease: lease }
    }
}

impl Body for Watched {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match Pin::new(&mut self.inner).poll_frame(context) {
            Poll::Ready(frame) => {
                let next = Instant::now() + self.idle;
                self.timer.as_mut().reset(next);
                if let Some(progress) = &self.progress {
                    progress.moved();
                }
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            Poll::Pending => {
                ready!(self.timer.as_mut().poll(context));
                Poll::Ready(Some(Err(StoodStill.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
