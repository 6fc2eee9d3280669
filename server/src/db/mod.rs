//! The only SQL. Functions take a connection, the caller owns the transaction, and names are the question asked.

pub(crate) mod activity;
pub(crate) mod app_lock;
pub(crate) mod apps;
pub(crate) mod audit;
pub(crate) mod batch_log;
pub(crate) mod batches;
pub(crate) mod browse;
pub(crate) mod build_log;
pub(crate) mod builds;
pub(crate) mod collaborators;
pub(crate) mod config;
pub(crate) mod connections;
pub(crate) mod credentials;
pub(crate) mod cron;
pub(crate) mod deliveries;
pub(crate) mod formation;
pub(crate) mod history;
pub(crate) mod identities;
pub(crate) mod jobs;
pub(crate) mod log_drains;
pub(crate) mod logs;
pub(crate) mod people;
pub(crate) mod pipelines;
pub(crate) mod pull_requests;
pub(crate) mod releases;
pub(crate) mod reports;
pub(crate) mod samples;
pub(crate) mod sessions;
pub(crate) mod storage;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod unattended;
#[cfg(test)]
mod upgrade_tests;
pub(crate) mod webhooks;

use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{PgConnection, PgPool};

/// How long a caller waits for a free connection before it is told that the database is busy or away.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// No single statement of ours may run longer.
const STATEMENT_TIMEOUT: &str = "30s";

/// A pool of at most `connections` that connects when it is first used, so that a server can start before its database.
pub(crate) fn pool(options: PgConnectOptions, connections: u32) -> PgPool {
    let options = options
        .application_name("slipway")
        .options([("statement_timeout", STATEMENT_TIMEOUT), ("idle_in_transaction_session_timeout", "60s")]);
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_lazy_with(options)
}

/// Brings the schema up to date; servers that start at the same time take turns (sqlx holds an advisory lock).
pub(crate) async fn migrate(pool: &PgPool) -> Result<(), sqlx::migrate::MigrateError> {
    let mut migrations = sqlx::migrate!("../migrations");
    // The release before this one works on this schema too: going back must stay possible.
    migrations.set_ignore_missing(true);
    migrations.run(pool).await
}

/// Returns when the database has answered.
pub(crate) async fn answers(pool: &PgPool) -> sqlx::Result<()> {
    sqlx::query_scalar!(r#"SELECT 1 AS "one!""#).fetch_one(pool).await.map(drop)
}

/// What PostgreSQL says while it starts, stops or is full.
const STARTING: [&str; 4] = ["57P01", "57P02", "57P03", "53300"];

/// Whether the database may come by itself: it is not there, it is starting, or what stands before it hung up.
pub(crate) fn is_away(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::Protocol(_)
        | sqlx::Error::Tls(_) => true,
        sqlx::Error::Database(refusal) => {
            refusal.code().is_some_and(|code| STARTING.contains(&code.as_ref()))
        }
        _ => false,
    }
}

/// Whether the database has no tables of anybody's.
pub(crate) async fn is_empty(conn: &mut PgConnection) -> sqlx::Result<bool> {
    let tables = sqlx::query_scalar!(
        r#"SELECT count(*) AS "tables!" FROM information_schema.tables WHERE table_schema = 'public'"#
    );
    Ok(tables.fetch_one(conn).await? == 0)
}

/// The advisory lock of a running server, an arbitrary number.
const SERVER_LOCK: i64 = 0x51_69_70_77_61_79;

/// How long PostgreSQL may take to notice that a killed server is gone.
const PREDECESSOR: Duration = Duration::from_secs(10);

/// Why this server may not work on the database.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OnlyError {
    #[error(
        "another slipway server works on this database, and two would take each other's builds: stop it, or give this \
         one a database of its own (DATABASE_URL)"
    )]
    Another,
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Takes the lock of the one server. It is held as long as the connection is.
pub(crate) async fn be_the_only_server(pool: &PgPool) -> Result<PgConnection, OnlyError> {
    let mut conn = pool.acquire().await?.detach();
    let since = Instant::now();
    loop {
        let taken = sqlx::query_scalar!(r#"SELECT pg_try_advisory_lock($1) AS "taken!""#, SERVER_LOCK)
            .fetch_one(&mut conn)
            .await?;
        if taken {
            return Ok(conn);
        }
        if since.elapsed() > PREDECESSOR {
            return Err(OnlyError::Another);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
