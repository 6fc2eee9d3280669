//! How a listening socket passes from one router to the next: as the successor's standard input.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

use super::settings::Settings;
use super::{RouterError, client};

/// For a successor to answer on the control socket.
const SUCCESSION: Duration = Duration::from_secs(20);

/// The program that shall take over.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Successor {
    pub(super) program: PathBuf,
    pub(super) args: Vec<String>,
    /// Whether it listens where this router does, and so gets its socket.
    pub(super) same_address: bool,
}

/// Why the successor did not take over.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandoverError {
    #[error("{program} could not be started: {source}")]
    Start { program: PathBuf, source: io::Error },
    #[error("the new router ended at once ({0}); its log says why")]
    Ended(std::process::ExitStatus),
    #[error("the new router did not answer within {} s", SUCCESSION.as_secs())]
    Silent,
}

/// Leaves the session of whoever started the router, so that their end is not ours.
pub(super) fn detach() {
    if let Err(error) = nix::unistd::setsid() {
        // A process that leads its group has a session of its own making already.
        tracing::debug!(error = %error, "The router keeps its session");
    }
}

/// The inherited socket, or a new one.
pub(super) async fn listener(settings: &Settings) -> Result<Arc<TcpListener>, RouterError> {
    let listener = if settings.inherited_listener {
        inherited().map_err(RouterError::Handover)
    } else {
        TcpListener::bind(settings.listen)
            .await
            .map_err(|source| RouterError::Listen { address: settings.listen, source })
    };
    listener.map(Arc::new)
}

fn inherited() -> io::Result<TcpListener> {
    let socket: OwnedFd = io::stdin().as_fd().try_clone_to_owned()?;
    // Else the socket would stay open for as long as this process lives.
    nix::unistd::dup2_stdin(std::fs::File::open("/dev/null")?)?;
    let listener = std::net::TcpListener::from(socket);
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// Starts the successor and waits until it answers in this router's place. Until then this router goes on.
pub(super) async fn hand_over(
    successor: &Successor,
    listener: &TcpListener,
    settings: &Settings,
) -> Result<(), HandoverError> {
    let mut child = start(successor, listener)
        .map_err(|source| HandoverError::Start { program: successor.program.clone(), source })?;
    let answers = client::answers_as(&settings.socket, child.id());
    let outcome = tokio::select! {
        ended = child.wait() => Err(ended.map_or(HandoverError::Silent, HandoverError::Ended)),
        answered = tokio::time::timeout(SUCCESSION, answers) => answered.map_err(|_| HandoverError::Silent),
    };
    if outcome.is_err() {
        // Gone already, or about to be: nothing waits for it.
        drop(child.start_kill());
    }
    outcome
}

fn start(successor: &Successor, listener: &TcpListener) -> io::Result<Child> {
    let mut command = Command::new(&successor.program);
    command.args(&successor.args).current_dir("/");
    if successor.same_address {
        let socket = listener.as_fd().try_clone_to_owned()?;
        command.arg("--inherited-listener").stdin(Stdio::from(socket));
    } else {
        command.stdin(Stdio::null());
    }
    command.spawn()
}
