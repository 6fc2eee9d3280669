//! Ends what a platform left behind, whatever becomes of the test's process: a shell that waits for its input to end.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use std::os::unix::process::CommandExt;

use crate::engine::Engine;

const SCRIPT: &str = include_str!("guard.sh");

/// Runs until it is dropped; then it has cleared up.
#[derive(Debug)]
pub(crate) struct Guard {
    shell: Child,
}

impl Guard {
    pub(crate) fn of(folder: &Path, engine: &Engine) -> Self {
        let mut clear = Command::new("sh");
        clear
            .args(["-c", SCRIPT, "slipway-test-guard"])
            .env("FOLDER", folder)
            .env("DOCKER_HOST", &engine.host);
        Self::waiting(clear)
    }

    /// Runs this in the end.
    pub(crate) fn that(last: &Command) -> Self {
        let mut wait = Command::new("sh");
        wait.args(["-c", "read -r _ || :; exec \"$@\" >&2 </dev/null", "slipway-test-guard"])
            .arg(last.get_program())
            .args(last.get_args());
        Self::waiting(wait)
    }

    fn waiting(mut shell: Command) -> Self {
        let shell = shell.stdin(Stdio::piped()).process_group(0).spawn().expect("a shell");
        Self { shell }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        drop(self.shell.wait());
    }
}
