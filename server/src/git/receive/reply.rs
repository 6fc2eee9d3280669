//! What goes back to the client: the log on band 2, keepalives, and one report at the end.
//!
//! Every write has a deadline, so a client that stops reading is an error value after it, like one that has left.

use std::io;
use std::pin::pin;
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep_until, timeout};

use super::pktline::{FLUSH, push_packet};
use super::report::{self, RefResult};
use super::request::{Capabilities, Request};

/// The longest payload of one packet on a band.
const LONGEST: usize = 65_515;
/// Silence after which an empty packet tells the client, and what is between, that we are alive.
const KEEPALIVE: Duration = Duration::from_secs(5);
/// How long a client may take to read what was written.
pub(super) const WRITE_DEADLINE: Duration = Duration::from_secs(60);

/// Nobody takes the reply any more. What was started for the push goes on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientGone {
    #[error("the client has left")]
    Left(#[from] io::Error),
    #[error("the client has read nothing for {} s", WRITE_DEADLINE.as_secs())]
    Stalled,
}

#[derive(Debug, Clone, Copy)]
enum Band {
    Report = 1,
    Log = 2,
}

/// The writing half of a push.
#[derive(Debug)]
pub(crate) struct Reply<W> {
    writer: W,
    capabilities: Capabilities,
    /// The beginning of a line: clients print whole lines only.
    partial: Vec<u8>,
    written_at: Instant,
    keepalive: Duration,
    write_deadline: Duration,
}

impl<W: AsyncWrite + Unpin> Reply<W> {
    pub(crate) fn new(writer: W, request: &Request) -> Self {
        Self {
            writer,
            capabilities: request.capabilities,
            partial: Vec::new(),
            written_at: Instant::now(),
            keepalive: KEEPALIVE,
            write_deadline: WRITE_DEADLINE,
        }
    }

    /// Log text in any chunking. A client without side-band gets none: it has no place for it.
    pub(crate) async fn log(&mut self, text: &[u8]) -> Result<(), ClientGone> {
        if !self.capabilities.side_band {
            return Ok(());
        }
        // Clients stop printing at a NUL.
        self.partial.extend(text.iter().copied().filter(|byte| *byte != 0));
        let whole = self.partial.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        let whole = if self.partial.len() - whole > LONGEST { self.partial.len() } else { whole };
        if whole == 0 {
            return Ok(());
        }
        let lines: Vec<u8> = self.partial.drain(..whole).collect();
        self.send(&on_band(Band::Log, &lines)).await
    }

    /// Waits for `work`, with keepalives. The client's leaving drops the work.
    pub(crate) async fn keep_alive_while<T>(
        &mut self,
        work: impl Future<Output = T>,
    ) -> Result<T, ClientGone> {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                biased;
                outcome = &mut work => return Ok(outcome),
                () = sleep_until(self.written_at + self.keepalive) => self.keep_alive().await?,
            }
        }
    }

    /// Ends the push: whether the pack was taken, then a line for each ref.
    pub(crate) async fn report(
        mut self,
        unpack: Result<(), String>,
        results: Vec<RefResult>,
    ) -> Result<W, ClientGone> {
        if !self.partial.is_empty() {
            self.log(b"\n").await?;
        }
        let lines = report::render(self.capabilities.report, &unpack, &results);
        let message = if self.capabilities.side_band {
            [on_band(Band::Report, &lines), FLUSH.to_vec()].concat()
        } else {
            lines
        };
        self.send(&message).await?;
        Ok(self.writer)
    }

    /// Ends a push of which nothing was taken: `sentence` for every ref that it named.
    pub(crate) async fn refuse(self, request: &Request, sentence: &str) -> Result<W, ClientGone> {
        let refuse = |command: &super::Command| RefResult::refused(&command.name, sentence);
        let results = request.commands.iter().map(refuse).collect();
        self.report(Ok(()), results).await
    }

    async fn keep_alive(&mut self) -> Result<(), ClientGone> {
        if !self.capabilities.side_band {
            self.written_at = Instant::now();
            return Ok(());
        }
        self.send(&on_empty_band()).await
    }

    async fn send(&mut self, message: &[u8]) -> Result<(), ClientGone> {
        let write = async {
            self.writer.write_all(message).await?;
            self.writer.flush().await
        };
        timeout(self.write_deadline, write).await.map_err(|_| ClientGone::Stalled)??;
        self.written_at = Instant::now();
        Ok(())
    }
}

fn on_band(band: Band, payload: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(payload.len() + 5);
    for piece in payload.chunks(LONGEST) {
        push_packet(&mut message, &[&[band as u8], piece].concat());
    }
    message
}

/// What stock servers send too: an empty packet on the report's band, which every client skips.
fn on_empty_band() -> Vec<u8> {
    let mut message = Vec::new();
    push_packet(&mut message, &[Band::Report as u8]);
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(side_band: bool) -> Reply<Vec<u8>> {
        let mut request = Request::default();
        request.capabilities.side_band = side_band;
        Reply::new(Vec::new(), &request)
    }

    #[tokio::test]
    async fn only_whole_lines_are_sent_and_the_rest_before_the_report() {
        let mut reply = reply(true);
        reply.log(b"one\ntw").await.unwrap();
        assert_eq!(reply.writer, b"0009\x02one\n");
        reply.log(b"o\0").await.unwrap();
        assert_eq!(reply.writer, b"0009\x02one\n");
        let wire = reply.report(Ok(()), Vec::new()).await.unwrap();
        assert_eq!(wire, b"0009\x02one\n0009\x02two\n0000");
    }

    #[tokio::test]
    async fn a_line_longer_than_a_packet_is_split() {
        let mut reply = reply(true);
        reply.log(&vec![b'x'; LONGEST + 10]).await.unwrap();
        assert!(reply.writer.starts_with(b"fff0\x02x"));
        assert!(reply.writer.ends_with(b"000f\x02xxxxxxxxxx"));
    }

    #[tokio::test]
    async fn without_side_band_the_log_goes_nowhere() {
        let mut reply = reply(false);
        reply.log(b"one\n").await.unwrap();
        assert!(reply.writer.is_empty());
    }

    #[tokio::test]
    async fn silence_is_bridged_by_keepalives() {
        let mut reply = reply(true);
        reply.keepalive = Duration::from_millis(40);
        let silence = timeout(Duration::from_millis(100), std::future::pending::<()>());
        reply.keep_alive_while(silence).await.unwrap().expect_err("silence ended");
        assert!(reply.writer.starts_with(b"0005\x010005\x01"), "{:?}", reply.writer);
    }

    #[tokio::test]
    async fn a_client_that_stops_reading_is_given_up() {
        let (_client, server) = tokio::io::duplex(16);
        let mut request = Request::default();
        request.capabilities.side_band = true;
        let mut reply = Reply::new(server, &request);
        reply.write_deadline = Duration::from_millis(20);
        let outcome = reply.log(&[b"x".repeat(100), b"\n".to_vec()].concat()).await;
        assert!(matches!(outcome, Err(ClientGone::Stalled)));
    }
}
