//! Review apps: what an app's owners have set of them, and its pull requests.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Named;

/// In the words of Heroku's pipelines, where they have one.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ReviewAppConfig {
    /// Whether each pull request gets an app.
    pub(crate) automatic_review_apps: bool,
    /// How many review apps there may be at a time.
    pub(crate) limit: i32,
    /// One that has not been pushed to for so many days is removed.
    pub(crate) stale_days: i32,
    /// Names of config vars that they take over, with `*` for any letters; not those of forks.
    pub(crate) inherits: Vec<String>,
}

/// What is left out stays as it is.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReviewAppConfigChange {
    pub(crate) automatic_review_apps: Option<bool>,
    pub(crate) limit: Option<i32>,
    pub(crate) stale_days: Option<i32>,
    pub(crate) inherits: Option<Vec<String>>,
}

/// An open pull request, and its app if it has one.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ReviewApp {
    pub(crate) pr_number: i64,
    pub(crate) title: String,
    pub(crate) branch: String,
    /// The repository that it comes from, if it is another one.
    pub(crate) fork_repo: Option<String>,
    /// Its newest commit.
    pub(crate) commit: Option<String>,
    /// The commit of a fork that somebody has approved.
    pub(crate) approved_commit: Option<String>,
    pub(crate) app: Option<Named>,
    /// `created`, `approval` (somebody has to approve the newest commit), `room` (there are as many as there may be),
    /// `skipped`, or `removed`.
    pub(crate) status: String,
    /// Why the newest commit is not in an app, and what can be done.
    pub(crate) message: Option<String>,
    pub(crate) web_url: Option<String>,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Approval {
    /// The commit that was looked at; seven digits of it will do.
    pub(crate) commit: String,
}
