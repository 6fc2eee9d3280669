//! ID tokens: signed JSON (RFC 7515, RFC 7519) with the claims of OpenID Connect Core 1.0, checked as its section
//! 3.1.3.7 says.
//!
//! Invariant: the kind of signature is what the provider's key can make, not what the token asks for: there is no
//! `none`, and no shared secret.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jiff::Timestamp;
use ring::signature::{
    self, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};
use serde::Deserialize;
use subtle::ConstantTimeEq;

use super::Email;

/// What clocks may differ, in seconds.
const LEEWAY: f64 = 60.0;

/// Why a token does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("it is not a signed token")]
    Malformed,
    #[error("it is signed with a key that the provider does not publish")]
    Key,
    #[error("its signature is wrong")]
    Signature,
    #[error("it is of another issuer")]
    Issuer,
    #[error("it is meant for another application")]
    Audience,
    #[error("it has expired, or is not valid yet: compare the clocks of both machines")]
    Time,
    #[error("it answers another sign-in")]
    Nonce,
}

/// What a token has to say to be the answer to our question.
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a str,
    pub(super) client: &'a str,
    pub(super) nonce: &'a str,
    pub(super) now: Timestamp,
}

/// A key of the provider (RFC 7517), with what its kind has.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Key {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    /// Extensions that have to be understood; we know none.
    crit: Option<serde::de::IgnoredAny>,
}

/// What is read of a token, and of the provider's answer about somebody.
#[derive(Debug, Deserialize)]
pub(super) struct Claims {
    pub(super) iss: String,
    pub(super) sub: String,
    aud: Audience,
    azp: Option<String>,
    exp: f64,
    nbf: Option<f64>,
    nonce: Option<String>,
    #[serde(flatten)]
    address: Address,
}

#[derive(Debug, Deserialize)]
pub(super) struct Address {
    email: Option<String>,
    email_verified: Option<Flag>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

/// Some providers write it as text.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Flag {
    Bool(bool),
    Text(String),
}

impl Claims {
    pub(super) fn email(&self) -> Option<Email> {
        self.address.email()
    }
}

impl Address {
    pub(super) fn email(&self) -> Option<Email> {
        let verified = match &self.email_verified {
            Some(Flag::Bool(verified)) => *verified,
            Some(Flag::Text(text)) => text == "true",
            None => false,
        };
        let address = self.email.as_deref()?.trim().to_ascii_lowercase();
        (!address.is_empty()).then_some(Email { address, verified })
    }
}

/// The claims of a token, if all of it is as expected.
pub(super) fn verify(token: &str, keys: &[Key], expected: &Expected<'_>) -> Result<Claims, TokenError> {
    let (message, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
    let (header, payload) = message.split_once('.').ok_or(TokenError::Malformed)?;
    let header: Header = part(header)?;
    if header.crit.is_some() {
        return Err(TokenError::Malformed);
    }
    let signature = bytes(signature).ok_or(TokenError::Malformed)?;
    let mut fitting = keys.iter().filter(|key| key.fits(&header)).peekable();
    if fitting.peek().is_none() {
        return Err(TokenError::Key);
    }
    if !fitting.any(|key| key.has_signed(&header.alg, message.as_bytes(), &signature)) {
        return Err(TokenError::Signature);
    }
    let claims: Claims = part(payload)?;
    claims.check(expected)?;
    Ok(claims)
}

impl Claims {
    fn check(&self, expected: &Expected<'_>) -> Result<(), TokenError> {
        if self.iss != expected.issuer {
            return Err(TokenError::Issuer);
        }
        let meant = match &self.aud {
            Audience::One(one) => one == expected.client,
            // For several, it says to which of them it was given.
            Audience::Many(many) => {
                many.iter().any(|one| one == expected.client) && (many.len() == 1 || self.azp.is_some())
            }
        };
        if !meant || self.azp.as_ref().is_some_and(|party| party != expected.client) {
            return Err(TokenError::Audience);
        }
        let now = expected.now.as_duration().as_secs_f64();
        // Written so that what is no number is refused.
        let alive = now < self.exp + LEEWAY && self.nbf.is_none_or(|from| from - LEEWAY <= now);
        if !alive {
            return Err(TokenError::Time);
        }
        let nonce = self.nonce.as_deref().unwrap_or_default();
        if !bool::from(nonce.as_bytes().ct_eq(expected.nonce.as_bytes())) {
            return Err(TokenError::Nonce);
        }
        if self.sub.is_empty() || self.sub.len() > 255 {
            return Err(TokenError::Malformed);
        }
        Ok(())
    }
}

impl Key {
    fn fits(&self, header: &Header) -> bool {
        let named = header.kid.is_none() || self.kid == header.kid;
        let kind = match header.alg.as_str() {
            "RS256" | "RS384" | "RS512" | "PS256" | "PS384" | "PS512" => self.kty == "RSA",
            "ES256" => self.kty == "EC" && self.crv.as_deref() == Some("P-256"),
            "ES384" => self.kty == "EC" && self.crv.as_deref() == Some("P-384"),
            "EdDSA" | "Ed25519" => self.kty == "OKP" && self.crv.as_deref() == Some("Ed25519"),
            _ => false,
        };
        let allowed = self.purpose.as_deref().is_none_or(|purpose| purpose == "sig")
            && self.alg.as_deref().is_none_or(|alg| alg == header.alg);
        named && kind && allowed
    }

    fn has_signed(&self, algorithm: &str, message: &[u8], signature: &[u8]) -> bool {
        let rsa = |how| self.rsa(how, message, signature);
        let curve = |how, key: Option<Vec<u8>>| {
            key.is_some_and(|key| UnparsedPublicKey::new(how, key).verify(message, signature).is_ok())
        };
        let point = || Some([vec![4], part_of(&self.x)?, part_of(&self.y)?].concat());
        let how: &dyn VerificationAlgorithm = match algorithm {
            "RS256" => return rsa(&signature::RSA_PKCS1_2048_8192_SHA256),
            "RS384" => return rsa(&signature::RSA_PKCS1_2048_8192_SHA384),
            "RS512" => return rsa(&signature::RSA_PKCS1_2048_8192_SHA512),
            "PS256" => return rsa(&signature::RSA_PSS_2048_8192_SHA256),
            "PS384" => return rsa(&signature::RSA_PSS_2048_8192_SHA384),
            "PS512" => return rsa(&signature::RSA_PSS_2048_8192_SHA512),
            "ES256" => &signature::ECDSA_P256_SHA256_FIXED,
            "ES384" => &signature::ECDSA_P384_SHA384_FIXED,
            _ => return curve(&signature::ED25519, part_of(&self.x)),
        };
        curve(how, point())
    }

    fn rsa(&self, how: &'static RsaParameters, message: &[u8], signature: &[u8]) -> bool {
        let (Some(n), Some(e)) = (part_of(&self.n), part_of(&self.e)) else { return false };
        // Some write the number with a sign's byte before it.
        let n = n.iter().position(|byte| *byte != 0).map(|first| &n[first..]).unwrap_or_default();
        RsaPublicKeyComponents { n, e: &e[..] }.verify(how, message, signature).is_ok()
    }
}

fn part<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, TokenError> {
    let bytes = bytes(text).ok_or(TokenError::Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| TokenError::Malformed)
}

fn part_of(text: &Option<String>) -> Option<Vec<u8>> {
    bytes(text.as_deref()?)
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    BASE64_URL_SAFE_NO_PAD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::openid::testing::Signer;

    const NOW: i64 = 1_800_000_000;

    fn good() -> Value {
        json!({
            "iss": "https://id.example.com", "sub": "248289", "aud": "slipway", "exp": NOW + 300, "iat": NOW,
            "nonce": "n-0S6", "email": "Ada@Example.com", "email_verified": true,
        })
    }

    /// The good claims with one of them replaced; `null` takes it away.
    fn with(name: &str, value: Value) -> Value {
        let mut claims = good();
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value,
        }
        claims
    }

    fn checked(token: &str, keys: &Value) -> Result<Claims, TokenError> {
        let keys: Vec<Key> = serde_json::from_value(keys.clone()).unwrap();
        let now = Timestamp::from_second(NOW).unwrap();
        let expected = Expected { issuer: "https://id.example.com", client: "slipway", nonce: "n-0S6", now };
        verify(token, &keys, &expected)
    }

    #[test]
    fn a_good_token_counts_by_every_kind_of_key() {
        for signer in [Signer::ed25519("a"), Signer::p256("b"), Signer::p384("c")] {
            let claims = checked(&signer.sign(&good()), &json!([signer.public()])).unwrap();
            assert_eq!(claims.sub, "248289");
            let email = Email { address: "ada@example.com".into(), verified: true };
            assert_eq!(claims.email(), Some(email));
        }
    }

    /// Of RFC 7515, appendix A.2: an RSA key, and what it has signed.
    #[test]
    fn an_rsa_signature_of_the_standard_is_right_and_a_changed_one_is_not() {
        let key = json!([{
            "kty": "RSA", "e": "AQAB",
            "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yR\
                  T-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXB\
                  dQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9ia\
                  GNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ",
        }]);
        let token = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9p\
                     c19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5\
                     YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBM\
                     Hlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUip\
                     UTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
        // Its signature is right, and then it lacks a subject.
        assert_eq!(checked(token, &key).unwrap_err(), TokenError::Malformed);
        let changed = token.replace(".cC4h", ".cC4i");
        assert_eq!(checked(&changed, &key).unwrap_err(), TokenError::Signature);
    }

    #[test]
    fn every_claim_that_is_not_as_expected_is_refused() {
        let signer = Signer::ed25519("a");
        let refused = |claims: &Value| checked(&signer.sign(claims), &json!([signer.public()])).map(drop);
        for (name, value, expected) in [
            ("iss", json!("https://evil.example"), TokenError::Issuer),
            ("iss", json!("https://id.example.com/"), TokenError::Issuer),
            ("iss", Value::Null, TokenError::Malformed),
            ("aud", json!("another"), TokenError::Audience),
            ("aud", json!([]), TokenError::Audience),
            ("aud", json!(["slipway", "another"]), TokenError::Audience),
            ("aud", Value::Null, TokenError::Malformed),
            ("azp", json!("another"), TokenError::Audience),
            ("exp", json!(NOW - 61), TokenError::Time),
            ("exp", Value::Null, TokenError::Malformed),
            ("exp", json!("2099"), TokenError::Malformed),
            ("nbf", json!(NOW + 61), TokenError::Time),
            ("nonce", json!("another"), TokenError::Nonce),
            ("nonce", json!(""), TokenError::Nonce),
            ("nonce", Value::Null, TokenError::Nonce),
            ("sub", json!(""), TokenError::Malformed),
        ] {
            assert_eq!(refused(&with(name, value.clone())), Err(expected), "{name} {value}");
        }
        assert_eq!(refused(&with("exp", json!(NOW - 59))), Ok(()));
        assert_eq!(refused(&with("aud", json!(["slipway"]))), Ok(()));
        let mut both = with("aud", json!(["another", "slipway"]));
        both["azp"] = json!("slipway");
        assert_eq!(refused(&both), Ok(()));
    }

    #[test]
    fn only_keys_of_the_provider_count_and_a_token_does_not_choose_how_it_is_checked() {
        let (ours, other) = (Signer::ed25519("a"), Signer::ed25519("a"));
        let keys = json!([ours.public()]);
        assert_eq!(checked(&other.sign(&good()), &keys).unwrap_err(), TokenError::Signature);
        assert_eq!(checked(&Signer::ed25519("z").sign(&good()), &keys).unwrap_err(), TokenError::Key);
        let [header, payload, signature] =
            ours.sign(&good()).split('.').map(str::to_owned).collect::<Vec<_>>().try_into().unwrap();
        let headed =
            |header: &Value| super::super::flows::encoded(serde_json::to_string(header).unwrap().as_bytes());
        for alg in ["none", "HS256", "ES256", "RS256"] {
            let token = format!("{}.{payload}.{signature}", headed(&json!({ "alg": alg, "kid": "a" })));
            assert_eq!(checked(&token, &keys).unwrap_err(), TokenError::Key, "{alg}");
        }
        let none = format!("{}.{payload}.", headed(&json!({ "alg": "none" })));
        assert_eq!(checked(&none, &keys).unwrap_err(), TokenError::Key);
        let crit = headed(&json!({ "alg": "EdDSA", "kid": "a", "crit": ["b64"] }));
        assert_eq!(
            checked(&format!("{crit}.{payload}.{signature}"), &keys).unwrap_err(),
            TokenError::Malformed
        );
        let eve = super::super::flows::encoded(with("sub", json!("eve")).to_string().as_bytes());
        assert_eq!(
            checked(&format!("{header}.{eve}.{signature}"), &keys).unwrap_err(),
            TokenError::Signature
        );
        for garbage in ["", ".", "..", "a.b", "a.b.c", &format!("{header}.{payload}")] {
            assert_eq!(checked(garbage, &keys).unwrap_err(), TokenError::Malformed, "{garbage:?}");
        }
        let mut encrypting = ours.public();
        encrypting["use"] = json!("enc");
        assert_eq!(checked(&ours.sign(&good()), &json!([encrypting])).unwrap_err(), TokenError::Key);
    }

    #[test]
    fn an_address_is_verified_only_if_the_provider_says_so() {
        let verified =
            |text: &str| serde_json::from_str::<Address>(text).unwrap().email().map(|e| e.verified);
        assert_eq!(verified(r#"{"email": "a@b.c", "email_verified": "true"}"#), Some(true));
        assert_eq!(verified(r#"{"email": "a@b.c", "email_verified": "false"}"#), Some(false));
        assert_eq!(verified(r#"{"email": "a@b.c", "email_verified": false}"#), Some(false));
        assert_eq!(verified(r#"{"email": "a@b.c"}"#), Some(false));
        assert_eq!(verified(r#"{"email_verified": true}"#), None);
    }
}
