//! The handlers of the API, a file a kind of thing.

pub(super) mod account;
pub(super) mod apps;
pub(super) mod authorizations;
pub(super) mod buildpacks;
pub(super) mod builds;
pub(crate) mod collaborators;
pub(crate) mod config_vars;
pub(super) mod connection;
pub(super) mod cron;
pub(super) mod deliveries;
pub(crate) mod formation;
pub(super) mod images;
pub(super) mod log_drains;
pub(super) mod log_sessions;
pub(super) mod logs;
pub(super) mod operations;
mod output;
pub(super) mod pipelines;
pub(super) mod processes;
pub(super) mod releases;
mod render;
pub(super) mod review_apps;
pub(crate) mod runs;
pub(crate) mod shapes;
pub(super) mod teams;
pub(super) mod users;
pub(super) mod webhooks;

use sha2::{Digest, Sha256};
use uuid::Uuid;

/// An id for what has none of its own, the same as long as these words are.
fn derived_id(words: &[&str]) -> Uuid {
    let hash = Sha256::digest(words.join("|"));
    Uuid::from_u128(hash.iter().take(16).fold(0, |sum, byte| sum << 8 | u128::from(*byte)))
}
