//! git as a child process: clean environment, no configuration but ours, own process group, deadline.
//!
//! Invariant: nothing that a repository's content or a client says reaches a child as an option, a path or a setting,
//! and no child outlives its owner: dropping a `Child` kills its whole process group.

use std::ffi::OsStr;
use std::ops::{Deref, DerefMut};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

/// Where children find git and what git calls.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The largest piece of memory that git may ask for at once. Blobs above `core.bigFileThreshold` are streamed; this
/// bounds what is not: trees, commits, and the bases of deltas.
const ALLOC_LIMIT: &str = "640m";

/// A query of refs or of one object.
pub(super) const QUERY_DEADLINE: Duration = Duration::from_secs(60);

/// What is kept of a child's error output; the rest is read and dropped, so that the child never blocks on it.
const STDERR_CAP: usize = 64 * 1024;

/// git did not do what was asked. Ours, not the user's: callers look for the user's faults first.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    #[error("git {command} could not be run: is git installed?")]
    Spawn { command: String, source: std::io::Error },
    #[error("git {command} could not be talked to")]
    Pipe { command: String, source: std::io::Error },
    #[error("git {command} took longer than {} s", deadline.as_secs())]
    Deadline { command: String, deadline: Duration },
    #[error("git {command} ended with {status}: {stderr}")]
    Failed { command: String, status: ExitStatus, stderr: String },
}

/// A finished child.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) status: ExitStatus,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: String,
}

/// A hardened `git <subcommand>` on the repository at `path`, not started yet.
pub(super) fn blocking(path: &Path, subcommand: &str) -> std::process::Command {
    let mut command = std::process::Command::new("git");
    command
        .env_clear()
        .env("PATH", PATH)
        .env("LC_ALL", "C")
        .env("HOME", "/nonexistent")
        .env("GIT_DIR", path)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_ATTR_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_NO_REPLACE_OBJECTS", "1")
        .env("GIT_ALLOC_LIMIT", ALLOC_LIMIT)
        .arg("-c")
        .arg(safe_directory(path))
        .args(["-c", "core.hooksPath=/dev/null", subcommand])
        .stdin(Stdio::null())
        .process_group(0);
    command
}

/// As `blocking`, for the async side.
pub(super) fn git(path: &Path, subcommand: &str) -> Command {
    let mut command = Command::from(blocking(path, subcommand));
    command.kill_on_drop(true);
    command
}

/// The repositories are ours, also where an administrator runs the server as another user than usual.
fn safe_directory(path: &Path) -> std::ffi::OsString {
    let mut setting = std::ffi::OsString::from("safe.directory=");
    setting.push(path);
    setting
}

/// A running child whose process group ends with it.
#[derive(Debug)]
pub(super) struct Child(tokio::process::Child);

impl Child {
    pub(super) fn spawn(command: &mut Command) -> Result<Self, CommandError> {
        let name = name(command);
        command.spawn().map(Self).map_err(|source| CommandError::Spawn { command: name, source })
    }

    /// Kills the group and waits for its leader, so that nothing writes into its folders any more.
    pub(super) async fn end(mut self) {
        self.kill_group();
        // Already reaped, or killed just now: there is nothing left to learn from the status.
        drop(self.0.wait().await);
    }

    fn kill_group(&self) {
        // `id` is `None` once the child was waited for; then its number may already be another's.
        if let Some(id) = self.0.id().and_then(|id| i32::try_from(id).ok()) {
            // ESRCH: it has just ended by itself.
            let _ = killpg(Pid::from_raw(id), Signal::SIGKILL);
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill_group();
    }
}

impl Deref for Child {
    type Target = tokio::process::Child;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Child {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

/// Runs to the end whatever the exit status; `input` goes to the child's standard input.
pub(super) async fn run(
    command: &mut Command,
    input: &[u8],
    deadline: Duration,
) -> Result<Output, CommandError> {
    let name = name(command);
    let mut child =
        Child::spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()))?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let work = async {
        let (fed, output, errors, status) =
            tokio::join!(feed(stdin, input), collect(stdout), drain(stderr), child.wait());
        fed?;
        Ok(Output { status: status?, stdout: output?, stderr: errors })
    };
    match tokio::time::timeout(deadline, work).await {
        Ok(outcome) => outcome.map_err(|source| CommandError::Pipe { command: name, source }),
        Err(_) => Err(CommandError::Deadline { command: name, deadline }),
    }
}

/// As `run`, but any exit status other than 0 is an error.
pub(super) async fn succeed(
    command: &mut Command,
    input: &[u8],
    deadline: Duration,
) -> Result<Vec<u8>, CommandError> {
    let output = run(command, input, deadline).await?;
    if output.status.success() { Ok(output.stdout) } else { Err(output.failed(command)) }
}

impl Output {
    pub(super) fn failed(self, command: &Command) -> CommandError {
        CommandError::Failed { command: name(command), status: self.status, stderr: self.stderr }
    }
}

/// The subcommand, for messages.
fn name(command: &Command) -> String {
    let args: Vec<_> = command.as_std().get_args().filter_map(OsStr::to_str).collect();
    args.get(4).map_or_else(String::new, |subcommand| (*subcommand).to_owned())
}

async fn feed(stdin: Option<tokio::process::ChildStdin>, input: &[u8]) -> std::io::Result<()> {
    let Some(mut stdin) = stdin else { return Ok(()) };
    match stdin.write_all(input).await {
        // The child ended before it had read all; its status tells why.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome,
    }
}

async fn collect(stdout: Option<impl AsyncRead + Unpin>) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(mut stdout) = stdout {
        stdout.read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

/// Reads to the end and keeps the beginning, which names the cause.
pub(super) async fn drain(stderr: Option<impl AsyncRead + Unpin>) -> String {
    let mut kept = Vec::new();
    if let Some(mut stderr) = stderr {
        let mut chunk = [0; 4096];
        // A read error is an end like any other: the exit status decides.
        while let Ok(count @ 1..) = stderr.read(&mut chunk).await {
            let room = STDERR_CAP.saturating_sub(kept.len());
            kept.extend_from_slice(&chunk[..count.min(room)]);
        }
    }
    String::from_utf8_lossy(&kept).trim_end().to_owned()
}
