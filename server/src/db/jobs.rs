//! Leased jobs: claimed with `SKIP LOCKED`, kept by a heartbeat, fenced by the attempt.
//!
//! Invariant: jobs of one lane run one at a time (a partial unique index), and whoever lost the lease changes nothing
//! any more: every write names the attempt that it claimed.

use std::time::Duration;

use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::ids::JobId;

/// A job that somebody has claimed.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) id: JobId,
    pub(crate) payload: Value,
    /// Grows with every claim: the fence of every write.
    pub(crate) attempt: i32,
    /// 1 on the first try; starts that were handed back do not count.
    pub(crate) tries: i32,
}

/// A job to be.
#[derive(Debug)]
pub(crate) struct NewJob<'a> {
    pub(crate) kind: &'a str,
    pub(crate) lane: &'a str,
    pub(crate) payload: Value,
}

/// Adds a job; call it in the transaction that makes the job true.
pub(crate) async fn enqueue(conn: &mut PgConnection, job: NewJob<'_>) -> sqlx::Result<JobId> {
    let id = JobId::new();
    sqlx::query!(
        "INSERT INTO jobs (id, kind, lane, payload) VALUES ($1, $2, $3, $4)",
        id.0,
        job.kind,
        job.lane,
        job.payload,
    )
    .execute(conn)
    .await?;
    Ok(id)
}

/// Claims the oldest job of `kind` that is due and whose turn it is in its lane; `None` if there is none.
///
/// A job that waits to be tried again keeps its place: what was queued in its lane after it waits too.
pub(crate) async fn claim_next(
    conn: &mut PgConnection,
    kind: &str,
    worker: Uuid,
    lease: Duration,
) -> sqlx::Result<Option<Job>> {
    let claimed = sqlx::query!(
        r#"UPDATE jobs SET status = 'running', attempt = attempt + 1, worker = $2,
               lease_until = now() + make_interval(secs => $3)
           WHERE id = (
               SELECT id FROM jobs waiting
               WHERE kind = $1 AND status = 'queued' AND run_after <= now()
                 AND NOT EXISTS (SELECT 1 FROM jobs before WHERE before.lane = waiting.lane
                                 AND (before.status = 'running' OR before.status = 'queued' AND before.id < waiting.id))
               ORDER BY created_at LIMIT 1 FOR UPDATE SKIP LOCKED)
           RETURNING id AS "id: JobId", payload, attempt, attempt - handed_back AS "tries!""#,
        kind,
        worker,
        lease.as_secs_f64(),
    )
    .fetch_optional(conn)
    .await;
    match claimed {
        Ok(row) => Ok(row.map(|r| Job { id: r.id, payload: r.payload, attempt: r.attempt, tries: r.tries })),
        // Another worker took the lane between our look and our write.
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a write of a worker still counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) enum Fenced {
    Done,
    /// The lease was lost to somebody else: stop.
    Lost,
}

impl Fenced {
    pub(crate) fn of(result: &sqlx::postgres::PgQueryResult) -> Self {
        if result.rows_affected() == 0 { Self::Lost } else { Self::Done }
    }
}

/// Renews the lease.
pub(crate) async fn heartbeat(conn: &mut PgConnection, job: &Job, lease: Duration) -> sqlx::Result<Fenced> {
    sqlx::query!(
        "UPDATE jobs SET lease_until = now() + make_interval(secs => $3)
         WHERE id = $1 AND attempt = $2 AND status = 'running'",
        job.id.0,
        job.attempt,
        lease.as_secs_f64(),
    )
    .execute(conn)
    .await
    .map(|result| Fenced::of(&result))
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    Done,
    /// Given up; the text is for the operator.
    Dead(String),
}

pub(crate) async fn finish(conn: &mut PgConnection, job: &Job, end: &End) -> sqlx::Result<Fenced> {
    let (status, error) = match end {
        End::Done => ("done", None),
        End::Dead(error) => ("dead", Some(error.as_str())),
    };
    sqlx::query!(
        "UPDATE jobs SET status = $3, error = $4, finished_at = now(), lease_until = NULL
         WHERE id = $1 AND attempt = $2 AND status = 'running'",
        job.id.0,
        job.attempt,
        status,
        error,
    )
    .execute(conn)
    .await
    .map(|result| Fenced::of(&result))
}

/// Puts a job back, to be claimed again after `delay`.
pub(crate) async fn retry_after(
    conn: &mut PgConnection,
    job: &Job,
    delay: Duration,
    error: &str,
) -> sqlx::Result<Fenced> {
    sqlx::query!(
        "UPDATE jobs SET status = 'queued', worker = NULL, lease_until = NULL, error = $4,
             run_after = now() + make_interval(secs => $3)
         WHERE id = $1 AND attempt = $2 AND status = 'running'",
        job.id.0,
        job.attempt,
        delay.as_secs_f64(),
        error,
    )
    .execute(conn)
    .await
    .map(|result| Fenced::of(&result))
}

/// Puts a job back without counting the try: the job did nothing wrong.
pub(crate) async fn hand_back(conn: &mut PgConnection, job: &Job, delay: Duration) -> sqlx::Result<Fenced> {
    sqlx::query!(
        "UPDATE jobs SET status = 'queued', worker = NULL, lease_until = NULL, handed_back = handed_back + 1,
             run_after = now() + make_interval(secs => $3)
         WHERE id = $1 AND attempt = $2 AND status = 'running'",
        job.id.0,
        job.attempt,
        delay.as_secs_f64(),
    )
    .execute(conn)
    .await
    .map(|result| Fenced::of(&result))
}

/// Which running jobs are rescued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rescue {
    /// Those whose lease has run out.
    Expired,
    /// All that another process holds: this one has just proved to be the only server.
    Foreign(Uuid),
}

/// Queues jobs again whose worker is gone; returns how many.
pub(crate) async fn rescue(conn: &mut PgConnection, which: Rescue) -> sqlx::Result<u64> {
    let survivor = match which {
        Rescue::Expired => None,
        Rescue::Foreign(worker) => Some(worker),
    };
    let result = sqlx::query!(
        "UPDATE jobs SET status = 'queued', worker = NULL, lease_until = NULL, error = 'worker lost'
         WHERE status = 'running' AND (lease_until < now() OR ($1::uuid IS NOT NULL AND worker <> $1))",
        survivor,
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected())
}

/// Takes a job out of the queue that nobody has claimed yet.
pub(crate) async fn withdraw(conn: &mut PgConnection, kind: &str, payload: &Value) -> sqlx::Result<u64> {
    let result = sqlx::query!(
        "UPDATE jobs SET status = 'done', finished_at = now() WHERE kind = $1 AND payload = $2 AND status = 'queued'",
        kind,
        payload,
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected())
}

/// How long the oldest job that is due has been waiting; `None` if none is.
pub(crate) async fn oldest_pending(conn: &mut PgConnection) -> sqlx::Result<Option<Duration>> {
    let seconds = sqlx::query_scalar!(
        "SELECT extract(epoch FROM now() - min(created_at))::float8 FROM jobs WHERE status = 'queued' AND run_after <= now()"
    )
    .fetch_one(conn)
    .await?;
    Ok(seconds.map(|seconds| Duration::from_secs_f64(seconds.max(0.0))))
}

/// Forgets ended jobs older than `age`.
pub(crate) async fn prune(conn: &mut PgConnection, age: Duration) -> sqlx::Result<u64> {
    let result = sqlx::query!(
        "DELETE FROM jobs WHERE status IN ('done', 'dead') AND finished_at < now() - make_interval(secs => $1)",
        age.as_secs_f64(),
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected())
}
