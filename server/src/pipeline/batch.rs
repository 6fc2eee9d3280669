//! Takes a batch that a release waits for from its row to its end: run where the app runs, its output stored, its end
//! recorded.
//!
//! Invariant: the end is stored before what ran is removed. So whoever takes it up again, after whatever crash, finds
//! either the end or what runs, and never runs it a second time for want of knowing.

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::log::{self, LogSettings};
use super::mask::Mask;
use super::sanitise::Sanitiser;
use crate::db::{batch_log, batches};
use crate::domain::batch::BatchStatus;
use crate::platform::Platform;
use crate::target::RolloutError;
use crate::target::batch::{Batch, Ended, Leftover};
use crate::transcript::Transcript;

/// Chunks of output that may wait for the log.
const BACKLOG: usize = 64;

/// How a batch came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Succeeded,
    /// What went wrong, as the end of a sentence about the batch.
    Failed(String),
    /// The target does not answer; it may run on.
    Unreachable(String),
    /// It was asked to stop.
    Stopped,
}

/// Runs it to its end, or follows on one that runs already, and records how it ended. `audience` reads along.
pub(super) async fn run(
    platform: &Platform,
    batch: &Batch,
    audience: &Transcript,
    stop: &CancellationToken,
) -> anyhow::Result<Outcome> {
    let mut conn = platform.pool.acquire().await?;
    let _over_already_if_lost = batches::begin(&mut conn, batch.id).await?;
    let stored = batch_log::lines(&mut conn, batch.id).await?;
    drop(conn);
    let settings = LogSettings {
        pool: platform.pool.clone(),
        hub: platform.logs.clone(),
        mask: Mask::new(batch.of.config.values()),
        longest: usize::try_from(platform.settings.build.log_bytes).unwrap_or(usize::MAX),
    };
    let (kept, written) = log::open(settings, batch.id);
    let (output, chunks) = mpsc::channel(BACKLOG);
    let tee = Tee { kept, audience: audience.clone(), mask: Mask::new(batch.of.config.values()), stored };
    let running = async {
        let ended = platform.target.run_batch(batch, &output, stop).await;
        drop(output);
        ended
    };
    let (ended, ()) = tokio::join!(running, tee.pass_on(chunks));
    // The last text must be stored before followers are told that there is no more.
    if let Err(error) = written.await {
        warn!("The log's writer died: {error}");
    }
    conclude(platform, batch, ended, "it was stopped").await
}

/// Stores the end, and only then removes what ran. `stopped` is what is recorded of one that was asked to stop.
pub(super) async fn conclude(
    platform: &Platform,
    batch: &Batch,
    ended: Result<Ended, RolloutError>,
    stopped: &str,
) -> anyhow::Result<Outcome> {
    let (outcome, end) = sum_up(batch, ended, stopped);
    if let Some(end) = end {
        let mut conn = platform.pool.acquire().await?;
        let _ended_already_if_lost = batches::end(&mut conn, batch.id, &end).await?;
        drop(conn);
        platform.logs.wake(batch.id);
        tidy(platform, batch).await;
    }
    Ok(outcome)
}

/// The outcome, and what is recorded of it; nothing as long as it may run on.
fn sum_up(
    batch: &Batch,
    ended: Result<Ended, RolloutError>,
    stopped: &str,
) -> (Outcome, Option<batches::End>) {
    let end = |status, exit_status, reason: Option<&str>| {
        Some(batches::End { status, exit_status, reason: reason.map(str::to_owned) })
    };
    match ended {
        Ok(ended) => match ended.trouble(batch) {
            None => (Outcome::Succeeded, end(BatchStatus::Succeeded, ended.exit_status(), None)),
            Some(why) => {
                let end = end(BatchStatus::Failed, ended.exit_status(), Some(&why));
                (Outcome::Failed(why), end)
            }
        },
        Err(RolloutError::Failed(why)) => {
            let why = format!("could not be run: {why}");
            let end = end(BatchStatus::Failed, None, Some(&why));
            (Outcome::Failed(why), end)
        }
        Err(RolloutError::Unreachable(why)) => (Outcome::Unreachable(why), None),
        Err(RolloutError::Interrupted) => (Outcome::Stopped, end(BatchStatus::Canceled, None, Some(stopped))),
    }
}

/// What stays behind is found by the upkeep.
async fn tidy(platform: &Platform, batch: &Batch) {
    let gone = async {
        for leftover in platform.target.batches().await? {
            if leftover.id == batch.id {
                platform.target.remove_batch(&leftover).await?;
            }
        }
        anyhow::Ok(())
    };
    if let Err(error) = gone.await {
        warn!(app = %batch.of.app, batch = %batch.id, "What a batch left could not be removed yet: {error:#}");
    }
}

/// Ends what is left of batches that are over. What is there is listed before it is asked which of them live: one that
/// begins in between is not taken for a leftover.
pub(super) async fn sweep(platform: &Platform) -> anyhow::Result<()> {
    let found: Vec<Leftover> = platform.target.batches().await?;
    let mut conn = platform.pool.acquire().await?;
    batches::end_orphans(&mut conn).await?;
    let alive = batches::alive(&mut conn).await?;
    drop(conn);
    for leftover in found.iter().filter(|leftover| !alive.contains(&leftover.id)) {
        warn!(batch = %leftover.id, "Removing what a batch left behind: {}", leftover.object);
        platform.target.remove_batch(leftover).await?;
    }
    Ok(())
}

/// Hands output on to the batch's own log and to whoever reads along, from the line on that is not stored yet.
struct Tee {
    kept: Transcript,
    audience: Transcript,
    /// The audience's log masks what the app's config was when it began.
    mask: Mask,
    /// Lines that an earlier try has stored.
    stored: usize,
}

impl Tee {
    async fn pass_on(mut self, mut chunks: mpsc::Receiver<Bytes>) {
        let mut sanitiser = Sanitiser::default();
        while let Some(chunk) = chunks.recv().await {
            let lines = sanitiser.feed(&chunk);
            self.tell(&lines).await;
        }
        let last = sanitiser.finish();
        self.tell(&last).await;
    }

    async fn tell(&mut self, lines: &str) {
        let news: String = lines.split_inclusive('\n').skip(self.stored).collect();
        let skipped = lines.lines().count().min(self.stored);
        self.stored -= skipped;
        if news.is_empty() {
            return;
        }
        let news = Bytes::from(self.mask.apply(news));
        self.audience.output(news.clone()).await;
        self.kept.output(news).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn told(chunks: &[&'static [u8]], stored: usize) -> (String, String) {
        let ((kept, mut one), (audience, mut other)) = (Transcript::channel(), Transcript::channel());
        let (output, receiver) = mpsc::channel(BACKLOG);
        for chunk in chunks {
            output.send(Bytes::from_static(chunk)).await.expect("is heard");
        }
        drop(output);
        let secret = secrecy::SecretString::from("hunter2-hunter2");
        Tee { kept, audience, mask: Mask::new([&secret]), stored }.pass_on(receiver).await;
        let mut texts = [String::new(), String::new()];
        for (text, listener) in texts.iter_mut().zip([&mut one, &mut other]) {
            while let Some(chunk) = listener.recv().await {
                text.push_str(&String::from_utf8_lossy(&chunk));
            }
        }
        let [kept, audience] = texts;
        (kept, audience)
    }

    #[tokio::test]
    async fn both_read_whole_masked_lines() {
        let (kept, audience) = told(&[b"one\ntw", b"o hunter2-hun", b"ter2\nthree"], 0).await;
        assert_eq!(kept, "one\ntwo ********\nthree\n");
        assert_eq!(audience, kept);
    }

    #[tokio::test]
    async fn what_an_earlier_try_has_stored_is_not_told_again() {
        assert_eq!(told(&[b"one\n", b"two\nthr", b"ee\nfour\n"], 2).await.0, "three\nfour\n");
        assert_eq!(told(&[b"one\n"], 5).await.0, "");
    }
}
