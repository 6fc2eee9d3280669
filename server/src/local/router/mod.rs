//! The apps' router: a process of its own, so that apps are served while the server restarts.
//!
//! Invariant: a connection that the kernel has accepted is served. A router is replaced by handing its listening
//! socket to its successor, which accepts before the old one stops; the old one ends when its requests have.
//! What the successor cannot know are the requests that its predecessor still has in flight: they do not count in
//! `drained`, and a backend that is retired in that moment gets them cut after its own grace.

mod backend;
mod body;
mod client;
mod control;
mod handover;
mod headers;
mod pages;
mod proxy;
mod record;
mod requests;
mod settings;
mod table;
#[cfg(test)]
pub(crate) mod tests;
mod tunnel;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use client::{Control, ControlError, Keeper, Program};
pub(crate) use requests::{Answered, Heard};
pub(crate) use settings::Settings;
pub(crate) use table::Route;

use super::files;
use headers::Origin;
use requests::Requests;
use table::Table;

/// The largest head of a request, in bytes.
const MAX_HEAD: usize = 64 * 1024;

/// How long idle connections may still be used after the router has been replaced; each answer tells them to close.
const FAREWELL: Duration = Duration::from_secs(10);

/// Pause after the kernel refused to accept (no free file descriptors), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Why the router could not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RouterError {
    #[error(
        "the apps' router cannot listen on {address}: {source}. Stop what listens there, or choose another address"
    )]
    Listen { address: SocketAddr, source: io::Error },
    #[error("the apps' router cannot open its control socket {socket}: {source}")]
    Socket { socket: String, source: io::Error },
    #[error("the apps' router got no listening socket from the one that ran before: {0}")]
    Handover(io::Error),
}

/// What all connections of one router share.
#[derive(Debug)]
struct Shared {
    settings: Settings,
    table: Table,
    /// Connections and tunnels.
    tasks: TaskTracker,
    /// Set once a successor accepts, or the router was told to stop.
    leaving: CancellationToken,
    /// What was answered and is not in the apps' logs yet.
    requests: Requests,
}

/// Serves until replaced, told to stop, or SIGTERM; returns when the last request has ended.
pub(crate) async fn run(settings: Settings) -> Result<(), RouterError> {
    handover::detach();
    // Two descriptors a request.
    files::raise_limit();
    let leaving = CancellationToken::new();
    let sigterm = tokio::spawn(leave_on_sigterm(leaving.clone()));
    let served = serve(settings, leaving).await;
    sigterm.abort();
    served
}

async fn serve(settings: Settings, leaving: CancellationToken) -> Result<(), RouterError> {
    let listener = handover::listener(&settings).await?;
    let table = Table::load(settings.table.clone());
    let requests = Requests::new();
    let shared = Arc::new(Shared { table, tasks: TaskTracker::new(), leaving, requests, settings });
    let control = control::Control::bind(Arc::clone(&shared), &listener).map_err(|source| {
        RouterError::Socket { socket: shared.settings.socket.display().to_string(), source }
    })?;
    tracing::info!(listen = %shared.settings.listen, "The apps' router is up");
    let served = tokio::spawn(control.serve());
    accept(&shared, listener).await;
    drain(&shared).await;
    served.abort();
    // Whoever answers on the socket now; without a successor there is nobody.
    client::hand_requests_on(&shared).await;
    Ok(())
}

async fn leave_on_sigterm(leaving: CancellationToken) {
    match signal(SignalKind::terminate()) {
        Ok(mut sigterm) => {
            sigterm.recv().await;
            leaving.cancel();
        }
        Err(error) => tracing::warn!(error = %error, "The router does not hear SIGTERM"),
    }
}

/// Accepts until the router leaves. The listener is closed on return.
async fn accept(shared: &Arc<Shared>, listener: Arc<TcpListener>) {
    let places = Arc::new(Semaphore::new(shared.settings.max_connections));
    let closing = CancellationToken::new();
    let farewell = closing.clone().drop_guard();
    loop {
        let place = tokio::select! {
            () = shared.leaving.cancelled() => break,
            place = Arc::clone(&places).acquire_owned() => place.expect("invariant: the semaphore is never closed"),
        };
        let accepted = tokio::select! {
            () = shared.leaving.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, client)) => {
                let connection = connection(Arc::clone(shared), stream, client, closing.clone());
                shared.tasks.spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(error = %error, "A connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    // Not one of the tasks that are waited for: without connections the router ends at once.
    tokio::spawn(async move {
        tokio::time::sleep(FAREWELL).await;
        drop(farewell);
    });
}

async fn connection(shared: Arc<Shared>, stream: TcpStream, client: SocketAddr, closing: CancellationToken) {
    let Ok(local) = stream.local_addr() else { return };
    // Only a matter of speed: small answers leave at once.
    drop(stream.set_nodelay(true));
    let origin = Origin { client, local };
    let head_timeout = shared.settings.timeouts.head_timeout;
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(proxy::handle(shared, origin, request).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_header_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut served = std::pin::pin!(served);
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = closing.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%client, error = %error, "A client's connection broke");
    }
}

/// Waits for the requests in flight, as long as the settings allow.
async fn drain(shared: &Shared) {
    shared.tasks.close();
    let patience = shared.settings.timeouts.drain_timeout;
    if tokio::time::timeout(patience, shared.tasks.wait()).await.is_err() {
        tracing::warn!(connections = shared.tasks.len(), "The router ends with requests in flight");
    }
}
