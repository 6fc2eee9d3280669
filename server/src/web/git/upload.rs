//! What a client sends in a POST: with a deadline for silence, unpacked if it is packed, read to its end.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flate2::write::GzDecoder;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, stream};
use tokio::runtime::Handle;
use tokio::time::{Sleep, sleep, timeout};
use tokio_util::io::StreamReader;

use super::reply::refusal;
use crate::doors::Input;

/// The most that a gzipped request may unpack to, in bytes. Git packs only what it says before a fetch, which is
/// text of some 50 bytes for each ref; packs of objects are sent as they are.
const LARGEST_UNPACKED: usize = 32 * 1024 * 1024;
/// Packed bytes that are unpacked at a time: gzip makes at most a thousand times as much of them.
const MORSEL: usize = 1024;
/// What is read of a request that has been answered before its end. A client that is cut off while it sends would
/// report the broken connection instead of the answer.
const MOST_DRAINED: usize = 512 * 1024 * 1024;
const DRAIN_DEADLINE: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum UploadFailure {
    #[error("your client sent nothing for a while, and the request was given up: try again")]
    Idle,
    #[error("the request is gzipped and unpacks to more than {LARGEST_UNPACKED} bytes")]
    TooLarge,
    #[error("the request is said to be gzipped and is not")]
    BadGzip,
    #[error("the request broke off")]
    Gone,
}

impl IntoResponse for UploadFailure {
    fn into_response(self) -> Response {
        let status = match self {
            Self::Idle => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BadGzip | Self::Gone => StatusCode::BAD_REQUEST,
        };
        refusal(status, &self.to_string())
    }
}

pub(super) struct Upload {
    /// Chunks that were read ahead.
    ahead: VecDeque<Bytes>,
    chunks: BoxStream<'static, Result<Bytes, UploadFailure>>,
    failure: Arc<OnceLock<UploadFailure>>,
}

impl Upload {
    pub(super) fn plain(body: Body, idle: Duration) -> Self {
        Self::new(Wire { body: Some(body.into_data_stream()), idle, silent: None }.boxed())
    }

    pub(super) fn gzip(body: Body, idle: Duration) -> Self {
        let wire = Wire { body: Some(body.into_data_stream()), idle, silent: None };
        Self::new(unpacked(wire).boxed())
    }

    fn new(chunks: BoxStream<'static, Result<Bytes, UploadFailure>>) -> Self {
        Self { ahead: VecDeque::new(), chunks, failure: Arc::default() }
    }

    /// Whether these bytes are all there is; what was read to find out is not lost.
    pub(super) async fn is_exactly(&mut self, expected: &[u8]) -> Result<bool, UploadFailure> {
        let mut seen = 0;
        while seen <= expected.len() {
            match self.chunks.next().await {
                None => return Ok(self.ahead.iter().flatten().eq(expected)),
                Some(Err(failure)) => return Err(failure),
                Some(Ok(chunk)) => {
                    seen += chunk.len();
                    self.ahead.push_back(chunk);
                }
            }
        }
        Ok(false)
    }

    /// Where the reason will be if reading ends in an error.
    pub(super) fn failure(&self) -> Arc<OnceLock<UploadFailure>> {
        Arc::clone(&self.failure)
    }

    pub(super) fn into_input(self) -> Input {
        let failure = self.failure;
        let rest = self.chunks.map(move |chunk| {
            chunk.map_err(|reason| {
                // Only the first reason counts.
                let reason = *failure.get_or_init(|| reason);
                io::Error::other(reason)
            })
        });
        Box::new(StreamReader::new(stream::iter(self.ahead).map(Ok).chain(rest)))
    }
}

/// The body as it comes, with the deadline for silence.
struct Wire {
    body: Option<BodyDataStream>,
    idle: Duration,
    silent: Option<Pin<Box<Sleep>>>,
}

impl Stream for Wire {
    type Item = Result<Bytes, UploadFailure>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let outcome = match body.poll_next_unpin(cx) {
            Poll::Ready(Some(Ok(chunk))) => {
                self.silent = None;
                return Poll::Ready(Some(Ok(chunk)));
            }
            Poll::Ready(Some(Err(_))) => Some(Err(UploadFailure::Gone)),
            Poll::Ready(None) => None,
            Poll::Pending => {
                let idle = self.idle;
                let silent = self.silent.get_or_insert_with(|| Box::pin(sleep(idle)));
                match silent.as_mut().poll(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(()) => Some(Err(UploadFailure::Idle)),
                }
            }
        };
        self.body = None;
        Poll::Ready(outcome)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if let (Some(body), Ok(runtime)) = (self.body.take(), Handle::try_current()) {
            runtime.spawn(timeout(DRAIN_DEADLINE, drain(body)));
        }
    }
}

async fn drain(mut body: BodyDataStream) {
    let mut drained = 0;
    while let Some(Ok(chunk)) = body.next().await {
        drained += chunk.len();
        if drained > MOST_DRAINED {
            return;
        }
    }
}

struct Unpacking {
    packed: Wire,
    morsels: Bytes,
    decoder: Option<GzDecoder<Vec<u8>>>,
    total: usize,
}

fn unpacked(packed: Wire) -> impl Stream<Item = Result<Bytes, UploadFailure>> + Send {
    let decoder = Some(GzDecoder::new(Vec::new()));
    let start = Unpacking { packed, morsels: Bytes::new(), decoder, total: 0 };
    stream::unfold(start, |mut unpacking| async move {
        let chunk = unpacking.next().await.transpose()?;
        if chunk.is_err() {
            unpacking.decoder = None;
        }
        Some((chunk, unpacking))
    })
}

impl Unpacking {
    async fn next(&mut self) -> Result<Option<Bytes>, UploadFailure> {
        while let Some(decoder) = &mut self.decoder {
            if self.morsels.is_empty() {
                match self.packed.next().await.transpose()? {
                    Some(chunk) => self.morsels = chunk,
                    None => {
                        decoder.try_finish().map_err(|_| UploadFailure::BadGzip)?;
                        let last = std::mem::take(decoder.get_mut());
                        self.decoder = None;
                        return self.counted(last);
                    }
                }
            }
            let morsel = self.morsels.split_to(self.morsels.len().min(MORSEL));
            decoder.write_all(&morsel).map_err(|_| UploadFailure::BadGzip)?;
            let out = std::mem::take(decoder.get_mut());
            if !out.is_empty() {
                return self.counted(out);
            }
        }
        Ok(None)
    }

    fn counted(&mut self, out: Vec<u8>) -> Result<Option<Bytes>, UploadFailure> {
        self.total += out.len();
        if self.total > LARGEST_UNPACKED {
            return Err(UploadFailure::TooLarge);
        }
        Ok(Some(out.into()).filter(|out: &Bytes| !out.is_empty()))
    }
}
