//! A channel's directions as plain streams for the work.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt, stream};
use russh::server::Handle;
use russh::{ChannelId, ChannelMsg, ChannelReadHalf};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, DuplexStream, ReadBuf, duplex};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::doors::{RawLine, Terminal};

/// Output that waits between the work and the session, in bytes; then the work waits.
pub(super) const OUTPUT_BUFFER: usize = 64 * 1024;
/// The most that a verb is given on its standard input, in bytes.
const LARGEST_VERB_INPUT: usize = 1024 * 1024;
/// How long a verb may take to take a line over on which more is sent than it could be given.
const TAKE_OVER_DEADLINE: Duration = Duration::from_secs(10);
/// SSH's number for standard error.
const STANDARD_ERROR: u32 = 1;

/// What the client sends, until it says that it has finished, or has gone.
pub(super) fn chunks(input: ChannelReadHalf) -> impl Stream<Item = Bytes> + Send {
    stream::unfold(input, |mut input| async move {
        loop {
            match input.wait().await {
                Some(ChannelMsg::Data { data }) => return Some((data, input)),
                None | Some(ChannelMsg::Eof | ChannelMsg::Close) => return None,
                Some(_) => {}
            }
        }
    })
}

/// The standard input of a verb, and the future that fills it and never ends.
///
/// Few verbs read their input, so (unless they have taken the line over) it is taken in whole, up to a limit; past the limit the reader gets an error
/// instead of silently less than was sent.
pub(super) fn verb_input(
    input: ChannelReadHalf,
    terminal: Terminal,
    raw_line: RawLine,
    interrupted: CancellationToken,
) -> (VerbInput, impl Future<Output = std::convert::Infallible>) {
    let (near, far) = duplex(LARGEST_VERB_INPUT);
    let overflow = Arc::new(AtomicBool::new(false));
    let reader = VerbInput { far, overflow: Arc::clone(&overflow) };
    let feed = async move {
        let mut near = Some(near);
        let mut room = LARGEST_VERB_INPUT;
        let mut chunks = Box::pin(chunks(input));
        while let Some(chunk) = chunks.next().await {
            // Who sends much may be about to be taken over by a verb that is still asking the platform.
            if terminal == Terminal::None && chunk.len() > room {
                drop(timeout(TAKE_OVER_DEADLINE, raw_line.taken_over()).await);
            }
            if raw_line.is_raw() {
                // Here waiting is the point, as for a pack: the process sets the pace.
                if let Some(buffer) = &mut near
                    && buffer.write_all(&chunk).await.is_err()
                {
                    near = None;
                }
                continue;
            }
            let chunk = match (terminal, typed(&chunk)) {
                (Terminal::None, _) => chunk,
                (Terminal::Columns(_), Typed::Text(text)) => text,
                (Terminal::Columns(_), Typed::Interrupt) => {
                    interrupted.cancel();
                    break;
                }
                (Terminal::Columns(_), Typed::End) => break,
            };
            if chunk.len() > room {
                overflow.store(true, Ordering::Release);
                near = None;
            }
            if let Some(buffer) = &mut near {
                room -= chunk.len();
                // Never waits: the buffer holds all that there is room for. Fails when nobody reads any more.
                if buffer.write_all(&chunk).await.is_err() {
                    near = None;
                }
            }
        }
        // What is sent from now on is thrown away by the session itself.
        drop((near, chunks));
        std::future::pending().await
    };
    (reader, feed)
}

enum Typed {
    Text(Bytes),
    Interrupt,
    End,
}

/// A terminal in raw mode sends keys: Ctrl-C, Ctrl-D and Return mean here what they mean to a terminal's driver.
fn typed(keys: &[u8]) -> Typed {
    if keys.contains(&0x03) {
        return Typed::Interrupt;
    }
    if keys.contains(&0x04) {
        return Typed::End;
    }
    Typed::Text(keys.iter().map(|&key| if key == b'\r' { b'\n' } else { key }).collect())
}

pub(super) struct VerbInput {
    far: DuplexStream,
    overflow: Arc<AtomicBool>,
}

impl AsyncRead for VerbInput {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.far).poll_read(cx, buf);
        let ended =
            matches!(polled, Poll::Ready(Ok(()))) && buf.filled().len() == before && buf.remaining() > 0;
        if ended && self.overflow.load(Ordering::Acquire) {
            let text = format!("standard input has more than {LARGEST_VERB_INPUT} bytes");
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::FileTooLarge, text)));
        }
        polled
    }
}

/// Which of the two outputs a stream is.
#[derive(Clone, Copy)]
pub(super) enum Voice {
    Output,
    Errors,
}

/// Carries what the work writes to the session.
pub(super) struct Speaker {
    pub(super) handle: Handle,
    pub(super) id: ChannelId,
    pub(super) closed: CancellationToken,
}

impl Speaker {
    /// Sends what the work writes until it has written all or the client has gone; then writing fails.
    pub(super) async fn speak(
        &self,
        mut far: DuplexStream,
        voice: Voice,
        terminal: Terminal,
        line: &RawLine,
    ) {
        let mut buffer = BytesMut::new();
        loop {
            buffer.reserve(OUTPUT_BUFFER);
            let read = tokio::select! {
                biased;
                () = self.closed.cancelled() => return,
                read = far.read_buf(&mut buffer) => read,
            };
            if !matches!(read, Ok(1..)) {
                return;
            }
            let chunk = match terminal {
                _ if line.is_raw() => buffer.split().freeze(),
                Terminal::None => buffer.split().freeze(),
                Terminal::Columns(_) => with_carriage_returns(&buffer.split()),
            };
            let sent = async {
                match voice {
                    Voice::Output => self.handle.data(self.id, chunk).await,
                    Voice::Errors => self.handle.extended_data(self.id, STANDARD_ERROR, chunk).await,
                }
            };
            let sent = tokio::select! {
                biased;
                () = self.closed.cancelled() => return,
                sent = sent => sent,
            };
            if sent.is_err() {
                return;
            }
        }
    }
}

/// A terminal in raw mode does not return to the first column by itself.
fn with_carriage_returns(text: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(text.len() + text.len() / 16);
    for line in text.split_inclusive(|&c| c == b'\n') {
        match line.strip_suffix(b"\n") {
            Some(line) => {
                out.extend_from_slice(line);
                out.extend_from_slice(b"\r\n");
            }
            None => out.extend_from_slice(line),
        }
    }
    out.freeze()
}
