//! From an app's setting to a repository that can be asked: the address looked up, the key or the token opened.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use secrecy::{ExposeSecret, SecretString};

use super::address::{Address, AddressError, Scheme};
use super::secrets::{self, What};
use crate::crypto::CryptoError;
use crate::db::apps::App;
use crate::db::connections::Connection;
use crate::domain::hook::Provider;
use crate::git::fetch::{Access, FetchError, Remote};
use crate::platform::Platform;

/// Why a repository could not be asked, or not taken from.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReachError {
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error(transparent)]
    Fetch(#[from] FetchError),
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
            Self::Crypto(_) => false,
            Self::Repository(_) | Self::Database(_) => true,
        }
    }

    /// The sentence for the ledger; what is ours to mend stays in our log.
    pub(super) fn said(&self) -> String {
        match self {
            Self::Address(error) => error.to_string(),
            Self::Fetch(error) => error.said(),
            Self::Crypto(_) | Self::Repository(_) | Self::Database(_) => {
                "the platform could not do it; its log has the cause".to_owned()
            }
        }
    }
}

/// Looks the host up, and opens what lets us in.
pub(super) async fn remote(
    platform: &Platform,
    app: &App,
    connection: &Connection,
) -> Result<Remote, ReachError> {
    let address = Address::parse(&connection.url)?;
    let addresses = address.resolve(&platform.settings.hooks.networks).await?;
    let access = match address.scheme {
        Scheme::Https => Access::Https {
            authorization: token_of(platform, app, connection)?
                .map(|token| authorization(&token, connection, &address)),
            authorities: platform.settings.hooks.authorities.clone(),
        },
        Scheme::Ssh => {
            let key = platform.keys.unwrap(app.id, &app.wrapped_key)?;
            let sealed = connection.private_key.as_deref().ok_or(CryptoError::Tampered)?;
            let private_key = secrets::open(&key, app.id, What::DeployKey, sealed)?;
            Access::Ssh { private_key, host_key: connection.host_key.clone() }
        }
    };
    Ok(Remote { url: address.for_git(), host: address.host, port: address.port, addresses, access })
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

fn authorization(token: &SecretString, connection: &Connection, address: &Address) -> SecretString {
    // The hosts look at the token alone, but want some name before it.
    let usual = match connection.provider {
        Provider::Github => "x-access-token",
        Provider::Gitlab | Provider::Gitea | Provider::Forgejo => "oauth2",
        Provider::Generic => "git",
    };
    let user = address.user.as_deref().unwrap_or(usual);
    let encoded = BASE64_STANDARD.encode(format!("{user}:{}", token.expose_secret()));
    format!("Basic {encoded}").into()
}
