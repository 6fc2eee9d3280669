//! Where a release runs: the Deployments of a Kubernetes cluster, or containers of this machine's Docker engine.
//!
//! A target knows workloads, not apps of the platform: it is handed everything that it needs. It converges: asked
//! twice for the same workload it does nothing the second time, and a lower version never replaces a higher one.

pub(crate) mod attached;
pub(crate) mod batch;
pub(crate) mod docker;
mod failure;
pub(crate) mod kubernetes;
pub(crate) mod usage;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::attached::{AttachError, Ends, Inside, OneOff};
use self::kubernetes::Reconciled;
use self::usage::Usages;
use crate::domain::formation::{Autoscale, Which};
use crate::domain::health::Checks;
use crate::domain::names::{AppName, ConfigKey, ProcessType};
use crate::journal::Journals;
use crate::transcript::Transcript;

/// The target of this platform.
#[derive(Debug)]
pub(crate) enum Target {
    Docker(docker::DockerTarget),
    Kubernetes(kubernetes::KubernetesTarget),
}

impl Target {
    /// Moves an app to `next`; after a failure `previous` runs again. See the targets' own words.
    pub(crate) async fn roll_out(
        &self,
        next: &Workload,
        previous: Option<&Workload>,
        transcript: &Transcript,
        interrupt: &CancellationToken,
    ) -> Result<(), RolloutError> {
        match self {
            // What ran before is not touched before the new processes are healthy: there is nothing to go back to.
            Self::Docker(target) => target.roll_out(next, transcript, interrupt).await,
            Self::Kubernetes(target) => target.roll_out(next, previous, transcript, interrupt).await,
        }
    }

    /// Replaces processes of a release that runs by fresh ones. What is not healthy replaces nothing.
    pub(crate) async fn restart(
        &self,
        running: &Workload,
        which: &Which,
        transcript: &Transcript,
        interrupt: &CancellationToken,
    ) -> Result<(), RolloutError> {
        match self {
            Self::Docker(target) => target.replace(running, which, transcript, interrupt).await,
            Self::Kubernetes(target) => target.restart(running, which, transcript, interrupt).await,
        }
    }

    /// Moves to `next`, which has one process fewer than `previous`: that of this name ends, no other.
    pub(crate) async fn stop(
        &self,
        (next, previous): (&Workload, &Workload),
        name: &str,
        transcript: &Transcript,
        interrupt: &CancellationToken,
    ) -> Result<(), RolloutError> {
        match self {
            Self::Docker(target) => {
                target.replace(next, &Which::Named(name.to_owned()), transcript, interrupt).await
            }
            Self::Kubernetes(target) => target.stop((next, previous), name, transcript, interrupt).await,
        }
    }

    /// Makes what runs what `desired` says, after a restart of whatever restarted.
    pub(crate) async fn reconcile(&self, desired: &[Workload]) -> anyhow::Result<()> {
        match self {
            Self::Docker(target) => Ok(target.reconcile(desired).await?),
            Self::Kubernetes(target) => {
                for workload in target.adrift(desired).await? {
                    let (app, version) = (&workload.app, workload.version);
                    match target.reconcile(workload).await {
                        Ok(Reconciled::Applied(why)) => {
                            info!(%app, "Applied v{version} again: {}", why.join("; "))
                        }
                        // A newer one is live already.
                        Ok(Reconciled::Unchanged) | Err(RolloutError::Interrupted) => {}
                        Err(error @ RolloutError::Unreachable(_)) => return Err(error.into()),
                        Err(error) => warn!(%app, "v{version} could not be applied again: {error}"),
                    }
                }
                Ok(())
            }
        }
    }

    /// The app's processes.
    pub(crate) async fn processes(&self, of: Whose<'_>) -> anyhow::Result<Vec<ProcessStatus>> {
        match self {
            Self::Docker(target) => Ok(target.processes(of.app).await?),
            Self::Kubernetes(target) => Ok(target.processes(of.app, of.adopted).await?),
        }
    }

    /// Reads what processes write, and what happens to them, into the apps' logs until `stop`. `adopted` tells the apps
    /// that move Deployments of others.
    pub(crate) async fn collect(&self, journals: Journals, adopted: AdoptedApps, stop: CancellationToken) {
        match self {
            Self::Docker(target) => target.collect(journals, stop).await,
            Self::Kubernetes(target) => target.collect(journals, adopted, stop).await,
        }
    }

    /// Runs a process beside the formation to its end; its exit status. See the targets' own words.
    pub(crate) async fn run(
        &self,
        run: &OneOff<'_>,
        ends: Ends,
        stop: &CancellationToken,
    ) -> Result<i64, AttachError> {
        match self {
            Self::Docker(target) => target.run(run, ends, stop).boxed().await,
            Self::Kubernetes(target) => target.run(run, ends, stop).boxed().await,
        }
    }

    /// Runs a command in a process that runs already; its exit status.
    pub(crate) async fn exec(
        &self,
        of: Whose<'_>,
        inside: &Inside<'_>,
        ends: Ends,
        stop: &CancellationToken,
    ) -> Result<i64, AttachError> {
        match self {
            Self::Docker(target) => target.exec(of.app, inside, ends, stop).boxed().await,
            Self::Kubernetes(target) => target.exec(of.app, of.adopted, inside, ends, stop).boxed().await,
        }
    }

    /// Ends one-off processes that nobody attends to any more: those of a server that has died. Asked only after it was
    /// seen that a process is there.
    pub(crate) async fn end_runs(&self, is_attended: &(dyn Fn(&str) -> bool + Sync)) -> anyhow::Result<()> {
        match self {
            Self::Docker(target) => Ok(target.end_runs(is_attended).await?),
            Self::Kubernetes(target) => Ok(target.end_runs(is_attended).await?),
        }
    }

    /// Ends everything of an app that is no more; Deployments of others stay as they are, without our marks.
    pub(crate) async fn remove(&self, of: Whose<'_>) -> anyhow::Result<()> {
        match (self, of.adopted) {
            (Self::Docker(target), _) => Ok(target.remove(of.app).await?),
            (Self::Kubernetes(target), None) => Ok(target.remove(of.app).await?),
            (Self::Kubernetes(target), Some(adoption)) => Ok(target.let_go(of.app, adoption).await?),
        }
    }

    /// Starts processes again whose liveness check fails, until the shutdown. A cluster does it by itself.
    pub(crate) async fn watch_liveness(&self, soft: CancellationToken) {
        match self {
            Self::Docker(target) => target.watch_liveness(soft).await,
            Self::Kubernetes(_) => soft.cancelled().await,
        }
    }

    /// What each app has used since the last time that this was asked; of a cluster's owned apps only.
    pub(crate) async fn usage(&self) -> anyhow::Result<Usages> {
        match self {
            Self::Docker(target) => Ok(target.usage().await?),
            Self::Kubernetes(target) => Ok(target.usage().await?),
        }
    }

    /// Whether it answers.
    pub(crate) async fn health(&self) -> anyhow::Result<()> {
        match self {
            Self::Docker(target) => Ok(target.health().await?),
            Self::Kubernetes(target) => {
                let missing = target.health().await?.missing;
                anyhow::ensure!(
                    missing.is_empty(),
                    "rights are missing in the cluster: {}",
                    missing.join("; ")
                );
                Ok(())
            }
        }
    }
}

impl Target {
    /// Whether an autoscaler can choose how many processes run.
    pub(crate) fn autoscales(&self) -> bool {
        matches!(self, Self::Kubernetes(_))
    }
}

/// Asks which apps move Deployments of others.
pub(crate) type AdoptedApps = Arc<dyn Fn() -> BoxFuture<'static, Vec<(AppName, Adoption)>> + Send + Sync>;

/// Whose processes are meant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Whose<'a> {
    pub(crate) app: &'a AppName,
    pub(crate) adopted: Option<&'a Adoption>,
}

/// One release as a target sees it.
#[derive(Debug, Clone)]
pub(crate) struct Workload {
    pub(crate) app: AppName,
    /// The release's version: 12 for `v12`. Written on everything that the target makes, as the fence.
    pub(crate) version: i64,
    /// `repository:tag@sha256:…`, at the address from which the target pulls; a process may have another.
    pub(crate) image: String,
    pub(crate) processes: Vec<Process>,
    pub(crate) config: BTreeMap<ConfigKey, SecretString>,
    /// What the pulling side needs for the registry; `None` where it needs nothing.
    pub(crate) pull: Option<RegistryLogin>,
    /// Deployments that somebody else owns and of which only the image is ours to move.
    pub(crate) adopted: Option<Adoption>,
    /// What a clock starts besides.
    pub(crate) cron: Vec<batch::CronEntry>,
}

impl Workload {
    /// What the process runs.
    pub(crate) fn image_of<'a>(&'a self, process: &'a Process) -> &'a str {
        process.image.as_deref().unwrap_or(&self.image)
    }
}

/// A process type with its formation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Process {
    pub(crate) name: ProcessType,
    /// `None` is the workload's.
    pub(crate) image: Option<String>,
    pub(crate) command: Command,
    /// How many run. 0 keeps the type stopped.
    pub(crate) quantity: u32,
    /// The port that a web process is told in `PORT` and has to listen on; `None` for all other types.
    pub(crate) port: Option<u16>,
    pub(crate) check: Check,
    /// What app.json asks for besides; its readiness goes before `check`.
    pub(crate) checks: Checks,
    pub(crate) limits: Limits,
    /// How long a process may take to end after SIGTERM before SIGKILL.
    pub(crate) grace: Duration,
    pub(crate) scale: Scale,
}

/// What of the formation a cluster has to know besides the quantity.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Scale {
    /// Grows with each quantity that somebody asks for: a number that was changed in the cluster stays until then.
    pub(crate) asked: i64,
    /// Bounds within which the cluster chooses the number.
    pub(crate) autoscale: Option<Autoscale>,
    /// What is set aside on a node; `None` leaves that to the cluster's own rule.
    pub(crate) reserved: Option<Limits>,
}

/// What a process runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    /// The image's own ENTRYPOINT and CMD.
    Image,
    /// A Procfile line, in place of both.
    Argv(Vec<String>),
}

/// When a process counts as healthy.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Check {
    /// GET of this path answers 2xx or 3xx on the process' port, at the latest `timeout` after the start.
    Http { path: String, timeout: Duration },
    /// The process' port accepts a connection, at the latest `timeout` after the start.
    Tcp { timeout: Duration },
    /// It has stayed up for this long (types without a port).
    Uptime(Duration),
}

/// Resources of one process.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Limits {
    /// Bytes of memory; `None` is unlimited.
    pub(crate) memory: Option<u64>,
    /// Thousandths of a CPU; `None` is unlimited.
    pub(crate) millicpu: Option<u32>,
}

/// Credentials for one registry host.
#[derive(Debug, Clone)]
pub(crate) struct RegistryLogin {
    pub(crate) host: String,
    pub(crate) username: String,
    pub(crate) password: SecretString,
}

/// Which foreign Deployments an app moves.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub(crate) struct Adoption {
    pub(crate) namespace: String,
    pub(crate) deployments: AdoptedSet,
    /// The containers (init containers too) whose image is moved; every chosen Deployment must have at least one.
    pub(crate) containers: Vec<String>,
}

/// How the Deployments are found.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AdoptedSet {
    Names(Vec<String>),
    /// A label selector in kubectl's syntax.
    Selector(String),
}

impl RegistryLogin {
    /// Whether `image` (`host/repository…`) lies in this registry: no other one may see the password.
    pub(crate) fn is_for(&self, image: &str) -> bool {
        image.strip_prefix(&self.host).is_some_and(|rest| rest.starts_with('/'))
    }
}

/// Why a rollout did not end well.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RolloutError {
    /// The new processes are not healthy. What ran before runs again, all types of it. The text is for the user: cause,
    /// the tail of the crash log, the next step.
    #[error("{0}")]
    Failed(String),
    /// The target did not answer; nothing is known to have failed. Tried again later.
    #[error("{0}")]
    Unreachable(String),
    /// A newer release took over; this one has stopped touching the target.
    #[error("interrupted by a newer release")]
    Interrupted,
}

/// One running (or stopped) process, for `ps`.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub(crate) struct ProcessStatus {
    /// `web.1`, or the pod's name.
    pub(crate) name: String,
    pub(crate) process_type: ProcessType,
    /// Heroku's words: `starting`, `up`, `crashed`, `down`.
    pub(crate) state: String,
    pub(crate) version: i64,
    pub(crate) restarts: u32,
    pub(crate) since: jiff::Timestamp,
    pub(crate) command: String,
}
