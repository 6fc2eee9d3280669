//! Who has sent a delivery: its signature, over the bytes as they came, compared in constant time.
//!
//! Invariant: there is no way in without a secret. A delivery without a signature, or with one that its host does not
//! make, is turned away.

use axum::http::HeaderMap;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};

use crate::domain::hook::Provider;

/// How old, or how far ahead, the time in a signature may be, in seconds.
const TOLERANCE_SECONDS: i64 = 5 * 60;
/// What our secrets begin with. Who signs by the Standard Webhooks' rules takes the bytes behind it for the key.
const PREFIX: &str = "whsec_";
const SECRET_BYTES: usize = 32;

/// Why a delivery was turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Forged {
    #[error("it was not signed: is the secret set at the host?")]
    Unsigned,
    #[error("its signature is not one of this app's secret: is the secret at the host the newest?")]
    Wrong,
    #[error("the time in its signature is not now: is the clock of one of the two machines wrong?")]
    Stale,
}

/// A fresh secret.
pub(crate) fn new_secret() -> SecretString {
    let bytes: [u8; SECRET_BYTES] = rand::random();
    format!("{PREFIX}{}", BASE64_STANDARD.encode(bytes)).into()
}

/// Whether one of the secrets has signed the body.
pub(crate) fn verify(
    provider: Provider,
    headers: &HeaderMap,
    body: &[u8],
    secrets: &[SecretString],
) -> Result<(), Forged> {
    let signed = Signed::read(provider, headers).ok_or(Forged::Unsigned)?;
    // Each is tried, so that the time does not tell which of them it was.
    let fits = secrets.iter().fold(Choice::from(0), |fits, secret| fits | signed.fits(secret, body));
    if !bool::from(fits) {
        return Err(Forged::Wrong);
    }
    signed.is_now()
}

/// What a host sends along.
enum Signed<'a> {
    /// HMAC-SHA256 of the body, as hexadecimal digits.
    Hex(&'a str),
    /// The secret itself.
    Plain(&'a str),
    /// HMAC-SHA256 of `id.timestamp.body`, one or more `v1,<base64>`.
    Standard { id: &'a str, timestamp: &'a str, signatures: &'a str },
}

impl<'a> Signed<'a> {
    fn read(provider: Provider, headers: &'a HeaderMap) -> Option<Self> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let hub = || text("x-hub-signature-256")?.strip_prefix("sha256=").map(Self::Hex);
        let standard = || {
            let (id, timestamp) = (text("webhook-id")?, text("webhook-timestamp")?);
            Some(Self::Standard { id, timestamp, signatures: text("webhook-signature")? })
        };
        match provider {
            Provider::Github => hub(),
            Provider::Gitlab => standard().or_else(|| text("x-gitlab-token").map(Self::Plain)),
            Provider::Gitea => text("x-gitea-signature").map(Self::Hex),
            Provider::Forgejo => {
                text("x-forgejo-signature").or_else(|| text("x-gitea-signature")).map(Self::Hex)
            }
            Provider::Generic => standard().or_else(hub),
        }
    }

    fn fits(&self, secret: &SecretString, body: &[u8]) -> Choice {
        let secret = secret.expose_secret();
        match self {
            Self::Hex(digits) => {
                let Ok(sent) = hex::decode(digits) else { return Choice::from(0) };
                mac(secret.as_bytes(), &[body]).ct_eq(&sent)
            }
            Self::Plain(sent) => secret.as_bytes().ct_eq(sent.as_bytes()),
            Self::Standard { id, timestamp, signatures } => {
                let made = mac(&key_of(secret), &[id.as_bytes(), b".", timestamp.as_bytes(), b".", body]);
                signatures
                    .split(' ')
                    .filter_map(|signature| BASE64_STANDARD.decode(signature.strip_prefix("v1,")?).ok())
                    .fold(Choice::from(0), |fits, sent| fits | made.ct_eq(&sent))
            }
        }
    }

    fn is_now(&self) -> Result<(), Forged> {
        let Self::Standard { timestamp, .. } = self else { return Ok(()) };
        let sent: i64 = timestamp.parse().map_err(|_| Forged::Stale)?;
        let off = Timestamp::now().as_second().saturating_sub(sent).saturating_abs();
        if off > TOLERANCE_SECONDS { Err(Forged::Stale) } else { Ok(()) }
    }
}

/// The bytes behind the prefix where there is one, else the text's own.
pub(crate) fn key_of(secret: &str) -> Vec<u8> {
    let decoded = secret.strip_prefix(PREFIX).and_then(|encoded| BASE64_STANDARD.decode(encoded).ok());
    decoded.unwrap_or_else(|| secret.as_bytes().to_vec())
}

/// HMAC-SHA256 of the pieces one after another.
pub(crate) fn mac(key: &[u8], pieces: &[&[u8]]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("invariant: HMAC takes keys of any length");
    pieces.iter().for_each(|piece| mac.update(piece));
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// GitHub's own example: https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
    const SECRET: &str = "It's a Secret to Everybody";
    const BODY: &[u8] = b"Hello, World!";
    const DIGITS: &str = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")))
            .collect()
    }

    fn verified(provider: Provider, pairs: &[(&'static str, &str)], body: &[u8]) -> Result<(), Forged> {
        let secrets = ["newer".to_owned().into(), SECRET.to_owned().into()];
        verify(provider, &headers(pairs), body, &secrets)
    }

    #[test]
    fn githubs_published_signature_is_accepted_and_nothing_near_it() {
        let signature = format!("sha256={DIGITS}");
        let github =
            |value: &str, body: &[u8]| verified(Provider::Github, &[("x-hub-signature-256", value)], body);
        assert_eq!(github(&signature, BODY), Ok(()));
        assert_eq!(github(&signature, b"Hello, World"), Err(Forged::Wrong));
        assert_eq!(github(&signature.replace("757", "756"), BODY), Err(Forged::Wrong));
        assert_eq!(github(&signature[..signature.len() - 2], BODY), Err(Forged::Wrong));
        assert_eq!(github("sha256=", BODY), Err(Forged::Wrong));
        assert_eq!(github(DIGITS, BODY), Err(Forged::Unsigned));
        assert_eq!(
            verified(Provider::Github, &[("x-hub-signature", "sha1=00")], BODY),
            Err(Forged::Unsigned)
        );
        assert_eq!(verified(Provider::Github, &[("x-gitlab-token", SECRET)], BODY), Err(Forged::Unsigned));
    }

    #[test]
    fn each_host_signs_in_its_own_header() {
        assert_eq!(verified(Provider::Gitea, &[("x-gitea-signature", DIGITS)], BODY), Ok(()));
        assert_eq!(verified(Provider::Forgejo, &[("x-forgejo-signature", DIGITS)], BODY), Ok(()));
        assert_eq!(
            verified(Provider::Gitea, &[("x-forgejo-signature", DIGITS)], BODY),
            Err(Forged::Unsigned)
        );
        assert_eq!(verified(Provider::Gitlab, &[("x-gitlab-token", SECRET)], BODY), Ok(()));
        assert_eq!(verified(Provider::Gitlab, &[("x-gitlab-token", "")], BODY), Err(Forged::Wrong));
        let hub = format!("sha256={DIGITS}");
        assert_eq!(verified(Provider::Generic, &[("x-hub-signature-256", &hub)], BODY), Ok(()));
    }

    #[test]
    fn a_signature_with_a_time_is_good_for_minutes() {
        let secret = new_secret();
        let key = BASE64_STANDARD.decode(&secret.expose_secret()[PREFIX.len()..]).expect("base64");
        let signed = |seconds: i64| {
            let timestamp = (Timestamp::now().as_second() + seconds).to_string();
            let made = mac(&key, &[b"id-1.", timestamp.as_bytes(), b".", BODY]);
            let signatures = format!("v1,AAAA v1,{}", BASE64_STANDARD.encode(made));
            let sent = headers(&[
                ("webhook-id", "id-1"),
                ("webhook-timestamp", &timestamp),
                ("webhook-signature", &signatures),
            ]);
            verify(Provider::Gitlab, &sent, BODY, std::slice::from_ref(&secret))
        };
        assert_eq!(signed(0), Ok(()));
        assert_eq!(signed(-600), Err(Forged::Stale));
        assert_eq!(signed(600), Err(Forged::Stale));
    }
}
