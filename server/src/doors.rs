//! What the two doors (SSH, HTTP) hand inwards, and what they ask for.
//!
//! Invariant: a door proves who somebody is and carries bytes; it decides nothing about apps. Whether a principal may
//! touch an app is answered behind `Services`, by the one authorise function.

#[cfg(test)]
pub(crate) mod testing;

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use secrecy::SecretString;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::domain::access::Principal;
use crate::domain::names::AppName;
use crate::target::attached::Screen;

/// The half of a connection that the client speaks on; ends (EOF) when the client has finished or gone.
pub(crate) type Input = Box<dyn AsyncRead + Send + Unpin>;
/// The half that the client listens on; writing fails once the client has gone.
pub(crate) type Output = Box<dyn AsyncWrite + Send + Sync + Unpin>;

/// The neighbours of the doors, made in the wiring of the server.
#[derive(Clone)]
pub(crate) struct Services {
    /// Who owns the SSH key with this fingerprint (`SHA256:…`, as ssh-keygen prints it).
    pub(crate) authenticate_key: Arc<dyn Fn(String, KeyProof) -> BoxFuture<'static, Lookup> + Send + Sync>,
    /// Who owns this token.
    pub(crate) authenticate_token: Arc<dyn Fn(SecretString) -> BoxFuture<'static, Lookup> + Send + Sync>,
    /// Authorises first; the work that it returns then speaks git's protocol until either side is done.
    pub(crate) git: Arc<dyn Fn(GitRequest) -> BoxFuture<'static, Result<GitWork, Refused>> + Send + Sync>,
    /// Runs a verb to its exit status.
    pub(crate) verb: Arc<dyn Fn(VerbRequest) -> BoxFuture<'static, u8> + Send + Sync>,
}

impl Services {
    /// As `authenticate_key`, and never longer than the deadline.
    pub(crate) async fn owner_of_key(&self, fingerprint: &str, proof: KeyProof) -> Lookup {
        let lookup = (self.authenticate_key)(fingerprint.to_owned(), proof);
        timeout(LOOKUP_DEADLINE, lookup).await.unwrap_or(Lookup::Unavailable)
    }

    /// As `authenticate_token`, and never longer than the deadline.
    pub(crate) async fn owner_of_token(&self, token: SecretString) -> Lookup {
        let lookup = (self.authenticate_token)(token);
        timeout(LOOKUP_DEADLINE, lookup).await.unwrap_or(Lookup::Unavailable)
    }

    /// As `git`, and never longer than the deadline; the work itself has as long as it takes.
    pub(crate) async fn open_repository(&self, request: GitRequest) -> Result<GitWork, Refused> {
        let late = |_| {
            let text = "Slipway cannot open the repository at the moment: try again in a minute".to_owned();
            Err(Refused { reason: RefusedReason::Unavailable, text })
        };
        timeout(LOOKUP_DEADLINE, (self.git)(request)).await.unwrap_or_else(late)
    }
}

/// Speaks git's protocol on the streams; the result is the exit status.
pub(crate) type GitWork = Box<dyn FnOnce(GitStreams) -> BoxFuture<'static, u8> + Send>;

/// What is known of a key when its owner is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyProof {
    /// The client only claims to have it: never a reason to let anybody in, nor a use of the key.
    Offered,
    /// The client has signed with it.
    Verified,
}

/// The answer to "whose is it?".
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Lookup {
    Known(Principal),
    Unknown,
    /// The database is away: nobody's fault who asks.
    Unavailable,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GitService {
    /// A push.
    Receive,
    /// A clone or a fetch.
    Upload,
}

impl GitService {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Receive => "git-receive-pack",
            Self::Upload => "git-upload-pack",
        }
    }
}

/// Which part of git's conversation the streams carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exchange {
    /// SSH: the refs, then the client's answer, on one connection.
    Whole,
    /// HTTP, first request: only the refs, without the `# service` line, which is the door's.
    Advertise,
    /// HTTP, later requests: one question, one answer, nothing remembered (`--stateless-rpc`).
    Rpc,
}

/// One wish to push to or fetch from an app's repository.
#[derive(Debug, Clone)]
pub(crate) struct GitRequest {
    pub(crate) principal: Principal,
    pub(crate) app: AppName,
    pub(crate) service: GitService,
    pub(crate) exchange: Exchange,
    /// `GIT_PROTOCOL` or the `Git-Protocol` header; harmless characters only.
    pub(crate) protocol: Option<String>,
    pub(crate) address: IpAddr,
}

pub(crate) struct GitStreams {
    pub(crate) input: Input,
    pub(crate) output: Output,
}

/// A verb that somebody has asked for over SSH.
pub(crate) struct VerbRequest {
    pub(crate) principal: Principal,
    /// Split by a shell's rules, without a shell: `["apps:create", "blog"]`.
    pub(crate) argv: Vec<String>,
    pub(crate) address: IpAddr,
    pub(crate) terminal: Terminal,
    pub(crate) line: RawLine,
    pub(crate) input: Input,
    pub(crate) output: Output,
    pub(crate) errors: Output,
}

/// A client's streams as they are, for a verb that hands them on to a process: input without a limit, keys as they are
/// typed, output without carriage returns of ours.
#[derive(Debug, Clone)]
pub(crate) struct RawLine {
    raw: CancellationToken,
    /// The client's terminal as it is now; `None` without one.
    pub(crate) screen: watch::Receiver<Option<Screen>>,
}

impl RawLine {
    pub(crate) fn new(screen: watch::Receiver<Option<Screen>>) -> Self {
        Self { raw: CancellationToken::new(), screen }
    }

    /// From here on the door does nothing to what goes through.
    pub(crate) fn take_over(&self) {
        self.raw.cancel();
    }

    pub(crate) fn is_raw(&self) -> bool {
        self.raw.is_cancelled()
    }

    /// Until it is taken over.
    pub(crate) async fn taken_over(&self) {
        self.raw.cancelled().await;
    }
}

/// What the client's output goes to, as far as it has told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Terminal {
    None,
    Columns(u16),
}

/// Why a repository is not opened, in words for the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) reason: RefusedReason,
    pub(crate) text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RefusedReason {
    /// No such app, or none that this principal may know of.
    NotFound,
    Forbidden,
    /// The platform's own trouble: trying again later may help.
    Unavailable,
}

/// How long a door waits to hear who somebody is and what they may do; then the platform counts as unavailable.
const LOOKUP_DEADLINE: Duration = Duration::from_secs(15);
/// Longest `GIT_PROTOCOL` that is passed on, in bytes.
const LONGEST_PROTOCOL: usize = 128;

/// The client's wish for a protocol version if it is made of nothing but `key=value` pairs joined by colons.
pub(crate) fn protocol(text: &str) -> Option<String> {
    let harmless = |c: u8| c.is_ascii_alphanumeric() || b"=:._-".contains(&c);
    let fits = !text.is_empty() && text.len() <= LONGEST_PROTOCOL && text.bytes().all(harmless);
    fits.then(|| text.to_owned())
}

/// What addresses are counted by: an IPv6 client owns a whole /64.
pub(crate) fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        address => address,
    }
}
