//! For tests: real git clients against our functions, over git's own TCP transport, and histories to push.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;

use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::receive::*;
use super::upload::{self, UploadLimits};
use super::{Oid, Repository};

/// A repository with a door: `git push git://127.0.0.1:<port>/app.git` reaches the steps of `receive`.
pub(super) struct Bridge {
    pub(super) repository: Repository,
    pub(super) url: String,
    pub(super) folder: TempDir,
    door: JoinHandle<()>,
}

impl Bridge {
    pub(super) async fn start() -> Self {
        Self::with_limits(ReceiveLimits::default()).await
    }

    pub(super) async fn with_limits(limits: ReceiveLimits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let repository = Repository::init(&folder.path().join("app.git")).await.unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("git://{}/app.git", listener.local_addr().unwrap());
        let (served, limits) = (repository.clone(), Arc::new(limits));
        let door = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(answer(served.clone(), stream, limits.clone()));
            }
        });
        Self { repository, url, folder, door }
    }

    /// An empty working copy with `platform` as its remote.
    pub(super) async fn work(&self, name: &str) -> Work {
        let work = Work { path: self.folder.path().join(name) };
        std::fs::create_dir(&work.path).unwrap();
        work.git(&["init", "-q", "-b", "main"]).await;
        work.git(&["remote", "add", "platform", &self.url]).await;
        work
    }

    pub(super) async fn main(&self) -> Option<Oid> {
        self.repository.resolve("refs/heads/main").await.unwrap()
    }

    pub(super) fn quarantines(&self) -> usize {
        let objects = std::fs::read_dir(self.repository.path().join("objects")).unwrap();
        let names = objects.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
        names.filter(|name| name.starts_with(QUARANTINE_PREFIX)).count()
    }

    /// Packs that the repository itself has.
    pub(super) fn packs(&self) -> usize {
        let packs = std::fs::read_dir(self.repository.path().join("objects/pack"));
        packs.map_or(0, |packs| packs.count())
    }

    /// git's own opinion of the repository.
    pub(super) async fn fsck(&self) {
        let work = Work { path: self.repository.path().to_owned() };
        work.git(&["fsck", "--full", "--strict", "--no-dangling"]).await;
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.door.abort();
    }
}

/// What a door does: reads which service is wanted, then the steps.
async fn answer(repository: Repository, mut stream: TcpStream, limits: Arc<ReceiveLimits>) {
    let mut length = [0; 4];
    stream.read_exact(&mut length).await.unwrap();
    let length = usize::from_str_radix(std::str::from_utf8(&length).unwrap(), 16).unwrap();
    let mut line = vec![0; length - 4];
    stream.read_exact(&mut line).await.unwrap();
    let line = String::from_utf8(line).unwrap();
    let (reader, writer) = stream.into_split();
    if line.starts_with("git-receive-pack ") {
        // A client that leaves is the subject of tests of their own.
        drop(push(&repository, reader, writer, &limits).await);
    } else {
        let protocol = line.split('\0').find(|word| word.starts_with("version="));
        let mode = upload::Mode::Stateful;
        drop(upload::serve(&repository, reader, writer, protocol, (mode, UploadLimits::default())).await);
    }
}

/// The steps in the order in which a door takes them, with a build that succeeds at once.
pub(super) async fn push(
    repository: &Repository,
    mut reader: impl AsyncRead + Unpin,
    mut writer: impl AsyncWrite + Unpin,
    limits: &ReceiveLimits,
) -> anyhow::Result<()> {
    advertise(repository, &mut writer).await?;
    let request = match read_request(repository, &mut reader, limits).await {
        Ok(Some(request)) => request,
        Ok(None) => return Ok(()),
        Err(RequestError::Refused { request, problem }) => {
            let mut reply = Reply::new(writer, &request);
            reply.log(format!(" !     {problem}\n").as_bytes()).await?;
            reply.refuse(&request, &problem.to_string()).await?;
            linger(&mut reader).await;
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    let mut reply = Reply::new(writer, &request);
    let quarantine = match take_pack(repository, &request, &mut reader, &mut reply, limits).await {
        Ok(quarantine) => quarantine,
        Err(error) if error.fault() == Fault::Pusher => {
            reply.report(Err(error.to_string()), refuse_all(&request)).await?;
            linger(&mut reader).await;
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    quarantine.migrate().await?;
    for option in &request.options {
        reply.log(format!("-----> option {option}\n").as_bytes()).await?;
    }
    let results = settle(repository, &request).await?;
    reply.report(Ok(()), results).await?;
    Ok(())
}

fn refuse_all(request: &Request) -> Vec<RefResult> {
    request.commands.iter().map(|command| RefResult::refused(&command.name, "not accepted")).collect()
}

/// The policy of these tests: branches called `closed` are refused, `later` are kept under a pin, all others move.
async fn settle(repository: &Repository, request: &Request) -> anyhow::Result<Vec<RefResult>> {
    let decide = |command: &Command| match command.name.as_str() {
        "refs/heads/closed" => RefResult::refused(&command.name, "closed by policy"),
        _ => RefResult::moved(&command.name),
    };
    let mut results = all_or_nothing(request, request.commands.iter().map(decide).collect());
    for (command, result) in request.commands.iter().zip(&mut results) {
        if result.is_refused() {
            continue;
        }
        if command.name == "refs/heads/later" {
            repository.update_ref("refs/builds/12", command.new, Oid::ZERO).await?;
            result.outcome = RefOutcome::Elsewhere { name: "refs/builds/12".to_owned(), new: command.new };
            continue;
        }
        let Command { name, old, new } = command;
        let forced = !old.is_zero() && !new.is_zero() && !repository.is_ancestor(*old, *new).await?;
        match repository.update_ref(name, *new, *old).await {
            Ok(()) if forced => result.outcome = RefOutcome::Forced { old: *old, new: *new },
            Ok(()) => {}
            Err(error) => *result = RefResult::refused(name, &error.to_string()),
        }
    }
    Ok(results)
}

/// A folder in which git is run.
pub(super) struct Work {
    pub(super) path: PathBuf,
}

impl Work {
    /// Runs git and expects success; gives its standard output.
    pub(super) async fn git(&self, args: &[&str]) -> String {
        let output = self.try_git(args).await;
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Runs `git push …` and gives whether it succeeded, and what the terminal showed.
    pub(super) async fn push(&self, args: &[&str]) -> (bool, String) {
        let output = self.try_git(&[&["push"], args].concat()).await;
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    pub(super) async fn try_git(&self, args: &[&str]) -> Output {
        let mut command = git_client(&self.path);
        let run = command.args(args).kill_on_drop(true).output();
        tokio::time::timeout(std::time::Duration::from_secs(60), run).await.unwrap().unwrap()
    }

    pub(super) async fn commit(&self, file: &str, content: impl AsRef<[u8]>) -> Oid {
        std::fs::write(self.path.join(file), content).unwrap();
        self.git(&["add", "-A"]).await;
        self.git(&["commit", "-q", "-m", &format!("Change {file}")]).await;
        self.head().await
    }

    pub(super) async fn head(&self) -> Oid {
        self.git(&["rev-parse", "HEAD"]).await.parse().unwrap()
    }

    /// `count` commits, each of which changes a file.
    pub(super) async fn history(&self, count: usize) -> Vec<Oid> {
        let mut commits = Vec::new();
        for n in 1..=count {
            commits.push(self.commit("file", format!("line\n{n}\n")).await);
        }
        commits
    }
}

fn git_client(path: &Path) -> tokio::process::Command {
    let mut command = tokio::process::Command::new("git");
    command
        .current_dir(path)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("LC_ALL", "C")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0");
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), "Ada").env(format!("GIT_{who}_EMAIL"), "ada@example.org");
    }
    command
}
