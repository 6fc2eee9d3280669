//! Fetching a branch from a repository elsewhere.
//!
//! Invariant: what is fetched lies in a quarantine until it has passed the checks of a push, and git reaches nothing but
//! the one address that the caller has looked up: no redirects, no submodules, no other protocol, no helper programs, no
//! configuration but ours. Credentials travel in the environment or in files of the quarantine's kind, never in words
//! that `ps` shows.

mod fault;
mod identity;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::process::Command;

use self::fault::said_by_us;
use self::identity::Identity;
use super::command::{self, Output};
use super::oid::Oid;
use super::receive::{self, PackError, Quarantine, ReceiveLimits, Request};
use super::repository::Repository;
pub(crate) use fault::FetchError;

/// Asking where a branch stands.
const LOOK_DEADLINE: Duration = Duration::from_secs(60);
/// How often a pack that comes in is measured.
const MEASURE_EVERY: Duration = Duration::from_millis(200);
/// Bytes a second below which a transfer over HTTPS is given up, when it stays there for the limits' idle time.
const SLOWEST: u32 = 1000;

/// Where a repository is, looked up, and how to be let in.
#[derive(Debug)]
pub(crate) struct Remote {
    /// `https://host/path` or `ssh://user@host/path`, without any password.
    pub(crate) url: String,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// What the host's name was resolved to; git is not asked to look again.
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) access: Access,
}

#[derive(Debug)]
pub(crate) enum Access {
    Https {
        /// The value of the header `Authorization`.
        authorization: Option<SecretString>,
        /// Certificates to trust in place of the system's.
        authorities: Option<PathBuf>,
    },
    Ssh {
        private_key: SecretString,
        /// The line of known_hosts by which the host was met first; without one, whoever answers is believed.
        host_key: Option<String>,
    },
}

/// What a look at a ref has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// `None` if there is no such ref.
    pub(crate) head: Option<Oid>,
    /// By which key the SSH host has shown itself, if none was known.
    pub(crate) host_key: Option<String>,
}

/// Asks where a ref stands, such as `refs/heads/main`.
pub(crate) async fn look(repository: &Repository, remote: &Remote, name: &str) -> Result<Found, FetchError> {
    let identity = Identity::of(repository, remote)?;
    let mut ask = command::git(repository.path(), "ls-remote");
    guard(&mut ask, remote, identity.as_ref());
    ask.args(["--end-of-options", &remote.url, name]);
    let output = command::run(&mut ask, b"", LOOK_DEADLINE).await?;
    if !output.status.success() {
        return Err(said_by_us(&output, remote));
    }
    // The last part of a name is what git matches: another ref may end like this one.
    let listing = String::from_utf8_lossy(&output.stdout);
    let mut rows = listing.lines().filter_map(|line| line.split_once('\t'));
    let head = rows.find(|(_, found)| *found == name).and_then(|(oid, _)| oid.parse().ok());
    Ok(Found { head, host_key: identity.and_then(|identity| identity.met()) })
}

/// Fetches a ref, where `look` has found it, and checks it as a push is checked.
pub(crate) async fn take(
    repository: &Repository,
    remote: &Remote,
    (name, head): (&str, Oid),
    limits: &ReceiveLimits,
) -> Result<Quarantine, FetchError> {
    let identity = Identity::of(repository, remote)?;
    let request = Request {
        commands: vec![receive::Command { name: name.to_owned(), old: Oid::ZERO, new: head }],
        ..Request::default()
    };
    let quarantine = Quarantine::new(repository, &request).await.map_err(PackError::Storage)?;
    let mut fetch = quarantine.git("fetch");
    guard(&mut fetch, remote, identity.as_ref());
    fetch.args(["--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance"]);
    fetch.args(["--no-recurse-submodules", "--refmap=", "--end-of-options", &remote.url, name]);
    let output = measured(&quarantine, fetch, limits).await?;
    if !output.status.success() {
        return Err(match receive::of_fetch(&output.stderr, limits) {
            Some(fault) => fault.into(),
            None => said_by_us(&output, remote),
        });
    }
    let looked = tokio::task::spawn_blocking(move || (quarantine.kind_of(head), quarantine)).await;
    let (kind, quarantine) = looked.map_err(|error| PackError::Storage(error.into()))?;
    if kind.is_none() {
        return Err(FetchError::Moved);
    }
    Ok(receive::check_fetched(quarantine, &request).await?)
}

/// Runs the fetch, and ends it when more has come than a push may bring.
async fn measured(
    quarantine: &Quarantine,
    mut fetch: Command,
    limits: &ReceiveLimits,
) -> Result<Output, FetchError> {
    let work = command::run(&mut fetch, b"", limits.total);
    tokio::pin!(work);
    loop {
        tokio::select! {
            output = &mut work => return Ok(output?),
            () = tokio::time::sleep(MEASURE_EVERY) => {
                if quarantine.size().await.map_err(PackError::Storage)? > limits.max_pack_bytes {
                    return Err(FetchError::TooLarge(limits.max_pack_bytes));
                }
            }
        }
    }
}

/// What holds for every child that reaches outside. All of it is environment: `command` has set the arguments before
/// the subcommand.
fn guard(command: &mut Command, remote: &Remote, identity: Option<&Identity>) {
    let mut settings = vec![
        ("protocol.version", "2".to_owned()),
        ("credential.helper", String::new()),
        ("core.askPass", String::new()),
        ("fetch.recurseSubmodules", "false".to_owned()),
        ("fetch.unpackLimit", "1".to_owned()),
        ("fetch.fsckObjects", "true".to_owned()),
        ("fetch.fsck.badTimezone", "ignore".to_owned()),
        ("fetch.fsck.missingSpaceBeforeDate", "ignore".to_owned()),
        ("fetch.fsck.zeroPaddedFilemode", "ignore".to_owned()),
        ("transfer.bundleURI", "false".to_owned()),
        ("http.followRedirects", "false".to_owned()),
        ("http.lowSpeedLimit", SLOWEST.to_string()),
        ("http.lowSpeedTime", ReceiveLimits::default().idle.as_secs().to_string()),
    ];
    match &remote.access {
        Access::Https { authorization, authorities } => {
            command.env("GIT_ALLOW_PROTOCOL", "https");
            settings.push(("http.curloptResolve", pinned(remote)));
            if let Some(authorization) = authorization {
                let header = format!("Authorization: {}", authorization.expose_secret());
                settings.push(("http.extraHeader", header));
            }
            if let Some(path) = authorities {
                settings.push(("http.sslCAInfo", path.display().to_string()));
            }
        }
        Access::Ssh { .. } => {
            command.env("GIT_ALLOW_PROTOCOL", "ssh");
        }
    }
    if let Some(identity) = identity {
        identity.lend(command);
    }
    command.env("GIT_CONFIG_COUNT", settings.len().to_string());
    for (index, (name, value)) in settings.into_iter().enumerate() {
        command.env(format!("GIT_CONFIG_KEY_{index}"), name);
        command.env(format!("GIT_CONFIG_VALUE_{index}"), value);
    }
}

/// `host:port:address,…`, as curl takes what it is not to look up.
fn pinned(remote: &Remote) -> String {
    let addresses: Vec<String> = remote
        .addresses
        .iter()
        .map(|address| match address {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        })
        .collect();
    format!("{}:{}:{}", remote.host, remote.port, addresses.join(","))
}
