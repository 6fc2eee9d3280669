//! After `101 Switching Protocols`: bytes go both ways until both sides have ended, or nothing moves for too long.

use std::time::Duration;

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};

use super::body::Progress;
use super::table::Lease;

/// Bytes that one direction holds at a time.
const BUFFER: usize = 16 * 1024;

/// Joins the two upgraded connections; the lease is held until the tunnel ends.
pub(super) async fn run(client: OnUpgrade, backend: OnUpgrade, idle: Duration, lease: Lease) {
    match tokio::try_join!(client, backend) {
        Ok((client, backend)) => join(client, backend, idle).await,
        Err(error) => tracing::debug!(error = %error, "A connection was not upgraded"),
    }
    drop(lease);
}

async fn join(client: Upgraded, backend: Upgraded, idle: Duration) {
    let (client_reads, client_writes) = split(TokioIo::new(client));
    let (backend_reads, backend_writes) = split(TokioIo::new(backend));
    let progress = Progress::new();
    let both = async {
        tokio::try_join!(
            copy(client_reads, backend_writes, &progress),
            copy(backend_reads, client_writes, &progress)
        )
    };
    tokio::select! {
        ended = both => if let Err(error) = ended {
            tracing::debug!(error = %error, "A tunnel broke");
        },
        () = progress.stalled(idle) => tracing::debug!("A tunnel was closed: nothing moved"),
    }
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    progress: &Progress,
) -> std::io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..count]).await?;
        to.flush().await?;
        progress.moved();
    }
}
