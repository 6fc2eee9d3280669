//! Web hooks of our own, and the log of their deliveries.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Named;
use crate::domain::webhook::Level;

/// Whom an app tells of what.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Webhook {
    pub(crate) id: Uuid,
    pub(crate) app: Named,
    /// `api:build`, `api:release`.
    pub(crate) include: Vec<String>,
    pub(crate) level: Level,
    pub(crate) url: String,
    /// Shown once: when it was made here.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) secret: Option<String>,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewWebhook {
    pub(crate) url: String,
    pub(crate) include: Vec<String>,
    pub(crate) level: Level,
    /// What deliveries are signed with; one is made if it is left out.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) secret: Option<String>,
}

/// What is left out stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct WebhookChange {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) include: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) level: Option<Level>,
    /// Counts at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) secret: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct WebhookDelivery {
    pub(crate) id: Uuid,
    /// In the order of the events; the `sequence` in the body.
    pub(crate) number: i64,
    /// `pending`, `retrying`, `succeeded` or `failed`.
    pub(crate) status: String,
    pub(crate) event: WebhookEvent,
    pub(crate) webhook: WhichWebhook,
    pub(crate) num_attempts: i32,
    pub(crate) next_attempt_at: Option<Timestamp>,
    pub(crate) last_attempt: Option<WebhookAttempt>,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct WebhookEvent {
    pub(crate) id: Uuid,
    pub(crate) include: String,
    /// `create` or `update`.
    pub(crate) action: String,
    /// The number of the build, or the version of the release.
    pub(crate) number: Option<i64>,
    /// How the build or the release stood.
    pub(crate) state: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct WhichWebhook {
    pub(crate) id: Uuid,
    pub(crate) url: String,
    pub(crate) level: Level,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct WebhookAttempt {
    pub(crate) id: Uuid,
    /// The receiver's status, if it answered.
    pub(crate) code: Option<i32>,
    /// Why it does not count.
    pub(crate) error: Option<String>,
    /// `succeeded` or `failed`.
    pub(crate) status: String,
    pub(crate) created_at: Timestamp,
}
