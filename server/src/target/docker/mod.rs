//! Runs releases as containers of this machine's engine.
//!
//! Invariant: the engine's labels are the memory. A container says whose it is (platform, app, process type, number),
//! what it runs (`dev.slipway.spec`) and which release made it; one that passed its health gate has a restart policy,
//! one that is still on trial has none. So whatever dies at whatever moment, `reconcile` finds out what is there.
//! Per app, one change at a time: rollouts, reconciliation and removal take the app's lock.

mod attach;
mod batch;
mod blame;
mod collect;
mod create;
mod gate;
mod happening;
mod listening;
mod liveness;
mod member;
mod plan;
mod probe;
mod read;
mod reconcile;
mod requests;
mod retire;
mod rollout;
mod spec;
mod tell;
#[cfg(test)]
mod tests;
mod usage;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::RangeInclusive;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bollard::Docker;
use tokio_util::task::TaskTracker;

use crate::domain::names::AppName;
use crate::local::router::{Control, ControlError};
use crate::target::ProcessStatus;
use crate::target::usage::Traffic;
use member::Member;

/// Where containers are published: below the ports that the kernel gives to outgoing connections, so that a container
/// which starts again finds its port free.
pub(crate) const PORTS: RangeInclusive<u16> = 20_000..=29_999;

/// Why the target could not do or tell something.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TargetError {
    #[error("the Docker engine could not {doing}")]
    Engine { doing: &'static str, source: bollard::errors::Error },
    #[error("the apps' router did not take the order")]
    Router(#[from] ControlError),
}

/// What tells this platform's containers from others on the same engine.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// A short name of letters and digits, unique among the platforms that share the engine.
    pub(crate) platform: String,
    pub(crate) ports: RangeInclusive<u16>,
    /// How old a container must be to be ended because no workload accounts for it: a younger one may belong to a
    /// rollout that is about to be resumed.
    pub(crate) strangers_after: Duration,
    /// For requests in flight on an old web process, before it is told to end.
    pub(crate) drain: Duration,
}

impl Settings {
    /// The usual ports, and five minutes for strangers.
    pub(crate) fn new(platform: &str, drain: Duration) -> Self {
        let strangers_after = Duration::from_secs(5 * 60);
        Self { platform: platform.to_owned(), ports: PORTS, strangers_after, drain }
    }
}

/// The engine and the router of this machine. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct DockerTarget {
    docker: Docker,
    router: Control,
    settings: Settings,
    /// Old processes that still drain; whoever shuts down waits for them as long as it likes, `reconcile` ends the rest.
    tasks: TaskTracker,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    apps: Mutex<HashMap<AppName, AppLock>>,
    /// Containers that are on their way out: never kept, never shown.
    retiring: Mutex<HashSet<String>>,
    /// Set when the engine turned out to have no init of its own.
    without_init: AtomicBool,
    /// Who reads what the containers write; `None` before the first.
    listener: Mutex<Option<Arc<collect::Listener>>>,
    meters: Mutex<usage::Meters>,
    /// What the router has answered since it was last asked for.
    traffic: Mutex<BTreeMap<AppName, Traffic>>,
}

/// Guards one app; holds the highest version that was put in force since this process started.
type AppLock = Arc<tokio::sync::Mutex<i64>>;

impl DockerTarget {
    /// `docker` has a negotiated API version and a timeout longer than the longest grace of a process.
    pub(crate) fn new(docker: Docker, router: Control, settings: Settings, tasks: TaskTracker) -> Self {
        Self { docker, router, settings, tasks, shared: Arc::default() }
    }

    /// Whether the engine and the router answer.
    pub(crate) async fn health(&self) -> Result<(), TargetError> {
        self.docker.ping().await.map_err(engine("answer"))?;
        self.router.version().await?;
        Ok(())
    }

    /// The app's processes, in order of type and number.
    pub(crate) async fn processes(&self, app: &AppName) -> Result<Vec<ProcessStatus>, TargetError> {
        let mut members = self.members(Some(app)).await?;
        members.sort_by(|a, b| (&a.slot, a.version).cmp(&(&b.slot, b.version)));
        Ok(members.into_iter().map(Member::into_status).collect())
    }

    /// Ends all processes of an app and forgets its route.
    pub(crate) async fn remove(&self, app: &AppName) -> Result<(), TargetError> {
        let lock = self.lock_of(app);
        let mut highest = lock.lock().await;
        self.router.remove_route(app).await?;
        let members = self.members(Some(app)).await?;
        self.retire_now(members).await;
        self.remove_batches_of(app).await?;
        *highest = 0;
        Ok(())
    }

    fn lock_of(&self, app: &AppName) -> AppLock {
        Arc::clone(locked(&self.shared.apps).entry(app.clone()).or_default())
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn engine(doing: &'static str) -> impl Fn(bollard::errors::Error) -> TargetError {
    move |source| TargetError::Engine { doing, source }
}
