//! Leased jobs on PostgreSQL; knows nothing of builds.
//!
//! Invariants:
//! - A job is claimed in a short transaction, then worked on outside any: a lease that is renewed says who has it.
//! - The worker registers for the wake-up before it looks into the table, and looks again every second: a lost
//!   wake-up costs a second, never a job.
//! - A worker that lost its lease is told by a token and changes nothing more: its writes carry the attempt as fence.
//! - On shutdown running jobs may end in the grace time; what is left then goes back without spending its attempt.
//!
//! Not fixed on purpose: a lease that expires while the database is away may be given to another server once it is
//! back; the fence keeps the first one from writing.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use futures::future::BoxFuture;
use sqlx::PgPool;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, error, info, info_span, warn};
use uuid::Uuid;

use crate::db::jobs::{self, End, Fenced, Job, Rescue};
use crate::telemetry::metrics::LEASES_LOST_TOTAL;

/// How long a job is ours without a heartbeat.
const LEASE: Duration = Duration::from_secs(30);
/// How often the lease is renewed.
const HEARTBEAT: Duration = Duration::from_secs(8);
/// How often the table is looked at without a wake-up.
const POLL: Duration = Duration::from_secs(1);
/// How long one renewal of a lease may take: a database that accepts and never answers must not stop the heartbeat.
const RENEWAL: Duration = Duration::from_secs(8);
/// Before a job that panicked is tried again, doubled with every try.
const PANIC_PAUSE: Duration = Duration::from_millis(500);

/// What a handler's failure means for its job: the error carries the decision.
#[derive(Debug)]
pub(crate) enum JobError {
    /// Try again after this time.
    Retry { after: Duration, error: anyhow::Error },
    /// Nothing was done: try again after this time, and do not count this try.
    NotBegun { after: Duration, error: anyhow::Error },
    /// Give up.
    Fail(anyhow::Error),
}

/// Works on one job; the token says that the lease is lost.
pub(crate) type Handler =
    Arc<dyn Fn(Job, CancellationToken) -> BoxFuture<'static, Result<(), JobError>> + Send + Sync>;

/// The tokens of a shutdown, soft then hard.
#[derive(Debug, Clone)]
pub(crate) struct Shutdown {
    /// No new jobs.
    pub(crate) soft: CancellationToken,
    /// Let go of running ones.
    pub(crate) hard: CancellationToken,
}

/// The queue as seen by this process.
#[derive(Debug, Clone)]
pub(crate) struct Queue {
    pool: PgPool,
    /// Fresh for every process: a restarted server is another worker.
    worker: Uuid,
    due: Arc<Notify>,
}

impl Queue {
    pub(crate) fn new(pool: PgPool) -> Self {
        Self { pool, worker: Uuid::new_v4(), due: Arc::new(Notify::new()) }
    }

    /// Tells the workers that a job has been committed.
    pub(crate) fn wake(&self) {
        self.due.notify_waiters();
    }

    /// Queues what a dead server held. Call it once at start, when this process has proved to be the only server.
    pub(crate) async fn take_over(&self) -> sqlx::Result<u64> {
        let mut conn = self.pool.acquire().await?;
        jobs::rescue(&mut conn, Rescue::Foreign(self.worker)).await
    }

    /// Works on jobs of `kind`, at most `slots` at a time, until the soft shutdown; returns when the last one has ended.
    pub(crate) async fn work(&self, kind: &'static str, slots: usize, shutdown: Shutdown, handler: Handler) {
        let free = Arc::new(Semaphore::new(slots));
        let running = TaskTracker::new();
        while let Some(permit) = next_permit(&free, &shutdown.soft).await {
            let due = self.due.notified();
            tokio::pin!(due);
            due.as_mut().enable();
            match self.claim(kind).await {
                Ok(Some(job)) => {
                    let queue = self.clone();
                    let handler = Arc::clone(&handler);
                    let hard = shutdown.hard.clone();
                    let span = info_span!("job", kind, job.id = %job.id, job.attempt = job.attempt);
                    running.spawn(queue.attend(job, hard, handler, permit).instrument(span));
                }
                Ok(None) => wait(due, &shutdown.soft).await,
                Err(error) => {
                    warn!("Could not look for jobs: {error:#}");
                    wait(due, &shutdown.soft).await;
                }
            }
        }
        running.close();
        running.wait().await;
    }

    async fn claim(&self, kind: &str) -> anyhow::Result<Option<Job>> {
        let mut conn = self.pool.acquire().await?;
        jobs::rescue(&mut conn, Rescue::Expired).await?;
        Ok(jobs::claim_next(&mut conn, kind, self.worker, LEASE).await?)
    }

    /// Runs the handler under a heartbeat and records how the job ended.
    async fn attend(self, job: Job, hard: CancellationToken, handler: Handler, permit: OwnedSemaphorePermit) {
        let lost = CancellationToken::new();
        // A task of its own from the first word on, so that a panic in a handler ends one try, not the worker.
        let call = {
            let (job, lost) = (job.clone(), lost.clone());
            async move { handler(job, lost).await }
        };
        let mut work = tokio::spawn(call.in_current_span());
        let outcome = tokio::select! {
            outcome = &mut work => Some(outcome.unwrap_or_else(|panic| Err(panicked(&job, panic.into())))),
            () = self.keep_lease(&job) => {
                lost.cancel();
                None
            }
            () = hard.cancelled() => {
                work.abort();
                // Wait for the abort, so that the next attempt does not meet this one.
                drop(work.await);
                info!("Handing the job back: the server stops");
                self.record(&job, Ending::HandBack(Duration::ZERO)).await;
                return;
            }
        };
        match outcome {
            Some(outcome) => self.record(&job, Ending::of(outcome)).await,
            None => {
                metrics::counter!(LEASES_LOST_TOTAL).increment(1);
                warn!("The lease was lost; the job has another worker");
                drop(work.await);
            }
        }
        drop(permit);
        self.wake();
    }

    /// Renews the lease until it is lost.
    async fn keep_lease(&self, job: &Job) {
        loop {
            tokio::time::sleep(HEARTBEAT).await;
            let renewed = async {
                let mut conn = self.pool.acquire().await?;
                jobs::heartbeat(&mut conn, job, LEASE).await
            };
            // The database may be back before the lease has run out.
            match tokio::time::timeout(RENEWAL, renewed).await {
                Ok(Ok(Fenced::Done)) => {}
                Ok(Ok(Fenced::Lost)) => return,
                Ok(Err(error)) => warn!("Could not renew the lease: {error}"),
                Err(_) => warn!("Could not renew the lease: the database does not answer"),
            }
        }
    }

    /// Writes the end of a job, again and again until the database takes it: an end that is lost runs the job twice.
    async fn record(&self, job: &Job, ending: Ending) {
        const TRIES: usize = 20;
        for _ in 0..TRIES {
            match self.record_once(job, &ending).await {
                Ok(Fenced::Done) => return,
                Ok(Fenced::Lost) => return warn!("The job was taken over before its end was recorded"),
                Err(error) => warn!("Could not record the end of the job: {error:#}"),
            }
            tokio::time::sleep(POLL).await;
        }
        error!("The end of the job is not recorded; it runs again when its lease has expired");
    }

    async fn record_once(&self, job: &Job, ending: &Ending) -> anyhow::Result<Fenced> {
        let mut conn = self.pool.acquire().await.context("no connection to PostgreSQL")?;
        Ok(match ending {
            Ending::HandBack(delay) => jobs::hand_back(&mut conn, job, *delay).await?,
            Ending::End(end) => jobs::finish(&mut conn, job, end).await?,
            Ending::Retry(after, error) => jobs::retry_after(&mut conn, job, *after, error).await?,
        })
    }
}

/// A panic is a worker that was lost: the job is tried again, ever later, and its handler counts the tries.
fn panicked(job: &Job, error: anyhow::Error) -> JobError {
    error!("The job panicked: {error:#}");
    let doublings = job.tries.clamp(0, 6).unsigned_abs();
    JobError::Retry { after: PANIC_PAUSE * 2u32.pow(doublings), error }
}

enum Ending {
    HandBack(Duration),
    End(End),
    Retry(Duration, String),
}

impl Ending {
    fn of(outcome: Result<(), JobError>) -> Self {
        match outcome {
            Ok(()) => Self::End(End::Done),
            Err(JobError::Fail(error)) => {
                error!("The job failed for good: {error:#}");
                Self::End(End::Dead(format!("{error:#}")))
            }
            Err(JobError::NotBegun { after, error }) => {
                info!(after_seconds = after.as_secs(), "The job could not begin yet: {error:#}");
                Self::HandBack(after)
            }
            Err(JobError::Retry { after, error }) => {
                info!(after_seconds = after.as_secs(), "The job will be tried again: {error:#}");
                Self::Retry(after, format!("{error:#}"))
            }
        }
    }
}

async fn next_permit(free: &Arc<Semaphore>, soft: &CancellationToken) -> Option<OwnedSemaphorePermit> {
    tokio::select! {
        biased;
        () = soft.cancelled() => None,
        permit = Arc::clone(free).acquire_owned() => permit.ok(),
    }
}

async fn wait(due: impl Future<Output = ()>, soft: &CancellationToken) {
    tokio::select! {
        biased;
        () = soft.cancelled() => {}
        () = due => {}
        () = tokio::time::sleep(POLL) => {}
    }
}

#[cfg(test)]
mod tests;
