//! Words of web hooks: who sends them, and what they tell.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Whose web hooks an app listens to.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    sqlx::Type,
    clap::ValueEnum,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub(crate) enum Provider {
    Github,
    Gitlab,
    Gitea,
    Forgejo,
    Generic,
}

impl Provider {
    pub(crate) const ALL: [Self; 5] = [Self::Github, Self::Gitlab, Self::Gitea, Self::Forgejo, Self::Generic];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Github => "github",
            Self::Gitlab => "gitlab",
            Self::Gitea => "gitea",
            Self::Forgejo => "forgejo",
            Self::Generic => "generic",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|provider| provider.as_str() == name)
    }

    /// As people write it.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Github => "GitHub",
            Self::Gitlab => "GitLab",
            Self::Gitea => "Gitea",
            Self::Forgejo => "Forgejo",
            Self::Generic => "the host",
        }
    }

    /// The ref of the repository at which a pull request's newest commit stands, a fork's too; `None` where there is no
    /// such thing.
    pub(crate) fn pull_ref(self, number: i64) -> Option<String> {
        match self {
            Self::Github | Self::Gitea | Self::Forgejo => Some(format!("refs/pull/{number}/head")),
            Self::Gitlab => Some(format!("refs/merge-requests/{number}/head")),
            Self::Generic => None,
        }
    }

    /// What a host's name says of its software; most private ones say it.
    pub(crate) fn of_host(host: &str) -> Self {
        let host = host.to_ascii_lowercase();
        let known = [
            ("github", Self::Github),
            ("gitlab", Self::Gitlab),
            ("gitea", Self::Gitea),
            ("forgejo", Self::Forgejo),
            ("codeberg", Self::Forgejo),
        ];
        known
            .into_iter()
            .find(|(word, _)| host.contains(word))
            .map_or(Self::Generic, |(_, provider)| provider)
    }
}

/// What lets us in at the repository of a connection.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
#[sqlx(type_name = "text", rename_all = "kebab-case")]
pub(crate) enum Access {
    /// The deploy key or the token of the connection; at a public repository, nothing.
    #[default]
    Own,
    /// The platform is a GitHub App, which is installed there.
    GithubApp,
}

impl Access {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::GithubApp => "github-app",
        }
    }
}

/// What a delivery is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// The host tries whether anybody answers.
    Ping,
    /// A branch or a tag has moved, or nobody says what has.
    Push,
    /// A pull request was opened, has moved or was closed.
    Pull,
    /// All else.
    Other,
}

/// What is kept of a delivery. It says that the branch may have moved; where it stands is asked of the repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Told {
    pub(crate) kind: Kind,
    /// Full name, `refs/heads/main`; `None` if it was not said.
    pub(crate) git_ref: Option<String>,
    pub(crate) deleted: bool,
    /// Who pushed there, as they are called there.
    pub(crate) actor: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pull: Option<Pull>,
}

/// What is told of a pull request; GitLab's word is merge request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pull {
    pub(crate) number: i64,
    pub(crate) change: PullChange,
    pub(crate) title: String,
    /// The branch that it would have merged.
    pub(crate) branch: String,
    /// The repository of that branch, if it is another one.
    pub(crate) fork: Option<String>,
    /// By the host's clock.
    pub(crate) changed_at: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PullChange {
    /// For the first time, or again.
    Opened,
    Pushed,
    Closed,
    /// Nothing has changed that anybody told of: a person, or room for one more app, asks for a look.
    Asked,
}

impl Told {
    /// A look at the branch that nobody but us asks for.
    pub(crate) fn look() -> Self {
        Self { kind: Kind::Push, git_ref: None, deleted: false, actor: None, pull: None }
    }

    /// A look at a pull request that nobody but us asks for.
    pub(crate) fn look_at(number: i64, actor: Option<String>) -> Self {
        let pull = Pull {
            number,
            change: PullChange::Asked,
            title: String::new(),
            branch: String::new(),
            fork: None,
            changed_at: None,
        };
        Self { kind: Kind::Pull, git_ref: None, deleted: false, actor, pull: Some(pull) }
    }
}

/// Whether the author asked in the commit's message that nothing be deployed.
pub(crate) fn asks_to_skip(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    ["[skip ci]", "[ci skip]", "[skip deploy]", "[deploy skip]", "[no ci]"]
        .iter()
        .any(|words| message.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_host_says_whose_it_is() {
        assert_eq!(Provider::of_host("github.com"), Provider::Github);
        assert_eq!(Provider::of_host("git.GitLab.example.com"), Provider::Gitlab);
        assert_eq!(Provider::of_host("codeberg.org"), Provider::Forgejo);
        assert_eq!(Provider::of_host("git.example.com"), Provider::Generic);
        for provider in Provider::ALL {
            assert_eq!(Provider::named(provider.as_str()), Some(provider));
        }
    }

    #[test]
    fn a_message_can_ask_that_nothing_be_deployed() {
        assert!(asks_to_skip("Mend a typo\n\n[Skip CI]"));
        assert!(asks_to_skip("[skip deploy] words"));
        assert!(!asks_to_skip("Do not skip ci"));
    }
}
