//! What runs unattended to its end beside an app's processes, and its states.

use serde::{Deserialize, Serialize};

/// What a batch is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, sqlx::Type)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub(crate) enum BatchKind {
    /// The `release` line of the Procfile: before a release's processes move.
    Release,
    /// `scripts.postdeploy` of app.json: after an app's first release.
    Postdeploy,
    /// An entry of `cron` in app.json.
    Cron,
    /// `run:detached`.
    Run,
}

impl BatchKind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Postdeploy => "postdeploy",
            Self::Cron => "cron",
            Self::Run => "run",
        }
    }
}

/// Where a batch stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, sqlx::Type)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub(crate) enum BatchStatus {
    Waiting,
    Running,
    Succeeded,
    Failed,
    /// Something newer, or somebody, ended it.
    Canceled,
}

impl BatchStatus {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
        }
    }
}
