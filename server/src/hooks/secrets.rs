//! What is kept of a connection under the app's key: the secrets of its deliveries, its deploy key, its token.

use secrecy::SecretString;

use crate::crypto::{self, AppKey, CryptoError, Label};
use crate::domain::ids::AppId;
use crate::domain::names::ConfigKey;

/// Config vars have versions from 1 on, so that no value of one opens as something of ours, nor the other way round.
const SEALED_AS: i64 = 0;

/// Which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Secret,
    DeployKey,
    Token,
}

pub(super) fn seal(key: &AppKey, app: AppId, what: What, text: &SecretString) -> Vec<u8> {
    crypto::seal(key, Label { app, name: &what.name(), version: SEALED_AS }, text)
}

pub(super) fn open(key: &AppKey, app: AppId, what: What, sealed: &[u8]) -> Result<SecretString, CryptoError> {
    crypto::open(key, Label { app, name: &what.name(), version: SEALED_AS }, sealed)
}

impl What {
    fn name(self) -> ConfigKey {
        let name = match self {
            Self::Secret => "HOOK_SECRET",
            Self::DeployKey => "HOOK_DEPLOY_KEY",
            Self::Token => "HOOK_TOKEN",
        };
        name.parse().expect("invariant: capital letters make a name")
    }
}
