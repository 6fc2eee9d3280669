//! One client's connection: who it is, and the one thing that it does at a time.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use russh::keys::HashAlg;
use russh::keys::ssh_key::{Algorithm, PublicKey};
use russh::server::{
    Auth, ChannelOpenHandle, Handler, Msg, PublicKeyOffer, Response, Session, VerifiedPublicKey,
};
use russh::{Channel, ChannelId, ChannelOpenFailure, MethodKind, MethodSet, Pty};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::{Instrument, Span, error, info};

use super::Door;
use super::channel::{self, Line, Order, Task};
use super::grammar::{self, Command};
use crate::domain::access::Principal;
use crate::doors::{self, KeyProof, Lookup, RawLine, Terminal};
use crate::target::attached::Screen;

/// The shortest RSA key that is let in, in bits.
const SHORTEST_RSA: u32 = 2048;

pub(super) struct Client {
    door: Arc<Door>,
    address: IpAddr,
    /// Cancelled once a key has been proved.
    pub(super) authenticated: CancellationToken,
    /// What this connection has started; it may outlive the connection.
    pub(super) work: TaskTracker,
    /// Of the key that was proved: whose it is, is asked for each order.
    fingerprint: Option<String>,
    refused: Vec<RefusedKey>,
    complaint: Complaint,
    open: Option<OpenChannel>,
}

/// A channel that was opened; dropping it tells its task that the client has gone.
struct OpenChannel {
    id: ChannelId,
    finished: CancellationToken,
    order: Option<oneshot::Sender<Order>>,
    protocol: Option<String>,
    terminal: Terminal,
    screen: watch::Sender<Option<Screen>>,
    _closed: DropGuard,
}

/// A key that did not get its owner in, and why.
enum RefusedKey {
    Unknown(String),
    Unsafe(String, &'static str),
    NotNow,
}

/// Whether the client has been told why its keys were refused.
#[derive(PartialEq)]
enum Complaint {
    Untold,
    Told,
}

impl Client {
    pub(super) fn new(door: Arc<Door>, address: IpAddr) -> Self {
        Self {
            door,
            address,
            authenticated: CancellationToken::new(),
            work: TaskTracker::new(),
            fingerprint: None,
            refused: Vec::new(),
            complaint: Complaint::Untold,
            open: None,
        }
    }

    /// Whose key it is; refusals are kept for the explanation that follows.
    async fn owner(&mut self, key: &PublicKey, algorithm: &Algorithm, proof: KeyProof) -> Option<Principal> {
        let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
        if let Some(weakness) = weakness(key, algorithm) {
            info!(%fingerprint, weakness, "Refused an SSH key");
            self.refused.push(RefusedKey::Unsafe(fingerprint, weakness));
            return None;
        }
        match self.door.services.owner_of_key(&fingerprint, proof).await {
            Lookup::Known(principal) => Some(principal),
            Lookup::Unknown => {
                info!(%fingerprint, "Refused an SSH key that nobody has added");
                self.refused.push(RefusedKey::Unknown(fingerprint));
                None
            }
            Lookup::Unavailable => {
                error!(%fingerprint, "Could not look up an SSH key");
                self.refused.push(RefusedKey::NotNow);
                None
            }
        }
    }

    fn explanation(&self) -> String {
        let mut lines = String::new();
        for key in &self.refused {
            let line = match key {
                RefusedKey::Unknown(fingerprint) => {
                    format!("Slipway does not know your key {fingerprint}.\n")
                }
                RefusedKey::Unsafe(fingerprint, weakness) => {
                    format!("Slipway does not take your key {fingerprint}: {weakness}.\n")
                }
                RefusedKey::NotNow => {
                    "Slipway cannot look your key up at the moment: try again in a minute.\n".to_owned()
                }
            };
            if !lines.contains(&line) {
                lines.push_str(&line);
            }
        }
        if lines.is_empty() {
            lines.push_str("Slipway lets people in by their SSH keys, and your client has offered none.\n");
        }
        lines
            + "To add a key: `slipway keys:add <file>.pub` with your API token, or ask an admin of the platform.\n"
    }

    fn channel(&mut self, id: ChannelId) -> Option<&mut OpenChannel> {
        self.open.as_mut().filter(|open| open.id == id)
    }

    /// Hands the channel's task its order; a channel takes one.
    fn start(&mut self, id: ChannelId, task: Task, session: &mut Session) -> Result<(), russh::Error> {
        let (fingerprint, address) = (self.fingerprint.clone(), self.address);
        let services = self.door.services.clone();
        let order = self.channel(id).and_then(|open| {
            let told = (open.terminal, RawLine::new(open.screen.subscribe()), open.protocol.take());
            open.order.take().map(|order| (order, told))
        });
        let (Some((order, (terminal, raw_line, protocol))), Some(fingerprint)) = (order, fingerprint) else {
            return session.channel_failure(id);
        };
        session.channel_success(id)?;
        // The task is gone only when it has closed the channel itself.
        drop(order.send(Order { task, fingerprint, address, protocol, terminal, raw_line, services }));
        Ok(())
    }
}

fn screen(columns: u32, rows: u32) -> Screen {
    let small = |number: u32| u16::try_from(number).unwrap_or(u16::MAX);
    Screen { columns: small(columns), rows: small(rows) }
}

/// Why a key is not safe enough, if it is not. SHA-1 is a property of the signature, not of the key.
fn weakness(key: &PublicKey, algorithm: &Algorithm) -> Option<&'static str> {
    match algorithm {
        Algorithm::Rsa { hash: None } => Some("it signs with SHA-1, which is broken: update your SSH client"),
        Algorithm::Dsa => Some("DSA is broken: make a key with `ssh-keygen -t ed25519`"),
        _ => {
            let short = key.key_data().rsa().is_some_and(|rsa| rsa.key_size() < SHORTEST_RSA);
            short.then_some("it is too short: make a key with `ssh-keygen -t ed25519`")
        }
    }
}

impl Handler for Client {
    type Error = russh::Error;

    /// Spares people the touch or the passphrase for a key that nobody knows. Lets nobody in.
    async fn auth_publickey_offered(
        &mut self,
        _: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, Self::Error> {
        let owner = self.owner(offer.public_key, offer.algorithm, KeyProof::Offered).await;
        Ok(if owner.is_some() { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_publickey(&mut self, _: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        let owner = self.owner(key.public_key, key.algorithm, KeyProof::Verified).await;
        self.fingerprint = owner.map(|_| key.public_key.fingerprint(HashAlg::Sha256).to_string());
        Ok(if self.fingerprint.is_some() { Auth::Accept } else { Auth::reject() })
    }

    /// Clients try this when they are out of keys; a form without questions shows them the reason. Lets nobody in.
    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        _: &str,
        _: &str,
        _: Option<Response<'a>>,
    ) -> Result<Auth, Self::Error> {
        if self.complaint == Complaint::Told {
            let only_keys = MethodSet::from([MethodKind::PublicKey].as_slice());
            return Ok(Auth::Reject { proceed_with_methods: Some(only_keys), partial_success: false });
        }
        self.complaint = Complaint::Told;
        let instructions = Cow::Owned(self.explanation());
        Ok(Auth::Partial { name: Cow::Borrowed(""), instructions, prompts: Cow::Borrowed(&[]) })
    }

    async fn auth_succeeded(&mut self, _: &mut Session) -> Result<(), Self::Error> {
        self.authenticated.cancel();
        Ok(())
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        if self.open.as_ref().is_some_and(|open| !open.finished.is_cancelled()) {
            reply.reject(ChannelOpenFailure::AdministrativelyProhibited).await;
            return Ok(());
        }
        let (order, ordered) = oneshot::channel();
        let (id, closed, finished) = (channel.id(), CancellationToken::new(), CancellationToken::new());
        let (input, _) = channel.split();
        let line =
            Line { id, input, handle: session.handle(), closed: closed.clone(), finished: finished.clone() };
        let deadline = self.door.settings.command_deadline;
        self.work.spawn(channel::serve(line, ordered, deadline).instrument(Span::current()));
        self.open = Some(OpenChannel {
            id,
            finished,
            order: Some(order),
            protocol: None,
            terminal: Terminal::None,
            screen: watch::Sender::default(),
            _closed: closed.drop_guard(),
        });
        reply.accept().await;
        Ok(())
    }

    async fn channel_close(&mut self, id: ChannelId, _: &mut Session) -> Result<(), Self::Error> {
        if self.channel(id).is_some() {
            self.open = None;
        }
        Ok(())
    }

    async fn exec_request(
        &mut self,
        id: ChannelId,
        line: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let task = match grammar::parse(line) {
            Ok(Command::Git { service, app }) => Task::Git { service, app },
            Ok(Command::Verb(argv)) if argv.is_empty() => Task::Greeting,
            Ok(Command::Verb(argv)) => Task::Verb(argv),
            Err(reason) => Task::Refuse(reason.to_string()),
        };
        self.start(id, task, session)
    }

    async fn shell_request(&mut self, id: ChannelId, session: &mut Session) -> Result<(), Self::Error> {
        self.start(id, Task::Greeting, session)
    }

    async fn env_request(
        &mut self,
        id: ChannelId,
        name: &str,
        value: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        match (name, doors::protocol(value), self.channel(id)) {
            ("GIT_PROTOCOL", Some(protocol), Some(open)) => {
                open.protocol = Some(protocol);
                session.channel_success(id)
            }
            _ => session.channel_failure(id),
        }
    }

    async fn pty_request(
        &mut self,
        id: ChannelId,
        _term: &str,
        columns: u32,
        rows: u32,
        _width: u32,
        _height: u32,
        _modes: &[(Pty, u32)],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let Some(open) = self.channel(id) else {
            return session.channel_failure(id);
        };
        let screen = screen(columns, rows);
        open.terminal = Terminal::Columns(screen.columns);
        open.screen.send_replace(Some(screen));
        session.channel_success(id)
    }

    async fn window_change_request(
        &mut self,
        id: ChannelId,
        columns: u32,
        rows: u32,
        _width: u32,
        _height: u32,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        // Who has asked for no terminal has none whose size could change.
        if let Some(open) = self.channel(id) {
            open.screen.send_if_modified(|now| now.is_some() && now.replace(screen(columns, rows)).is_some());
        }
        Ok(())
    }

    async fn subsystem_request(
        &mut self,
        id: ChannelId,
        _: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(id)
    }

    async fn x11_request(
        &mut self,
        id: ChannelId,
        _single_connection: bool,
        _protocol: &str,
        _cookie: &str,
        _screen: u32,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(id)
    }
}
