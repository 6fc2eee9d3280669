//! Where a verb reads and writes: the process' own streams, or a channel of SSH.
//!
//! Invariant: text of users, repositories and apps reaches the terminal without control characters.

use std::sync::{Mutex, PoisonError};

use std::borrow::Cow;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::failure::Failure;
use super::keyboard::{self, Taken};
use crate::doors::RawLine;

/// Bytes that a verb reads from its input at most: a key, a token.
const LARGEST_INPUT: u64 = 64 * 1024;

/// Whether bold and red may be used: only where somebody looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Colours {
    Never,
    Terminal,
}

/// Whether a process gets the terminal, where there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UseOfScreen {
    Whole,
    None,
}

/// The three streams of a verb.
pub(crate) struct Terminal {
    /// In a lock because a session is shared between threads and this stream is not made for it; never contended.
    pub(crate) input: Mutex<Box<dyn AsyncRead + Send + Unpin>>,
    pub(crate) out: Box<dyn AsyncWrite + Send + Sync + Unpin>,
    pub(crate) err: Box<dyn AsyncWrite + Send + Sync + Unpin>,
    pub(crate) colours: Colours,
    pub(crate) keys: Keys,
}

/// How the streams are taken over by a process that somebody is attached to.
pub(crate) enum Keys {
    /// An SSH client's: the door is told.
    Line(RawLine),
    /// Of this process' own terminal.
    Own,
    /// Nobody types: what was given is all that comes.
    #[cfg(test)]
    None,
}

impl Terminal {
    /// A line of the result.
    pub(super) async fn line(&mut self, text: impl AsRef<str>) -> Result<(), Failure> {
        let text = format!("{}\n", printable(text.as_ref()));
        self.bytes(text.as_bytes()).await
    }

    /// `=== text` and an empty line: a heading.
    pub(super) async fn heading(&mut self, text: impl AsRef<str>) -> Result<(), Failure> {
        let text = printable(text.as_ref());
        let text = match self.colours {
            Colours::Never => format!("=== {text}\n\n"),
            Colours::Terminal => format!("\u{1b}[1m=== {text}\u{1b}[0m\n\n"),
        };
        self.bytes(text.as_bytes()).await
    }

    /// Rows in columns, each as wide as its widest cell.
    pub(super) async fn rows<const N: usize>(&mut self, rows: &[[String; N]]) -> Result<(), Failure> {
        let cells = |row: &[String; N]| row.each_ref().map(|cell| printable(cell).chars().count());
        let mut widths = [0; N];
        for row in rows {
            for (width, length) in widths.iter_mut().zip(cells(row)) {
                *width = length.max(*width);
            }
        }
        for row in rows {
            let padded: Vec<_> = row
                .iter()
                .zip(widths)
                .filter(|(_, width)| *width > 0)
                .map(|(cell, width)| format!("{:<width$}", printable(cell)))
                .collect();
            self.line(padded.join("  ").trim_end()).await?;
        }
        Ok(())
    }

    /// A value as JSON, for scripts.
    pub(super) async fn json(&mut self, value: &impl serde::Serialize) -> Result<(), Failure> {
        let mut text = serde_json::to_string_pretty(value).expect("invariant: the API's shapes are JSON");
        text.push('\n');
        self.bytes(text.as_bytes()).await
    }

    /// Bytes as they are: text that the server has sanitised.
    pub(super) async fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let written = async {
            self.out.write_all(bytes).await?;
            self.out.flush().await
        };
        written.await.map_err(Failure::OutputGone)
    }

    /// ` !     text` beside the result: a failure or a warning. Nobody is left to tell if it cannot be written.
    pub(super) async fn complain(&mut self, text: &str) {
        let (red, plain) = match self.colours {
            Colours::Never => ("", ""),
            Colours::Terminal => ("\u{1b}[31m", "\u{1b}[0m"),
        };
        let mut lines = String::new();
        for line in text.lines() {
            lines.push_str(&format!(" {red}!{plain}     {}\n", printable(line)));
        }
        self.note_raw(&lines).await;
    }

    /// Text beside the result, such as progress.
    pub(super) async fn note(&mut self, text: &str) {
        self.note_raw(&printable(text)).await;
    }

    async fn note_raw(&mut self, text: &str) {
        let written = async {
            self.err.write_all(text.as_bytes()).await?;
            self.err.flush().await
        };
        drop(written.await);
    }

    /// From here on input comes as it is typed, and what is written goes as it is. With `UseOfScreen::None` a
    /// terminal stays as it is.
    pub(super) fn take_over(&self, screen: UseOfScreen) -> Result<Taken, Failure> {
        match (&self.keys, screen) {
            (Keys::Line(line), UseOfScreen::Whole) => {
                line.take_over();
                Ok(Taken::over(line.screen.clone()))
            }
            (Keys::Line(line), UseOfScreen::None) => {
                // With a terminal the door goes on translating keys to lines.
                if line.screen.borrow().is_none() {
                    line.take_over();
                }
                Ok(Taken::nothing())
            }
            (Keys::Own, UseOfScreen::Whole) => keyboard::take_own(),
            (Keys::Own, UseOfScreen::None) => Ok(Taken::nothing()),
            #[cfg(test)]
            (Keys::None, _) => Ok(Taken::nothing()),
        }
    }

    /// All of the input, as text.
    pub(super) async fn read_input(&mut self) -> Result<String, Failure> {
        let mut text = String::new();
        let input = self.input.get_mut().unwrap_or_else(PoisonError::into_inner);
        let mut input = input.take(LARGEST_INPUT);
        input.read_to_string(&mut text).await.map_err(|_| Failure::refused("the input is not text"))?;
        Ok(text)
    }
}

/// Without control characters, line ends and tabs apart.
pub(super) fn printable(text: &str) -> Cow<'_, str> {
    let bad = |c: char| c.is_control() && c != '\n' && c != '\t';
    if text.contains(bad) { Cow::Owned(text.replace(bad, "")) } else { Cow::Borrowed(text) }
}
