//! A command that runs unattended to its end in an app's image, beside its processes: a release phase, say.
//!
//! Invariant: one batch is in at most one container or pod. What runs it carries the batch's id, so that after a restart
//! of the server, or of what lies between, it is found again and followed on. Whoever asked removes it, once its end is
//! stored: as long as it is there, asking again tells the same end.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use secrecy::SecretString;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Command, Limits, RolloutError, Target, Workload};
use crate::domain::ids::BatchId;
use crate::domain::names::{AppName, ConfigKey};

/// How long what is ended may take after SIGTERM before SIGKILL: somebody waits for its end.
pub(super) const GRACE: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    pub(crate) id: BatchId,
    /// `release`, `run-4821`: a DNS label, part of the names of what is made.
    pub(crate) name: String,
    /// What it finds in `DYNO`: `release.1`, `run.4821`.
    pub(crate) dyno: String,
    /// App, version, image and config; its processes do not matter.
    pub(crate) of: Workload,
    pub(crate) command: Command,
    /// On top of the config.
    pub(crate) environment: BTreeMap<ConfigKey, SecretString>,
    pub(crate) limits: Limits,
    /// Counted from its start; what runs longer is ended.
    pub(crate) deadline: Duration,
    pub(crate) take: Take,
}

/// What is done where nothing of a batch is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Take {
    /// It is started.
    StartOrFollow,
    /// It is not: it may have run already, or what it needs is not known any more.
    Follow,
    /// The same; a cluster has made this Job for it.
    FollowJob(String),
}

/// What to say of one that is not there.
pub(super) const NOT_FOUND: &str = "it was not found any more: the platform ended before it could be started, or somebody \
     removed it by hand";

/// An entry of cron, as a target that has a clock is told of it.
#[derive(Debug, Clone)]
pub(crate) struct CronEntry {
    pub(crate) name: String,
    /// What it runs where that is not the workload's own.
    pub(crate) image: Option<String>,
    pub(crate) command: Command,
    /// Five fields.
    pub(crate) schedule: String,
    /// A name of IANA's.
    pub(crate) timezone: String,
    pub(crate) limits: Limits,
    pub(crate) time_limit: Duration,
}

impl CronEntry {
    /// What is late by more than this is passed over, on all targets.
    pub(crate) const CATCH_UP: Duration = Duration::from_secs(3600);
}

/// A run of an entry that a target's own clock has started.
#[derive(Debug, Clone)]
pub(crate) struct CronRun {
    pub(crate) id: BatchId,
    pub(crate) app: AppName,
    pub(crate) entry: String,
    pub(crate) version: i64,
    pub(crate) job: String,
    pub(crate) due_at: Option<Timestamp>,
}

impl Batch {
    /// The entry of cron that it is a run of.
    pub(super) fn entry(&self) -> Option<&str> {
        self.dyno.strip_prefix("cron.")
    }
}

impl Target {
    /// Whether it has a clock of its own for cron.
    pub(crate) fn keeps_time(&self) -> bool {
        matches!(self, Self::Kubernetes(_))
    }

    /// Tells the runs of cron that the target's own clock has started, each once, until `stop`.
    pub(crate) async fn watch_cron(&self, runs: mpsc::Sender<CronRun>, stop: &CancellationToken) {
        match self {
            Self::Docker(_) => stop.cancelled().await,
            Self::Kubernetes(target) => target.watch_cron(runs, stop).await,
        }
    }
}

/// How a batch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Exited(i64),
    OutOfMemory,
    /// It was ended at its deadline.
    TimedOut,
}

/// What a target has of a batch.
#[derive(Debug, Clone)]
pub(crate) struct Leftover {
    pub(crate) id: BatchId,
    /// The container's id, or the Job's name.
    pub(crate) object: String,
}

impl Target {
    /// Runs the batch to its end, or follows the one that runs already, and sends what it writes, from its beginning.
    ///
    /// # Errors
    /// `Failed` if it could not be run, with the cause. After `Unreachable` it may run on: ask again. After `stop` it is
    /// `Interrupted`, and nothing of it is left.
    pub(crate) async fn run_batch(
        &self,
        batch: &Batch,
        output: &mpsc::Sender<Bytes>,
        stop: &CancellationToken,
    ) -> Result<Ended, RolloutError> {
        // On the heap: what waits here is deep, and so is what it is called from.
        match self {
            Self::Docker(target) => Box::pin(target.run_batch(batch, output, stop)).await,
            Self::Kubernetes(target) => Box::pin(target.run_batch(batch, output, stop)).await,
        }
    }

    /// All that there is of batches, of whatever app.
    pub(crate) async fn batches(&self) -> anyhow::Result<Vec<Leftover>> {
        match self {
            Self::Docker(target) => Ok(target.batches(None).await?),
            Self::Kubernetes(target) => Ok(target.batches().await?),
        }
    }

    /// Ends and removes what there is of a batch.
    pub(crate) async fn remove_batch(&self, leftover: &Leftover) -> anyhow::Result<()> {
        match self {
            Self::Docker(target) => {
                target.end_batch(&leftover.object).await;
                Ok(())
            }
            Self::Kubernetes(target) => Ok(target.end_batch(&leftover.object).await?),
        }
    }
}

impl Ended {
    /// What went wrong, as the end of a sentence about the batch; `None` if nothing did.
    pub(crate) fn trouble(self, batch: &Batch) -> Option<String> {
        match self {
            Self::Exited(0) => None,
            Self::Exited(code) => Some(format!("ended with exit status {code}{}", meaning(code))),
            Self::OutOfMemory => Some(match batch.limits.memory {
                Some(limit) => {
                    format!("was killed: it used more memory than its limit of {}", bytesize::ByteSize(limit))
                }
                None => "was killed: the machine's memory ran out".to_owned(),
            }),
            Self::TimedOut => {
                let limit = humantime::format_duration(batch.deadline);
                Some(format!("did not end within {limit}, and was stopped"))
            }
        }
    }

    pub(crate) fn exit_status(self) -> Option<i64> {
        match self {
            Self::Exited(code) => Some(code),
            Self::OutOfMemory | Self::TimedOut => None,
        }
    }
}

/// What a shell or the kernel says by an exit status.
fn meaning(code: i64) -> &'static str {
    match code {
        126 => ": its command may not be executed",
        127 => ": its command was not found",
        137 => ": it was killed",
        139 => ": it made a memory fault",
        _ => "",
    }
}
