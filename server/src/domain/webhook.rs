//! Web hooks of our own, in Heroku's words: what they tell of, and how hard it is tried.

use serde::{Deserialize, Serialize};

/// What a web hook may tell of.
pub(crate) const INCLUDES: [&str; 2] = ["api:build", "api:release"];

/// What an event tells: `build 3 queued`, `v2 succeeded`.
pub(crate) fn what(include: &str, number: Option<i64>, state: Option<&str>) -> String {
    let state = state.unwrap_or_default();
    match (include, number) {
        ("api:build", Some(number)) => format!("build {number} {state}"),
        (_, Some(version)) => format!("v{version} {state}"),
        (include, None) => include.to_owned(),
    }
}

/// `1 try`, `3 tries`.
pub(crate) fn tries(count: i32) -> String {
    format!("{count} {}", if count == 1 { "try" } else { "tries" })
}

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

    pub(crate) fn in_words(self) -> &'static str {
        match self {
            Self::Notify => "tried once",
            Self::Sync => "tried until it is taken",
        }
    }
}
