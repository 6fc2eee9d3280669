//! One-off processes, and what a clock starts.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::DynoRelease;

/// A one-off process that runs.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Run {
    /// `run.4821`
    pub(crate) name: String,
    /// Shown to those who may run something themselves: words of a command can be secrets.
    pub(crate) command: Option<String>,
    /// Who is attached to it, or has left it.
    pub(crate) user: String,
    /// Nobody is attached to it: its output goes to the app's log.
    #[serde(default)]
    pub(crate) detached: bool,
    pub(crate) release: DynoRelease,
    pub(crate) created_at: Timestamp,
}

/// A process that is started and left.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewRun {
    /// Words for the kernel; one alone is a line, as in a Procfile, or the name of a process type.
    pub(crate) command: Vec<String>,
    /// On top of the config.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub(crate) env: BTreeMap<String, String>,
    /// As of the formation; the usual one if left out.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) size: Option<String>,
    /// Seconds that it may run.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) time_limit: Option<u64>,
}

/// An entry of `cron` in app.json that is in force.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct CronEntry {
    pub(crate) name: String,
    pub(crate) command: String,
    pub(crate) schedule: String,
    pub(crate) timezone: String,
    pub(crate) next_at: Option<Timestamp>,
    /// Its newest run.
    pub(crate) last: Option<CronRun>,
}

/// A run of an entry.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct CronRun {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) command: String,
    /// `None` if the clock has started it.
    pub(crate) user: Option<String>,
    pub(crate) release: DynoRelease,
    /// `waiting`, `running`, `succeeded`, `failed` or `canceled`.
    pub(crate) status: String,
    pub(crate) exit_status: Option<i64>,
    /// Why it did not succeed.
    pub(crate) reason: Option<String>,
    /// When it was due; `None` if somebody has started it.
    pub(crate) due_at: Option<Timestamp>,
    pub(crate) created_at: Timestamp,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) finished_at: Option<Timestamp>,
}
