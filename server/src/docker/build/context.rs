//! The session's FileSync service: the build context, straight from git objects.
//!
//! Invariant: an entry's metadata depends on its path, mode and object id alone. The engine keeps the context of the
//! build before and asks only for files whose size or modification time differ; so the time is derived from the id,
//! and what did not change is never sent again.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bollard_buildkit_proto::fsutil::types::packet::PacketType;
use bollard_buildkit_proto::fsutil::types::{Packet, Stat};
use bollard_buildkit_proto::moby::filesync::v1::file_sync_server::FileSync;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

use super::select::{Wanted, select};
use crate::git::snapshot::{Contents, Entry, EntryKind, Snapshot};

/// Batches that may wait for the connection; a batch is one piece of a file, or `BATCH` entries.
const BACKLOG: usize = 32;

/// Entries announced at a time.
const BATCH: usize = 256;

/// Requests for files that may wait for the reader.
const REQUESTS: usize = 128;

/// Go's file mode bits, which the protocol speaks.
const MODE_FOLDER: u32 = 1 << 31;
const MODE_SYMLINK: u32 = 1 << 27;

/// 1980-01-02 in Unix time: no archive format has trouble with what comes after it.
const EARLIEST: i64 = 315_619_200;

/// What a local source of the session serves.
#[derive(Clone)]
pub(super) struct ContextServer {
    pub(super) context: Arc<Snapshot>,
    pub(super) instructions: ServedInstructions,
    pub(super) sent: Arc<Sent>,
}

/// What the engine is served as the folder with the Dockerfile.
#[derive(Clone)]
pub(super) enum ServedInstructions {
    /// A folder of the context; empty for its root.
    InFolder(String),
    /// A folder with nothing but this text, as [`WRITTEN`].
    Written(Arc<str>),
}

/// The name of a Dockerfile of ours. The engine looks for a `.dockerignore` with this name before it as well.
pub(super) const WRITTEN: &str = "Dockerfile";

/// What the engine had to be sent of the context.
#[derive(Debug, Default)]
pub(super) struct Sent {
    pub(super) files: AtomicU64,
    pub(super) bytes: AtomicU64,
}

type Batch = Result<Vec<Packet>, Status>;

/// The entries of one transfer, and where their content is.
struct Transfer {
    entries: Vec<Entry>,
    content: Content,
    sent: Option<Arc<Sent>>,
}

/// Where the bytes of a transfer's files are.
enum Content {
    Snapshot(Arc<Snapshot>),
    Written(Arc<str>),
}

#[tonic::async_trait]
impl FileSync for ContextServer {
    type DiffCopyStream = BoxStream<'static, Result<Packet, Status>>;
    type TarStreamStream = BoxStream<'static, Result<Packet, Status>>;

    async fn diff_copy(
        &self,
        request: Request<Streaming<Packet>>,
    ) -> Result<Response<Self::DiffCopyStream>, Status> {
        let source = value(request.metadata(), "dir-name");
        let wanted = Wanted {
            include: values(request.metadata(), "include-patterns"),
            exclude: values(request.metadata(), "exclude-patterns"),
            follow: values(request.metadata(), "followpaths"),
        };
        let server = self.clone();
        let (answers, batches) = mpsc::channel(BACKLOG);
        let (asked, requests) = mpsc::channel(REQUESTS);
        tokio::task::spawn_blocking(move || {
            let served = server.transfer(&source, &wanted).and_then(|transfer| {
                announce(&transfer, &answers)?;
                send_files(&transfer, requests, &answers)
            });
            if let Err(status) = served {
                // If the engine has gone there is nobody to tell.
                drop(answers.blocking_send(Err(status)));
            }
        });
        tokio::spawn(take_requests(request.into_inner(), asked));
        let packets = ReceiverStream::new(batches).flat_map(|batch: Batch| match batch {
            Ok(packets) => stream::iter(packets).map(Ok).boxed(),
            Err(status) => stream::iter([Err(status)]).boxed(),
        });
        Ok(Response::new(packets.boxed()))
    }

    async fn tar_stream(
        &self,
        _: Request<Streaming<Packet>>,
    ) -> Result<Response<Self::TarStreamStream>, Status> {
        Err(Status::unimplemented("the context is served by DiffCopy"))
    }
}

impl ContextServer {
    fn transfer(&self, source: &str, wanted: &Wanted) -> Result<Transfer, Status> {
        let chosen = |entries: &[Entry]| -> Result<Vec<Entry>, Status> {
            let chosen =
                select(entries, wanted).map_err(|error| Status::invalid_argument(error.to_string()))?;
            Ok(chosen.into_iter().map(|at| entries[at].clone()).collect())
        };
        let snapshot = Content::Snapshot(self.context.clone());
        let (entries, content, sent) = match (source, &self.instructions) {
            ("context", _) => (chosen(&self.context.entries)?, snapshot, Some(self.sent.clone())),
            ("dockerfile", ServedInstructions::InFolder(folder)) => {
                (chosen(&below(&self.context.entries, folder))?, snapshot, None)
            }
            ("dockerfile", ServedInstructions::Written(text)) => {
                (chosen(&[written(text)])?, Content::Written(text.clone()), None)
            }
            (other, _) => return Err(Status::not_found(format!("the build has no source called {other:?}"))),
        };
        Ok(Transfer { entries, content, sent })
    }
}

/// The entries of a folder, as if it were the root.
fn below(entries: &[Entry], folder: &str) -> Vec<Entry> {
    if folder.is_empty() {
        return entries.to_vec();
    }
    let inside = |entry: &Entry| entry.path.strip_prefix(folder)?.strip_prefix('/').map(str::to_owned);
    entries.iter().filter_map(|entry| Some(Entry { path: inside(entry)?, ..entry.clone() })).collect()
}

/// The entry of a Dockerfile of ours, with an id of its content as git's are.
fn written(text: &str) -> Entry {
    let kind = EntryKind::File { size: text.len() as u64, executable: false };
    Entry { path: WRITTEN.to_owned(), kind, oid: hex::encode(Sha256::digest(text)) }
}

/// Tells the engine what there is. The place in the list is the id by which it asks for a file's content.
fn announce(transfer: &Transfer, answers: &mpsc::Sender<Batch>) -> Result<(), Status> {
    for batch in transfer.entries.chunks(BATCH) {
        let packets =
            batch.iter().map(|entry| packet(PacketType::PacketStat, 0, Some(stat(entry)))).collect();
        answer(answers, packets)?;
    }
    answer(answers, vec![packet(PacketType::PacketStat, 0, None)])
}

fn stat(entry: &Entry) -> Stat {
    let mut stat = Stat { path: entry.path.clone(), mod_time: modified(&entry.oid), ..Stat::default() };
    match &entry.kind {
        EntryKind::Folder => stat.mode = MODE_FOLDER | 0o755,
        EntryKind::File { size, executable } => {
            stat.mode = if *executable { 0o755 } else { 0o644 };
            stat.size = i64::try_from(*size).unwrap_or(i64::MAX);
        }
        EntryKind::Symlink { target } => {
            stat.mode = MODE_SYMLINK | 0o777;
            stat.size = target.len() as i64;
            stat.linkname = target.clone();
        }
    }
    stat
}

/// A modification time (Unix, nanoseconds) that differs whenever the content does: between 1980 and 2014, with 60
/// bits of the id in it. Seconds differ as well, because web servers make their ETag of size and seconds.
fn modified(oid: &str) -> i64 {
    let bits = |from: usize| oid.get(from..from + 8).and_then(|hex| i64::from_str_radix(hex, 16).ok());
    let seconds = EARLIEST + (bits(0).unwrap_or_default() & 0x3fff_ffff);
    seconds * 1_000_000_000 + bits(8).unwrap_or_default() % 1_000_000_000
}

/// Sends each file that is asked for, until the engine has all it wanted.
fn send_files(
    transfer: &Transfer,
    mut requests: mpsc::Receiver<u32>,
    answers: &mpsc::Sender<Batch>,
) -> Result<(), Status> {
    let mut reader = None;
    while let Some(id) = requests.blocking_recv() {
        let entry = usize::try_from(id)
            .ok()
            .and_then(|at| transfer.entries.get(at))
            .filter(|entry| matches!(entry.kind, EntryKind::File { .. }))
            .ok_or_else(|| Status::invalid_argument(format!("there is no file number {id}")))?;
        let mut bytes = 0;
        let send = |chunk: &[u8]| {
            bytes += chunk.len() as u64;
            let data = Packet { data: chunk.to_vec(), ..packet(PacketType::PacketData, id, None) };
            answers.blocking_send(Ok(vec![data])).map_err(|_| io::ErrorKind::BrokenPipe.into())
        };
        content(&transfer.content, entry, &mut reader, send)
            .map_err(|error| Status::internal(format!("{} cannot be read: {error}", entry.path)))?;
        // Counted before the packet that ends the file: the engine may report the end of all as soon as it has it.
        if let Some(sent) = &transfer.sent {
            sent.files.fetch_add(1, Ordering::Relaxed);
            sent.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        answer(answers, vec![packet(PacketType::PacketData, id, None)])?;
    }
    answer(answers, vec![packet(PacketType::PacketFin, 0, None)])
}

fn content(
    content: &Content,
    entry: &Entry,
    reader: &mut Option<Contents>,
    mut take: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let snapshot = match content {
        Content::Snapshot(snapshot) => snapshot,
        Content::Written(text) => return take(text.as_bytes()),
    };
    // Opened only when a file is asked for: most builds ask for none.
    let reader = match reader {
        Some(reader) => reader,
        None => reader.insert(snapshot.contents().map_err(io::Error::other)?),
    };
    reader.for_each_chunk(entry, take)
}

/// Hands the engine's requests on, until it says that it is done.
async fn take_requests(mut packets: Streaming<Packet>, asked: mpsc::Sender<u32>) {
    while let Ok(Some(packet)) = packets.message().await {
        match packet.r#type() {
            PacketType::PacketReq if asked.send(packet.id).await.is_ok() => {}
            // Done, or an error that the engine reports in the build's own stream, or the reader has given up.
            _ => return,
        }
    }
}

fn answer(answers: &mpsc::Sender<Batch>, packets: Vec<Packet>) -> Result<(), Status> {
    answers.blocking_send(Ok(packets)).map_err(|_| Status::cancelled("the engine has gone"))
}

fn packet(kind: PacketType, id: u32, stat: Option<Stat>) -> Packet {
    Packet { r#type: kind.into(), id, stat, data: Vec::new() }
}

fn value(metadata: &MetadataMap, key: &str) -> String {
    values(metadata, key).into_iter().next().unwrap_or_default()
}

/// All values of a key. Newer engines percent-encode what is not ASCII and say so in a key of its own.
fn values(metadata: &MetadataMap, key: &str) -> Vec<String> {
    let encoded = metadata.get(format!("{key}-encoded")).is_some_and(|flag| flag == "1");
    let decode = |value: &[u8]| match encoded {
        true => url::form_urlencoded::parse(&[b"v=".as_slice(), value].concat())
            .map(|(_, value)| value.into_owned())
            .next()
            .unwrap_or_default(),
        false => String::from_utf8_lossy(value).into_owned(),
    };
    metadata.get_all(key).iter().map(|value| decode(value.as_bytes())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_follow_the_content() {
        let one = modified("ce013625030ba8dba906f756967f9e9ca394464a");
        assert_ne!(one, modified("ce013625030ba8dca906f756967f9e9ca394464a"));
        let second = 1_000_000_000;
        for oid in ["0000000000000000", "ffffffffffffffff", "not hex", ""] {
            let time = modified(oid) / second;
            assert!((EARLIEST..1_400_000_000).contains(&time), "{oid}: {time}");
        }
    }

    #[test]
    fn patterns_that_are_not_ascii_are_decoded() {
        let mut metadata = MetadataMap::new();
        metadata.append("exclude-patterns", "%C3%A4+b".parse().unwrap());
        metadata.append("exclude-patterns", "plain".parse().unwrap());
        assert_eq!(values(&metadata, "exclude-patterns"), ["%C3%A4+b", "plain"]);
        metadata.insert("exclude-patterns-encoded", "1".parse().unwrap());
        assert_eq!(values(&metadata, "exclude-patterns"), ["ä b", "plain"]);
    }
}
