//! A private service: a child of the server that ends with it and is started again when it dies.
//!
//! Invariant: before a service starts, its predecessor is gone. A server that was killed leaves its children behind;
//! they are found by their pid file (or container name), recognised by their command line, and asked to end. A process
//! that merely has the same pid is never touched.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::telemetry::metrics::SERVICE_RESTARTS_TOTAL;

/// How long a service may take to end after it was asked to, before it is killed.
const STOP_DEADLINE: Duration = Duration::from_secs(20);
/// How often something is looked at for which there is no event: a foreign process' end, a service's readiness.
const POLL: Duration = Duration::from_millis(25);
/// A first start that ends at once is repeated: what a killed predecessor left may need a moment to go.
const FIRST_STARTS: u32 = 3;
/// Pauses between restarts double from the first to the second; a service that stayed up for the second begins anew.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A log above this is put aside when its service starts.
const LOG_BYTES: u64 = 8 << 20;
/// How much of the end of a log is quoted when a service does not start.
const TAIL_BYTES: u64 = 1500;

/// Why a service does not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServiceError {
    #[error("{} could not be started: {source}", program.display())]
    Spawn { program: PathBuf, source: io::Error },
    #[error("the private {name} ended at once ({status}); its log {} ends with:\n{tail}", log.display())]
    Ended { name: &'static str, status: ExitStatus, log: PathBuf, tail: String },
    #[error(
        "the private {name} did not answer within {}; its log {} ends with:\n{tail}",
        humantime::format_duration(*deadline), log.display()
    )]
    Unready { name: &'static str, deadline: Duration, log: PathBuf, tail: String },
    #[error("what an earlier {name} left could not be cleared away: {source}")]
    Predecessor { name: &'static str, source: io::Error },
}

/// Another user that a service runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) name: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// How what an earlier server left behind is recognised.
#[derive(Debug, Clone)]
pub(super) enum Predecessor {
    /// The first line of the file is a pid; it is ours if its arguments include all marks.
    Process { pid_file: PathBuf, writer: Writer, marks: Vec<String> },
    /// A container, removed by this command, which succeeds if there is none.
    Container { remove: Vec<OsString> },
}

/// Who writes a pid file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Writer {
    /// The service itself.
    Service,
    /// We, once it is started.
    Slipway,
}

/// A service and how to run it.
#[derive(Debug, Clone)]
pub(super) struct Service {
    pub(super) name: &'static str,
    pub(super) program: PathBuf,
    pub(super) args: Vec<OsString>,
    pub(super) account: Option<Account>,
    pub(super) log: PathBuf,
    pub(super) predecessor: Predecessor,
    /// Asks it to end at once but in order.
    pub(super) stop: Signal,
    /// How long it may take until it answers.
    pub(super) ready_deadline: Duration,
}

/// A service that runs and is watched. Dropped without `stop`, it is asked to end but not waited for.
#[derive(Debug)]
pub(super) struct Running {
    stop: CancellationToken,
    watcher: JoinHandle<()>,
}

impl Running {
    /// Ends the service and returns when it has ended.
    pub(super) async fn stop(mut self) {
        self.stop.cancel();
        if let Err(error) = (&mut self.watcher).await {
            warn!("The watcher of a private service panicked: {error}");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Service {
    /// Starts the service and returns when `ready` says that it answers; from then on it is started again when it dies.
    pub(super) async fn start(self, mut ready: impl AsyncFnMut() -> bool) -> Result<Running, ServiceError> {
        let mut starts = 1;
        let child = loop {
            match self.start_once(&mut ready).await {
                Err(ServiceError::Ended { .. }) if starts < FIRST_STARTS => starts += 1,
                outcome => break outcome?,
            }
            tokio::time::sleep(PAUSE).await;
        };
        info!(service = self.name, pid = child.id(), "The private {} runs", self.name);
        let stop = CancellationToken::new();
        let watcher = tokio::spawn(self.watch(child, stop.clone()));
        Ok(Running { stop, watcher })
    }

    /// Ends what an earlier server left running.
    pub(super) async fn clear_predecessor(&self) -> Result<(), ServiceError> {
        let cleared = match &self.predecessor {
            Predecessor::Process { pid_file, marks, .. } => self.end_process(pid_file, marks).await,
            Predecessor::Container { remove } => self.remove_container(remove).await,
        };
        cleared.map_err(|source| ServiceError::Predecessor { name: self.name, source })
    }

    async fn start_once(&self, ready: &mut impl AsyncFnMut() -> bool) -> Result<Child, ServiceError> {
        self.clear_predecessor().await?;
        let mut child = self.spawn()?;
        let answers = async {
            while !ready().await {
                tokio::time::sleep(POLL).await;
            }
        };
        let (name, log, deadline) = (self.name, self.log.clone(), self.ready_deadline);
        tokio::select! {
            () = answers => Ok(child),
            status = child.wait() => match status {
                Ok(status) => Err(ServiceError::Ended { name, status, tail: tail(&log), log }),
                Err(source) => Err(ServiceError::Spawn { program: self.program.clone(), source }),
            },
            () = tokio::time::sleep(deadline) => {
                self.end(&mut child).await;
                Err(ServiceError::Unready { name, deadline, tail: tail(&log), log })
            }
        }
    }

    fn spawn(&self) -> Result<Child, ServiceError> {
        let spawn = || -> io::Result<Child> {
            let log = open_log(&self.log)?;
            let mut command = Command::new(&self.program);
            command.args(&self.args).current_dir("/").process_group(0).kill_on_drop(true);
            command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
            if let Some(account) = &self.account {
                command.uid(account.uid).gid(account.gid);
            }
            let child = command.spawn()?;
            if let Predecessor::Process { pid_file, writer: Writer::Slipway, .. } = &self.predecessor {
                fs::write(pid_file, child.id().unwrap_or_default().to_string())?;
            }
            Ok(child)
        };
        spawn().map_err(|source| ServiceError::Spawn { program: self.program.clone(), source })
    }

    async fn watch(self, mut child: Child, stop: CancellationToken) {
        let mut pause = PAUSE;
        loop {
            let since = Instant::now();
            let status = tokio::select! {
                biased;
                () = stop.cancelled() => return self.end(&mut child).await,
                status = child.wait() => status,
            };
            metrics::counter!(SERVICE_RESTARTS_TOTAL, "service" => self.name).increment(1);
            let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
            warn!(service = self.name, "The private {} ended ({status}); it is started again", self.name);
            if since.elapsed() >= LONGEST_PAUSE {
                pause = PAUSE;
            }
            child = loop {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
                }
                match self.clear_predecessor().await.and_then(|()| self.spawn()) {
                    Ok(child) => break child,
                    Err(error) => warn!(service = self.name, "{error}"),
                }
            };
        }
    }

    /// Asks a child to end; kills its whole group if it does not.
    async fn end(&self, child: &mut Child) {
        let Some(pid) = child.id().and_then(pid_of) else { return };
        // Errors mean that it has ended by itself.
        let _ = signal::kill(pid, self.stop);
        if tokio::time::timeout(STOP_DEADLINE, child.wait()).await.is_err() {
            warn!(service = self.name, "The private {} does not end; it is killed", self.name);
            let _ = signal::killpg(pid, Signal::SIGKILL);
            let _ = child.wait().await;
        }
        info!(service = self.name, "The private {} has ended", self.name);
    }

    async fn end_process(&self, pid_file: &Path, marks: &[String]) -> io::Result<()> {
        let text = match fs::read_to_string(pid_file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            text => text?,
        };
        let pid = text.lines().next().and_then(|line| line.trim().parse().ok()).and_then(pid_of);
        if let Some(pid) = pid.filter(|pid| is_marked(*pid, marks)) {
            info!(
                service = self.name,
                pid = pid.as_raw(),
                "Ending the private {} of an earlier server",
                self.name
            );
            for request in [self.stop, Signal::SIGKILL] {
                let _ = signal::kill(pid, request);
                let gone = async {
                    while is_marked(pid, marks) {
                        tokio::time::sleep(POLL).await;
                    }
                };
                if tokio::time::timeout(STOP_DEADLINE, gone).await.is_ok() {
                    break;
                }
            }
            if is_marked(pid, marks) {
                return Err(io::Error::other(format!("process {pid} does not end")));
            }
        } else if pid.is_none_or(|pid| signal::kill(pid, None).is_ok()) {
            // A stranger has that pid now, which the service itself could take for a living predecessor.
            remove_if_there(pid_file)?;
        }
        Ok(())
    }

    async fn remove_container(&self, remove: &[OsString]) -> io::Result<()> {
        let mut command = Command::new(&self.program);
        command.args(remove).stdin(Stdio::null()).kill_on_drop(true).process_group(0);
        let output = tokio::time::timeout(STOP_DEADLINE, command.output())
            .await
            .map_err(|_| io::Error::other("the Docker engine does not answer"))??;
        let text = String::from_utf8_lossy(&output.stderr);
        if output.status.success() || text.contains("No such container") {
            Ok(())
        } else {
            Err(io::Error::other(text.trim().to_owned()))
        }
    }
}

/// Whether a living process has all marks among its arguments. Zombies have none.
fn is_marked(pid: Pid, marks: &[String]) -> bool {
    let Ok(line) = fs::read(format!("/proc/{pid}/cmdline")) else { return false };
    let args: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
    marks.iter().all(|mark| args.contains(&mark.as_bytes()))
}

fn pid_of(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().filter(|pid| *pid > 1).map(Pid::from_raw)
}

fn open_log(path: &Path) -> io::Result<File> {
    if fs::metadata(path).is_ok_and(|meta| meta.len() > LOG_BYTES) {
        fs::rename(path, path.with_extension("log.old"))?;
    }
    File::options().create(true).append(true).open(path)
}

/// The last lines of a log, for an error message; empty if it cannot be read.
fn tail(log: &Path) -> String {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    String::from_utf8_lossy(&bytes)
        .lines()
        .skip(usize::from(bytes.len() as u64 == TAIL_BYTES))
        .collect::<Vec<_>>()
        .join("\n")
}

pub(super) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Waits for what gives no event of its own.
    pub(in crate::local) async fn eventually(mut happened: impl AsyncFnMut() -> bool) {
        let mut looks = tokio::time::interval(POLL);
        let wait = async {
            while !happened().await {
                looks.tick().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), wait).await.expect("it did not happen");
    }

    fn shell(folder: &Path, script: &str) -> Service {
        Service {
            name: "thing",
            program: "sh".into(),
            args: vec!["-c".into(), script.into()],
            account: None,
            log: folder.join("thing.log"),
            predecessor: Predecessor::Process {
                pid_file: folder.join("pid"),
                writer: Writer::Slipway,
                marks: vec![script.to_owned()],
            },
            stop: Signal::SIGTERM,
            ready_deadline: Duration::from_millis(50),
        }
    }

    #[tokio::test]
    async fn one_that_ends_at_once_is_quoted_with_the_end_of_its_log() {
        let folder = tempfile::tempdir().unwrap();
        let service = shell(folder.path(), "echo no such option >&2; exit 3");
        let error =
            Service { ready_deadline: STOP_DEADLINE, ..service }.start(async || false).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains("thing ended at once (exit status: 3)"), "{text}");
        assert!(text.ends_with("no such option"), "{text}");
    }

    #[tokio::test]
    async fn one_that_never_answers_is_ended_and_named() {
        let folder = tempfile::tempdir().unwrap();
        let error =
            shell(folder.path(), "exec sleep 600").start(async || false).await.unwrap_err().to_string();
        assert!(error.contains("did not answer within 50ms"), "{error}");
        let pid = fs::read_to_string(folder.path().join("pid")).unwrap();
        assert!(!Path::new("/proc").join(pid).exists(), "it goes on");
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let service = Service { program: "/nowhere/thing".into(), ..shell(folder.path(), "") };
        let error = service.start(async || true).await.unwrap_err().to_string();
        assert!(error.starts_with("/nowhere/thing could not be started"), "{error}");
    }

    #[test]
    fn a_long_log_is_put_aside_and_only_its_end_is_quoted() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("thing.log");
        fs::write(&log, "line\n".repeat(2 << 20)).unwrap();
        assert!(tail(&log).len() < 2000);
        open_log(&log).unwrap();
        assert_eq!(fs::metadata(&log).unwrap().len(), 0);
        assert!(fs::metadata(log.with_extension("log.old")).unwrap().len() > LOG_BYTES);
    }
}
