//! Files into containers and out of them: the app's source straight from git objects, and single papers.

use std::io::{self, BufWriter, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use bollard::errors::Error;
use bollard::query_parameters::{
    DownloadFromContainerOptionsBuilder, UploadToContainerOptions, UploadToContainerOptionsBuilder,
};
use bytes::Bytes;
use futures::TryStreamExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::LifecycleError;
use super::archive::Archive;
use super::builder::Owner;
use super::spec::SOURCE;
use crate::docker::Engine;
use crate::git::snapshot::{EntryKind, Snapshot};

/// Pieces that may wait for the engine; then reading waits.
const BACKLOG: usize = 16;
const PIECE: usize = 256 * 1024;

/// How long the engine may take to unpack the source; the build's own deadline is shorter, most often.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(3600);

/// No paper is larger.
const PAPER_LIMIT: usize = 4 * 1024 * 1024;

impl Engine {
    /// Unpacks an archive at the root of a container that has not started: volumes take their part.
    pub(super) async fn put(&self, container: &str, archive: Bytes) -> Result<(), LifecycleError> {
        let unpacked =
            self.api().upload_to_container(container, at_root(), bollard::body_full(archive)).await;
        unpacked.map_err(|error| self.explain(error).into())
    }

    /// Unpacks the source, all of it the user's.
    pub(super) async fn put_source(
        &self,
        container: &str,
        snapshot: &Arc<Snapshot>,
        owner: Owner,
    ) -> Result<(), LifecycleError> {
        let (pieces, packed) = mpsc::channel(BACKLOG);
        let snapshot = Arc::clone(snapshot);
        let packing = tokio::task::spawn_blocking(move || pack(&snapshot, owner, pieces));
        let body = bollard::body_try_stream(ReceiverStream::new(packed));
        let patient = self.api().clone().with_timeout(UPLOAD_TIMEOUT);
        let unpacked = patient.upload_to_container(container, at_root(), body).await;
        match packing.await {
            Ok(Ok(())) => {}
            // The engine hung up; it says why.
            Ok(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe && unpacked.is_err() => {}
            Ok(Err(error)) => return Err(LifecycleError::Source(error)),
            Err(panic) => return Err(LifecycleError::Source(io::Error::other(panic))),
        }
        unpacked.map_err(|error| self.explain(error).into())
    }

    /// A regular file of a container; `None` if there is none.
    pub(super) async fn take(&self, container: &str, path: &str) -> Result<Option<Bytes>, LifecycleError> {
        let options = DownloadFromContainerOptionsBuilder::default().path(path).build();
        let mut stream = self.api().download_from_container(container, Some(options));
        let mut archive = Vec::new();
        loop {
            match stream.try_next().await {
                Ok(Some(piece)) => archive.extend_from_slice(&piece),
                Ok(None) => break,
                Err(Error::DockerResponseServerError { status_code: 404, .. }) => return Ok(None),
                Err(error) => return Err(self.explain(error).into()),
            }
            if archive.len() > PAPER_LIMIT {
                return Err(LifecycleError::Engine(format!("{path} is larger than {PAPER_LIMIT} bytes")));
            }
        }
        first_file(&archive).map_err(|error| LifecycleError::EngineLost(error.into()))
    }
}

fn at_root() -> Option<UploadToContainerOptions> {
    Some(UploadToContainerOptionsBuilder::default().path("/").build())
}

fn first_file(archive: &[u8]) -> io::Result<Option<Bytes>> {
    for entry in tar::Archive::new(archive).entries()? {
        let mut entry = entry?;
        if entry.header().entry_type().is_file() {
            let mut content = Vec::new();
            entry.read_to_end(&mut content)?;
            return Ok(Some(content.into()));
        }
    }
    Ok(None)
}

/// Writes the archive of the source, piece by piece. Blocking.
fn pack(snapshot: &Snapshot, owner: Owner, pieces: mpsc::Sender<Result<Bytes, io::Error>>) -> io::Result<()> {
    let failed = pieces.clone();
    let packed = pack_into(snapshot, owner, BufWriter::with_capacity(PIECE, Pieces(pieces)));
    if let Err(error) = &packed {
        // An upload that merely ended would be unpacked as if it were whole.
        drop(failed.blocking_send(Err(io::Error::new(error.kind(), error.to_string()))));
    }
    packed
}

fn pack_into(snapshot: &Snapshot, owner: Owner, out: impl Write) -> io::Result<()> {
    let contents = snapshot.contents().map_err(io::Error::other)?;
    let mut archive = Archive::new(out, owner);
    for entry in &snapshot.entries {
        let path = format!("{SOURCE}/{}", entry.path);
        match &entry.kind {
            EntryKind::Folder => archive.write_folder(&path, 0o755)?,
            EntryKind::Symlink { target } => archive.write_symlink(&path, target)?,
            EntryKind::File { size, executable } => {
                let mode = if *executable { 0o755 } else { 0o644 };
                archive.write_file(&path, mode, *size, |out| {
                    contents.for_each_chunk(entry, |chunk| out.write_all(chunk))
                })?;
            }
        }
    }
    archive.write_end()
}

/// The writing end of a bounded channel.
struct Pieces(mpsc::Sender<Result<Bytes, io::Error>>);

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes)));
        sent.map(|()| bytes.len()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
