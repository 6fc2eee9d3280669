//! The real parts that tests run against.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bollard::errors::Error;
use bollard::query_parameters::RemoveImageOptions;
use tokio_util::sync::CancellationToken;

use super::Engine;
use super::build::{BuildRequest, Cache, Recipe};
use super::images::LABEL;
use crate::git::snapshot::{Entry, EntryKind, Snapshot};
use crate::transcript::Transcript;

/// The engine at DOCKER_HOST; without one the test is skipped, or fails if everything is required to run.
#[expect(clippy::disallowed_methods, reason = "tests are told by their environment what there is")]
pub(crate) async fn engine() -> Option<Engine> {
    match std::env::var("DOCKER_HOST") {
        Ok(host) => Some(Engine::connect(&host).await.unwrap()),
        Err(_) => skip("DOCKER_HOST is not set"),
    }
}

/// The registry at SLIPWAY_TEST_REGISTRY (`host:port`, plain HTTP), which the engine reaches too.
#[expect(clippy::disallowed_methods, reason = "tests are told by their environment what there is")]
pub(crate) fn registry() -> Option<String> {
    match std::env::var("SLIPWAY_TEST_REGISTRY") {
        Ok(address) => Some(address),
        Err(_) => skip("SLIPWAY_TEST_REGISTRY is not set"),
    }
}

#[expect(clippy::disallowed_methods, reason = "tests are told by their environment what there is")]
pub(crate) fn skip<T>(reason: &str) -> Option<T> {
    assert!(std::env::var("SLIPWAY_REQUIRE_ALL").as_deref() != Ok("1"), "required to run, but {reason}");
    eprintln!("skipped: {reason}");
    None
}

/// Takes an image's name away, and the image with its last one; one that has gone already is fine.
pub(crate) async fn remove_image(engine: &Engine, image: &str) {
    match engine.api().remove_image(image, None::<RemoveImageOptions>, None).await {
        Ok(_) | Err(Error::DockerResponseServerError { status_code: 404, .. }) => {}
        Err(error) => panic!("{image} was not removed: {error}"),
    }
}

/// A file of a repository made for a test.
pub(crate) enum Given<'a> {
    File(&'a str),
    Executable(&'a str),
    Symlink(&'a str),
}

/// A bare repository with one tree, and its snapshot.
pub(crate) struct Tree {
    folder: tempfile::TempDir,
}

impl Tree {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        git2::Repository::init_bare(folder.path()).unwrap();
        Self { folder }
    }

    /// The snapshot of a tree with these files.
    pub(crate) fn with(&self, files: &[(&str, Given<'_>)]) -> Arc<Snapshot> {
        let repository = git2::Repository::open_bare(self.folder.path()).unwrap();
        let mut index = repository.index().unwrap();
        index.clear().unwrap();
        for (path, given) in files {
            let (content, mode) = match given {
                Given::File(content) => (content, 0o100_644),
                Given::Executable(content) => (content, 0o100_755),
                Given::Symlink(target) => (target, 0o120_000),
            };
            let id = repository.blob(content.as_bytes()).unwrap();
            let size = content.len().try_into().unwrap();
            index.add(&index_entry(path, id, mode, size)).unwrap();
        }
        let tree = index.write_tree_to(&repository).unwrap();
        let mut entries = Vec::new();
        collect(&repository, tree, "", &mut entries);
        Arc::new(Snapshot { repository: self.folder.path().to_owned(), tree: String::new(), entries })
    }
}

fn index_entry(path: &str, id: git2::Oid, mode: u32, file_size: u32) -> git2::IndexEntry {
    let never = git2::IndexTime::new(0, 0);
    git2::IndexEntry {
        ctime: never,
        mtime: never,
        dev: 0,
        ino: 0,
        mode,
        uid: 0,
        gid: 0,
        file_size,
        id,
        flags: 0,
        flags_extended: 0,
        path: path.into(),
    }
}

fn collect(repository: &git2::Repository, tree: git2::Oid, prefix: &str, entries: &mut Vec<Entry>) {
    let tree = repository.find_tree(tree).unwrap();
    let mut items: Vec<_> = tree.iter().collect();
    items.sort_by(|a, b| a.name_bytes().cmp(b.name_bytes()));
    for item in items {
        let path = format!("{prefix}{}", item.name().unwrap());
        let content = || repository.find_blob(item.id()).unwrap().content().to_vec();
        let kind = match item.filemode() {
            0o040_000 => EntryKind::Folder,
            0o120_000 => EntryKind::Symlink { target: String::from_utf8(content()).unwrap() },
            mode => EntryKind::File { size: content().len() as u64, executable: mode == 0o100_755 },
        };
        let folder = kind == EntryKind::Folder;
        entries.push(Entry { path: path.clone(), kind, oid: item.id().to_string() });
        if folder {
            collect(repository, item.id(), &format!("{path}/"), entries);
        }
    }
}

/// How long a test waits for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A build of `Dockerfile` in the snapshot, labelled as ours.
pub(crate) fn request(snapshot: Arc<Snapshot>) -> BuildRequest {
    BuildRequest {
        snapshot,
        recipe: Recipe::InTree("Dockerfile".into()),
        secrets: BTreeMap::new(),
        build_args: BTreeMap::new(),
        labels: BTreeMap::from([(LABEL.into(), "test".into())]),
        tags: Vec::new(),
        cache: Cache::Use,
        network: "default",
        target: None,
        extra_ca: None,
        deadline: PATIENCE,
        idle_deadline: PATIENCE,
        logins: Vec::new(),
        cancel: CancellationToken::new(),
    }
}

/// A transcript and the text that was written to it, to be had once the transcript is gone.
pub(crate) fn recorder() -> (Transcript, tokio::task::JoinHandle<String>) {
    let (transcript, mut chunks) = Transcript::channel();
    let text = tokio::spawn(async move {
        let mut text = Vec::new();
        while let Some(chunk) = chunks.recv().await {
            text.extend_from_slice(&chunk);
        }
        String::from_utf8(text).unwrap()
    });
    (transcript, text)
}

/// Whether a process with this argument runs on this machine.
pub(crate) fn is_running(argument: &str) -> bool {
    let Ok(processes) = std::fs::read_dir("/proc") else { return false };
    processes.flatten().any(|process| {
        std::fs::read(process.path().join("cmdline"))
            .is_ok_and(|line| line.split(|byte| *byte == 0).any(|part| part == argument.as_bytes()))
    })
}

/// An argument for `sleep` by which the sleeper is found.
pub(crate) fn sleeping_time() -> String {
    format!("300.{}", uuid::Uuid::new_v4().as_u128() % 1_000_000_007)
}

pub(crate) async fn wait_until(what: &str, mut holds: impl FnMut() -> bool) -> Duration {
    let begun = Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    let waiting = async {
        while !holds() {
            ticks.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("{what} did not happen"));
    begun.elapsed()
}

/// A TCP address that leads to the engine until the token is cancelled.
pub(crate) async fn way_to_the_engine(engine: &Engine, cut: CancellationToken) -> Option<String> {
    let socket = engine.host().strip_prefix("unix://")?.to_owned();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Some(Ok((mut near, _))) = cut.run_until_cancelled(listener.accept()).await {
            let (cut, socket) = (cut.clone(), socket.clone());
            tokio::spawn(async move {
                let mut far = tokio::net::UnixStream::connect(socket).await.unwrap();
                cut.run_until_cancelled(tokio::io::copy_bidirectional(&mut near, &mut far)).await
            });
        }
    });
    Some(format!("tcp://{address}"))
}
