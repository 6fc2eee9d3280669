//! The HTTP door's socket: plain or TLS, with a cap on the connections of each address.
//!
//! Invariant: nothing that one client does keeps `accept` from others: handshakes run beside it, each with a deadline,
//! and there is room for so many only.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::{debug, warn};

use super::caps::{Caps, Slot};
use super::certificate::Certificate;
use crate::telemetry::metrics::CONNECTIONS_REFUSED_TOTAL;

/// How long a client may take for the TLS handshake.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
/// Handshakes at the same time; while there are so many, new connections wait in the kernel's queue.
const HANDSHAKES: usize = 256;
/// Pause after an error of `accept` that concerns the process (no file descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// The listening HTTP door. Serve it with `into_make_service_with_connect_info::<Peer>()`.
pub(crate) struct Door {
    listener: TcpListener,
    security: Security,
    caps: Caps,
    handshakes: JoinSet<Option<(Connection, Peer)>>,
}

/// What the door speaks.
pub(crate) enum Security {
    Plain,
    Tls(Arc<Certificate>),
}

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    pub(crate) transport: Transport,
}

/// Whether bytes are readable between us and the peer (which may be a proxy).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Plain,
    Tls,
}

impl Door {
    pub(crate) fn new(listener: TcpListener, security: Security, caps: Caps) -> Self {
        Self { listener, security, caps, handshakes: JoinSet::new() }
    }

    /// Hands a plain connection out, or lets a handshake begin.
    fn admit(&mut self, stream: TcpStream, address: SocketAddr) -> Option<(Connection, Peer)> {
        let Some(slot) = self.caps.admit(address.ip()) else {
            metrics::counter!(CONNECTIONS_REFUSED_TOTAL, "door" => "http").increment(1);
            debug!(%address, "Connection closed: its address has too many");
            return None;
        };
        // Small answers must not wait for an acknowledgement; a socket that refuses this works all the same.
        let _ = stream.set_nodelay(true);
        match &self.security {
            Security::Plain => {
                let peer = Peer { address, transport: Transport::Plain };
                Some((Connection { stream: Stream::Plain(stream), _slot: slot }, peer))
            }
            Security::Tls(certificate) => {
                self.handshakes.spawn(handshake(stream, address, Arc::clone(certificate), slot));
                None
            }
        }
    }
}

impl Listener for Door {
    type Io = Connection;
    type Addr = Peer;

    async fn accept(&mut self) -> (Connection, Peer) {
        loop {
            tokio::select! {
                Some(done) = self.handshakes.join_next() => {
                    if let Ok(Some(connection)) = done {
                        return connection;
                    }
                }
                accepted = self.listener.accept(), if self.handshakes.len() < HANDSHAKES => match accepted {
                    Ok((stream, address)) => {
                        if let Some(connection) = self.admit(stream, address) {
                            return connection;
                        }
                    }
                    Err(error) if concerns_one_connection(&error) => {}
                    Err(error) => {
                        warn!("The HTTP door could not accept a connection: {error}");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
    }

    fn local_addr(&self) -> io::Result<Peer> {
        let transport = match self.security {
            Security::Plain => Transport::Plain,
            Security::Tls(_) => Transport::Tls,
        };
        Ok(Peer { address: self.listener.local_addr()?, transport })
    }
}

impl Connected<IncomingStream<'_, Door>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        *stream.remote_addr()
    }
}

async fn handshake(
    stream: TcpStream,
    address: SocketAddr,
    certificate: Arc<Certificate>,
    slot: Slot,
) -> Option<(Connection, Peer)> {
    let acceptor = TlsAcceptor::from(certificate.current().await);
    match tokio::time::timeout(HANDSHAKE_DEADLINE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => {
            let peer = Peer { address, transport: Transport::Tls };
            Some((Connection { stream: Stream::Tls(Box::new(stream)), _slot: slot }, peer))
        }
        Ok(Err(error)) => {
            debug!(%address, "TLS handshake refused: {error}");
            None
        }
        Err(_) => {
            debug!(%address, "TLS handshake not finished in time");
            None
        }
    }
}

fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}

/// One admitted connection; its place is free again when it is dropped.
pub(crate) struct Connection {
    stream: Stream,
    _slot: Slot,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(context),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write_vectored(context, parts),
            Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(context, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }
}

#[cfg(test)]
mod tests;
