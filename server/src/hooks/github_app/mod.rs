//! The platform as a GitHub App: a token for each repository on which it is installed, made for the hour.
//!
//! Invariants:
//! - What the App's key signs, and what it is answered, goes to the one host where the App is (SLIPWAY_GITHUB_APP_HOST),
//!   whatever address a connection names: a host of somebody else's could be let in everywhere by it.
//! - A token opens one repository, with the permissions that are needed there, and is kept in memory alone.

mod ask;
mod cache;
mod fault;
#[cfg(test)]
mod tests;

use std::path::Path;

use jiff::Timestamp;
use secrecy::SecretString;
use tracing::warn;

use self::ask::Api;
use self::cache::Cache;
pub(crate) use self::fault::AppError;
use super::address::{Address, Scheme};
use crate::config::{GithubAppSettings, HookSettings};
use crate::domain::github_app::SigningKey;
use crate::domain::hook::Provider;

/// What lets the platform in, where it is an App. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct GithubApp {
    tokens: Cache,
}

/// A repository on which the App may be installed.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    host: String,
    port: u16,
    owner: String,
    name: String,
}

impl GithubApp {
    /// A token for the repository that counts for some minutes at least.
    pub(crate) async fn token(
        &self,
        settings: &HookSettings,
        place: &Place,
    ) -> Result<SecretString, AppError> {
        // Settings may have changed since the connection was made.
        place.is_where_the_app_is(&settings.github_app)?;
        self.tokens.get(&place.repository(), Timestamp::now(), || fresh(settings, place)).await
    }

    /// A token that was not let in is not shown again.
    pub(crate) async fn forget(&self, place: &Place, token: &SecretString) {
        self.tokens.forget(&place.repository(), token).await;
    }
}

impl Place {
    /// Of a connection's repository, if the App can be let in there.
    pub(crate) fn of(
        settings: &GithubAppSettings,
        provider: Provider,
        address: &Address,
    ) -> Result<Self, AppError> {
        if provider != Provider::Github {
            return Err(AppError::NotGithub);
        }
        if address.scheme != Scheme::Https {
            return Err(AppError::NotHttps);
        }
        let path = address.path.trim_start_matches('/');
        let (owner, name) = path
            .strip_suffix(".git")
            .unwrap_or(path)
            .split_once('/')
            .filter(|(owner, name)| is_word(owner) && is_word(name))
            .ok_or(AppError::NoRepository)?;
        let (owner, name) = (owner.to_owned(), name.to_owned());
        let place = Self { host: address.host.clone(), port: address.port, owner, name };
        place.is_where_the_app_is(settings)?;
        Ok(place)
    }

    /// `ada/blog`.
    fn repository(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }

    fn is_where_the_app_is(&self, settings: &GithubAppSettings) -> Result<(), AppError> {
        let ours = &settings.host;
        if settings.id.is_none() {
            return Err(AppError::Unset);
        }
        match self.host == ours.host && self.port == ours.port {
            true => Ok(()),
            false => Err(AppError::Elsewhere { ours: ours.host.clone(), theirs: self.host.clone() }),
        }
    }
}

/// What is put into paths has to be one part of them.
fn is_word(text: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !text.is_empty() && !matches!(text, "." | "..") && text.chars().all(good)
}

/// Asks for a token: whose installation it is, and then for the token itself.
async fn fresh(settings: &HookSettings, place: &Place) -> Result<cache::Token, AppError> {
    let app = &settings.github_app;
    let (Some(id), Some(path)) = (&app.id, &app.key) else { return Err(AppError::Unset) };
    let key = key(path).await.map_err(|error| {
        warn!("The private key of the GitHub App, {}, cannot be used: {error:#}", path.display());
        AppError::Key
    })?;
    let api = Api::of(settings, place, key.token(id, Timestamp::now())).await?;
    let installation = api.installation(place).await?;
    api.token(place, &installation).await
}

async fn key(path: &Path) -> anyhow::Result<SigningKey> {
    Ok(SigningKey::of_pem(&tokio::fs::read(path).await?)?)
}
