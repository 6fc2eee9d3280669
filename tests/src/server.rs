//! The process `slipway serve`.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::http::Ask;
use crate::parts::{Setting, slipway};
use crate::person::Said;
use crate::wait::{LONG, wait_for};

/// One server on one data folder; it can be killed and started again.
#[derive(Debug)]
pub struct Server {
    folder: PathBuf,
    settings: BTreeMap<String, String>,
    http_port: u16,
    child: Option<Child>,
}

impl Server {
    pub(crate) fn new(folder: &Path, settings: BTreeMap<String, String>, http_port: u16) -> Self {
        Self { folder: folder.to_owned(), settings, http_port, child: None }
    }

    /// Starts the process; [`Self::until_ready`] waits for it.
    pub fn start(&mut self) {
        assert!(self.child.is_none(), "the server runs already");
        let log = File::options().create(true).append(true).open(self.log_file()).expect("the log file");
        let mut command = self.command("serve");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.child = Some(command.spawn().expect("slipway serve"));
    }

    /// Waits until `/readyz` says yes.
    pub fn until_ready(&mut self) {
        let port = self.http_port;
        let child = self.child.as_mut().expect("a server that was started");
        let ready = wait_for("the server to be ready", LONG, || {
            if child.try_wait().expect("a child").is_some() {
                return Some(false);
            }
            let answer = Ask::get("127.0.0.1", "/readyz").send(port);
            answer.is_ok_and(|answer| answer.status == 200).then_some(true)
        });
        assert!(ready, "the server ended at its start:\n{}", self.log_tail());
    }

    /// `slipway <verb> --data-dir …` with this server's settings and nothing else from outside.
    pub(crate) fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(slipway());
        command.env_clear().envs(&self.settings).env("HOME", &self.folder);
        command.env("PATH", Setting::Path.get().unwrap_or_default());
        // As an argument too: the guard finds processes by it.
        command.arg(verb).arg("--data-dir").arg(self.folder.join("data"));
        command
    }

    /// What `slipway <verb> <words>` says on the server's own machine, with its settings.
    pub fn by_hand(&self, verb: &str, words: &[&str]) -> Said {
        Said::of(&self.command(verb).args(words).stdin(Stdio::null()).output().expect("slipway"))
    }

    /// What another server on the same folder says before it ends.
    pub fn second(&self) -> Said {
        Said::of(&self.command("serve").stdin(Stdio::null()).output().expect("slipway serve"))
    }

    /// SIGKILL: what a crash or the kernel does.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("a server that was started");
        child.kill().expect("SIGKILL");
        child.wait().expect("its end");
    }

    /// SIGTERM, and waits for the end.
    pub fn stop(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("a server that was started");
        kill(pid_of(&child), Signal::SIGTERM).expect("SIGTERM");
        wait_for("the server to end after SIGTERM", LONG, || child.try_wait().expect("a child"))
    }

    /// Waits for an end that nobody asked for.
    pub fn until_ended(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("a server that was started");
        wait_for("the server to end by itself", LONG, || child.try_wait().expect("a child"))
    }

    pub fn restart(&mut self) {
        self.stop();
        self.start();
        self.until_ready();
    }

    pub fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// Another setting from the next start on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.settings.insert(name.to_owned(), value.to_owned());
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Waits for words in the log.
    pub fn until_logged(&mut self, words: &str) {
        let said = wait_for(&format!("{words:?} in the server's log"), LONG, || {
            if self.log().contains(words) {
                return Some(true);
            }
            let ended = self.child.as_mut().is_some_and(|child| child.try_wait().expect("a child").is_some());
            ended.then_some(false)
        });
        assert!(said, "the server ended without {words:?}:\n{}", self.log_tail());
    }

    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(80)..].join("\n")
    }

    /// The newest lines about an app.
    pub(crate) fn log_about(&self, app: &str) -> String {
        let (log, about) = (self.log(), format!("app={app}"));
        let mut lines: Vec<&str> = log.lines().rev().filter(|line| line.contains(&about)).take(20).collect();
        lines.reverse();
        lines.join("\n")
    }

    fn log_file(&self) -> PathBuf {
        self.folder.join("server.log")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            kill(pid_of(&child), Signal::SIGTERM).ok();
            drop(child.wait());
        }
    }
}

fn pid_of(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).expect("a pid"))
}
