//! The API's JSON, in the shapes of the Heroku Platform API v3 with fields of our own added. The verbs read the same
//! types that the handlers write.

mod collaborators;
mod formation;
mod hooks;
mod logs;
mod pipelines;
mod review_apps;
mod runs;
mod webhooks;

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::access::Role;
use crate::target::Adoption;
use crate::target::attached::Screen;
pub(crate) use collaborators::{
    Collaborator, CollaboratorChange, CollaboratorUser, NewCollaborator, Permission,
};
pub(crate) use formation::{
    Formation, FormationChange, FormationUpdate, FormationUpdates, FormationWish, NewCount, SizeWord,
};
pub(crate) use hooks::{Connection, ConnectionChange, HookDelivery, NewConnection};
pub(crate) use logs::{LogDrain, LogLine, LogSession, NewLogDrain, Said};
pub(crate) use pipelines::{
    Coupling, ImageUpdate, NewCoupling, NewImages, NewPipeline, NewPromotion, Pipeline, Promotion,
};
pub(crate) use review_apps::{Approval, ReviewApp, ReviewAppConfig, ReviewAppConfigChange};
pub(crate) use runs::{CronEntry, CronRun, NewRun, Run};
pub(crate) use webhooks::{
    NewWebhook, Webhook, WebhookAttempt, WebhookChange, WebhookDelivery, WebhookEvent, WhichWebhook,
};

/// A thing by its id and name: an app, a team.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Named {
    pub(crate) id: Uuid,
    pub(crate) name: String,
}

/// A thing by its id and number: a build, a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Numbered {
    pub(crate) id: Uuid,
    #[serde(alias = "version")]
    pub(crate) number: i64,
}

/// Whoever did something. Heroku knows people by e-mail address, we by name: both fields hold the name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Actor {
    /// `None` when the account is gone.
    pub(crate) id: Option<Uuid>,
    pub(crate) email: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Account {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) email: String,
    pub(crate) admin: bool,
    /// By which an OpenID Connect provider may name them; `email` is Heroku's word for the name.
    pub(crate) sign_in_email: Option<String>,
    pub(crate) created_at: Timestamp,
}

/// A user just made, with the one token that is shown once.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct NewAccount {
    #[serde(flatten)]
    pub(crate) account: Account,
    pub(crate) token: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Key {
    pub(crate) id: Uuid,
    pub(crate) comment: String,
    pub(crate) fingerprint: String,
    pub(crate) public_key: String,
    pub(crate) email: String,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    pub(crate) last_used_at: Option<Timestamp>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct App {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) team: Named,
    /// Heroku's word for whom the app belongs to; here the team.
    pub(crate) owner: Actor,
    /// Heroku's clients insist on a region and a stack; there is one of each.
    pub(crate) region: Named,
    pub(crate) stack: Named,
    pub(crate) build_stack: Named,
    pub(crate) git_url: String,
    pub(crate) web_url: Option<String>,
    pub(crate) deploy_branch: String,
    pub(crate) branch_commit: Option<String>,
    pub(crate) dockerfile: Option<String>,
    pub(crate) folder: Option<String>,
    pub(crate) buildpack: Option<String>,
    pub(crate) builder: Option<String>,
    pub(crate) health_path: Option<String>,
    pub(crate) adoption: Option<Adoption>,
    pub(crate) maintenance: bool,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    pub(crate) released_at: Option<Timestamp>,
    pub(crate) archived_at: Option<Timestamp>,
}

/// What the buildpack of an app's language writes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct WrittenDockerfile {
    /// Of which it is: the one that was pushed last.
    pub(crate) commit: String,
    pub(crate) dockerfile: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Release {
    pub(crate) id: Uuid,
    pub(crate) version: i64,
    /// `pending`, `succeeded` or `failed`.
    pub(crate) status: String,
    pub(crate) description: String,
    pub(crate) current: bool,
    pub(crate) user: Actor,
    pub(crate) app: Named,
    /// Heroku's word for what was built; the id is the build's.
    pub(crate) slug: Option<Slug>,
    pub(crate) build: Option<Numbered>,
    /// `push`, `retry`, `hook`, `config`, `rollback`, `container` or `promotion`.
    pub(crate) trigger: String,
    pub(crate) commit: Option<String>,
    pub(crate) image: Option<String>,
    pub(crate) digest: Option<String>,
    /// The image of each process type, with its digest, where they are not all of one build.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub(crate) images: BTreeMap<String, String>,
    pub(crate) rollback_of: Option<i64>,
    /// Why it failed.
    pub(crate) reason: Option<String>,
    /// Where to read what its release phase writes; `None` if it has none.
    pub(crate) output_stream_url: Option<String>,
    /// What ran once with it; only where one release is asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) phases: Vec<Phase>,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

/// A release phase, or a postdeploy script.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Phase {
    /// `release` or `postdeploy`.
    pub(crate) name: String,
    pub(crate) command: String,
    /// `waiting`, `running`, `succeeded`, `failed` or `canceled`.
    pub(crate) status: String,
    pub(crate) exit_status: Option<i64>,
    /// Why it did not succeed.
    pub(crate) reason: Option<String>,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) finished_at: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Slug {
    pub(crate) id: Uuid,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Build {
    pub(crate) id: Uuid,
    pub(crate) number: i64,
    /// Heroku's three words: `pending`, `succeeded`, `failed`.
    pub(crate) status: String,
    /// Ours, more exact: `queued`, `building`, `pushing`, `succeeded`, `failed`, `errored`, `canceled`, `superseded`.
    pub(crate) state: String,
    pub(crate) app: Named,
    pub(crate) user: Actor,
    pub(crate) release: Option<Numbered>,
    pub(crate) slug: Option<Slug>,
    pub(crate) source_blob: SourceBlob,
    pub(crate) trigger: String,
    pub(crate) commit: String,
    pub(crate) subject: String,
    pub(crate) digest: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) superseded_by: Option<i64>,
    pub(crate) output_stream_url: String,
    /// How long each stage took, in order; only where one build is asked for.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub(crate) stages: Vec<Stage>,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) finished_at: Option<Timestamp>,
}

/// One stage of a build.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Stage {
    pub(crate) name: String,
    /// `None` while it runs.
    pub(crate) seconds: Option<f64>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct SourceBlob {
    /// The commit.
    pub(crate) version: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Dyno {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) process_type: String,
    pub(crate) state: String,
    pub(crate) command: String,
    pub(crate) size: String,
    pub(crate) restarts: u32,
    pub(crate) release: DynoRelease,
    pub(crate) app: Named,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct DynoRelease {
    pub(crate) version: i64,
}

/// The first message of who attaches: what is to be run, and where.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wish {
    /// Words for the kernel; one alone is a line, as in a Procfile, or the name of a process type.
    pub(crate) command: Vec<String>,
    /// The process in which it runs, for example `web.1`; without one it gets a process of its own.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) process: Option<String>,
    /// On top of the config.
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty", default)]
    pub(crate) env: std::collections::BTreeMap<String, String>,
    /// The size of a process of its own, as of the formation; the usual one if left out.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) size: Option<String>,
    /// The terminal that it gets; without one it gets pipes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) screen: Option<Screen>,
    /// Seconds that it may run.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) time_limit: Option<u64>,
}

/// Later texts of who is attached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Sent {
    /// The terminal has another size now.
    Screen(Screen),
    /// Standard input ends.
    End,
}

/// The server's text to who is attached: how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Told {
    Exited { status: i64 },
    Failed { message: String },
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Team {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    /// What the asker is in it; `None` for an admin who is not a member.
    pub(crate) role: Option<Role>,
    pub(crate) members: i64,
    pub(crate) apps: i64,
    pub(crate) created_at: Timestamp,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Member {
    pub(crate) id: Uuid,
    pub(crate) email: String,
    pub(crate) role: Role,
    pub(crate) team: Named,
    pub(crate) user: Named,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Authorization {
    pub(crate) id: Uuid,
    pub(crate) description: String,
    pub(crate) scope: Vec<String>,
    /// The token itself: in the answer that made it, never again.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) access_token: Option<AccessToken>,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) last_used_at: Option<Timestamp>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct AccessToken {
    pub(crate) id: Uuid,
    pub(crate) token: String,
    /// Seconds until it ends; `None` if it does not.
    pub(crate) expires_in: Option<i64>,
}

/// Where the platform's doors are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Doors {
    pub(crate) version: String,
    /// `https://platform.example.com`
    pub(crate) http_url: String,
    /// `https://{app}.example.com`, with `{app}` in it; `None` where the platform routes no requests.
    pub(crate) app_url: Option<String>,
    pub(crate) ssh_host: String,
    pub(crate) ssh_port: u16,
    pub(crate) ssh_user: String,
    /// `ssh-ed25519 AAAA…`
    pub(crate) ssh_host_keys: Vec<String>,
}

/// A refusal, as Heroku's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Refusal {
    pub(crate) id: String,
    pub(crate) message: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) url: Option<String>,
}

// What requests say.

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewKey {
    pub(crate) public_key: String,
}

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub(crate) struct NewApp {
    pub(crate) name: Option<String>,
    pub(crate) team: Option<String>,
}

/// Settings to change: what is absent stays, `null` goes back to what is usual.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AppChange {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) deploy_branch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default, with = "present")]
    #[schemars(with = "Option<String>")]
    pub(crate) dockerfile: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none", default, with = "present")]
    #[schemars(with = "Option<String>")]
    pub(crate) folder: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none", default, with = "present")]
    #[schemars(with = "Option<String>")]
    pub(crate) buildpack: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none", default, with = "present")]
    #[schemars(with = "Option<String>")]
    pub(crate) builder: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none", default, with = "present")]
    #[schemars(with = "Option<String>")]
    pub(crate) health_path: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none", default, with = "present")]
    #[schemars(with = "Option<Adoption>")]
    pub(crate) adoption: Option<Option<Adoption>>,
}

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub(crate) struct NewRelease {
    /// The release to go back to; the one before the current if left out.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) release: Option<WhichRelease>,
}

/// A release as requests name it: its id, `v12`, `"12"` or `12`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum WhichRelease {
    Version(i64),
    Word(String),
}

impl std::fmt::Display for WhichRelease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Version(version) => version.fmt(f),
            Self::Word(word) => word.fmt(f),
        }
    }
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewUser {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) admin: bool,
    pub(crate) team: Option<String>,
    pub(crate) role: Option<Role>,
    pub(crate) sign_in_email: Option<String>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserChange {
    /// Links with a provider that they had count no more.
    #[serde(skip_serializing_if = "Option::is_none", default, with = "present")]
    #[schemars(with = "Option<String>")]
    pub(crate) sign_in_email: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) admin: Option<bool>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewTeam {
    pub(crate) name: String,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct NewMember {
    /// The user's name; Heroku's clients call it e-mail.
    #[serde(alias = "user")]
    pub(crate) email: String,
    pub(crate) role: Role,
}

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub(crate) struct NewAuthorization {
    pub(crate) description: Option<String>,
    /// Seconds from now.
    pub(crate) expires_in: Option<i64>,
}

/// Tells an absent field (`None`) from `null` (`Some(None)`).
mod present {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<T: Serialize, S: Serializer>(
        field: &Option<Option<T>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        field.serialize(serializer)
    }

    pub(super) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Option<T>>, D::Error> {
        Option::deserialize(deserializer).map(Some)
    }
}
