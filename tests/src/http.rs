//! Requests over fresh connections: nothing is shared between two of them, so that each one proves something.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(30);

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }
}

/// A request without any library that could try again by itself.
pub(crate) struct Ask<'a> {
    pub(crate) method: &'a str,
    pub(crate) host: &'a str,
    pub(crate) path: &'a str,
    pub(crate) headers: Vec<(&'a str, String)>,
    pub(crate) body: Option<String>,
}

impl<'a> Ask<'a> {
    pub(crate) fn get(host: &'a str, path: &'a str) -> Self {
        Self { method: "GET", host, path, headers: Vec::new(), body: None }
    }

    pub(crate) fn send(&self, port: u16) -> std::io::Result<Answer> {
        self.send_to(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    }

    pub(crate) fn send_to(&self, address: SocketAddr) -> std::io::Result<Answer> {
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(self.text().as_bytes())?;
        let (mut bytes, mut piece) = (Vec::new(), vec![0; 64 * 1024]);
        // Some servers keep the connection, whatever they are asked.
        while !is_whole(&bytes) {
            match stream.read(&mut piece) {
                // The machine stood still for a moment; std goes on by itself only where there is no limit of time.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(0) => break,
                Ok(read) => bytes.extend_from_slice(&piece[..read]),
            }
        }
        drop(stream.shutdown(Shutdown::Both));
        read(&bytes).ok_or_else(|| std::io::Error::other("the answer was cut off"))
    }

    fn text(&self) -> String {
        let Self { method, host, path, .. } = self;
        let mut text = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        let body = self.body.as_deref().unwrap_or_default();
        if self.body.is_some() {
            text.push_str(&format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()));
        }
        text + "\r\n" + body
    }
}

/// Whether all is there that the head declares.
fn is_whole(bytes: &[u8]) -> bool {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let declared = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    declared
        .and_then(|length| length.trim().parse::<usize>().ok())
        .is_some_and(|length| bytes.len() >= end + 4 + length)
}

fn read(bytes: &[u8]) -> Option<Answer> {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let head = head.to_ascii_lowercase();
    let body = match head.contains("transfer-encoding: chunked") {
        true => unchunked(body)?,
        false => body.to_owned(),
    };
    let declared = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    if declared.is_some_and(|length| length.trim().parse() != Ok(body.len())) && !text.contains('\u{fffd}') {
        return None;
    }
    Some(Answer { status, head, body })
}

fn unchunked(mut text: &str) -> Option<String> {
    let mut whole = String::new();
    loop {
        let (size, rest) = text.split_once("\r\n")?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(whole);
        }
        whole.push_str(rest.get(..size)?);
        text = rest.get(size..)?.strip_prefix("\r\n")?;
    }
}
