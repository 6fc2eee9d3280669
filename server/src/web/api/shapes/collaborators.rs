//! Who has a role for one app, in Heroku's shape.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Named;
use crate::domain::access::Role;

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Collaborator {
    pub(crate) id: Uuid,
    pub(crate) app: Named,
    pub(crate) role: Role,
    /// The role in Heroku's words.
    pub(crate) permissions: Vec<Permission>,
    pub(crate) user: CollaboratorUser,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct CollaboratorUser {
    pub(crate) id: Uuid,
    /// Heroku's word for the name.
    pub(crate) email: String,
    pub(crate) federated: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Permission {
    pub(crate) name: String,
    pub(crate) description: String,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewCollaborator {
    /// The user's name.
    pub(crate) user: String,
    /// Deployer if left out, as on Heroku, where collaborators may deploy.
    pub(crate) role: Option<Role>,
    /// Nobody is written to in any case.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) silent: Option<bool>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CollaboratorChange {
    pub(crate) role: Role,
}
