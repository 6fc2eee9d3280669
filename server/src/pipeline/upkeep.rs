//! What happens besides pushes: reality follows the database, and what nobody needs any more goes.
//!
//! Runs on start, and again and again: a fault that was missed is mended by the next round.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{jobs, workload};
use crate::db::apps::{self, App};
use crate::db::{self, builds, releases};
use crate::git::Oid;
use crate::platform::Platform;

/// Between two rounds.
const EVERY: Duration = Duration::from_secs(30);
/// Every how many rounds the slow chores are done.
const CHORES: u32 = 120;
/// Commits of this many builds are kept for `builds:retry`.
const KEPT_PINS: usize = 50;
/// How long ended jobs can still be looked at.
const KEPT_JOBS: Duration = Duration::from_secs(7 * 24 * 3600);

/// Longer than any push may take: what is older was left by a server that was killed.
const OLD_QUARANTINE: Duration = Duration::from_secs(6 * 3600);

/// Runs until the shutdown.
pub(crate) async fn keep_up(platform: Platform, soft: CancellationToken) {
    for round in 0u32.. {
        converge(&platform).await;
        if round % CHORES == 1 {
            chores(&platform).await;
        }
        tokio::select! {
            () = soft.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
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
    if let Err(error) = platform.target.reconcile(&desired).await {
        warn!("The target could not be reconciled: {error:#}");
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
        db::jobs::prune(&mut conn, KEPT_JOBS).await
    };
    if let Err(error) = forget.await {
        warn!("Could not prune ended jobs: {error}");
    }
    for app in all_apps(platform).await.unwrap_or_default() {
        if let Err(error) = tidy_repository(platform, &app).await {
            warn!(app = %app.name, "The repository could not be tidied: {error:#}");
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
