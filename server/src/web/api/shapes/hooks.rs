//! Connections to repositories elsewhere, and the deliveries of their web hooks.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Numbered;
use crate::domain::hook::{Access, Provider};

/// Which branch of which repository an app follows.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Connection {
    pub(crate) provider: Provider,
    pub(crate) url: String,
    pub(crate) branch: String,
    /// Whether a push there deploys by itself.
    pub(crate) automatic: bool,
    /// A push that touches none of these paths deploys nothing; empty, all do.
    pub(crate) watched: Vec<String>,
    /// Whether a commit is deployed only when its checks at the host are good.
    #[serde(default)]
    pub(crate) wait_for_checks: bool,
    /// Where the host sends its web hooks.
    pub(crate) hook_url: String,
    /// Shown once: when it was made.
    pub(crate) secret: Option<String>,
    /// Until when the secret before this one counts.
    pub(crate) old_secret_until: Option<Timestamp>,
    /// To be added to the repository's deploy keys.
    pub(crate) deploy_key: Option<String>,
    /// What lets the platform in there: `own`, the deploy key or the token; or `github-app`, which the platform is.
    #[serde(default)]
    pub(crate) access: Access,
    pub(crate) has_token: bool,
    /// By which key the SSH host has shown itself when it was met first.
    pub(crate) host_key: Option<String>,
    /// The newest head of the branch that was deployed, or left for a reason.
    pub(crate) head: Option<String>,
    pub(crate) looked_at: Option<Timestamp>,
    /// What was in the way when the branch was last looked at.
    pub(crate) trouble: Option<String>,
    /// What was in the way of the newest report to the host.
    pub(crate) report_trouble: Option<String>,
    /// Why a delivery was last turned away at the door.
    pub(crate) refused: Option<String>,
    pub(crate) refused_at: Option<Timestamp>,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct NewConnection {
    pub(crate) url: String,
    pub(crate) provider: Option<Provider>,
    pub(crate) branch: Option<String>,
    /// `github-app` where the platform is a GitHub App that is installed on the repository; else `own`.
    pub(crate) access: Option<Access>,
    /// For an address of https.
    pub(crate) token: Option<String>,
}

/// What is left out stays as it is.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ConnectionChange {
    pub(crate) automatic: Option<bool>,
    pub(crate) watched: Option<Vec<String>>,
    pub(crate) wait_for_checks: Option<bool>,
    pub(crate) branch: Option<String>,
    /// `github-app` drops the token; a token that is given means `own`.
    pub(crate) access: Option<Access>,
    pub(crate) token: Option<String>,
}

/// A delivery, its verdict and what it led to.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct HookDelivery {
    pub(crate) id: Uuid,
    /// A host, `search` or `person`.
    pub(crate) source: String,
    /// The sender's own name for it.
    pub(crate) delivery: String,
    pub(crate) event: String,
    #[serde(rename = "ref")]
    pub(crate) git_ref: Option<String>,
    pub(crate) actor: Option<String>,
    /// `pong`, `deployed`, `current`, `ignored`, `failed` or `removed`; null while it is awaited.
    pub(crate) verdict: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) commit: Option<String>,
    pub(crate) build: Option<Numbered>,
    /// The review app whose build it is, if it is one's.
    #[serde(default)]
    pub(crate) review_app: Option<String>,
    pub(crate) created_at: Timestamp,
    pub(crate) judged_at: Option<Timestamp>,
}
