//! What happens besides pushes: reality follows the database, and what nobody needs any more goes.
//!
//! Runs on start, and again and again: a fault that was missed is mended by the next round.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{batch, jobs, unattended, workload};
use crate::db::apps::{self, App};
use crate::db::{self, builds, releases};
use crate::git::Oid;
use crate::local::disk;
use crate::platform::Platform;
use crate::telemetry::metrics::{DISK_FREE_BYTES, OLDEST_PENDING_SECONDS, PART_UP, RECLAIMED_BYTES_TOTAL};

/// Between two rounds.
const EVERY: Duration = Duration::from_secs(30);
/// Every how many rounds the slow chores are done.
const CHORES: u32 = 120;
/// Commits of this many builds are kept for `builds:retry`.
const KEPT_PINS: usize = 50;
/// How long ended jobs can still be looked at.
const KEPT_JOBS: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long the history of cron tells of a run.
const KEPT_RUNS: Duration = Duration::from_secs(30 * 24 * 3600);

/// How far back the charts of an app go.
const KEPT_SAMPLES: Duration = Duration::from_secs(14 * 24 * 3600);

/// Longer than any push may take: what is older was left by a server that was killed.
const OLD_QUARANTINE: Duration = Duration::from_secs(6 * 3600);

/// What the builder's cache may keep, in bytes.
const KEPT_BUILD_CACHE: u64 = 20 * 1024 * 1024 * 1024;
/// How old an image in the engine must be to go, in hours: the registry has it, and a rollback pulls it again.
const KEPT_IMAGES_HOURS: u32 = 7 * 24;

/// Runs until the shutdown.
pub(crate) async fn keep_up(platform: Platform, soft: CancellationToken) {
    let mut parts = Parts::default();
    for round in 0u32.. {
        converge(&platform).await;
        parts.look(&platform).await;
        measure(&platform).await;
        let rest = async {
            if round % CHORES == 1 {
                chores(&platform).await;
            }
            tokio::time::sleep(EVERY).await;
        };
        // Chores may take minutes; a shutdown does not wait for them.
        tokio::select! {
            () = soft.cancelled() => return,
            () = rest => {}
        }
    }
}

/// Makes what runs, and what git says, what the database says.
pub(crate) async fn converge(platform: &Platform) {
    if let Err(error) = take_up_orphans(platform).await {
        warn!("Could not look for work that was left behind: {error:#}");
    }
    let apps = match all_apps(platform).await {
        Ok(apps) => apps,
        Err(error) => return warn!("Could not list the apps: {error}"),
    };
    let mut desired = Vec::new();
    for app in &apps {
        if let Err(error) = platform.converge_branch(app.id).await {
            warn!(app = %app.name, "The deploy branch could not be brought to where it belongs: {error:#}");
        }
        match current_workload(platform, app).await {
            Ok(workload) => desired.extend(workload),
            // Leaving one out would have its processes taken for strangers.
            Err(error) => return warn!(app = %app.name, "The current release cannot be read: {error:#}"),
        }
    }
    if let Some(router) = &platform.router
        && let Err(error) = router.ensure().await
    {
        warn!("The apps' router does not run: {error}");
    }
    if let Err(error) = platform.target.end_runs(&|name| platform.runs.has(name)).await {
        warn!("One-off processes that nobody attends to could not be ended: {error:#}");
    }
    if let Err(error) = unattended::take_up(platform).await {
        warn!("What runs without anybody could not be looked up: {error}");
    }
    if let Err(error) = batch::sweep(platform).await {
        warn!("What batches have left could not be looked for: {error:#}");
    }
    if let Err(error) = platform.target.reconcile(&desired).await {
        warn!("The target could not be reconciled: {error:#}");
    }
}

/// Which parts answered when they were last asked; a change is logged once.
#[derive(Default)]
struct Parts {
    away: BTreeMap<&'static str, String>,
}

impl Parts {
    async fn look(&mut self, platform: &Platform) {
        let (engine, registry, target) =
            tokio::join!(platform.engine.ping(), platform.registry.ping(), platform.target.health());
        self.note("engine", engine.err().map(|error| error.to_string()));
        self.note("registry", registry.err().map(|error| error.to_string()));
        self.note("target", target.err().map(|error| format!("{error:#}")));
    }

    fn note(&mut self, part: &'static str, trouble: Option<String>) {
        metrics::gauge!(PART_UP, "part" => part).set(if trouble.is_none() { 1.0 } else { 0.0 });
        match trouble {
            Some(trouble) if self.away.get(part) != Some(&trouble) => {
                warn!(part, "Not all is well: {trouble}");
                self.away.insert(part, trouble);
            }
            Some(_) => {}
            None if self.away.remove(part).is_some() => info!(part, "It answers again"),
            None => {}
        }
    }
}

/// Gauges of what waits and of the disk.
async fn measure(platform: &Platform) {
    let waiting = async {
        let mut conn = platform.pool.acquire().await?;
        db::jobs::oldest_pending(&mut conn).await
    };
    if let Ok(age) = waiting.await {
        metrics::gauge!(OLDEST_PENDING_SECONDS).set(age.unwrap_or_default().as_secs_f64());
    }
    if let Ok(space) = disk::space(platform.data_dir()) {
        let path = platform.data_dir().display().to_string();
        #[expect(
            clippy::cast_precision_loss,
            reason = "a gauge is a float; bytes of a disk lose nothing that matters"
        )]
        metrics::gauge!(DISK_FREE_BYTES, "path" => path).set(space.free as f64);
    }
}

async fn all_apps(platform: &Platform) -> sqlx::Result<Vec<App>> {
    let mut conn = platform.pool.acquire().await?;
    apps::all(&mut conn).await
}

async fn current_workload(platform: &Platform, app: &App) -> anyhow::Result<Option<crate::target::Workload>> {
    let mut conn = platform.pool.acquire().await?;
    let current = releases::current_of(&mut conn, app.id).await?;
    drop(conn);
    match current {
        Some(release) => workload::of(platform, app, &release).await,
        None => Ok(None),
    }
}

/// Accepted work that no job will take further: a crash between two writes, or a job that died.
async fn take_up_orphans(platform: &Platform) -> anyhow::Result<()> {
    let mut conn = platform.pool.acquire().await?;
    for build in builds::orphaned(&mut conn).await? {
        builds::end_orphan(&mut conn, build, "the platform lost this build: push again, or `builds:retry`")
            .await?;
        platform.logs.wake(build);
        warn!(build.id = %build, "Ended a build that no job would take further");
    }
    for id in releases::orphaned(&mut conn).await? {
        let Some(release) = releases::by_id(&mut conn, id).await? else { continue };
        let Some(app) = apps::by_id(&mut conn, release.app_id).await? else { continue };
        db::jobs::enqueue(&mut conn, jobs::rollout_job(&app, id).as_new()).await?;
        info!(app = %app.name, "Taking up the rollout of v{} again", release.version);
    }
    platform.queue.wake();
    Ok(())
}

/// Forgets what is old.
async fn chores(platform: &Platform) {
    let forget = async {
        let mut conn = platform.pool.acquire().await?;
        db::jobs::prune(&mut conn, KEPT_JOBS).await?;
        db::samples::prune(&mut conn, KEPT_SAMPLES).await?;
        db::unattended::prune(&mut conn, KEPT_RUNS).await
    };
    if let Err(error) = forget.await {
        warn!("Could not prune ended jobs, runs and samples: {error}");
    }
    prune_engine(platform).await;
    forget_logs(platform).await;
    for app in all_apps(platform).await.unwrap_or_default() {
        if let Err(error) = tidy_repository(platform, &app).await {
            warn!(app = %app.name, "The repository could not be tidied: {error:#}");
        }
    }
}

/// Logs of apps that are no more: a last line may have come after the app had gone.
async fn forget_logs(platform: &Platform) {
    // Listed first: a log that begins meanwhile is of an app that is there.
    let found = platform.journals.on_disk().await;
    let Ok(apps) = all_apps(platform).await else { return };
    for name in found.iter().filter(|name| !apps.iter().any(|app| app.name == **name)) {
        platform.journals.forget(name).await;
    }
}

/// Images with our label that no container uses, and the builder's cache, which knows no owners.
async fn prune_engine(platform: &Platform) {
    let images = platform.engine.prune_images(KEPT_IMAGES_HOURS).await;
    let cache = platform.engine.prune_build_cache(KEPT_BUILD_CACHE).await;
    for freed in [images, cache] {
        match freed {
            Ok(bytes) => metrics::counter!(RECLAIMED_BYTES_TOTAL).increment(bytes),
            Err(error) => warn!("The engine could not be tidied: {error}"),
        }
    }
}

async fn tidy_repository(platform: &Platform, app: &App) -> anyhow::Result<()> {
    let repository = platform.repository(app.id).await?;
    let mut pins: Vec<(i64, String, Oid)> = repository
        .pins()
        .await?
        .into_iter()
        .filter_map(|(name, oid)| Some((name.rsplit('/').next()?.parse().ok()?, name, oid)))
        .collect();
    pins.sort_unstable_by_key(|(number, ..)| std::cmp::Reverse(*number));
    for (_, name, oid) in pins.iter().skip(KEPT_PINS) {
        repository.delete_ref(name, *oid).await?;
    }
    repository.sweep(OLD_QUARANTINE).await?;
    repository.repack().await?;
    Ok(())
}
