//! Who may do what: the one authorise function of every door (SSH, git over HTTP, API, streams).
//!
//! Invariant: whatever is not allowed here is denied. A door loads the role that the principal has for the app, by its
//! team or as a collaborator, and asks; it never compares roles itself.

use serde::{Deserialize, Serialize};

use super::ids::UserId;

/// What a member of a team may do with the team's apps, or a collaborator with one app; later ones include earlier ones.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    sqlx::Type,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub(crate) enum Role {
    Viewer,
    Deployer,
    Owner,
}

/// Who asks, once a token or a key has proved it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Principal {
    pub(crate) user: UserId,
    /// Shown as the actor of releases and builds.
    pub(crate) name: String,
    /// Admins may do everything on every app.
    pub(crate) admin: bool,
}

/// Whose doing something is: a user's, or that of somebody who has no account here.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Actor<'a> {
    pub(crate) user: Option<UserId>,
    pub(crate) name: &'a str,
}

impl<'a> From<&'a Principal> for Actor<'a> {
    fn from(principal: &'a Principal) -> Self {
        Self { user: Some(principal.user), name: &principal.name }
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// See the app, its releases, builds, processes and logs; clone and fetch.
    Read,
    /// Read the values of config vars: they are secrets.
    ReadConfig,
    /// Push, set config vars, roll back, cancel and retry builds.
    Deploy,
    /// Destroy the app, change its settings, choose who has access.
    Own,
    /// Manage users, teams and the platform itself; no app is involved.
    Administer,
}

/// A refusal, in words for the user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denied {
    /// No role at all: the app is not even confirmed to exist.
    #[error("there is no such app, or you have no access to it: `apps` lists yours")]
    Unknown,
    #[error("you are {role} of this app, and this takes {needed}: ask an owner for it")]
    RoleTooLow { role: &'static str, needed: &'static str },
    #[error("this takes an admin of the platform")]
    AdminOnly,
}

/// Decides whether `principal`, whose role for the app is `role`, may do `action`.
pub(crate) fn authorise(principal: &Principal, role: Option<Role>, action: Action) -> Result<(), Denied> {
    if principal.admin {
        return Ok(());
    }
    let needed = match action {
        Action::Read => Role::Viewer,
        Action::ReadConfig | Action::Deploy => Role::Deployer,
        Action::Own => Role::Owner,
        Action::Administer => return Err(Denied::AdminOnly),
    };
    match role {
        None => Err(Denied::Unknown),
        Some(role) if role < needed => {
            Err(Denied::RoleTooLow { role: role.with_article(), needed: needed.with_article() })
        }
        Some(_) => Ok(()),
    }
}

impl Role {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Deployer => "deployer",
            Role::Owner => "owner",
        }
    }

    fn with_article(self) -> &'static str {
        match self {
            Role::Viewer => "a viewer",
            Role::Deployer => "a deployer",
            Role::Owner => "an owner",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member() -> Principal {
        Principal { user: UserId::new(), name: "ada".into(), admin: false }
    }

    #[test]
    fn every_role_meets_every_action() {
        use Action::{Administer, Deploy, Own, Read, ReadConfig};
        let table = [
            (None, [false, false, false, false, false]),
            (Some(Role::Viewer), [true, false, false, false, false]),
            (Some(Role::Deployer), [true, true, true, false, false]),
            (Some(Role::Owner), [true, true, true, true, false]),
        ];
        for (role, allowed) in table {
            for (action, expected) in [Read, ReadConfig, Deploy, Own, Administer].into_iter().zip(allowed) {
                assert_eq!(authorise(&member(), role, action).is_ok(), expected, "{role:?} {action:?}");
            }
        }
    }

    #[test]
    fn admins_need_no_role() {
        let admin = Principal { admin: true, ..member() };
        assert_eq!(authorise(&admin, None, Action::Own), Ok(()));
        assert_eq!(authorise(&admin, None, Action::Administer), Ok(()));
    }

    #[test]
    fn a_stranger_does_not_learn_whether_an_app_exists() {
        assert_eq!(authorise(&member(), None, Action::Deploy), Err(Denied::Unknown));
    }
}
