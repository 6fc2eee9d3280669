//! Logs of all kinds alike: whose text it is decides which table it is in.

use sqlx::PgConnection;

use super::{batch_log, batches, build_log, builds};
use crate::domain::ids::{BatchId, BuildId};

/// Whose log is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum LogId {
    Build(BuildId),
    Batch(BatchId),
}

impl From<BuildId> for LogId {
    fn from(build: BuildId) -> Self {
        Self::Build(build)
    }
}

impl From<BatchId> for LogId {
    fn from(batch: BatchId) -> Self {
        Self::Batch(batch)
    }
}

impl std::fmt::Display for LogId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Build(build) => write!(f, "build {build}"),
            Self::Batch(batch) => write!(f, "batch {batch}"),
        }
    }
}

/// Bytes stored so far.
pub(crate) async fn length(conn: &mut PgConnection, log: LogId) -> sqlx::Result<i64> {
    match log {
        LogId::Build(build) => build_log::length(conn, build).await,
        LogId::Batch(batch) => batch_log::length(conn, batch).await,
    }
}

/// Adds `text` at `offset`, which must be the length so far.
pub(crate) async fn append(
    conn: &mut PgConnection,
    log: LogId,
    offset: i64,
    text: &[u8],
) -> sqlx::Result<()> {
    match log {
        LogId::Build(build) => build_log::append(conn, build, offset, text).await,
        LogId::Batch(batch) => batch_log::append(conn, batch, offset, text).await,
    }
}

/// The text from `offset` on, some chunks of it; empty if there is no more.
pub(crate) async fn read_from(conn: &mut PgConnection, log: LogId, offset: i64) -> sqlx::Result<Vec<u8>> {
    match log {
        LogId::Build(build) => build_log::read_from(conn, build, offset).await,
        LogId::Batch(batch) => batch_log::read_from(conn, batch, offset).await,
    }
}

/// Whether nothing more will be written; of what is gone, nothing will.
pub(crate) async fn is_closed(conn: &mut PgConnection, log: LogId) -> sqlx::Result<bool> {
    Ok(match log {
        LogId::Build(build) => builds::by_id(conn, build).await?.is_none_or(|build| build.log_closed),
        LogId::Batch(batch) => batches::by_id(conn, batch).await?.is_none_or(|b| b.finished_at.is_some()),
    })
}
