//! What a stage tells the people who watch, in Heroku's grammar of steps and details.
//!
//! A `Transcript` only hands lines on; whoever holds the other end sanitises, masks, stores and streams them. The
//! channel is bounded: a stage that talks faster than its text can be stored waits.

use bytes::Bytes;
use tokio::sync::mpsc;

/// Chunks that may wait between a stage and the log.
const BACKLOG: usize = 64;

/// The speaking end. Cheap to clone; text sent after the listener has gone is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Transcript {
    chunks: mpsc::Sender<Bytes>,
}

impl Transcript {
    pub(crate) fn channel() -> (Self, mpsc::Receiver<Bytes>) {
        let (chunks, listener) = mpsc::channel(BACKLOG);
        (Self { chunks }, listener)
    }

    /// `-----> text`: a step begins.
    pub(crate) async fn step(&self, text: impl AsRef<str>) {
        self.prefixed("-----> ", text.as_ref()).await;
    }

    /// Seven spaces and the text: a detail of the step.
    pub(crate) async fn detail(&self, text: impl AsRef<str>) {
        self.prefixed("       ", text.as_ref()).await;
    }

    /// ` !     text`: a warning or an error.
    pub(crate) async fn warn(&self, text: impl AsRef<str>) {
        self.prefixed(" !     ", text.as_ref()).await;
    }

    /// Output of a foreign program as it came: any bytes, any chunking.
    pub(crate) async fn output(&self, bytes: Bytes) {
        // The listener has gone only when the build is over; then nobody is left to tell.
        drop(self.chunks.send(bytes).await);
    }

    async fn prefixed(&self, prefix: &str, text: &str) {
        let mut lines = String::new();
        for line in text.lines() {
            lines.push_str(prefix);
            lines.push_str(line);
            lines.push('\n');
        }
        self.output(lines.into()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_line_of_a_detail_is_indented() {
        let (transcript, mut listener) = Transcript::channel();
        transcript.detail("one\ntwo").await;
        assert_eq!(listener.recv().await.as_deref(), Some(b"       one\n       two\n".as_slice()));
    }
}
