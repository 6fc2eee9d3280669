//! Web hooks of our own: others are told of an app's builds and releases.
//!
//! Invariants:
//! - No build and no release waits for a receiver. An event is a row, written in the transaction that makes it true
//!   (triggers of `migrations/0017_webhooks.sql`); all else is done here, later.
//! - A delivery is over when its try has been noted. A crash between the two has it made once more, with the same id of
//!   the event: at least once, never lost.
//! - A web hook's deliveries are made one after another, the oldest first, and one that is tried again lets the others
//!   go before it: receivers go by the event's `sequence`. Those of different web hooks do not wait for each other.

mod body;
pub(crate) mod manage;
mod send;

use std::collections::HashMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::task::{self, JoinSet};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use uuid::Uuid;

use self::send::NotTaken;
use crate::db::webhooks::{self, Due, Tried};
use crate::domain::ids::WebhookId;
use crate::domain::webhook::Level;
use crate::platform::Platform;

/// Between two looks at what is to be told.
const EVERY: Duration = Duration::from_secs(1);
/// Deliveries at a time. A receiver that does not answer takes one place for its ten seconds.
const MOST: usize = 64;
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
    let mut under_way = UnderWay::default();
    let mut tidied: Option<Instant> = None;
    let mut clock = tokio::time::interval(EVERY);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = soft.cancelled() => return,
            _ = clock.tick() => {}
            Some(noted) = under_way.next() => if let Err(error) = noted {
                // Not looked at once, or a delivery that cannot be noted would be made over and over.
                warn!("How a delivery of a web hook went could not be noted: {error}");
                continue;
            },
        }
        if tidied.is_none_or(|at| at.elapsed() > TIDIED_EVERY) {
            tidied = Some(Instant::now());
            if let Err(error) = tidy(&platform).await {
                warn!("Old events of web hooks could not be forgotten: {error}");
            }
        }
        tokio::select! {
            () = soft.cancelled() => return,
            begun = under_way.begin(&platform) => if let Err(error) = begun {
                warn!("Web hooks could not be delivered: {error}");
            },
        }
    }
}

async fn tidy(platform: &Platform) -> sqlx::Result<u64> {
    webhooks::prune(&mut *platform.pool.acquire().await?, KEPT).await
}

/// The deliveries that are being made: of each web hook one, so that a receiver that does not answer keeps only what is
/// for itself waiting.
#[derive(Default)]
struct UnderWay {
    tasks: JoinSet<sqlx::Result<()>>,
    receivers: HashMap<task::Id, WebhookId>,
}

impl UnderWay {
    /// Begins what is due, as far as there is room.
    async fn begin(&mut self, platform: &Platform) -> sqlx::Result<()> {
        let room = MOST.saturating_sub(self.tasks.len());
        if room == 0 {
            return Ok(());
        }
        let busy: Vec<WebhookId> = self.receivers.values().copied().collect();
        let room = i64::try_from(room).unwrap_or(i64::MAX);
        let due = webhooks::due(&mut *platform.pool.acquire().await?, &busy, room).await?;
        for due in due {
            let (platform, webhook) = (platform.clone(), due.webhook);
            let task = self.tasks.spawn(async move { deliver(&platform, &due).await });
            self.receivers.insert(task.id(), webhook);
        }
        Ok(())
    }

    /// Waits until one has ended, and says whether that was noted. Nothing if none is under way.
    async fn next(&mut self) -> Option<sqlx::Result<()>> {
        let (id, noted) = match self.tasks.join_next_with_id().await? {
            Ok(ended) => ended,
            Err(error) => (error.id(), Err(sqlx::Error::WorkerCrashed)),
        };
        self.receivers.remove(&id);
        Some(noted)
    }
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
