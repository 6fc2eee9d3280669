//! What a client asks for: commands, push options, its capabilities and its shallow boundary.
//!
//! Invariant: a `Request` that `read_request` returns has passed every cap and name rule below. A request that has not
//! is handed out inside the error, because the answer still needs its capabilities and its refs.

use std::collections::HashSet;
use std::time::Duration;

use tokio::io::AsyncRead;
use tokio::time::timeout;

use super::pktline::{Packet, PacketError, read_packet};
use super::refname::{self, RefNameError};
use super::shallow;
use super::{MAX_OPTIONS, MAX_REFS, ReceiveLimits};
use crate::git::command::CommandError;
use crate::git::oid::Oid;
use crate::git::repository::Repository;

/// Bytes of one push option.
pub(crate) const LONGEST_OPTION: usize = 1024;
/// Commits at which a shallow clone's history ends; a clone of depth 1 has one, deep ones with merges have hundreds.
const MOST_SHALLOW: usize = 20_000;

/// How long a client may think after the advertisement: its `pre-push` hook runs then, perhaps a whole test suite.
const THINKING_DEADLINE: Duration = Duration::from_secs(15 * 60);

/// What is kept of a request's lines.
const KEPT_BYTES: usize = 4 * 1024 * 1024;
/// What is read of a request before the connection is given up; in between, the excess is read and dropped so that the
/// client can be told.
const READ_BYTES: usize = 16 * 1024 * 1024;

/// A push as it was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) commands: Vec<Command>,
    /// `-o` options, in order.
    pub(crate) options: Vec<String>,
    pub(crate) capabilities: Capabilities,
    /// Commits whose parents the client does not have.
    pub(crate) shallow: Vec<Oid>,
}

/// One ref to move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Command {
    /// Full name.
    pub(crate) name: String,
    /// Where the client saw it; `Oid::ZERO` for a new ref.
    pub(crate) old: Oid,
    /// Where it should go; `Oid::ZERO` to delete it.
    pub(crate) new: Oid,
}

/// What the client understands, out of what was offered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Capabilities {
    pub(crate) report: Report,
    pub(crate) side_band: bool,
    pub(crate) atomic: bool,
    pub(crate) quiet: bool,
    push_options: bool,
}

/// How the client wants to hear of each ref.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Report {
    #[default]
    None,
    V1,
    V2,
}

/// Why there is no request to work on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    /// Understood and refused: the client can be told, by `Reply::refuse`.
    #[error("{problem}")]
    Refused { request: Box<Request>, problem: Problem },
    #[error("the client left before it had asked for anything")]
    Vanished,
    #[error("the client said nothing for {} s", .0.as_secs())]
    Silent(Duration),
    #[error("this is not git's push protocol")]
    Malformed,
    /// Ours.
    #[error(transparent)]
    Command(#[from] CommandError),
}

/// What is wrong with a request, in words for the person who pushed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Problem {
    #[error(
        "{count} refs in one push, at most {limit} are accepted: push fewer at a time, or have {MAX_REFS} raised"
    )]
    TooManyCommands { count: usize, limit: usize },
    #[error("{count} push options, at most {limit} are accepted ({MAX_OPTIONS})")]
    TooManyOptions { count: usize, limit: usize },
    #[error("a push option of more than {LONGEST_OPTION} bytes, or with control characters")]
    Option,
    #[error(
        "the clone's history ends at more than {MOST_SHALLOW} commits: run `git fetch --unshallow` first"
    )]
    TooManyShallow,
    #[error("{name} cannot be pushed: {reason}")]
    Name { name: String, reason: RefNameError },
    #[error("{0} is named twice in one push")]
    Duplicate(String),
    #[error("{0} is asked to be deleted, but was not seen to exist")]
    DeletesNothing(String),
    #[error("this server keeps SHA-1 repositories, the push comes from one of another object format")]
    ObjectFormat,
    #[error("a line of the request is not understood (signed pushes are not offered)")]
    Line,
    #[error("the request is longer than {KEPT_BYTES} bytes")]
    TooLong,
}

impl Request {
    /// A push that only deletes sends no pack.
    pub(crate) fn sends_pack(&self) -> bool {
        self.commands.iter().any(|command| !command.deletes())
    }
}

impl Command {
    pub(crate) fn deletes(&self) -> bool {
        self.new.is_zero()
    }

    pub(crate) fn creates(&self) -> bool {
        self.old.is_zero()
    }
}

/// Reads commands and options and nothing behind them: the pack is still in the stream.
///
/// `None`: the client asks for nothing. That is the probe (`0000`) of git over HTTP before a large push, and the
/// good-bye of a client that found nothing to push; it gets an empty answer and starts nothing.
pub(crate) async fn read_request(
    repository: &Repository,
    reader: &mut (impl AsyncRead + Unpin),
    limits: &ReceiveLimits,
) -> Result<Option<Request>, RequestError> {
    let mut request = read_wire(reader, limits).await?;
    if let Some(request) = request.as_mut().filter(|request| request.sends_pack())
        && shallow::asks_for_whole_history(repository.path()).await
    {
        recall_old_ids(repository, request).await?;
    }
    Ok(request)
}

/// The client was shown no refs and so takes all for new: they are where they are.
async fn recall_old_ids(repository: &Repository, request: &mut Request) -> Result<(), RequestError> {
    for command in request.commands.iter_mut().filter(|command| command.creates()) {
        command.old = repository.resolve(&command.name).await?.unwrap_or(Oid::ZERO);
    }
    Ok(())
}

async fn read_wire(
    reader: &mut (impl AsyncRead + Unpin),
    limits: &ReceiveLimits,
) -> Result<Option<Request>, RequestError> {
    let mut lines = Lines { idle: THINKING_DEADLINE, ..Lines::default() };
    lines.read_list(reader, limits.idle).await?;
    if lines.kept.is_empty() {
        return Ok(None);
    }
    let (mut request, mut problem) = parse_commands(&lines.kept, limits.refs);
    if request.capabilities.push_options {
        lines.kept.clear();
        lines.read_list(reader, limits.idle).await?;
        let outcome = parse_options(&lines.kept, limits.options);
        problem = problem.or(outcome.as_ref().err().cloned());
        request.options = outcome.unwrap_or_default();
    }
    if lines.read > KEPT_BYTES {
        problem = Some(Problem::TooLong);
    }
    match problem {
        None => Ok(Some(request)),
        Some(problem) => Err(RequestError::Refused { request: Box::new(request), problem }),
    }
}

/// The lines up to a flush, with caps.
#[derive(Debug, Default)]
struct Lines {
    kept: Vec<Vec<u8>>,
    read: usize,
    idle: Duration,
}

impl Lines {
    async fn read_list(
        &mut self,
        reader: &mut (impl AsyncRead + Unpin),
        idle: Duration,
    ) -> Result<(), RequestError> {
        while let Packet::Data(mut line) = self.next(reader).await? {
            self.idle = idle;
            self.read += line.len() + 4;
            if self.read > READ_BYTES {
                return Err(RequestError::Malformed);
            }
            if self.read <= KEPT_BYTES {
                if line.last() == Some(&b'\n') {
                    line.pop();
                }
                self.kept.push(line);
            }
        }
        Ok(())
    }

    async fn next(&self, reader: &mut (impl AsyncRead + Unpin)) -> Result<Packet, RequestError> {
        match timeout(self.idle, read_packet(reader)).await {
            Ok(Ok(packet)) => Ok(packet),
            Ok(Err(PacketError::Malformed)) => Err(RequestError::Malformed),
            Ok(Err(PacketError::Closed | PacketError::Broken(_))) => Err(RequestError::Vanished),
            Err(_) => Err(RequestError::Silent(self.idle)),
        }
    }
}

/// As much of the request as can be understood, and the first thing wrong with it.
fn parse_commands(lines: &[Vec<u8>], most: usize) -> (Request, Option<Problem>) {
    let mut request = Request::default();
    let mut problem = None;
    let mut awaiting_capabilities = true;
    for line in lines {
        let outcome = if let Some(oid) = line.strip_prefix(b"shallow ") {
            add_shallow(&mut request, oid)
        } else {
            let mut halves = line.splitn(2, |byte| *byte == 0);
            let command = halves.next().unwrap_or_default();
            let mut outcome = Ok(());
            if std::mem::take(&mut awaiting_capabilities) {
                outcome = parse_capabilities(&mut request.capabilities, halves.next().unwrap_or_default());
            }
            outcome.and(add_command(&mut request, command))
        };
        problem = problem.or(outcome.err());
    }
    let problem = problem.or_else(|| check_commands(&request, most).err());
    (request, problem)
}

fn add_shallow(request: &mut Request, oid: &[u8]) -> Result<(), Problem> {
    request.shallow.push(parse_oid(oid)?);
    if request.shallow.len() > MOST_SHALLOW { Err(Problem::TooManyShallow) } else { Ok(()) }
}

fn add_command(request: &mut Request, line: &[u8]) -> Result<(), Problem> {
    let mut words = line.splitn(3, |byte| *byte == b' ');
    let old = parse_oid(words.next().unwrap_or_default())?;
    let new = parse_oid(words.next().unwrap_or_default())?;
    let name = words.next().ok_or(Problem::Line)?;
    let Ok(name) = std::str::from_utf8(name) else {
        return Err(Problem::Name {
            name: String::from_utf8_lossy(name).into_owned(),
            reason: RefNameError::Format,
        });
    };
    request.commands.push(Command { name: name.to_owned(), old, new });
    Ok(())
}

fn parse_oid(text: &[u8]) -> Result<Oid, Problem> {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(Problem::Line)
}

fn parse_capabilities(capabilities: &mut Capabilities, text: &[u8]) -> Result<(), Problem> {
    for word in String::from_utf8_lossy(text).split_ascii_whitespace() {
        match word {
            // A client may name both; the newer one wins.
            "report-status-v2" => capabilities.report = Report::V2,
            "report-status" if capabilities.report == Report::None => capabilities.report = Report::V1,
            "side-band-64k" => capabilities.side_band = true,
            "atomic" => capabilities.atomic = true,
            "quiet" => capabilities.quiet = true,
            "push-options" => capabilities.push_options = true,
            _ if word.strip_prefix("object-format=").is_some_and(|format| format != "sha1") => {
                return Err(Problem::ObjectFormat);
            }
            // `agent=`, `session-id=`, and whatever later clients add.
            _ => {}
        }
    }
    Ok(())
}

fn check_commands(request: &Request, limit: usize) -> Result<(), Problem> {
    if request.commands.is_empty() {
        return Err(Problem::Line);
    }
    let count = request.commands.len();
    if count > limit {
        return Err(Problem::TooManyCommands { count, limit });
    }
    let mut seen = HashSet::new();
    for command in &request.commands {
        let name = || printable(&command.name);
        refname::check(&command.name).map_err(|reason| Problem::Name { name: name(), reason })?;
        if !seen.insert(&command.name) {
            return Err(Problem::Duplicate(name()));
        }
        if command.deletes() && command.creates() {
            return Err(Problem::DeletesNothing(name()));
        }
    }
    Ok(())
}

fn parse_options(lines: &[Vec<u8>], limit: usize) -> Result<Vec<String>, Problem> {
    let count = lines.len();
    if count > limit {
        return Err(Problem::TooManyOptions { count, limit });
    }
    lines.iter().map(|line| parse_option(line)).collect()
}

fn parse_option(line: &[u8]) -> Result<String, Problem> {
    let text = std::str::from_utf8(line).map_err(|_| Problem::Option)?;
    let fine = text.len() <= LONGEST_OPTION && !text.contains(char::is_control);
    if fine { Ok(text.to_owned()) } else { Err(Problem::Option) }
}

/// A stranger's name, fit to be quoted back on a terminal.
fn printable(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(120).collect()
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
