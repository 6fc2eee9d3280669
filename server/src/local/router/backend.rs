//! One request on one connection to a backend.
//!
//! There is no pool: to open a connection on this machine costs some ten microseconds, single-threaded apps are not
//! blocked by idle connections, and a retired backend is never remembered.

use std::net::SocketAddr;
use std::time::Instant;

use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::body::{Progress, ProxyBody};
use super::record::Record;
use super::settings::Timeouts;

/// How an attempt ended without an answer.
pub(super) enum Failure {
    /// The backend has seen nothing of the request.
    NotSent(Box<Request<ProxyBody>>),
    /// The connection broke after the request had been begun.
    Lost,
    TimedOut,
}

/// Sends the request and waits for the head of the answer.
pub(super) async fn send(
    address: SocketAddr,
    request: Request<ProxyBody>,
    progress: &Progress,
    timeouts: &Timeouts,
    record: &mut Record,
) -> Result<Response<Incoming>, Failure> {
    let began = Instant::now();
    let connected = connect(address, timeouts).await;
    record.connected(address, began.elapsed());
    let Some(mut sender) = connected else {
        return Err(Failure::NotSent(Box::new(request)));
    };
    tokio::select! {
        answer = sender.try_send_request(request) => answer.map_err(|mut error| {
            tracing::debug!(backend = %address, error = %error.error(), "A backend gave no answer");
            error.take_message().map_or(Failure::Lost, |request| Failure::NotSent(Box::new(request)))
        }),
        () = progress.stalled(timeouts.response_timeout) => Err(Failure::TimedOut),
    }
}

async fn connect(address: SocketAddr, timeouts: &Timeouts) -> Option<SendRequest<ProxyBody>> {
    let opened = tokio::time::timeout(timeouts.connect_timeout, TcpStream::connect(address)).await;
    let stream = match opened {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(backend = %address, error = %error, "A backend refused the connection");
            return None;
        }
        Err(_) => return None,
    };
    // Only a matter of speed: small writes leave at once.
    drop(stream.set_nodelay(true));
    let (sender, connection) = Builder::new().handshake(TokioIo::new(stream)).await.ok()?;
    // Ends when the answer has been read or dropped.
    tokio::spawn(connection.with_upgrades());
    Some(sender)
}
