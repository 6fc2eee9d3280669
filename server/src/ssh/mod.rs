//! The SSH door: git and verbs.
//!
//! Invariant: nobody gets past authentication but by a signature that was verified with a key whose owner is known,
//! and all that an authenticated client can do is run one git command or verb at a time: no shell, no forwarding, no
//! subsystem, no environment but `GIT_PROTOCOL`.

mod callers;
mod channel;
mod connection;
mod grammar;
mod host_key;
mod streams;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use russh::keys::{Algorithm, EcdsaCurve, HashAlg};
use russh::server::Config;
use russh::{MethodKind, MethodSet, Preferred, SshId, compression};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, debug, info_span, warn};

use self::callers::{Callers, Full};
use self::connection::Client;
pub(crate) use self::host_key::HostKey;
use crate::doors::Services;

/// Refused `none` probe that every client begins with, and four keys.
const MOST_AUTH_REJECTIONS: usize = 5;
/// Keepalives without an answer before a connection counts as dead.
const MOST_SILENT_KEEPALIVES: usize = 3;
/// How long a client may refuse to read before it is cut off; its build goes on.
const STALLED_DEADLINE: Duration = Duration::from_secs(300);
/// What a client may send before the next window adjustment, in bytes.
const WINDOW: u32 = 8 * 1024 * 1024;
/// Largest packet of data, in bytes; OpenSSH takes no more.
const PACKET: u32 = 32 * 1024;
/// Messages of a client that wait for the work to read them; then the client's TCP connection waits.
const BACKLOG: usize = 64;
/// Pause after `accept` has failed, which it does when file descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// How long a turned-away client gets to read why.
const FAREWELL_DEADLINE: Duration = Duration::from_secs(2);

/// The door's limits; all have defaults that suit a server on the internet.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// From the TCP connection to a proved key.
    pub(crate) auth_deadline: Duration,
    /// From opening a channel to naming a command.
    pub(crate) command_deadline: Duration,
    /// Silence after which a client is asked whether it is still there. Not below `auth_deadline`: clients may take
    /// such a question amiss before they are authenticated.
    pub(crate) keepalive: Duration,
    pub(crate) most_connections: usize,
    pub(crate) most_per_address: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            auth_deadline: Duration::from_secs(30),
            command_deadline: Duration::from_secs(30),
            keepalive: Duration::from_secs(30),
            most_connections: 512,
            most_per_address: 64,
        }
    }
}

/// When to stop: `soft` takes no new work, `hard` cuts what is left.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop {
    pub(crate) soft: CancellationToken,
    pub(crate) hard: CancellationToken,
}

pub(crate) struct Door {
    settings: Settings,
    services: Services,
    config: Arc<Config>,
    callers: Callers,
}

impl Door {
    pub(crate) fn new(settings: Settings, services: Services, host_key: HostKey) -> Self {
        let config = Arc::new(config(&settings, host_key));
        let callers = Callers::new(settings.most_connections, settings.most_per_address);
        Self { settings, services, config, callers }
    }

    /// Accepts connections until `stop.soft`; each lives in `tasks` until its work is done.
    pub(crate) async fn serve(self, listener: TcpListener, stop: Stop, tasks: TaskTracker) {
        let door = Arc::new(self);
        loop {
            let accepted = tokio::select! {
                biased;
                () = stop.soft.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((socket, peer)) => {
                    let span = info_span!("ssh", %peer);
                    tasks.spawn(Arc::clone(&door).meet(socket, peer, stop.clone()).instrument(span));
                }
                Err(error) => {
                    warn!(%error, "Accepting an SSH connection failed");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn meet(self: Arc<Self>, socket: TcpStream, peer: SocketAddr, stop: Stop) {
        let address = peer.ip().to_canonical();
        let seat = match self.callers.seat(address) {
            Ok(seat) => seat,
            Err(full) => return turn_away(socket, full).await,
        };
        let client = Client::new(Arc::clone(&self), address);
        if let Err(error) = self.accompany(socket, client, stop).await {
            debug!(error = &*error, "SSH connection ended");
        }
        drop(seat);
    }

    /// Stays with a connection to its end: deadline for authentication, soft and hard stop, work that outlives it.
    async fn accompany(
        &self,
        socket: TcpStream,
        client: Client,
        stop: Stop,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let deadline = Instant::now() + self.settings.auth_deadline;
        let (authenticated, work) = (client.authenticated.clone(), client.work.clone());
        socket.set_nodelay(true)?;
        let socket = socket.into_std()?;
        // Whatever state the protocol is in, shutting the socket down ends it.
        let switch = socket.try_clone()?;
        let socket = TcpStream::from_std(socket)?;

        let session = tokio::select! {
            session = russh::server::run_stream(Arc::clone(&self.config), socket, client) => session?,
            () = sleep_until(deadline) => return Err("no SSH client spoke before the deadline".into()),
            () = stop.soft.cancelled() => return Ok(()),
        };
        let handle = session.handle();
        tokio::pin!(session);
        let ended = tokio::select! {
            ended = &mut session => Some(ended),
            () = authenticated.cancelled() => None,
            () = sleep_until(deadline) => {
                debug!("SSH client did not authenticate before the deadline");
                switch.shutdown(Shutdown::Both)?;
                None
            }
            () = stop.soft.cancelled() => None,
        };
        let ended = match ended {
            Some(ended) => ended,
            None => tokio::select! {
                ended = &mut session => ended,
                () = quiet(&stop, &work) => {
                    // A client that has had its answer leaves by itself, and takes a farewell for a failure.
                    if timeout(FAREWELL_DEADLINE, &mut session).await.is_err() {
                        let reason = "Slipway is stopping".to_owned();
                        // Fails only when the connection has ended by itself.
                        drop(handle.disconnect(russh::Disconnect::ByApplication, reason, String::new()).await);
                        drop(timeout(FAREWELL_DEADLINE, &mut session).await);
                        switch.shutdown(Shutdown::Both)?;
                    }
                    Ok(())
                }
                () = stop.hard.cancelled() => {
                    switch.shutdown(Shutdown::Both)?;
                    Ok(())
                }
            },
        };
        work.close();
        tokio::select! {
            () = work.wait() => {}
            () = stop.hard.cancelled() => {}
        }
        Ok(ended?)
    }
}

/// The server is stopping and this connection has nothing left to do.
async fn quiet(stop: &Stop, work: &TaskTracker) {
    stop.soft.cancelled().await;
    work.close();
    work.wait().await;
}

/// SSH allows lines of text before the protocol; `ssh -v` shows them.
async fn turn_away(mut socket: TcpStream, full: Full) {
    warn!(reason = %full, "Turned an SSH client away");
    drop(timeout(FAREWELL_DEADLINE, socket.write_all(format!("{full}\r\n").as_bytes())).await);
}

fn config(settings: &Settings, host_key: HostKey) -> Config {
    Config {
        server_id: SshId::Standard(Cow::Borrowed("SSH-2.0-Slipway")),
        // Keyboard-interactive lets nobody in: it is how a client that is out of keys is told what is wrong.
        methods: MethodSet::from([MethodKind::PublicKey, MethodKind::KeyboardInteractive].as_slice()),
        // Whether a key is known is no secret (the protocol itself tells), and nobody guesses keys: waiting would
        // only punish people with several.
        auth_rejection_time: Duration::ZERO,
        auth_rejection_time_initial: Some(Duration::ZERO),
        keys: vec![host_key.key],
        window_size: WINDOW,
        maximum_packet_size: PACKET,
        channel_buffer_size: BACKLOG,
        preferred: preferred(),
        max_auth_attempts: MOST_AUTH_REJECTIONS,
        inactivity_timeout: Some(STALLED_DEADLINE),
        keepalive_interval: Some(settings.keepalive),
        keepalive_max: MOST_SILENT_KEEPALIVES,
        nodelay: true,
        ..Config::default()
    }
}

/// The library's own choice without compression and without RSA signatures over SHA-1.
fn preferred() -> Preferred {
    let ecdsa = [EcdsaCurve::NistP256, EcdsaCurve::NistP384, EcdsaCurve::NistP521];
    let rsa = [HashAlg::Sha512, HashAlg::Sha256];
    let keys = std::iter::once(Algorithm::Ed25519)
        .chain(ecdsa.into_iter().map(|curve| Algorithm::Ecdsa { curve }))
        .chain(rsa.into_iter().map(|hash| Algorithm::Rsa { hash: Some(hash) }));
    Preferred { key: keys.collect(), compression: Cow::Borrowed(&[compression::NONE]), ..Preferred::DEFAULT }
}
