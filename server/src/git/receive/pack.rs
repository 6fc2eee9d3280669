//! The pack: from the client into a quarantine, through `git index-pack`, then checked for completeness.
//!
//! A client that vanishes, stalls or sends rubbish leaves nothing behind. Reading stops where the pack ends: over SSH
//! no end of the stream follows it, and `index-pack` tells by a NUL byte on its error output that it has read enough.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::process::{ChildStderr, ChildStdin};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::ReceiveLimits;
use super::fault::{self, Missing, PackError};
use super::quarantine::Quarantine;
use super::reply::Reply;
use super::request::Request;
use crate::git::command::{self, Child, CommandError};
use crate::git::repository::Repository;

/// Mistakes of old tools, in histories that nobody can rewrite; harmless to us. All else that fsck knows is refused.
const STRICT: &str = "--strict=badTimezone=ignore,missingSpaceBeforeDate=ignore,zeroPaddedFilemode=ignore";

/// Resolving deltas, after the last byte has come.
const RESOLVE_DEADLINE: Duration = Duration::from_secs(15 * 60);
/// Walking what is new.
const CONNECTIVITY_DEADLINE: Duration = Duration::from_secs(10 * 60);
/// One read from the client.
const CHUNK: usize = 64 * 1024;

/// Takes the pack that follows the request, and checks it. Keepalives go out on `reply` once the pack has been read.
///
/// The request's new ids are then known to exist with everything that they reach, up to a shallow boundary.
pub(crate) async fn take_pack<R, W>(
    repository: &Repository,
    request: &Request,
    reader: &mut R,
    reply: &mut Reply<W>,
    limits: &ReceiveLimits,
) -> Result<Quarantine, PackError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    if !request.sends_pack() {
        return Ok(Quarantine::empty(repository));
    }
    let mut quarantine = Quarantine::new(repository, request).await.map_err(PackError::Storage)?;
    let complete = async {
        index_pack(&quarantine, reader, reply, limits).await?;
        quarantine.settle_boundary().await.map_err(PackError::Storage)?;
        reply.keep_alive_while(check_connectivity(&quarantine, request)).await?
    };
    match complete.await {
        Err(PackError::Missing(missing)) => Err(blame(missing, &quarantine, request).await),
        Err(error) => Err(error),
        Ok(()) => check_kinds(quarantine, request).await,
    }
}

/// Checks what a fetch has brought into the quarantine as [`take_pack`] checks a push: whole, and a commit.
pub(in crate::git) async fn check_fetched(
    mut quarantine: Quarantine,
    request: &Request,
) -> Result<Quarantine, PackError> {
    quarantine.settle_boundary().await.map_err(PackError::Storage)?;
    check_connectivity(&quarantine, request).await?;
    check_kinds(quarantine, request).await
}

/// Objects are missing because the client lost them, or because our own history is shallow and it could not know.
async fn blame(missing: Missing, quarantine: &Quarantine, request: &Request) -> PackError {
    let Missing::Sender(detail) = missing else { return missing.into() };
    if !quarantine.is_shallow() || !request.shallow.is_empty() {
        return Missing::Sender(detail).into();
    }
    match quarantine.ask_for_whole_history().await {
        Ok(()) => Missing::Shallow(detail).into(),
        Err(error) => PackError::Storage(error),
    }
}

async fn index_pack<R, W>(
    quarantine: &Quarantine,
    reader: &mut R,
    reply: &mut Reply<W>,
    limits: &ReceiveLimits,
) -> Result<(), PackError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut command = quarantine.git("index-pack");
    command.args(["--stdin", "--fix-thin", "--report-end-of-input", STRICT]);
    command.arg(format!("--max-input-size={}", limits.max_pack_bytes));
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = Child::spawn(&mut command)?;
    let stdin = child.stdin.take().expect("invariant: standard input is a pipe");
    let stderr = child.stderr.take().expect("invariant: the error output is a pipe");
    let (mut end_of_input, errors) = watch(stderr);

    let pumped = timeout(limits.total, pump(reader, stdin, &mut end_of_input, limits.idle)).await;
    let source = match pumped {
        Ok(Ok(source)) => source,
        Ok(Err(fault)) => return give_up(child, fault).await,
        Err(_) => return give_up(child, PackError::Deadline(limits.total)).await,
    };
    let waited = reply.keep_alive_while(timeout(RESOLVE_DEADLINE, child.wait())).await;
    let status = match waited {
        Ok(Ok(status)) => status.map_err(PackError::Storage)?,
        Ok(Err(_)) => return give_up(child, PackError::Deadline(RESOLVE_DEADLINE)).await,
        Err(gone) => return give_up(child, gone.into()).await,
    };
    if status.success() {
        return Ok(());
    }
    let errors = errors.await.unwrap_or_default();
    Err(fault::of_index_pack(&errors, source, limits))
}

/// Ends the child before the quarantine goes, so that it cannot write into a folder that is being removed.
async fn give_up<T>(child: Child, fault: PackError) -> Result<T, PackError> {
    child.end().await;
    Err(fault)
}

/// Where the client's stream stood when `index-pack` had read enough, or had failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Open,
    Ended,
}

async fn pump(
    reader: &mut (impl AsyncRead + Unpin),
    mut stdin: ChildStdin,
    end_of_input: &mut oneshot::Receiver<()>,
    idle: Duration,
) -> Result<Source, PackError> {
    let mut chunk = vec![0; CHUNK];
    loop {
        let count = tokio::select! {
            biased;
            // Also when the sender is dropped: then the child has closed its error output, that is, ended.
            _ = &mut *end_of_input => return Ok(Source::Open),
            read = timeout(idle, reader.read(&mut chunk)) => match read {
                Ok(Ok(0)) => return Ok(Source::Ended),
                Ok(Ok(count)) => count,
                Ok(Err(_)) => return Err(PackError::Vanished),
                Err(_) => return Err(PackError::Idle(idle)),
            },
        };
        match stdin.write_all(&chunk[..count]).await {
            Ok(()) => {}
            // It has ended; its status and its error output tell why.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Source::Open),
            Err(error) => return Err(PackError::Storage(error)),
        }
    }
}

/// Reads the error output to its end: the NUL byte is told at once, the text is what the handle gives.
fn watch(mut stderr: ChildStderr) -> (oneshot::Receiver<()>, JoinHandle<String>) {
    let (told, end_of_input) = oneshot::channel();
    let errors = tokio::spawn(async move {
        let mut text = Vec::new();
        loop {
            match stderr.read_u8().await {
                Ok(0) => {
                    // Nobody listens any more when the pumping was given up.
                    let _ = told.send(());
                    break;
                }
                Ok(byte) if text.len() < 16 * 1024 => text.push(byte),
                Ok(_) => {}
                Err(_) => return String::from_utf8_lossy(&text).into_owned(),
            }
        }
        String::from_utf8_lossy(&text).into_owned() + &command::drain(Some(stderr)).await
    });
    (end_of_input, errors)
}

/// Everything that the new tips reach and that no ref of ours does must be here.
async fn check_connectivity(quarantine: &Quarantine, request: &Request) -> Result<(), PackError> {
    let mut walk = quarantine.git("rev-list");
    walk.args(["--objects", "--stdin", "--not", "--all", "--quiet"]);
    let tips = request.commands.iter().filter(|command| !command.deletes());
    let input: String = tips.map(|command| format!("{}\n", command.new)).collect();
    match command::run(&mut walk, input.as_bytes(), CONNECTIVITY_DEADLINE).await {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(fault::of_rev_list(&output.stderr)),
        Err(CommandError::Deadline { deadline, .. }) => Err(PackError::Deadline(deadline)),
        Err(error) => Err(error.into()),
    }
}

/// A branch is a commit; git would refuse to move it later, with words for nobody.
async fn check_kinds(quarantine: Quarantine, request: &Request) -> Result<Quarantine, PackError> {
    let branches = request.commands.iter().filter(|c| !c.deletes() && c.name.starts_with("refs/heads/"));
    let branches: Vec<_> = branches.map(|command| (command.name.clone(), command.new)).collect();
    let task = tokio::task::spawn_blocking(move || {
        let commit = Some(git2::ObjectType::Commit);
        match branches.into_iter().find(|(_, oid)| quarantine.kind_of(*oid) != commit) {
            Some((name, _)) => Err(PackError::NotACommit(name)),
            None => Ok(quarantine),
        }
    });
    task.await.map_err(|error| PackError::Storage(error.into()))?
}
