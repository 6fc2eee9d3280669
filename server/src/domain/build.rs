//! The states of a build, and which may follow which.

use serde::{Deserialize, Serialize};

/// Where a build stands. `failed` is the user's to mend, `errored` is the platform's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, sqlx::Type)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub(crate) enum BuildStatus {
    Queued,
    Building,
    Pushing,
    Succeeded,
    Failed,
    Errored,
    Canceled,
    Superseded,
}

impl BuildStatus {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Building => "building",
            Self::Pushing => "pushing",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Errored => "errored",
            Self::Canceled => "canceled",
            Self::Superseded => "superseded",
        }
    }

    /// Whether it has ended, and no release came of it.
    pub(crate) fn is_over_without_release(self) -> bool {
        matches!(self, Self::Failed | Self::Errored | Self::Canceled | Self::Superseded)
    }
}
