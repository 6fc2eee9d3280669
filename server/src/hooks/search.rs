//! The search for what no hook has told: every few minutes the branch of each connected app is looked at.

use std::time::Duration;

use futures::StreamExt;
use futures::stream;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::reach::{Followed, ReachError};
use super::receive::{Receipt, store};
use crate::db::apps::{self, App};
use crate::db::connections::{self, Connection};
use crate::db::deliveries::{self, NewDelivery};
use crate::db::{builds, jobs, pull_requests};
use crate::domain::hook::Told;
use crate::domain::ids::DeliveryId;
use crate::git::{Oid, fetch};
use crate::platform::Platform;

/// Branches that are looked at at a time.
const AT_A_TIME: usize = 4;
/// How long a judged delivery is kept in the ledger.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// Searches until the shutdown.
pub(crate) async fn run(platform: Platform, soft: CancellationToken) {
    let every = platform.settings.hooks.search_every;
    loop {
        tokio::select! {
            () = soft.cancelled() => return,
            () = tokio::time::sleep(every) => {}
        }
        tokio::select! {
            () = soft.cancelled() => return,
            () = round(&platform) => {}
        }
    }
}

async fn round(platform: &Platform) {
    if let Err(error) = tidy(platform).await {
        warn!("The ledger of web hooks could not be tidied: {error}");
    }
    if let Err(error) = Box::pin(platform.remove_aged_review_apps()).await {
        warn!("Could not look for review apps that nobody pushes to: {error}");
    }
    let found = async { connections::to_search(&mut *platform.pool.acquire().await?).await };
    let connections: Vec<Connection> = match found.await {
        Ok(connections) => connections,
        Err(error) => return warn!("Could not list the connected apps: {error}"),
    };
    stream::iter(connections)
        .for_each_concurrent(AT_A_TIME, |connection| async move {
            // On the heap: git's children make a future of many kilobytes.
            if let Err(error) = Box::pin(look(platform, &connection)).await {
                warn!(app.id = %connection.app_id, "A connected branch could not be looked at: {error}");
            }
        })
        .await;
}

/// Takes up what no job would take further, and forgets what is old.
async fn tidy(platform: &Platform) -> sqlx::Result<()> {
    let mut conn = platform.pool.acquire().await?;
    for (app, delivery) in deliveries::orphaned(&mut conn).await? {
        jobs::enqueue(&mut conn, super::job(app, delivery).as_new()).await?;
        info!(delivery.id = %delivery, "Taking up a delivery again");
    }
    deliveries::prune(&mut conn, KEPT).await?;
    pull_requests::prune(&mut conn, KEPT).await?;
    platform.queue.wake();
    Ok(())
}

/// A head that nobody has judged is put into the inbox, as if its hook had come.
async fn look(platform: &Platform, connection: &Connection) -> Result<(), ReachError> {
    let mut conn = platform.pool.acquire().await?;
    let Some(app) = apps::by_id(&mut conn, connection.app_id).await? else { return Ok(()) };
    let latest = builds::latest_of(&mut conn, app.id).await?;
    drop(conn);
    let found = ask(platform, &app, connection).await;
    let trouble = found.as_ref().err().map(ReachError::said);
    let host_key = found.as_ref().ok().and_then(|found| found.host_key.clone());
    let mut conn = platform.pool.acquire().await?;
    connections::looked(&mut conn, app.id, trouble.as_deref(), host_key.as_deref()).await?;
    drop(conn);
    // What was in the way is the people's to read, in `hooks:info`.
    let Ok(Some(head)) = found.map(|found| found.head) else { return Ok(()) };
    let head: Oid = head;
    let head = head.to_string();
    if connection.head.as_deref() == Some(&head) || latest.is_some_and(|build| build.commit == head) {
        return Ok(());
    }
    info!(app = %app.name, "No hook told of {head}");
    let delivery = DeliveryId::new().to_string();
    let told = Told::look();
    let new =
        NewDelivery { app_id: app.id, source: "search", delivery: &delivery, event: "push", told: &told };
    store(platform, &new).await?;
    Ok(())
}

async fn ask(platform: &Platform, app: &App, connection: &Connection) -> Result<fetch::Found, ReachError> {
    let repository = platform.repository(app.id).await.map_err(ReachError::Repository)?;
    let name = format!("refs/heads/{}", connection.branch);
    Followed { platform, app, connection, repository: &repository }.look(&name).await
}

/// Has the branch looked at because a person asks for it.
pub(crate) async fn on_demand(platform: &Platform, app: &App, actor: &str) -> sqlx::Result<DeliveryId> {
    let lane = super::job(app.id, DeliveryId::new()).lane;
    let mut tx = platform.pool.begin().await?;
    deliveries::hurry(&mut tx, app.id, &lane).await?;
    tx.commit().await?;
    let delivery = DeliveryId::new().to_string();
    let told = Told { actor: Some(actor.to_owned()), ..Told::look() };
    let new =
        NewDelivery { app_id: app.id, source: "person", delivery: &delivery, event: "check", told: &told };
    match store(platform, &new).await? {
        Receipt::Pong(id) | Receipt::Taken(id) | Receipt::Known(id) => Ok(id),
    }
}
