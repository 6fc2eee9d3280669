//! What apps used and answered: rows of five minutes each.

use std::time::Duration;

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::PgConnection;

use crate::domain::ids::AppId;
use crate::domain::latency::Latency;
use crate::domain::names::AppName;
use crate::target::usage::Usage;

/// What was measured in one slot, or in several.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sample {
    pub(crate) at: Timestamp,
    /// How much of the slot was measured, and the CPU time of all processes in it, in seconds.
    pub(crate) seconds: f64,
    pub(crate) cpu_seconds: f64,
    /// The most bytes that all processes held at a time.
    pub(crate) memory: i64,
    pub(crate) restarts: i64,
    pub(crate) requests: i64,
    pub(crate) errors: i64,
    pub(crate) latency: Latency,
}

/// Adds what was measured of `passed` to the slot of now. Nothing of an app that is not there any more.
pub(crate) async fn add(
    conn: &mut PgConnection,
    app: &AppName,
    usage: &Usage,
    passed: Duration,
) -> sqlx::Result<()> {
    let traffic = &usage.traffic;
    sqlx::query!(
        "INSERT INTO samples (app_id, at, seconds, cpu_seconds, memory, restarts, requests, errors, latency)
         SELECT id, date_bin('5 minutes', now(), 'epoch'), $2, $3, $4, $5, $6, $7, $8 FROM apps WHERE name = $1
         ON CONFLICT (app_id, at) DO UPDATE SET
             seconds = samples.seconds + excluded.seconds,
             cpu_seconds = samples.cpu_seconds + excluded.cpu_seconds,
             memory = greatest(samples.memory, excluded.memory),
             restarts = samples.restarts + excluded.restarts,
             requests = samples.requests + excluded.requests,
             errors = samples.errors + excluded.errors,
             latency = ARRAY(SELECT coalesce(a, 0) + coalesce(b, 0)
                             FROM unnest(samples.latency, excluded.latency) AS both_of(a, b))",
        app.as_str(),
        passed.as_secs_f32(),
        usage.cpu.as_secs_f32(),
        i64::try_from(usage.memory).unwrap_or(i64::MAX),
        i32::try_from(usage.restarts).unwrap_or(i32::MAX),
        i64::try_from(traffic.requests).unwrap_or(i64::MAX),
        i64::try_from(traffic.errors).unwrap_or(i64::MAX),
        traffic.latency.counts(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The rows of an app since then, the oldest first.
pub(crate) async fn since(conn: &mut PgConnection, app: AppId, from: Timestamp) -> sqlx::Result<Vec<Sample>> {
    let rows = sqlx::query!(
        r#"SELECT at AS "at: jiff_sqlx::Timestamp", seconds, cpu_seconds, memory, restarts, requests, errors, latency
           FROM samples WHERE app_id = $1 AND at >= $2 ORDER BY at"#,
        app.0,
        from.to_sqlx() as jiff_sqlx::Timestamp,
    )
    .fetch_all(conn)
    .await?;
    let sample = rows.into_iter().map(|row| Sample {
        at: row.at.to_jiff(),
        seconds: row.seconds.into(),
        cpu_seconds: row.cpu_seconds.into(),
        memory: row.memory,
        restarts: row.restarts.into(),
        requests: row.requests,
        errors: row.errors,
        latency: row.latency.into(),
    });
    Ok(sample.collect())
}

/// Forgets what is older.
pub(crate) async fn prune(conn: &mut PgConnection, age: Duration) -> sqlx::Result<u64> {
    let gone =
        sqlx::query!("DELETE FROM samples WHERE at < now() - make_interval(secs => $1)", age.as_secs_f64())
            .execute(conn)
            .await?;
    Ok(gone.rows_affected())
}

/// Builds of one day that have ended.
#[derive(Debug, Clone)]
pub(crate) struct Day {
    /// Its first moment, in UTC.
    pub(crate) begin: Timestamp,
    pub(crate) released: i64,
    pub(crate) failed: i64,
    /// Canceled or superseded.
    pub(crate) left: i64,
}

/// The days since then on which something was built, the oldest first. A build whose release failed has failed.
pub(crate) async fn days(conn: &mut PgConnection, app: AppId, from: Timestamp) -> sqlx::Result<Vec<Day>> {
    sqlx::query_as!(
        Day,
        r#"SELECT date_trunc('day', b.created_at, 'UTC') AS "begin!: jiff_sqlx::Timestamp",
                  count(*) FILTER (WHERE b.status = 'succeeded' AND r.status = 'succeeded') AS "released!",
                  count(*) FILTER (WHERE b.status IN ('failed', 'errored') OR r.status = 'failed') AS "failed!",
                  count(*) FILTER (WHERE b.status IN ('canceled', 'superseded')) AS "left!"
           FROM builds b LEFT JOIN releases r ON r.build_id = b.id
           WHERE b.app_id = $1 AND b.created_at >= $2
           GROUP BY 1 ORDER BY 1"#,
        app.0,
        from.to_sqlx() as jiff_sqlx::Timestamp,
    )
    .fetch_all(conn)
    .await
}

/// How long a stage of a build took.
#[derive(Debug, Clone)]
pub(crate) struct StageTime {
    pub(crate) build: i64,
    pub(crate) stage: String,
    pub(crate) seconds: f64,
}

/// Of the newest builds that were released: the oldest of them first, each with its stages in their order.
pub(crate) async fn stage_times(
    conn: &mut PgConnection,
    app: AppId,
    builds: i64,
) -> sqlx::Result<Vec<StageTime>> {
    sqlx::query_as!(
        StageTime,
        r#"SELECT b.number AS build, s.stage, extract(epoch FROM s.finished_at - s.started_at)::float8 AS "seconds!"
           FROM (SELECT id, number FROM builds WHERE app_id = $1 AND status = 'succeeded'
                 ORDER BY number DESC LIMIT $2) b
           JOIN build_stages s ON s.build_id = b.id
           WHERE s.finished_at IS NOT NULL
           ORDER BY b.number, s.started_at"#,
        app.0,
        builds,
    )
    .fetch_all(conn)
    .await
}
