//! Who we are to an SSH host, and who it is to us: files for one child, gone with it.

use std::fs;
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use secrecy::ExposeSecret;
use tempfile::TempDir;
use tokio::process::Command;

use super::{Access, Remote};
use crate::git::receive::{PackError, QUARANTINE_PREFIX};
use crate::git::repository::Repository;

/// git has a shell split this. It is the same text always; the path comes from the environment, and what git adds are
/// arguments, which the shell hands on as they are.
const SSH: &str = r#"exec ssh -F "$SLIPWAY_SSH_CONFIG""#;

/// Seconds for the SSH host to answer, and between two signs of life.
const CONNECT_SECONDS: u32 = 20;
const ALIVE_SECONDS: u32 = 20;

/// A folder with a private key, a known_hosts and a configuration that names both.
#[derive(Debug)]
pub(super) struct Identity {
    folder: TempDir,
    /// Whether the host's key was known before.
    known: bool,
}

impl Identity {
    /// `None` where no SSH is spoken. The folder lies where a killed server's leftovers are swept.
    pub(super) fn of(repository: &Repository, remote: &Remote) -> Result<Option<Self>, PackError> {
        let Access::Ssh { private_key, host_key } = &remote.access else { return Ok(None) };
        let make = || {
            let folder = tempfile::Builder::new()
                .prefix(QUARANTINE_PREFIX)
                .tempdir_in(repository.path().join("objects"))?;
            write(&folder.path().join("key"), private_key.expose_secret())?;
            write(&folder.path().join("known_hosts"), host_key.as_deref().unwrap_or_default())?;
            write(&folder.path().join("config"), &config(folder.path(), remote, host_key.is_some()))?;
            Ok(Self { folder, known: host_key.is_some() })
        };
        make().map(Some).map_err(PackError::Storage)
    }

    pub(super) fn lend(&self, command: &mut Command) {
        command
            .env("GIT_SSH_COMMAND", SSH)
            .env("GIT_SSH_VARIANT", "ssh")
            .env("SLIPWAY_SSH_CONFIG", self.folder.path().join("config"));
    }

    /// The line by which a host that was not known has shown itself.
    pub(super) fn met(&self) -> Option<String> {
        if self.known {
            return None;
        }
        let text = fs::read_to_string(self.folder.path().join("known_hosts")).ok()?;
        text.lines().find(|line| !line.trim().is_empty()).map(str::to_owned)
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

fn config(folder: &Path, remote: &Remote, known: bool) -> String {
    // `%` begins a token of ssh's in a path.
    let path = |name: &str| folder.join(name).display().to_string().replace('%', "%%");
    let address = remote.addresses.first().map_or_else(|| remote.host.clone(), IpAddr::to_string);
    let checking = if known { "yes" } else { "accept-new" };
    format!(
        "Host *\n\
         HostName {address}\n\
         HostKeyAlias {host}\n\
         CheckHostIP no\n\
         CanonicalizeHostname no\n\
         IdentityFile \"{key}\"\n\
         IdentitiesOnly yes\n\
         IdentityAgent none\n\
         CertificateFile none\n\
         PreferredAuthentications publickey\n\
         UserKnownHostsFile \"{known_hosts}\"\n\
         GlobalKnownHostsFile /dev/null\n\
         HashKnownHosts no\n\
         StrictHostKeyChecking {checking}\n\
         UpdateHostKeys no\n\
         VerifyHostKeyDNS no\n\
         BatchMode yes\n\
         ConnectTimeout {CONNECT_SECONDS}\n\
         ConnectionAttempts 1\n\
         ServerAliveInterval {ALIVE_SECONDS}\n\
         ServerAliveCountMax 3\n\
         ControlMaster no\n\
         ControlPath none\n\
         ClearAllForwardings yes\n\
         ForwardAgent no\n\
         PermitLocalCommand no\n\
         ProxyCommand none\n\
         LogLevel ERROR\n",
        host = remote.host,
        key = path("key"),
        known_hosts = path("known_hosts"),
    )
}
