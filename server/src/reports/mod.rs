//! Reports back to the hosts of connected repositories: how each build of theirs stands here.
//!
//! Invariant: no build and no release waits for a report. What a host is to be told is read off the builds, and what it
//! has taken is stored beside; where the two differ, the host is told. So a report that got lost is made again, one that
//! was overtaken is left out, and a crash costs at most the same report twice.

pub(crate) mod checks;
pub(crate) mod host;

use std::time::Duration;

use futures::StreamExt;
use futures::stream;
use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use self::host::{Host, ReportError};
use crate::db::reports::{self, Due};
use crate::db::{apps, connections, releases};
use crate::domain::ids::AppId;
use crate::platform::Platform;

/// Between two looks at what is to be told.
const EVERY: Duration = Duration::from_secs(2);
/// Reports that are sent in one round, and at a time.
const MOST: i64 = 50;
const AT_A_TIME: usize = 4;
/// A host that does not take a report is tried this often, over about an hour.
const TRIES: i32 = 12;
/// Before the second try, doubled with every further one up to the longest.
const PAUSE: SignedDuration = SignedDuration::from_secs(2);
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_mins(10);

/// Reports until the shutdown.
pub(crate) async fn run(platform: Platform, soft: CancellationToken) {
    loop {
        tokio::select! {
            () = soft.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        tokio::select! {
            () = soft.cancelled() => return,
            () = round(&platform) => {}
        }
    }
}

async fn round(platform: &Platform) {
    let found = async { reports::due(&mut *platform.pool.acquire().await?, MOST, TRIES).await };
    let due: Vec<Due> = match found.await {
        Ok(due) => due,
        Err(error) => return warn!("Could not look for reports that are due: {error}"),
    };
    stream::iter(due)
        .for_each_concurrent(AT_A_TIME, |due| async move {
            // On the heap: a client of HTTP makes a future of many kilobytes.
            if let Err(error) = Box::pin(report(platform, &due)).await {
                warn!(build.number = due.number, "What became of a report could not be stored: {error}");
            }
        })
        .await;
}

async fn report(platform: &Platform, due: &Due) -> sqlx::Result<()> {
    match send(platform, due).await {
        Ok(()) => {
            debug!(build.number = due.number, "The host knows: {}", due.state);
            reports::taken(&mut *platform.pool.acquire().await?, due.build, &due.state, None).await
        }
        Err(error) => {
            let doubled = PAUSE * 2i32.pow(due.tries.clamp(0, 12).unsigned_abs());
            let next = Timestamp::now() + doubled.min(LONGEST_PAUSE);
            let said = error.to_string();
            debug!(build.number = due.number, "The host was not told: {said}");
            reports::failed(&mut *platform.pool.acquire().await?, due.build, &said, next).await
        }
    }
}

async fn send(platform: &Platform, due: &Due) -> Result<(), ReportError> {
    let mut conn = platform.pool.acquire().await?;
    // Gone meanwhile: there is nobody to tell.
    let Some(app) = apps::by_id(&mut conn, due.app_id).await? else { return Ok(()) };
    let release = releases::of_build(&mut conn, due.build).await?;
    drop(conn);
    let Some(host) = host_of(platform, due.connected).await? else { return Ok(()) };
    let code = release.and_then(|release| release.code);
    let url = code.and_then(|code| platform.url_of(&app, &code));
    let text = host::text(due);
    let base = platform.settings.http.base_url();
    let log_url = format!("{base}/ui/apps/{}/builds/{}", app.name, due.number);
    let report =
        host::Report { app: &app.name, due, text: &text, environment_url: url.as_deref(), log_url: &log_url };
    let named = host.tell(&report).await?;
    if let Some(remote) = named {
        reports::named(&mut *platform.pool.acquire().await?, due.build, &remote).await?;
        let due = Due { remote: Some(remote), ..due.clone() };
        host.tell(&host::Report { due: &due, ..report }).await?;
    }
    Ok(())
}

/// The host that a connected app's repository is at; `None` if it is connected no more.
async fn host_of(platform: &Platform, connected: AppId) -> Result<Option<Host>, ReportError> {
    let mut conn = platform.pool.acquire().await?;
    let Some(app) = apps::by_id(&mut conn, connected).await? else { return Ok(None) };
    let Some(connection) = connections::of_app(&mut conn, connected).await? else { return Ok(None) };
    drop(conn);
    Host::of(platform, &app, &connection).await.map(Some)
}

/// What the host calls the deployment that runs in a review app, to be asked for before the app is gone.
pub(crate) async fn deployed(platform: &Platform, app: AppId) -> sqlx::Result<Option<String>> {
    reports::deployed(&mut *platform.pool.acquire().await?, app).await
}

/// Tells the host that the environments of review apps are gone. Tried once: a host that does not take it shows an
/// environment too many, and nothing else depends on it.
pub(crate) async fn retire(platform: &Platform, parent: AppId, deployed: &[String]) {
    if deployed.is_empty() {
        return;
    }
    let told = async {
        let Some(host) = host_of(platform, parent).await? else { return Ok(()) };
        for remote in deployed {
            host.retire(remote).await?;
        }
        Ok(())
    };
    let told: Result<(), ReportError> = Box::pin(told).await;
    if let Err(error) = told {
        warn!("The host was not told that a review app is gone: {error}");
    }
}
