//! Why a branch was not fetched, in words for the people of the app.

use bytesize::ByteSize;

use super::{Access, Remote};
use crate::git::command::{CommandError, Output};
use crate::git::receive::PackError;

/// Longest piece of git's own words that is repeated.
const QUOTED: usize = 200;

/// Why a branch was not looked at, or not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("{0} does not answer: is the address right, and is the host up?")]
    Unreachable(String),
    #[error("{host} lets nobody in by this {what}: {help}")]
    Denied { host: String, what: &'static str, help: &'static str },
    #[error(
        "{0} has no repository at this address, or does not show it without a login: check the address, and that the \
         deploy key or the token is allowed to read it"
    )]
    NotFound(String),
    #[error(
        "{0} sends on to another address, which is not followed: connect the app to the address that a browser ends up \
         at; often `.git` at its end is all that is missing"
    )]
    Redirected(String),
    #[error(
        "{0} does not show itself by the key that it had when it was met first: if its owner has changed it, \
         `hooks:disconnect` and connect again; if not, somebody stands in between"
    )]
    Stranger(String),
    #[error(
        "the certificate of {0} is not one that this server trusts: an admin names its authority with SLIPWAY_HOOK_CA"
    )]
    Certificate(String),
    #[error(
        "the repository brings more than {limit}, the limit of this server: keep large files out of git, or have \
         SLIPWAY_MAX_PACK raised",
        limit = ByteSize::b(*.0)
    )]
    TooLarge(u64),
    #[error("the branch was moved while it was being read")]
    Moved,
    #[error("{host} answered with an error: {said}")]
    Other { host: String, said: String },
    #[error(transparent)]
    Pack(#[from] PackError),
    #[error("the platform could not run git")]
    Command(#[source] CommandError),
}

impl From<CommandError> for FetchError {
    fn from(error: CommandError) -> Self {
        Self::Command(error)
    }
}

impl FetchError {
    /// Whether a little later things may have changed by themselves.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Moved | Self::Other { .. } | Self::Command(_) => true,
            Self::Pack(fault) => matches!(fault, PackError::Storage(_) | PackError::Command(_)),
            _ => false,
        }
    }

    /// The sentence for the ledger; what is ours to mend stays in our log.
    pub(crate) fn said(&self) -> String {
        match self {
            Self::Command(CommandError::Deadline { deadline, .. }) => {
                format!("the repository took longer than {} s to answer and was given up", deadline.as_secs())
            }
            Self::Command(_) | Self::Pack(PackError::Storage(_) | PackError::Command(_)) => {
                "the platform could not fetch the repository; its log has the cause".to_owned()
            }
            other => other.to_string(),
        }
    }
}

/// Reads the cause out of git's words, in the C locale. What the remote says of itself is not gone by.
pub(super) fn said_by_us(output: &Output, remote: &Remote) -> FetchError {
    let lines: Vec<&str> =
        output.stderr.lines().map(str::trim).filter(|line| !line.starts_with("remote:")).collect();
    let has = |words: &[&str]| words.iter().any(|words| lines.iter().any(|line| line.contains(words)));
    let host = remote.host.clone();
    if has(&["Host key verification failed", "REMOTE HOST IDENTIFICATION HAS CHANGED"]) {
        return FetchError::Stranger(host);
    }
    if has(&[
        "Permission denied",
        "Authentication failed",
        "could not read Username",
        "error: 401",
        "error: 403",
    ]) {
        return denied(host, &remote.access);
    }
    if has(&["certificate", "SSL peer"]) {
        return FetchError::Certificate(host);
    }
    if has(&["error: 301", "error: 302", "error: 303", "error: 307", "error: 308", "redirect"]) {
        return FetchError::Redirected(host);
    }
    if has(&["not found", "error: 404", "does not appear to be a git repository", "does not exist"]) {
        return FetchError::NotFound(host);
    }
    let silent = [
        "Connection refused",
        "Connection timed out",
        "Operation timed out",
        "Could not resolve",
        "Failed to connect",
        "Couldn't connect",
        "No route to host",
        "Connection reset",
        "Connection closed",
        "Network is unreachable",
    ];
    if has(&silent) {
        return FetchError::Unreachable(host);
    }
    let line = lines.iter().find(|line| line.starts_with("fatal: ")).or_else(|| lines.first());
    let said = line.unwrap_or(&"no reason given").trim_start_matches("fatal: ");
    FetchError::Other { host, said: said.chars().filter(|c| !c.is_control()).take(QUOTED).collect() }
}

fn denied(host: String, access: &Access) -> FetchError {
    let (what, help) = match access {
        Access::Ssh { .. } => (
            "deploy key",
            "add the key that `hooks:info` prints to the repository's deploy keys, to read only",
        ),
        Access::Https { authorization: Some(_), .. } => {
            ("token", "make one there that may read the repository, and give it to `hooks:set --token-stdin`")
        }
        Access::Https { authorization: None, .. } => (
            "address without a token",
            "connect the app with `--token-stdin`, or to the address of SSH, for which Slipway makes a deploy key",
        ),
    };
    FetchError::Denied { host, what, help }
}
