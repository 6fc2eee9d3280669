//! Web hooks of our own, in Heroku's words: what they tell of, and how hard it is tried.

use serde::{Deserialize, Serialize};

/// What a web hook may tell of.
pub(crate) const INCLUDES: [&str; 2] = ["api:build", "api:release"];

/// How hard a delivery is tried.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    clap::ValueEnum,
    sqlx::Type,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub(crate) enum Level {
    /// Once.
    Notify,
    /// Again and again, until it is taken or given up.
    Sync,
}

impl Level {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Notify => "notify",
            Self::Sync => "sync",
        }
    }
}
