//! Neighbours of the doors for their tests: one bare repository served by git's own commands, and verbs that do
//! what a test needs to see.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use secrecy::ExposeSecret;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{
    Exchange, GitRequest, GitService, GitStreams, KeyProof, Lookup, Refused, RefusedReason, Services,
    VerbRequest,
};
use crate::domain::access::Principal;
use crate::domain::ids::UserId;

/// Longer than anything should take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const TOKEN: &str = "a-good-token";

/// What the neighbours have seen, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    Key(String, KeyProof),
    GitBegan(GitService, Exchange, Option<String>),
    GitEnded,
    VerbDropped,
    VerbBegan,
}

pub(crate) struct Neighbours {
    pub(crate) folder: TempDir,
    pub(crate) services: Services,
    seen: mpsc::UnboundedReceiver<Seen>,
    keys: Arc<Mutex<HashMap<String, Principal>>>,
}

impl Neighbours {
    /// With the app `blog`, whose repository is empty, the app `secret`, which nobody may touch, and the user ada,
    /// whose token is `TOKEN`.
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let repository = folder.path().join("blog.git");
        run(git(folder.path()).args(["init", "-q", "--bare", "-b", "main"]).arg(&repository)).await;
        let (tell, seen) = mpsc::unbounded_channel();
        let keys: Arc<Mutex<HashMap<String, Principal>>> = Arc::default();
        let services = services(repository, tell, Arc::clone(&keys));
        Self { folder, services, seen, keys }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes a key with ssh-keygen; nobody's until it is added.
    pub(crate) async fn make_key(&self, name: &str, kind: &[&str]) -> PathBuf {
        let path = self.path(name);
        run(Command::new("ssh-keygen").args(["-q", "-N", "", "-f"]).arg(&path).args(kind)).await;
        path
    }

    /// Makes the key ada's.
    pub(crate) async fn add_key(&self, path: &Path) -> String {
        let line = run(Command::new("ssh-keygen").arg("-lf").arg(path)).await;
        let fingerprint = line.split(' ').nth(1).unwrap().to_owned();
        self.keys.lock().unwrap().insert(fingerprint.clone(), ada());
        fingerprint
    }

    /// Takes all keys away.
    pub(crate) fn remove_keys(&self) {
        self.keys.lock().unwrap().clear();
    }

    /// Waits until the neighbours have seen this.
    pub(crate) async fn wait_for(&mut self, expected: &Seen) {
        let found = async { while self.seen.recv().await.as_ref() != Some(expected) {} };
        timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("{expected:?} was not seen"));
    }

    /// All that has been seen and not waited for.
    pub(crate) fn seen(&mut self) -> Vec<Seen> {
        std::iter::from_fn(|| self.seen.try_recv().ok()).collect()
    }

    /// A repository with one commit, holding a file of so many random bytes.
    pub(crate) async fn make_work_tree(&self, name: &str, bytes: usize) -> PathBuf {
        let tree = self.path(name);
        run(git(self.folder.path()).args(["init", "-q", "-b", "main"]).arg(&tree)).await;
        let mut content = vec![0; bytes];
        rand::fill(content.as_mut_slice());
        std::fs::write(tree.join("file"), content).unwrap();
        run(git(&tree).args(["add", "file"])).await;
        run(git(&tree).args(["commit", "-q", "-m", "one"])).await;
        tree
    }

    pub(crate) async fn head(&self) -> String {
        run(git(&self.path("blog.git")).args(["rev-parse", "main"])).await
    }
}

/// git without the configuration of the machine that the tests run on.
pub(crate) fn git(folder: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .current_dir(folder)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_ASKPASS", "true")
        .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "core.compression=0"])
        .kill_on_drop(true);
    for name in ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        command.env_remove(name);
    }
    command
}

/// Runs a command that has to succeed, and returns what it printed.
pub(crate) async fn run(command: &mut Command) -> String {
    let (succeeded, text) = attempt(command).await;
    assert!(succeeded, "{command:?} failed:\n{text}");
    text
}

/// Runs a command; returns whether it succeeded, and all that it printed.
pub(crate) async fn attempt(command: &mut Command) -> (bool, String) {
    let output = timeout(PATIENCE, command.stdin(Stdio::null()).kill_on_drop(true).output())
        .await
        .unwrap_or_else(|_| panic!("{command:?} hangs"))
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).trim_end().to_owned())
}

fn ada() -> Principal {
    Principal { user: UserId::new(), name: "ada".to_owned(), admin: false }
}

fn services(
    repository: PathBuf,
    tell: mpsc::UnboundedSender<Seen>,
    keys: Arc<Mutex<HashMap<String, Principal>>>,
) -> Services {
    let (tell_key, tell_git, tell_verb) = (tell.clone(), tell.clone(), tell);
    Services {
        authenticate_key: Arc::new(move |fingerprint, proof| {
            let owner = keys.lock().unwrap().get(&fingerprint).cloned();
            tell_key.send(Seen::Key(fingerprint, proof)).ok();
            async move { owner.map_or(Lookup::Unknown, Lookup::Known) }.boxed()
        }),
        authenticate_token: Arc::new(|token| {
            let lookup = match token.expose_secret() {
                TOKEN => Lookup::Known(ada()),
                "while the database is away" => Lookup::Unavailable,
                _ => Lookup::Unknown,
            };
            async move { lookup }.boxed()
        }),
        git: Arc::new(move |request| {
            let (repository, tell) = (repository.clone(), tell_git.clone());
            async move {
                let refused = match request.app.as_str() {
                    "blog" => None,
                    "secret" => Some((RefusedReason::Forbidden, "you are a viewer of this app")),
                    _ => Some((RefusedReason::NotFound, "there is no such app")),
                };
                if let Some((reason, text)) = refused {
                    return Err(Refused { reason, text: text.to_owned() });
                }
                let work: super::GitWork =
                    Box::new(move |streams| serve_git(repository, request, streams, tell).boxed());
                Ok(work)
            }
            .boxed()
        }),
        verb: Arc::new(move |request| verb(request, tell_verb.clone()).boxed()),
    }
}

/// git's own commands between the streams.
async fn serve_git(
    repository: PathBuf,
    request: GitRequest,
    mut streams: GitStreams,
    tell: mpsc::UnboundedSender<Seen>,
) -> u8 {
    tell.send(Seen::GitBegan(request.service, request.exchange, request.protocol.clone())).ok();
    let mut command = git(Path::new("/"));
    command.arg(request.service.as_str().trim_start_matches("git-"));
    match request.exchange {
        Exchange::Whole => {}
        Exchange::Advertise => {
            command.arg("--http-backend-info-refs");
        }
        Exchange::Rpc => {
            command.arg("--stateless-rpc");
        }
    }
    command.arg(repository).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    if let Some(protocol) = request.protocol {
        command.env("GIT_PROTOCOL", protocol);
    }
    let mut child = command.spawn().unwrap();
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let feed = tokio::spawn(async move {
        copy(&mut streams.input, &mut stdin).await.ok();
    });
    // A client that has gone makes writing fail; then the child is killed.
    let status = match copy(&mut stdout, &mut streams.output).await {
        Ok(_) => child.wait().await.unwrap().code().unwrap_or(1),
        Err(_) => 1,
    };
    feed.abort();
    tell.send(Seen::GitEnded).ok();
    u8::try_from(status).unwrap()
}

struct TellDropped(mpsc::UnboundedSender<Seen>);

impl Drop for TellDropped {
    fn drop(&mut self) {
        self.0.send(Seen::VerbDropped).ok();
    }
}

async fn verb(mut request: VerbRequest, tell: mpsc::UnboundedSender<Seen>) -> u8 {
    tell.send(Seen::VerbBegan).ok();
    let _dropped = TellDropped(tell);
    let argv: Vec<&str> = request.argv.iter().map(String::as_str).collect();
    match argv.as_slice() {
        ["help"] => {
            request.output.write_all(b"apps:create\nreleases\n").await.unwrap();
            0
        }
        ["whoami"] => {
            request.output.write_all(format!("{}\n", request.principal.name).as_bytes()).await.unwrap();
            0
        }
        ["exit", status] => {
            request.errors.write_all(b"to standard error\n").await.unwrap();
            status.parse().unwrap()
        }
        ["cat"] => {
            let mut input = Vec::new();
            match request.input.read_to_end(&mut input).await {
                Ok(_) => request.output.write_all(&input).await.unwrap(),
                Err(error) => {
                    request.errors.write_all(format!("{error}\n").as_bytes()).await.unwrap();
                    return 3;
                }
            }
            0
        }
        ["words", ..] => {
            request.output.write_all(format!("{argv:?}").as_bytes()).await.unwrap();
            0
        }
        ["flood"] => {
            while request.output.write_all(&[b'x'; 4096]).await.is_ok() {}
            0
        }
        ["hang"] => std::future::pending().await,
        ["panic"] => panic!("a verb that panics, on purpose"),
        _ => 1,
    }
}
