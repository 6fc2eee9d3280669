//! By what GitHub knows a GitHub App: tokens (RFC 7519) that its private key signs.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jiff::Timestamp;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use secrecy::SecretString;
use serde_json::json;

/// Seconds that a token begins before now and has after it. GitHub takes none that begins in its future, nor one that
/// has more than ten minutes left: so our clock may be a minute ahead.
const BEFORE: i64 = 60;
const AFTER: i64 = 9 * 60;

/// The private key of a GitHub App.
pub(crate) struct SigningKey(RsaKeyPair);

/// Why a file is not such a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyError {
    #[error("there is no private key in PEM in it")]
    NoPem,
    #[error("its key is not one of RSA with 2048 to 4096 bits")]
    NoRsa,
}

impl SigningKey {
    /// As GitHub hands it out (PKCS #1), or as tools write it (PKCS #8).
    pub(crate) fn of_pem(pem: &[u8]) -> Result<Self, KeyError> {
        let key = match PrivateKeyDer::from_pem_slice(pem).map_err(|_| KeyError::NoPem)? {
            PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der()),
            PrivateKeyDer::Pkcs8(key) => RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()),
            _ => return Err(KeyError::NoRsa),
        };
        key.map(Self).map_err(|_| KeyError::NoRsa)
    }

    /// A token that says who `app` is, for the next minutes.
    pub(crate) fn token(&self, app: &str, now: Timestamp) -> SecretString {
        let now = now.as_second();
        let header = json!({ "alg": "RS256", "typ": "JWT" });
        let claims = json!({ "iss": app, "iat": now - BEFORE, "exp": now + AFTER });
        let encoded = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let message =
            format!("{}.{}", encoded(header.to_string().as_bytes()), encoded(claims.to_string().as_bytes()));
        let mut signature = vec![0; self.0.public().modulus_len()];
        self.0
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature)
            .expect("invariant: a signature is as long as its modulus");
        format!("{message}.{}", encoded(&signature)).into()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey")
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::process::{Command, Stdio};

    use ring::signature::{KeyPair, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
    use secrecy::ExposeSecret;
    use serde_json::Value;

    use super::*;

    /// What openssl prints; keys are made anew, so that none lies about.
    pub(crate) fn openssl(words: &[&str]) -> Vec<u8> {
        let made = Command::new("openssl").args(words).stdin(Stdio::null()).stderr(Stdio::null()).output();
        made.expect("openssl").stdout
    }

    #[test]
    fn a_token_is_signed_names_the_app_and_counts_for_less_than_ten_minutes() {
        let key = SigningKey::of_pem(&openssl(&["genrsa", "-traditional", "2048"])).expect("a key");
        let now: Timestamp = "2026-11-27T08:00:00Z".parse().expect("a time");
        let token = key.token("123456", now);
        let (message, signature) = token.expose_secret().rsplit_once('.').expect("a signature");
        let decoded = |part: &str| BASE64_URL_SAFE_NO_PAD.decode(part).expect("base64");
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.0.public_key().as_ref());
        public.verify(message.as_bytes(), &decoded(signature)).expect("its signature");
        assert!(public.verify(b"another message", &decoded(signature)).is_err());
        let read = |part: &str| serde_json::from_slice::<Value>(&decoded(part)).expect("JSON");
        let (header, claims) = message.split_once('.').expect("two parts");
        assert_eq!(read(header)["alg"], "RS256");
        let claims = read(claims);
        assert_eq!(claims["iss"], "123456");
        assert_eq!(claims["iat"], now.as_second() - 60);
        let left = claims["exp"].as_i64().expect("a number") - now.as_second();
        assert!((60..600).contains(&left), "{claims}");
    }

    #[test]
    fn keys_are_read_in_both_forms_and_what_is_none_is_told_apart() {
        assert!(SigningKey::of_pem(&openssl(&["genpkey", "-algorithm", "RSA"])).is_ok());
        assert_eq!(SigningKey::of_pem(b"123456").expect_err("no key"), KeyError::NoPem);
        let elliptic = openssl(&["genpkey", "-algorithm", "ED25519"]);
        assert_eq!(SigningKey::of_pem(&elliptic).expect_err("no RSA"), KeyError::NoRsa);
        let small = openssl(&["genrsa", "1024"]);
        assert_eq!(SigningKey::of_pem(&small).expect_err("too small"), KeyError::NoRsa);
        let key = SigningKey::of_pem(&openssl(&["genrsa", "2048"])).expect("a key");
        assert_eq!(format!("{key:?}"), "SigningKey");
    }
}
