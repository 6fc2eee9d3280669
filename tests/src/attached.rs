//! A client that somebody is attached with: it is typed to, its output is read while it runs, and it can vanish.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::wait::{LONG, wait_for};

/// See the module.
#[derive(Debug)]
pub struct Attached {
    child: Child,
    keys: Option<File>,
    said: Arc<Mutex<Vec<u8>>>,
    /// Keeps the terminal, and says its name.
    screen: Option<OwnedFd>,
}

impl Attached {
    /// In a terminal of this size.
    pub fn in_terminal(command: &Command, rows: u16, columns: u16) -> Self {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let pair = openpty(Some(&size), None).expect("a terminal");
        let end = || Stdio::from(pair.slave.try_clone().expect("a descriptor"));
        // A session of its own whose terminal this is: changes of its size are told to it.
        let mut session = Command::new("setsid");
        session.args(["--ctty", "--wait"]).arg(command.get_program()).args(command.get_args());
        copy_environment(command, &mut session);
        let child = session.stdin(end()).stdout(end()).stderr(end()).process_group(0).spawn();
        let keys = File::from(pair.master);
        let said = read(keys.try_clone().expect("a descriptor"));
        Self { child: child.expect("setsid"), keys: Some(keys), said, screen: Some(pair.slave) }
    }

    /// With pipes; what goes to standard error is read too.
    pub fn in_pipes(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).process_group(0);
        let mut child = command.spawn().expect("a client");
        let keys = File::from(OwnedFd::from(child.stdin.take().expect("a pipe")));
        let said = read(File::from(OwnedFd::from(child.stdout.take().expect("a pipe"))));
        Self { child, keys: Some(keys), said, screen: None }
    }

    pub fn types(&mut self, keys: &str) {
        self.keys.as_mut().expect("an open input").write_all(keys.as_bytes()).expect("it reads");
    }

    /// Nothing more is typed: standard input ends.
    pub fn ends_input(&mut self) {
        self.keys = None;
    }

    pub fn resize(&self, rows: u16, columns: u16) {
        let screen = self.screen.as_ref().expect("a terminal");
        let name =
            std::fs::read_link(format!("/proc/self/fd/{}", screen.as_fd().as_raw_fd())).expect("its name");
        let (rows, columns) = (rows.to_string(), columns.to_string());
        let words = ["rows", &rows, "cols", &columns];
        assert!(Command::new("stty").arg("-F").arg(name).args(words).status().expect("stty").success());
    }

    pub fn said(&self) -> String {
        String::from_utf8_lossy(&self.said.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }

    #[track_caller]
    pub fn until_says(&mut self, words: &str) {
        let said = wait_for(&format!("{words:?} from a client that is attached"), LONG, || {
            if self.said().contains(words) {
                return Some(true);
            }
            self.child.try_wait().expect("a child").is_some().then(|| self.said().contains(words))
        });
        assert!(said, "it ended without {words:?}:\n{}", self.said());
    }

    /// Waits for its end; the exit status.
    pub fn status(&mut self) -> i32 {
        let ended = wait_for("an attached client to end", LONG, || self.child.try_wait().expect("a child"));
        ended.code().unwrap_or(-1)
    }

    /// SIGKILL: the connection breaks.
    pub fn vanish(mut self) {
        self.kill();
    }

    fn kill(&mut self) {
        let group = Pid::from_raw(i32::try_from(self.child.id()).expect("a pid"));
        killpg(group, Signal::SIGKILL).ok();
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            self.kill();
        }
    }
}

fn copy_environment(from: &Command, to: &mut Command) {
    for (name, value) in from.get_envs() {
        match value {
            Some(value) => to.env(name, value),
            None => to.env_remove(name),
        };
    }
}

/// A terminal whose other end has gone reads as an error: the end as well.
fn read(mut from: File) -> Arc<Mutex<Vec<u8>>> {
    let said = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&said);
    std::thread::spawn(move || {
        let mut piece = [0; 4096];
        while let Ok(length @ 1..) = from.read(&mut piece) {
            into.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&piece[..length]);
        }
    });
    said
}
