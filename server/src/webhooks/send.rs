//! One try of one delivery: the address looked up and checked, the body signed, the answer read.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use reqwest::{Client, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use super::{body, manage};
use crate::crypto::CryptoError;
use crate::db::webhooks::Due;
use crate::hooks::address::AddressError;
use crate::hooks::{outgoing, signature};
use crate::platform::Platform;

/// For a receiver to answer.
const ANSWER: Duration = Duration::from_secs(10);

/// Why a delivery was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotTaken {
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error("the address is none of https any more")]
    NoAddress,
    #[error("the receiver answered {0}, and redirects are not followed: give the address that it leads to")]
    Redirected(StatusCode),
    #[error("the receiver answered {0}")]
    Refused(StatusCode),
    #[error("the receiver took longer than {} s to answer", ANSWER.as_secs())]
    Slow,
    #[error("the receiver cannot be reached, or its certificate is not trusted")]
    Unreachable,
    #[error("the certificates in SLIPWAY_HOOK_CA cannot be read")]
    Authorities,
    #[error("the secret cannot be opened")]
    Crypto(#[from] CryptoError),
}

impl NotTaken {
    /// What the receiver answered, if it did.
    pub(super) fn code(&self) -> Option<i32> {
        match self {
            Self::Redirected(status) | Self::Refused(status) => Some(i32::from(status.as_u16())),
            _ => None,
        }
    }

    /// Whether another try could go better.
    pub(super) fn may_pass(&self) -> bool {
        // 410 is how a receiver says that it wants no more.
        !matches!(self, Self::NoAddress | Self::Crypto(_) | Self::Refused(StatusCode::GONE))
    }
}

/// The receiver's status, if it has taken the delivery.
pub(super) async fn send(platform: &Platform, due: &Due, attempt: Uuid) -> Result<i32, NotTaken> {
    let url = manage::parse(&due.url).map_err(|_| NotTaken::NoAddress)?;
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let port = url.port_or_known_default().unwrap_or(443);
    let client = client(platform, &host, port).await?;
    let key = platform.keys.unwrap(due.app_id, &due.wrapped_key)?;
    let secret = manage::open(&key, due.app_id, &due.secret)?;
    let text = body::of(due, attempt, &platform.settings.http.base_url()).to_string();
    let mut request = client.post(url).header("Content-Type", "application/json");
    for (name, value) in signatures(&secret, due, &text, Timestamp::now()) {
        request = request.header(name, value);
    }
    let sent = request.body(text).send().await;
    let status = match sent {
        Ok(answer) => answer.status(),
        Err(error) if error.is_timeout() => return Err(NotTaken::Slow),
        Err(_) => return Err(NotTaken::Unreachable),
    };
    match status {
        _ if status.is_success() => Ok(i32::from(status.as_u16())),
        _ if status.is_redirection() => Err(NotTaken::Redirected(status)),
        _ => Err(NotTaken::Refused(status)),
    }
}

/// A client for the receiver.
async fn client(platform: &Platform, host: &str, port: u16) -> Result<Client, NotTaken> {
    let hooks = &platform.settings.hooks;
    let mut client = outgoing::client(hooks, (host, port), ANSWER).await?;
    let authorities = outgoing::authorities(hooks).await.map_err(|_| NotTaken::Authorities)?;
    if let Some(certificates) = authorities {
        // Beside the system's: receivers are anywhere, not only at the host that this is the authority of.
        client = client.tls_certs_merge(certificates);
    }
    client.build().map_err(|_| NotTaken::Authorities)
}

/// The signature in Heroku's header, for receivers that were written for Heroku; and those of Standard Webhooks, which
/// have the time in them, so that what was recorded once cannot be sent again later.
fn signatures(secret: &SecretString, due: &Due, text: &str, now: Timestamp) -> [(&'static str, String); 4] {
    let secret = secret.expose_secret();
    let (id, seconds) = (due.id.to_string(), now.as_second().to_string());
    let heroku = signature::mac(secret.as_bytes(), &[text.as_bytes()]);
    let pieces = [id.as_bytes(), b".", seconds.as_bytes(), b".", text.as_bytes()];
    let standard = signature::mac(&signature::key_of(secret), &pieces);
    [
        ("Heroku-Webhook-Hmac-SHA256", BASE64_STANDARD.encode(heroku)),
        ("webhook-signature", format!("v1,{}", BASE64_STANDARD.encode(standard))),
        ("webhook-id", id),
        ("webhook-timestamp", seconds),
    ]
}
