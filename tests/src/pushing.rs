//! A `git push` on its way: what it prints can be read while it runs, and it can be ended like a closed laptop.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use std::os::unix::process::CommandExt;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::wait::{LONG, wait_for};

/// See the module.
#[derive(Debug)]
pub struct Pushing {
    child: Child,
    transcript: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

/// A push that has ended.
#[derive(Debug, Clone)]
pub struct Push {
    pub status: i32,
    /// All that git printed, the server's lines with `remote: ` before them.
    pub transcript: String,
}

impl Pushing {
    pub(crate) fn start(mut git: Command) -> Self {
        let mut child = git
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .expect("git");
        let transcript = Arc::new(Mutex::new(String::new()));
        let out = child.stdout.take().expect("a pipe");
        let err = child.stderr.take().expect("a pipe");
        let readers = vec![read(out, Arc::clone(&transcript)), read(err, Arc::clone(&transcript))];
        Self { child, transcript, readers }
    }

    pub fn so_far(&self) -> String {
        self.transcript.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until these words have been printed, while the push goes on.
    #[track_caller]
    pub fn until_says(&mut self, words: &str) -> &mut Self {
        let said = wait_for(&format!("a push to say {words:?}; so far:\n{}", self.so_far()), LONG, || {
            if self.so_far().contains(words) {
                return Some(true);
            }
            (self.child.try_wait().expect("a child").is_some() && !self.so_far().contains(words))
                .then_some(false)
        });
        assert!(
            said || self.so_far().contains(words),
            "the push ended without {words:?}:\n{}",
            self.so_far()
        );
        self
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }

    /// Waits for its end.
    pub fn end(mut self) -> Push {
        let status = wait_for("a push to end", LONG * 2, || self.child.try_wait().expect("a child"));
        self.readers.drain(..).for_each(|reader| drop(reader.join()));
        Push { status: status.code().unwrap_or(-1), transcript: self.so_far() }
    }

    /// SIGKILL to git and its ssh: the connection breaks.
    pub fn vanish(mut self) {
        self.kill();
    }

    fn kill(&mut self) {
        let group = Pid::from_raw(i32::try_from(self.child.id()).expect("a pid"));
        killpg(group, Signal::SIGKILL).ok();
        drop(self.child.wait());
    }
}

impl Drop for Pushing {
    fn drop(&mut self) {
        if self.is_running() {
            self.kill();
        }
    }
}

fn read(pipe: impl Read + Send + 'static, into: Arc<Mutex<String>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        while pipe.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            let text = String::from_utf8_lossy(&line).into_owned();
            into.lock().unwrap_or_else(PoisonError::into_inner).push_str(&text);
            line.clear();
        }
    })
}

impl Push {
    #[track_caller]
    pub fn ok(&self) -> &Self {
        assert_eq!(self.status, 0, "the push failed:\n{}", self.transcript);
        self
    }

    /// Fails the story unless the push was refused with these words.
    #[track_caller]
    pub fn refused(&self, words: &str) -> &Self {
        assert_ne!(self.status, 0, "the push was let through:\n{}", self.transcript);
        self.says(words)
    }

    #[track_caller]
    pub fn says(&self, words: &str) -> &Self {
        assert!(self.transcript.contains(words), "no {words:?} in:\n{}", self.transcript);
        self
    }

    #[track_caller]
    pub fn says_not(&self, words: &str) -> &Self {
        assert!(!self.transcript.contains(words), "{words:?} in:\n{}", self.transcript);
        self
    }
}
