//! Pipelines and prebuilt images.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Actor, Named, Release};
use crate::domain::pipeline::Stage;

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Pipeline {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    /// Heroku's word for whom it belongs to; here the team.
    pub(crate) owner: Actor,
    pub(crate) apps: i64,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

/// An app's place in its pipeline.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Coupling {
    pub(crate) app: Named,
    pub(crate) pipeline: Named,
    pub(crate) stage: Stage,
    /// The version that is live; `None` before the first.
    pub(crate) version: Option<i64>,
}

/// What was promoted, and the releases that it made.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Promotion {
    pub(crate) source: Release,
    pub(crate) targets: Vec<Release>,
}

// What requests say.

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPipeline {
    pub(crate) name: String,
    /// The team that it belongs to; the only one that the user is in if left out.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) team: Option<String>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewCoupling {
    /// By name.
    pub(crate) pipeline: String,
    pub(crate) stage: String,
}

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPromotion {
    /// Apps of the pipeline by name; all of the next stage if there are none.
    #[serde(default)]
    pub(crate) targets: Vec<String>,
}

/// Images that process types shall run, as in Heroku's update of a formation.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewImages {
    pub(crate) updates: Vec<ImageUpdate>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ImageUpdate {
    #[serde(rename = "type")]
    pub(crate) process_type: String,
    /// `registry.example.com/blog:1.2`
    pub(crate) docker_image: String,
}
