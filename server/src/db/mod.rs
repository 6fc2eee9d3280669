//! The only SQL. Functions take a connection, the caller owns the transaction, and names are the question asked.

pub(crate) mod app_lock;
pub(crate) mod build_log;
pub(crate) mod builds;
pub(crate) mod jobs;
pub(crate) mod releases;
