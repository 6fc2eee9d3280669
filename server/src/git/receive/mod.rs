//! Receiving a push: our own front end, git's plumbing behind it. One set of steps for SSH and for HTTP.
//!
//! ```text
//! advertise(repository, writer)                  refs and capabilities
//! read_request(repository, reader)                   commands, options, shallow lines; the probe is `None`
//! Reply::new(writer, &request)                   from here on all output goes through the reply
//! take_pack(repository, &request, reader, …)     quarantine, index-pack, completeness
//! Quarantine::migrate                            objects are in; the caller pins them with a ref, then decides
//! Reply::log, Reply::report                      the build's log, then the result of each ref
//! ```
//!
//! Over HTTP the first step is a request of its own (`info/refs`, whose `# service` line is the door's) and the others
//! are the second. No step moves a ref: that is the caller's, when the release has succeeded.

mod advertise;
mod fault;
mod pack;
mod pktline;
mod quarantine;
mod refname;
mod reply;
mod report;
mod request;
mod shallow;

use std::time::Duration;

use tokio::io::AsyncRead;
use tokio::time::timeout;

pub(crate) use advertise::advertise;
pub(in crate::git) use fault::of_fetch;
pub(crate) use fault::{Fault, PackError};
pub(in crate::git) use pack::check_fetched;
pub(crate) use pack::take_pack;
pub(crate) use quarantine::PREFIX as QUARANTINE_PREFIX;
pub(crate) use quarantine::Quarantine;
pub(crate) use reply::Reply;
pub(crate) use report::{RefOutcome, RefResult, all_or_nothing};
pub(crate) use request::{Command, Request, RequestError, read_request};
pub(super) use shallow::read as boundary;

/// How much, and for how long, a client may send.
#[derive(Debug, Clone)]
pub(crate) struct ReceiveLimits {
    /// Bytes of one pack, as sent.
    pub(crate) max_pack_bytes: u64,
    /// Refs of one push.
    pub(crate) refs: usize,
    /// `-o` options of one push.
    pub(crate) options: usize,
    /// Silence between two reads.
    pub(crate) idle: Duration,
    /// From the first byte of the pack to the last.
    pub(crate) total: Duration,
}

impl Default for ReceiveLimits {
    fn default() -> Self {
        Self {
            max_pack_bytes: 1024 * 1024 * 1024,
            refs: 64,
            options: 32,
            idle: Duration::from_secs(60),
            total: Duration::from_secs(60 * 60),
        }
    }
}

/// How the limits' settings are called, for the sentences that name them.
const MAX_PACK: &str = "SLIPWAY_MAX_PACK";
const MAX_REFS: &str = "SLIPWAY_MAX_REFS";
const MAX_OPTIONS: &str = "SLIPWAY_MAX_PUSH_OPTIONS";

/// How long a refused client may go on sending.
const LINGER: Duration = Duration::from_secs(30);

/// Reads and drops what a client still sends after its push was refused, until it leaves or `LINGER` is over. Without it
/// the closing of a TCP connection may destroy the refusal before the client has read it.
pub(crate) async fn linger(reader: &mut (impl AsyncRead + Unpin)) {
    let mut nowhere = tokio::io::sink();
    // Left, broken or out of patience: in each case the connection is over.
    drop(timeout(LINGER, tokio::io::copy(reader, &mut nowhere)).await);
}

#[cfg(test)]
mod tests;
