//! One drain: reads the log on, sends, tries again, and tells what was lost.

use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::address::{Address, Reach};
use super::frame::frames;
use super::token;
use super::wire::{Parcel, Wire};
use crate::db::log_drains::{self, Drain};
use crate::journal::{Batch, Filter, Follower};
use crate::platform::Platform;

/// For one parcel to be taken, the connection included.
const SEND: Duration = Duration::from_secs(15);
/// Between two tries: at first, doubled each time, and at most.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How often it is written down what was delivered.
const RECORD_EVERY: Duration = Duration::from_secs(1);

/// Delivers until `stop`, or until the app is gone.
pub(super) async fn deliver(platform: Platform, drain: Drain, address: Address, stop: CancellationToken) {
    let journal = platform.journals.app(&drain.app);
    let mut follower = journal.follow(drain.position, Filter::default()).await;
    let reach = Reach { allowed: platform.settings.drains.networks.clone() };
    let token = token(drain.id);
    let mut delivery = Delivery {
        platform,
        drain,
        address,
        token,
        reach,
        wire: None,
        sent: follower.position(),
        recorded: (follower.position(), Instant::now()),
    };
    loop {
        let batch = tokio::select! {
            () = stop.cancelled() => break,
            batch = delivery.next(&mut follower) => batch,
        };
        let Some(batch) = batch else { break };
        if batch.missed > 0 {
            delivery.tell_loss(batch.missed).await;
        }
        // Not cut in the middle: a parcel whose answer is not waited for comes twice.
        if delivery.until_sent(&batch, &stop).await == Outcome::Stopped {
            break;
        }
        delivery.sent = batch.position;
        delivery.record(RECORD_EVERY).await;
    }
    delivery.record(Duration::ZERO).await;
}

/// What became of lines that were to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Sent,
    Stopped,
}

struct Delivery {
    platform: Platform,
    drain: Drain,
    address: Address,
    token: String,
    reach: Reach,
    wire: Option<Wire>,
    /// Up to here the other end has taken all.
    sent: i64,
    /// The position that is written down, and since when.
    recorded: (i64, Instant),
}

impl Delivery {
    /// What comes next. While nothing does, it is written down what was delivered.
    async fn next(&mut self, follower: &mut Follower) -> Option<Batch> {
        if self.sent > self.recorded.0 {
            if let Ok(batch) = tokio::time::timeout(RECORD_EVERY, follower.next()).await {
                return batch;
            }
            self.record(Duration::ZERO).await;
        }
        follower.next().await
    }

    /// Tries until the other end has taken the lines. What comes meanwhile waits in the app's log, which is bounded.
    async fn until_sent(&mut self, batch: &Batch, stop: &CancellationToken) -> Outcome {
        if batch.lines.is_empty() {
            return Outcome::Sent;
        }
        let frames = Bytes::from(frames(&batch.lines, &self.token));
        let (mut pause, mut tries) = (PAUSE, 0);
        loop {
            let sent = tokio::time::timeout(SEND, self.send(&frames, batch.lines.len())).await;
            let error = match sent {
                Ok(Ok(())) => return Outcome::Sent,
                Ok(Err(error)) => error,
                Err(_) => anyhow::anyhow!("it was not taken within {} s", SEND.as_secs()),
            };
            // A connection that was closed while it was idle is no news: the next try opens another.
            let idle = self.wire.take().is_some() && tries == 0;
            tries += 1;
            debug!(app = %self.drain.app, drain = self.token, "A log drain took nothing: {error:#}");
            if idle {
                continue;
            }
            if pause == PAUSE {
                self.say(&format!(
                    "Error L14 (Drain unreachable) -> {}: {error:#}; it is tried again",
                    self.token
                ))
                .await;
            }
            tokio::select! {
                () = stop.cancelled() => return Outcome::Stopped,
                () = tokio::time::sleep(pause.mul_f64(rand::random_range(0.75..1.25))) => {}
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn send(&mut self, frames: &Bytes, count: usize) -> anyhow::Result<()> {
        let wire = match &mut self.wire {
            Some(wire) => wire,
            None => {
                let extra_ca = self.platform.extra_ca().await?;
                let opened = Wire::open(&self.address, &self.reach, extra_ca.as_ref()).await?;
                self.wire.insert(opened)
            }
        };
        let parcel = Parcel { frames: frames.clone(), count, token: &self.token };
        wire.send(&self.address, &parcel).await
    }

    /// As Heroku tells it: in the log, and so to the drain itself.
    async fn tell_loss(&self, missed: i64) {
        self.say(&format!("Error L10 (Output buffer overflow) -> {} missed {missed} lines", self.token))
            .await;
    }

    async fn say(&self, text: &str) {
        self.platform.journals.note(&self.drain.app, Timestamp::now(), ("logs", "logs"), &[text]).await;
    }

    async fn record(&mut self, every: Duration) {
        let (position, (recorded, at)) = (self.sent, self.recorded);
        if position == recorded || at.elapsed() < every {
            return;
        }
        let written = async {
            let mut conn = self.platform.pool.acquire().await?;
            log_drains::delivered(&mut conn, self.drain.id, position).await
        };
        match written.await {
            Ok(()) => self.recorded = (position, Instant::now()),
            // Written later; after a crash in between some lines come twice.
            Err(error) => warn!(app = %self.drain.app, "Could not write down what a drain has got: {error}"),
        }
    }
}
