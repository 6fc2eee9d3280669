//! Somebody who takes web hooks of ours: a real TLS listener that keeps what it was sent, byte for byte.

use std::path::Path;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use crate::tls::Listener;

/// See the module.
#[derive(Debug, Clone)]
pub struct Receiver {
    pub port: u16,
    status: Arc<AtomicU16>,
    got: Arc<Mutex<Vec<Received>>>,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Received {
    head: String,
    pub body: Vec<u8>,
    /// What it was answered.
    pub status: u16,
}

impl Received {
    /// Where it was sent.
    pub fn path(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    /// A header's value.
    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let found = lines.find(|(header, _)| header.eq_ignore_ascii_case(name));
        found.unwrap_or_else(|| panic!("no {name} in {}", self.head)).1
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

impl Receiver {
    /// Listens as `localhost`, with the certificate in `folder`.
    pub fn listen(folder: &Path) -> Self {
        let listener = Listener::with(folder);
        let receiver =
            Self { port: listener.port, status: Arc::new(AtomicU16::new(202)), got: Arc::default() };
        let taking = receiver.clone();
        listener.answer(move |head, body| {
            let status = taking.status.load(Ordering::SeqCst);
            let received = Received { head: head.to_owned(), body: body.to_vec(), status };
            taking.got.lock().unwrap_or_else(PoisonError::into_inner).push(received);
            (status, Value::Null)
        });
        receiver
    }

    pub fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.port)
    }

    /// What it answers from now on; 202 at first.
    pub fn answers(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    /// What came so far, in order.
    pub fn got(&self) -> Vec<Received> {
        self.got.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
