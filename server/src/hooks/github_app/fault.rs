//! Why the GitHub App is not let in, in words for the people of the app.

use reqwest::StatusCode;

use crate::hooks::address::AddressError;
use crate::hooks::outgoing::ClientError;

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppError {
    #[error(
        "this platform is no GitHub App: an admin makes it one with SLIPWAY_GITHUB_APP_ID and SLIPWAY_GITHUB_APP_KEY; \
         until then connect with a token or a deploy key"
    )]
    Unset,
    #[error(
        "the platform is an App at {ours}, and this repository is at {theirs}: connect it with a token or a deploy key"
    )]
    Elsewhere { ours: String, theirs: String },
    #[error(
        "a GitHub App is let in at GitHub alone: where the host's name does not say that it is one, add `--provider github`"
    )]
    NotGithub,
    #[error("a GitHub App is let in over https alone: connect to https://host/owner/repository")]
    NotHttps,
    #[error("that is not the address of a repository at GitHub: write https://host/owner/repository")]
    NoRepository,
    #[error(
        "the private key of the platform's GitHub App cannot be used: an admin looks after SLIPWAY_GITHUB_APP_KEY"
    )]
    Key,
    #[error(
        "the platform's GitHub App is not installed on {repository}: who administers that installs it{page}, or adds the \
         repository to those of its installation"
    )]
    NotInstalled { repository: String, page: Page },
    #[error(
        "the installation of the platform's GitHub App on {0} is suspended: its owner ends that in the settings of their \
         account, under Applications"
    )]
    Suspended(String),
    #[error(
        "the platform's GitHub App may not read {0}: it needs the permission Contents, read, in its settings at GitHub, \
         and the owner of the repository has to accept that at the installation"
    )]
    NoContents(String),
    #[error(
        "{0} was moved to another address, which is not followed: connect the app to the address that a browser ends up at"
    )]
    Moved(String),
    #[error(
        "{0} does not know the platform's GitHub App: an admin compares SLIPWAY_GITHUB_APP_ID with its settings there, and \
         makes a new private key for SLIPWAY_GITHUB_APP_KEY if that one was deleted"
    )]
    Unknown(String),
    #[error(
        "the platform's clock is {seconds} seconds off that of {host}, which takes no signature then: an admin sets it \
         right"
    )]
    Clock { host: String, seconds: i64 },
    #[error(
        "{0} does not let the platform's GitHub App in although it has just given it a token: try again in a minute"
    )]
    NotLetIn(String),
    #[error("{host} answered {status} when it was asked for a token of the platform's GitHub App")]
    Refused { host: String, status: StatusCode },
    #[error("{0} answered with something else than its API does")]
    Garbled(String),
    #[error("{0} does not answer")]
    Unreachable(String),
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error("the certificates in SLIPWAY_HOOK_CA cannot be read")]
    Authorities,
}

/// Where the App is to be installed, if that is known.
#[derive(Debug, Default)]
pub(crate) struct Page(pub(super) Option<String>);

impl std::fmt::Display for Page {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Some(page) => write!(f, " at {page}"),
            None => Ok(()),
        }
    }
}

impl From<ClientError> for AppError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Address(error) => Self::Address(error),
            ClientError::Authorities => Self::Authorities,
        }
    }
}

impl AppError {
    /// Whether a little later things may have changed by themselves.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Address(error) => matches!(error, AddressError::Unknown(_)),
            Self::NotLetIn(_) | Self::Refused { .. } | Self::Garbled(_) | Self::Unreachable(_) => true,
            _ => false,
        }
    }
}
