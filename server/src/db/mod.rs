//! The only SQL. Functions take a connection, the caller owns the transaction, and names are the question asked.

pub(crate) mod app_lock;
pub(crate) mod apps;
pub(crate) mod audit;
pub(crate) mod build_log;
pub(crate) mod builds;
pub(crate) mod config;
pub(crate) mod credentials;
pub(crate) mod history;
pub(crate) mod jobs;
pub(crate) mod people;
pub(crate) mod releases;
#[cfg(test)]
pub(crate) mod testing;

use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

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
    sqlx::migrate!("../migrations").run(pool).await
}

/// Returns when the database has answered.
pub(crate) async fn answers(pool: &PgPool) -> sqlx::Result<()> {
    sqlx::query_scalar!(r#"SELECT 1 AS "one!""#).fetch_one(pool).await.map(drop)
}
