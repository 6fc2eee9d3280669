//! A loop of requests to an app, each on a fresh connection, while something happens to the platform.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::http::Ask;
use crate::wait::{SHORT, pause, until};

/// Answers so far: by body, and what went wrong.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    pub answers: BTreeMap<String, usize>,
    pub failures: Vec<String>,
}

/// Runs until it is stopped.
#[derive(Debug)]
pub struct Traffic {
    counts: Arc<Mutex<Counts>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Traffic {
    pub(crate) fn start(port: u16, host: String, path: &'static str) -> Self {
        Self::at(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), host, path)
    }

    pub(crate) fn at(address: SocketAddr, host: String, path: &'static str) -> Self {
        let counts = Arc::new(Mutex::new(Counts::default()));
        let stop = Arc::new(AtomicBool::new(false));
        let (written, stopped) = (Arc::clone(&counts), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let answer = Ask::get(&host, path).send_to(address);
                let mut counts = written.lock().unwrap_or_else(PoisonError::into_inner);
                match answer {
                    Ok(answer) if answer.status == 200 => {
                        *counts.answers.entry(answer.body.trim().to_owned()).or_default() += 1;
                    }
                    Ok(answer) => counts.failures.push(format!("{} {}", answer.status, answer.body)),
                    Err(error) => counts.failures.push(error.to_string()),
                }
                drop(counts);
                pause();
            }
        });
        Self { counts, stop, thread: Some(thread) }
    }

    pub fn so_far(&self) -> Counts {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until this many answers of this body have come.
    pub fn until_answers(&self, body: &str, count: usize) {
        until(&format!("{count} answers {body:?}; so far {:?}", self.so_far()), SHORT, || {
            self.so_far().answers.get(body).is_some_and(|seen| *seen >= count)
        });
    }

    pub fn stop(mut self) -> Counts {
        self.end();
        self.so_far()
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.end();
    }
}
