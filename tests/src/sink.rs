//! The other end of a log drain: a real TLS listener that speaks syslog or HTTP.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::tls::{self, Listener, Tls};

/// What a drain speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    Syslog,
    Https,
}

/// Collects the messages that arrive.
#[derive(Debug, Clone)]
pub struct Sink {
    speaks: Speaks,
    port: u16,
    got: Arc<Mutex<Vec<String>>>,
    heads: Arc<Mutex<Vec<String>>>,
    refusing: Arc<AtomicBool>,
}

impl Sink {
    /// Listens with the certificate that [`Sink::certificate`] has made in `folder`.
    pub fn listen(folder: &Path, speaks: Speaks) -> Self {
        let listener = Listener::with(folder);
        let port = listener.port;
        let sink =
            Self { speaks, port, got: Arc::default(), heads: Arc::default(), refusing: Arc::default() };
        let accepting = sink.clone();
        listener.serve(move |stream| accepting.serve(stream));
        sink
    }

    /// Makes a certificate for `localhost` that signs itself; its file.
    pub fn certificate(folder: &Path) -> PathBuf {
        tls::certificate(folder)
    }

    pub fn url(&self) -> String {
        match self.speaks {
            Speaks::Syslog => format!("syslog+tls://localhost:{}", self.port),
            Speaks::Https => format!("https://ann:secret@localhost:{}/in?from=blog", self.port),
        }
    }

    /// The messages so far, as they came.
    pub fn got(&self) -> Vec<String> {
        self.got.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The heads of HTTP requests so far.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Answers 503 from now on, or takes again.
    pub fn refuse(&self, refusing: bool) {
        self.refusing.store(refusing, Ordering::SeqCst);
    }

    fn serve(&self, mut stream: Tls) {
        let mut begun = Vec::new();
        loop {
            let open = match self.speaks {
                Speaks::Syslog => read_more(&mut stream, &mut begun).is_some_and(|()| {
                    self.take(&mut begun);
                    true
                }),
                Speaks::Https => self.request(&mut stream, &mut begun).is_some(),
            };
            if !open {
                return;
            }
        }
    }

    fn request(&self, stream: &mut Tls, begun: &mut Vec<u8>) -> Option<()> {
        let end = loop {
            match begun.windows(4).position(|four| four == b"\r\n\r\n") {
                Some(end) => break end + 4,
                None => read_more(stream, begun)?,
            }
        };
        let head = String::from_utf8_lossy(&begun[..end]).to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length?.trim().parse().ok()?;
        while begun.len() < end + length {
            read_more(stream, begun)?;
        }
        let mut body: Vec<u8> = begun.drain(..end + length).skip(end).collect();
        let status = if self.refusing.load(Ordering::SeqCst) { "503 Unavailable" } else { "204 No Content" };
        if status.starts_with('2') {
            self.heads.lock().unwrap_or_else(PoisonError::into_inner).push(head);
            self.take(&mut body);
        }
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(answer.as_bytes()).ok()?;
        stream.flush().ok()
    }

    /// Takes the whole messages, each of which has its length before it.
    fn take(&self, bytes: &mut Vec<u8>) {
        let mut got = self.got.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let Some(space) = bytes.iter().position(|byte| *byte == b' ') else { return };
            let length: usize = String::from_utf8_lossy(&bytes[..space]).parse().expect("a length");
            if bytes.len() < space + 1 + length {
                return;
            }
            let message = String::from_utf8_lossy(&bytes[space + 1..space + 1 + length]).into_owned();
            got.push(message);
            bytes.drain(..space + 1 + length);
        }
    }
}

fn read_more(stream: &mut Tls, into: &mut Vec<u8>) -> Option<()> {
    let mut buffer = [0; 16 * 1024];
    match stream.read(&mut buffer) {
        Ok(count @ 1..) => {
            into.extend_from_slice(&buffer[..count]);
            Some(())
        }
        _ => None,
    }
}
