//! Signing in by an OpenID Connect provider: the authorization code flow with PKCE (OpenID Connect Core 1.0, section
//! 3.1; RFC 7636).
//!
//! Invariants: an answer counts only in the browser that asked, within [`flows::LIFE`], and once; nothing that the
//! provider says of somebody counts before the signature, the issuer, the audience, the time and the nonce of its ID
//! token were checked; whom it lets in is not decided here.

mod flows;
mod provider;
#[cfg(test)]
pub(crate) mod testing;
mod token;

use secrecy::SecretString;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tracing::warn;
use url::Url;

use crate::config::OpenIdSettings;
use flows::Flows;
use provider::Provider;
use token::{Expected, TokenError};

pub(crate) use flows::LIFE;

/// Why nobody came in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SignInError {
    /// Replayed, forged, of another browser, or too late.
    #[error("the answer belongs to no sign-in that this browser has begun")]
    Stale,
    /// So many sign-ins have begun that no more are remembered.
    #[error("too many sign-ins have begun and not ended")]
    Busy,
    /// The provider says no, in the word of RFC 6749, section 4.1.2.1.
    #[error("the provider refused with `{0}`")]
    Declined(String),
    #[error(transparent)]
    Token(#[from] TokenError),
    /// It does not answer, or not as an OpenID Connect provider does. For the log.
    #[error("the provider does not answer as it should")]
    Away(#[source] anyhow::Error),
}

/// Whom the provider has named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) issuer: String,
    /// Never given to anybody else there, whatever else changes.
    pub(crate) subject: String,
    pub(crate) email: Option<Email>,
}

/// In lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Email {
    pub(crate) address: String,
    /// Whether the provider says that it belongs to them.
    pub(crate) verified: bool,
}

/// What the provider sends a browser back with.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Reply {
    code: String,
    state: String,
    /// Who answers, where the provider says so (RFC 9207).
    iss: Option<String>,
    error: Option<String>,
}

/// A sign-in that has begun.
pub(crate) struct Begun {
    /// For the browser to keep.
    pub(crate) cookie: SecretString,
    /// Where it goes now.
    pub(crate) to: Url,
}

/// The provider that the settings name, and who is on the way to it.
pub(crate) struct OpenId {
    provider: Provider,
    flows: Flows,
}

impl OpenId {
    /// `None` unless the settings name a provider. `page` is where people find this server, without a slash at its end.
    pub(crate) fn new(settings: &OpenIdSettings, page: &str) -> Option<Self> {
        let provider = Provider::new(settings, format!("{page}/ui/sign-in/callback"))?;
        Some(Self { provider, flows: Flows::default() })
    }

    /// Begins a sign-in that leads to `next`, a page of ours.
    pub(crate) async fn begin(&self, next: &str) -> Result<Begun, SignInError> {
        let known = self.provider.known().await.map_err(SignInError::Away)?;
        let (cookie, flow) = self.flows.begin(next).ok_or(SignInError::Busy)?;
        let challenge = flows::encoded(&Sha256::digest(&flow.verifier));
        let to = self.provider.address(
            &known,
            &[
                ("state", &flow.state),
                ("nonce", &flow.nonce),
                ("code_challenge", &challenge),
                ("code_challenge_method", "S256"),
            ],
        );
        Ok(Begun { cookie, to })
    }

    /// Whom the provider has named to the browser with this cookie, and where they wanted to go.
    pub(crate) async fn finish(
        &self,
        cookie: Option<&str>,
        reply: &Reply,
    ) -> Result<(Identity, String), SignInError> {
        let flow =
            cookie.and_then(|cookie| self.flows.take(cookie, &reply.state)).ok_or(SignInError::Stale)?;
        if let Some(error) = &reply.error {
            let word = error.chars().filter(|c| c.is_ascii_graphic()).take(60).collect();
            return Err(SignInError::Declined(word));
        }
        // Another provider must not pass its answer off as that of ours.
        if reply.iss.as_ref().is_some_and(|issuer| issuer != self.provider.issuer()) {
            return Err(TokenError::Issuer.into());
        }
        let known = self.provider.known().await.map_err(SignInError::Away)?;
        let tokens = self.provider.redeem(&known, &reply.code, &flow.verifier).await?;
        let expected = Expected {
            issuer: self.provider.issuer(),
            client: self.provider.client(),
            nonce: &flow.nonce,
            now: jiff::Timestamp::now(),
        };
        let claims = match token::verify(&tokens.id_token, &known.keys, &expected) {
            // Providers change their keys, and not all of them give a new one a name of its own.
            Err(TokenError::Key | TokenError::Signature) => {
                let known = self.provider.renew().await.map_err(SignInError::Away)?;
                token::verify(&tokens.id_token, &known.keys, &expected)?
            }
            checked => checked?,
        };
        let email = match claims.email() {
            Some(email) if email.verified => Some(email),
            // Some tell it, or that it is verified, only when they are asked. Who is known already needs no address.
            told => match self.provider.email(&known, &tokens, &claims.sub).await {
                Ok(asked) => asked.or(told),
                Err(error) => {
                    warn!("The provider does not tell an e-mail address: {error:#}");
                    told
                }
            },
        };
        let identity = Identity { issuer: claims.iss, subject: claims.sub, email };
        Ok((identity, flow.next))
    }
}
