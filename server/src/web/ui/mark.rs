//! States as a word and how it looks.

use crate::db::browse::AppRow;
use crate::domain::build::BuildStatus;
use crate::domain::release::ReleaseStatus;

/// A word and its class in the style sheet: `good`, `bad`, `busy` or `calm`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) word: &'static str,
    pub(super) look: &'static str,
}

impl Mark {
    pub(super) fn of_release(status: ReleaseStatus) -> Self {
        let look = match status {
            ReleaseStatus::Pending => "busy",
            ReleaseStatus::Succeeded => "good",
            ReleaseStatus::Failed => "bad",
        };
        Self { word: status.as_str(), look }
    }

    pub(super) fn of_build(status: BuildStatus) -> Self {
        let look = match status {
            BuildStatus::Queued | BuildStatus::Building | BuildStatus::Pushing => "busy",
            BuildStatus::Succeeded => "good",
            BuildStatus::Failed | BuildStatus::Errored => "bad",
            BuildStatus::Canceled | BuildStatus::Superseded => "calm",
        };
        Self { word: status.as_str(), look }
    }

    /// What became of a web hook; nothing yet is `None`.
    pub(super) fn of_verdict(verdict: Option<&str>) -> Self {
        let (word, look) = match verdict {
            None => ("waiting", "busy"),
            Some("deployed") => ("deployed", "good"),
            Some("failed") => ("failed", "bad"),
            Some("current") => ("current", "calm"),
            Some("ignored") => ("ignored", "calm"),
            Some("removed") => ("removed", "calm"),
            Some(_) => ("pong", "calm"),
        };
        Self { word, look }
    }

    /// How a delivery to a web hook of ours stands.
    pub(super) fn of_delivery(status: &str) -> Self {
        let (word, look) = match status {
            "succeeded" => ("taken", "good"),
            "failed" => ("not taken", "bad"),
            "retrying" => ("tried again", "busy"),
            _ => ("waiting", "busy"),
        };
        Self { word, look }
    }

    /// What an app's people want to know first.
    pub(super) fn of_app(row: &AppRow) -> Self {
        let (word, look) = match (row.newest_status, row.build_status) {
            (_, Some(BuildStatus::Queued | BuildStatus::Building | BuildStatus::Pushing)) => {
                ("building", "busy")
            }
            (Some(ReleaseStatus::Pending), _) => ("releasing", "busy"),
            (Some(ReleaseStatus::Failed), _) => ("release failed", "bad"),
            (_, Some(BuildStatus::Failed | BuildStatus::Errored)) => ("build failed", "bad"),
            (Some(ReleaseStatus::Succeeded), _) => ("live", "good"),
            (None, _) => ("not deployed", "calm"),
        };
        Self { word, look }
    }
}
