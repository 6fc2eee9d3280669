//! Logs, log sessions and log drains.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Named;

/// A session that reads a log by its address.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct LogSession {
    pub(crate) id: Uuid,
    pub(crate) logplex_url: String,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

/// Where an app's log is sent.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct LogDrain {
    pub(crate) id: Uuid,
    /// How lines call it: `d.…`.
    pub(crate) token: String,
    pub(crate) url: String,
    /// Always null: there are no add-ons here.
    pub(crate) addon: Option<Named>,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct NewLogDrain {
    pub(crate) url: String,
}

/// A line of an app's log, as `format=json` has it; without a message it only tells where the reader stands.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct LogLine {
    /// The position from which `after` goes on.
    pub(crate) id: i64,
    #[serde(flatten)]
    pub(crate) said: Option<Said>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Said {
    pub(crate) at: Timestamp,
    /// `app` or `slipway`.
    pub(crate) source: String,
    pub(crate) process: String,
    pub(crate) message: String,
}
