//! The one wiring function: from settings to a running server, and back down in the opposite order.

pub(crate) mod admin;
pub(crate) mod backup;
pub(crate) mod doors;
mod keys;
mod parts;

use std::sync::Arc;

use anyhow::Context;
use futures::FutureExt;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::parts::Parts;
use crate::config::ServeArgs;
use crate::db::{log_drains, people};
use crate::domain::names::AppName;
use crate::drains;
use crate::hooks;
use crate::lifecycle::{Ended, Lifecycle};
use crate::local::files;
use crate::pipeline::{cron, formation, jobs, metering, upkeep};
use crate::platform::Platform;
use crate::queue::{Handler, Shutdown};
use crate::reports;
use crate::target::{AdoptedApps, Adoption};
use crate::telemetry::{self, MetricsPage};
use crate::webhooks;

/// Rollouts that run at a time: they wait for processes far more than they work.
const ROLLOUT_SLOTS: usize = 50;

/// Deliveries that are judged at a time: most of that is waiting for somebody else's host.
const DELIVERY_SLOTS: usize = 8;

/// Runs the server until it is told to stop.
pub(crate) async fn serve(args: ServeArgs) -> anyhow::Result<Ended> {
    telemetry::start_logs(args.log.format, &args.log.filter)?;
    files::raise_limit();
    let metrics = MetricsPage::install()?;
    for warning in args.check()? {
        warn!("{warning}");
    }
    let lifecycle = Lifecycle::new();
    let grace = args.life.shutdown_grace;
    let parts = Parts::start(args, &lifecycle).await?;
    let platform = parts.platform.clone();
    keys::rewrap(&platform.pool, &platform.keys).await.context("sealing apps' keys with the new key")?;
    let requeued = platform.queue.take_over().await.context("taking over the queue")?;
    if requeued > 0 {
        info!("Took over {requeued} jobs that the server before this one had in hand");
    }
    if people::users(&mut *platform.pool.acquire().await?).await?.is_empty() {
        info!(
            "Nobody has an account yet: `slipway admin <name>` on this machine makes the first admin and prints a token"
        );
    }
    upkeep::converge(&platform).await;
    work(&platform, &lifecycle);
    doors::open(&parts, &lifecycle, metrics).await?;
    let ended = lifecycle.ended(grace).await?;
    parts.stop().await;
    info!("Ended");
    Ok(ended)
}

/// Starts the workers and the upkeep.
fn work(platform: &Platform, lifecycle: &Lifecycle) {
    let shutdown = Shutdown { soft: lifecycle.soft.clone(), hard: lifecycle.hard.clone() };
    let slots = usize::from(platform.settings.build.concurrency);
    let shared = Arc::new(platform.clone());
    let (rolling, changing, judging) = (Arc::clone(&shared), Arc::clone(&shared), Arc::clone(&shared));
    let build: Handler = Arc::new(move |job, lost| jobs::build(Arc::clone(&shared), job, lost).boxed());
    let roll_out: Handler = Arc::new(move |job, _lost| jobs::rollout(Arc::clone(&rolling), job).boxed());
    let change: Handler = Arc::new(move |job, _lost| formation::change(Arc::clone(&changing), job).boxed());
    let judge: Handler = Arc::new(move |job, _lost| hooks::judge(Arc::clone(&judging), job).boxed());
    let kinds = [
        (jobs::BUILD, slots, build),
        (jobs::ROLLOUT, ROLLOUT_SLOTS, roll_out),
        (jobs::FORMATION, ROLLOUT_SLOTS, change),
        (hooks::DELIVERY, DELIVERY_SLOTS, judge),
    ];
    for (kind, slots, handler) in kinds {
        let (queue, shutdown) = (platform.queue.clone(), shutdown.clone());
        lifecycle.spawn_essential(kind, async move { queue.work(kind, slots, shutdown, handler).await });
    }
    let (runs, soft, hard) = (platform.runs.clone(), lifecycle.soft.clone(), lifecycle.hard.clone());
    lifecycle.spawn("runs", runs.finish(soft, hard));
    lifecycle.spawn("unattended", platform.attendants.clone().finish(lifecycle.soft.clone()));
    lifecycle.spawn_essential("cron", cron::keep_time(platform.clone(), lifecycle.soft.clone()));
    lifecycle.spawn_essential("logs", collect(platform.clone(), lifecycle.soft.clone()));
    lifecycle.spawn_essential("drains", drains::run(platform.clone(), lifecycle.soft.clone()));
    lifecycle.spawn_essential("reports", reports::run(platform.clone(), lifecycle.soft.clone()));
    lifecycle.spawn_essential("webhooks", webhooks::run(platform.clone(), lifecycle.soft.clone()));
    lifecycle.spawn_essential("hooks", hooks::search::run(platform.clone(), lifecycle.soft.clone()));
    let (target, soft) = (Arc::clone(&platform.target), lifecycle.soft.clone());
    lifecycle.spawn_essential("liveness", async move { target.watch_liveness(soft).await });
    lifecycle.spawn_essential("metering", metering::run(platform.clone(), lifecycle.soft.clone()));
    lifecycle.spawn_essential("upkeep", upkeep::keep_up(platform.clone(), lifecycle.soft.clone()));
}

/// Reads what apps write. Who follows is let go when the server ends, to go on with the next one.
async fn collect(platform: Platform, soft: CancellationToken) {
    let asked = platform.clone();
    let adopted: AdoptedApps = Arc::new(move || {
        let platform = asked.clone();
        async move { adopted_apps(&platform).await.unwrap_or_default() }.boxed()
    });
    let collecting = platform.target.collect(platform.journals.clone(), adopted, soft.clone());
    let closing = async {
        soft.cancelled().await;
        platform.journals.close();
    };
    tokio::join!(collecting, closing);
}

async fn adopted_apps(platform: &Platform) -> sqlx::Result<Vec<(AppName, Adoption)>> {
    log_drains::adopted(&mut *platform.pool.acquire().await?).await
}
