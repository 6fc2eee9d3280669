//! Web hooks of our own: others are told of an app's builds and releases.
//!
//! Invariants:
//! - No build and no release waits for a receiver. An event is a row, written in the transaction that makes it true
//!   (triggers of `migrations/0017_webhooks.sql`); all else is done here, later.
//! - A delivery is over when its try has been noted. A crash between the two has it made once more, with the same id of
//!   the event: at least once, never lost.
//! - A web hook's deliveries are made one after another, the oldest first, and one that is tried again lets the others
//!   go before it: receivers go by the event's `sequence`.

mod body;
pub(crate) mod manage;
mod send;

use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use uuid::Uuid;

use self::send::NotTaken;
use crate::db::webhooks::{self, Due, Tried};
use crate::domain::webhook::Level;
use crate::platform::Platform;

/// Between two looks at what is to be told.
const EVERY: Duration = Duration::from_secs(1);
/// Web hooks of one round, and at a time.
const MOST: i64 = 50;
const AT_A_TIME: usize = 8;
/// A receiver that does not take a delivery of level `sync` is tried this often, over about an hour.
const TRIES: i32 = 14;
/// Before the second try, doubled with every further one up to the longest.
const PAUSE: SignedDuration = SignedDuration::from_secs(2);
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_mins(10);
/// How long events are kept, and how often it is looked for older ones.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);
const TIDIED_EVERY: Duration = Duration::from_secs(3600);

/// Delivers until the shutdown.
pub(crate) async fn run(platform: Platform, soft: CancellationToken) {
    let mut tidied: Option<Instant> = None;
    let mut pause = EVERY;
    loop {
        tokio::select! {
            () = soft.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        if tidied.is_none_or(|at| at.elapsed() > TIDIED_EVERY) {
            tidied = Some(Instant::now());
            if let Err(error) = tidy(&platform).await {
                warn!("Old events of web hooks could not be forgotten: {error}");
            }
        }
        tokio::select! {
            () = soft.cancelled() => return,
            done = round(&platform) => match done {
                Ok(Done::Some) => pause = Duration::ZERO,
                Ok(Done::Nothing) => pause = EVERY,
                Err(error) => {
                    warn!("Web hooks could not be delivered, or not be noted: {error}");
                    pause = EVERY;
                }
            },
        }
    }
}

async fn tidy(platform: &Platform) -> sqlx::Result<u64> {
    webhooks::prune(&mut *platform.pool.acquire().await?, KEPT).await
}

enum Done {
    Nothing,
    Some,
}

/// One delivery of each web hook that has any due.
async fn round(platform: &Platform) -> sqlx::Result<Done> {
    let due = webhooks::due(&mut *platform.pool.acquire().await?, MOST).await?;
    if due.is_empty() {
        return Ok(Done::Nothing);
    }
    stream::iter(due)
        .map(Ok)
        // On the heap: a client of HTTP makes a future of many kilobytes.
        .try_for_each_concurrent(AT_A_TIME, |due| async move { Box::pin(deliver(platform, &due)).await })
        .await?;
    Ok(Done::Some)
}

async fn deliver(platform: &Platform, due: &Due) -> sqlx::Result<()> {
    let attempt = Uuid::now_v7();
    let sent = send::send(platform, due, attempt).await;
    let (code, error) = match sent {
        Ok(code) => (Some(code), None),
        Err(not_taken) => (not_taken.code(), Some(not_taken)),
    };
    let next = error.as_ref().and_then(|error| next(due, error));
    debug!(delivery.id = %due.id, code, "A web hook was delivered, or not: {error:?}");
    let tried = Tried { attempt, code, error: error.map(|error| error.to_string()), next };
    webhooks::tried(&mut *platform.pool.acquire().await?, due.id, &tried).await
}

/// When a delivery that was not taken is tried again, if it is.
fn next(due: &Due, error: &NotTaken) -> Option<Timestamp> {
    if due.level == Level::Notify || due.tries + 1 >= TRIES || !error.may_pass() {
        return None;
    }
    let doubled = PAUSE * 2i32.pow(due.tries.clamp(0, 12).unsigned_abs());
    Some(Timestamp::now() + doubled.min(LONGEST_PAUSE))
}
