//! Measures what apps use, and adds it up in small rows for the charts of their pages.

use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::db::samples;
use crate::platform::Platform;
use crate::target::usage::Usages;

/// Between two looks: a slot of five minutes is made of fifteen.
const EVERY: Duration = Duration::from_secs(20);

/// Looks until the shutdown. What was used while nobody looked is not known, and no chart shows it.
pub(crate) async fn run(platform: Platform, soft: CancellationToken) {
    let mut looks = tokio::time::interval(EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = None;
    loop {
        tokio::select! {
            () = soft.cancelled() => return,
            _ = looks.tick() => {}
        }
        let now = tokio::time::Instant::now();
        let usages = tokio::select! {
            () = soft.cancelled() => return,
            usages = platform.target.usage() => usages,
        };
        match usages {
            Ok(usages) => {
                let passed = last.map_or(Duration::ZERO, |last| now - last);
                last = Some(now);
                if let Err(error) = store(&platform, usages, passed).await {
                    debug!("What apps use could not be stored: {error}");
                }
            }
            // The next look begins anew.
            Err(error) => {
                debug!("What apps use could not be measured: {error:#}");
                last = None;
            }
        }
    }
}

async fn store(platform: &Platform, usages: Usages, passed: Duration) -> sqlx::Result<()> {
    let mut tx = platform.pool.begin().await?;
    for (app, usage) in usages {
        samples::add(&mut tx, &app, &usage, passed).await?;
    }
    tx.commit().await
}
