//! Serving clones and fetches: `git upload-pack` behind deadlines, with the builds' pins hidden.

use std::future::pending;
use std::io;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::process::ChildStdin;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::command::{self, Child, CommandError};
use super::repository::Repository;

/// One read from either side.
const CHUNK: usize = 64 * 1024;

/// Which part of the conversation is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// All of it on one connection (SSH).
    Stateful,
    /// Only the refs (HTTP, `GET …/info/refs`); nothing is read.
    Advertise,
    /// One round after the refs (HTTP, `POST …/git-upload-pack`).
    Round,
}

/// How long a fetch may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UploadLimits {
    /// Neither side says anything for this long. git sends keepalives while it counts and compresses.
    pub(crate) idle: Duration,
    /// From beginning to end.
    pub(crate) total: Duration,
}

impl Default for UploadLimits {
    fn default() -> Self {
        Self { idle: Duration::from_secs(60), total: Duration::from_secs(60 * 60) }
    }
}

/// Why a fetch ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UploadError {
    #[error("the client left")]
    Vanished(#[source] io::Error),
    #[error("nothing moved for {} s: the fetch was given up", .0.as_secs())]
    Idle(Duration),
    #[error("the fetch took longer than {} s and was given up", .0.as_secs())]
    Deadline(Duration),
    #[error(transparent)]
    Command(#[from] CommandError),
}

/// Answers a fetch. `protocol` is what the client asked for (`GIT_PROTOCOL`, or the header `Git-Protocol`): passed on
/// only in the two spellings that git itself sends.
pub(crate) async fn serve<R, W>(
    repository: &Repository,
    reader: R,
    writer: W,
    protocol: Option<&str>,
    (mode, limits): (Mode, UploadLimits),
) -> Result<(), UploadError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut command = command(repository, protocol, mode);
    let mut child = Child::spawn(&mut command)?;
    let conversation = converse(&mut child, reader, writer, limits.idle);
    let outcome = timeout(limits.total, conversation).await;
    let outcome = outcome.unwrap_or(Err(UploadError::Deadline(limits.total)));
    let errors = match outcome {
        Ok(errors) => errors,
        Err(error) => {
            child.end().await;
            return Err(error);
        }
    };
    let status = timeout(limits.idle, child.wait()).await.map_err(|_| UploadError::Idle(limits.idle))?;
    let status = status.map_err(UploadError::Vanished)?;
    if status.success() {
        return Ok(());
    }
    let output = command::Output { status, stdout: Vec::new(), stderr: errors };
    Err(output.failed(&command).into())
}

fn command(repository: &Repository, protocol: Option<&str>, mode: Mode) -> tokio::process::Command {
    let mut command = command::git(repository.path(), "upload-pack");
    command.arg("--strict");
    match mode {
        Mode::Stateful => {}
        Mode::Advertise => drop(command.args(["--stateless-rpc", "--http-backend-info-refs"])),
        Mode::Round => drop(command.arg("--stateless-rpc")),
    }
    if let Some(version @ ("version=1" | "version=2")) = protocol {
        command.env("GIT_PROTOCOL", version);
    }
    command.arg("--").arg(repository.path());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Carries both directions until git has said everything; gives its error output.
async fn converse(
    child: &mut Child,
    reader: impl AsyncRead + Unpin,
    writer: impl AsyncWrite + Unpin,
    idle: Duration,
) -> Result<String, UploadError> {
    let stdin = child.stdin.take().expect("invariant: standard input is a pipe");
    let stdout = child.stdout.take().expect("invariant: standard output is a pipe");
    let errors = tokio::spawn(command::drain(child.stderr.take()));
    let moved_at = watch::Sender::new(Instant::now());
    // Both at once: git may write while it still reads, and would block if nobody took it.
    tokio::select! {
        said_all = carry(stdout, writer, &moved_at) => said_all.map_err(UploadError::Vanished)?,
        error = carry_requests(reader, stdin, &moved_at) => return Err(UploadError::Vanished(error)),
        () = stillness(&moved_at, idle) => return Err(UploadError::Idle(idle)),
    }
    Ok(errors.await.unwrap_or_default())
}

/// Ends only when the client's side breaks: that it has said everything, or that git has heard enough, ends nothing.
async fn carry_requests(
    reader: impl AsyncRead + Unpin,
    stdin: ChildStdin,
    moved_at: &watch::Sender<Instant>,
) -> io::Error {
    match carry(reader, stdin, moved_at).await {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => error,
        _ => pending().await,
    }
}

async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    moved_at: &watch::Sender<Instant>,
) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    loop {
        let count = from.read(&mut chunk).await?;
        if count == 0 {
            return Ok(());
        }
        moved_at.send_replace(Instant::now());
        to.write_all(&chunk[..count]).await?;
        to.flush().await?;
        moved_at.send_replace(Instant::now());
    }
}

/// Ends once nothing has moved for `idle`.
async fn stillness(moved_at: &watch::Sender<Instant>, idle: Duration) {
    loop {
        let last = *moved_at.borrow();
        if last.elapsed() >= idle {
            return;
        }
        sleep_until(last + idle).await;
    }
}
