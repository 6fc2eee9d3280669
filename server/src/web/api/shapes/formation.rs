//! The formation, and what is asked of it.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Actor, Named};
use crate::domain::formation::{Autoscale, ChangeStatus};

/// One process type.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Formation {
    pub(crate) id: Uuid,
    #[serde(rename = "type")]
    pub(crate) process_type: String,
    pub(crate) quantity: u32,
    /// Empty where the image's own command runs.
    pub(crate) command: String,
    pub(crate) size: String,
    pub(crate) app: Named,
    /// Bounds within which a cluster chooses the number.
    pub(crate) autoscale: Option<Autoscale>,
    /// Something that was asked of the app's processes is not done yet.
    #[serde(default)]
    pub(crate) pending: bool,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

/// What was asked of an app's processes, and how far it is.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct FormationChange {
    pub(crate) id: Uuid,
    pub(crate) status: ChangeStatus,
    /// Why it failed.
    pub(crate) reason: Option<String>,
    pub(crate) user: Actor,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

/// A change of several types at once.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub(crate) struct FormationUpdates {
    pub(crate) updates: Vec<FormationUpdate>,
}

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub(crate) struct FormationUpdate {
    #[serde(rename = "type", alias = "process", alias = "id")]
    pub(crate) process_type: String,
    #[serde(flatten)]
    pub(crate) count: NewCount,
}

/// A number and a size; what is absent stays.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub(crate) struct NewCount {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) quantity: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none", default, alias = "dyno_size")]
    pub(crate) size: Option<SizeWord>,
}

/// A change of one type.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub(crate) struct FormationWish {
    #[serde(flatten)]
    pub(crate) count: NewCount,
    /// `null` ends autoscaling.
    #[serde(skip_serializing_if = "Option::is_none", default, with = "super::present")]
    #[schemars(with = "Option<Autoscale>")]
    pub(crate) autoscale: Option<Option<Autoscale>>,
}

/// A size as requests name it: a word, or an object with that word.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum SizeWord {
    Word(String),
    Object { name: String },
}

impl SizeWord {
    pub(crate) fn into_name(self) -> String {
        match self {
            Self::Word(name) | Self::Object { name } => name.to_lowercase(),
        }
    }
}
