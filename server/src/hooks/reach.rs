//! From an app's setting to a repository that can be asked: the address looked up, the key or the token opened.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use secrecy::{ExposeSecret, SecretString};

use super::address::{Address, AddressError, Scheme};
use super::github_app::{AppError, Place};
use super::secrets::{self, What};
use crate::crypto::CryptoError;
use crate::db::apps::App;
use crate::db::connections::Connection;
use crate::domain::hook::{self, Provider};
use crate::git::fetch::{self, Access, FetchError, Found, Remote};
use crate::git::receive::{Quarantine, ReceiveLimits};
use crate::git::{Oid, Repository};
use crate::platform::Platform;

/// Why a repository could not be asked, or not taken from.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReachError {
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    App(#[from] AppError),
    #[error("the app's key cannot be opened")]
    Crypto(#[from] CryptoError),
    #[error("the app's own repository cannot be opened")]
    Repository(#[source] anyhow::Error),
    #[error("the database does not answer")]
    Database(#[from] sqlx::Error),
}

impl ReachError {
    /// Whether a little later things may have changed by themselves.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Address(error) => matches!(error, AddressError::Unknown(_)),
            Self::Fetch(error) => error.may_pass(),
            Self::App(error) => error.may_pass(),
            Self::Crypto(_) => false,
            Self::Repository(_) | Self::Database(_) => true,
        }
    }

    /// The sentence for the ledger; what is ours to mend stays in our log.
    pub(super) fn said(&self) -> String {
        match self {
            Self::Address(error) => error.to_string(),
            Self::Fetch(error) => error.said(),
            Self::App(error) => error.to_string(),
            Self::Crypto(_) | Self::Repository(_) | Self::Database(_) => {
                "the platform could not do it; its log has the cause".to_owned()
            }
        }
    }
}

/// A repository elsewhere as an app follows it, and the one here into which it is fetched.
pub(super) struct Followed<'a> {
    pub(super) platform: &'a Platform,
    pub(super) app: &'a App,
    pub(super) connection: &'a Connection,
    pub(super) repository: &'a Repository,
}

/// A token of the GitHub App, as it was shown.
struct Shown {
    place: Place,
    token: SecretString,
}

impl Followed<'_> {
    /// Asks where a ref stands, such as `refs/heads/main`.
    pub(super) async fn look(&self, name: &str) -> Result<Found, ReachError> {
        let (remote, shown) = self.remote().await?;
        let found = fetch::look(self.repository, &remote, name).await;
        if !self.may_be_let_in_by_another(shown, found.as_ref().err()).await {
            return Ok(found?);
        }
        let (remote, _) = self.remote().await?;
        let found = fetch::look(self.repository, &remote, name).await;
        found.map_err(shut_out)
    }

    /// Fetches a ref, where `look` has found it, and checks it as a push is checked.
    pub(super) async fn take(
        &self,
        (name, head): (&str, Oid),
        limits: &ReceiveLimits,
    ) -> Result<Quarantine, ReachError> {
        let (remote, shown) = self.remote().await?;
        let taken = fetch::take(self.repository, &remote, (name, head), limits).await;
        if !self.may_be_let_in_by_another(shown, taken.as_ref().err()).await {
            return Ok(taken?);
        }
        let (remote, _) = self.remote().await?;
        let taken = fetch::take(self.repository, &remote, (name, head), limits).await;
        taken.map_err(shut_out)
    }

    /// A token of the GitHub App may have been revoked before its time, or the repository taken from its installation;
    /// then another one, or the reason why there is none, can be had.
    async fn may_be_let_in_by_another(&self, shown: Option<Shown>, error: Option<&FetchError>) -> bool {
        let closed = matches!(error, Some(FetchError::Denied { .. } | FetchError::NotFound(_)));
        let Some(Shown { place, token }) = shown.filter(|_| closed) else { return false };
        self.platform.github_app.forget(&place, &token).await;
        true
    }

    /// Looks the host up, and opens what lets us in.
    async fn remote(&self) -> Result<(Remote, Option<Shown>), ReachError> {
        let Self { platform, app, connection, .. } = *self;
        let hooks = &platform.settings.hooks;
        let address = Address::parse(&connection.url)?;
        let addresses = address.resolve(&hooks.networks).await?;
        let mut shown = None;
        let access = match address.scheme {
            Scheme::Https => {
                let authorization = match connection.access {
                    hook::Access::Own => token_of(platform, app, connection)?
                        .map(|token| authorization(&token, connection, address.user.as_deref())),
                    hook::Access::GithubApp => {
                        let place = Place::of(&hooks.github_app, connection.provider, &address)?;
                        let token = platform.github_app.token(hooks, &place).await?;
                        let authorization = authorization(&token, connection, None);
                        shown = Some(Shown { place, token });
                        Some(authorization)
                    }
                };
                Access::Https { authorization, authorities: hooks.authorities.clone() }
            }
            Scheme::Ssh => {
                let key = platform.keys.unwrap(app.id, &app.wrapped_key)?;
                let sealed = connection.private_key.as_deref().ok_or(CryptoError::Tampered)?;
                let private_key = secrets::open(&key, app.id, What::DeployKey, sealed)?;
                Access::Ssh { private_key, host_key: connection.host_key.clone() }
            }
        };
        let url = address.for_git();
        Ok((Remote { url, host: address.host, port: address.port, addresses, access }, shown))
    }
}

/// A new token of the GitHub App was not let in either: what it says of tokens of one's own would mislead.
fn shut_out(error: FetchError) -> ReachError {
    match error {
        FetchError::Denied { host, .. } => ReachError::App(AppError::NotLetIn(host)),
        other => ReachError::Fetch(other),
    }
}

/// The token that the people of the app have given us for the host.
pub(crate) fn token_of(
    platform: &Platform,
    app: &App,
    connection: &Connection,
) -> Result<Option<SecretString>, CryptoError> {
    let Some(sealed) = &connection.token else { return Ok(None) };
    let key = platform.keys.unwrap(app.id, &app.wrapped_key)?;
    secrets::open(&key, app.id, What::Token, sealed).map(Some)
}

fn authorization(token: &SecretString, connection: &Connection, user: Option<&str>) -> SecretString {
    // The hosts look at the token alone, but want some name before it.
    let usual = match connection.provider {
        Provider::Github => "x-access-token",
        Provider::Gitlab | Provider::Gitea | Provider::Forgejo => "oauth2",
        Provider::Generic => "git",
    };
    let encoded = BASE64_STANDARD.encode(format!("{}:{}", user.unwrap_or(usual), token.expose_secret()));
    format!("Basic {encoded}").into()
}
