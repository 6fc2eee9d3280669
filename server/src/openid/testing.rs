//! A provider's keys, for tests that need tokens which no provider would sign.

use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair,
};
use serde_json::{Value, json};

use super::flows::encoded;

/// A fresh key.
pub(crate) struct Signer {
    id: &'static str,
    pair: Pair,
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    Ecdsa { pair: EcdsaKeyPair, alg: &'static str, crv: &'static str },
}

impl Signer {
    pub(crate) fn ed25519(id: &'static str) -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("random bytes");
        let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).expect("a key");
        Self { id, pair: Pair::Ed25519(pair) }
    }

    pub(crate) fn p256(id: &'static str) -> Self {
        Self::ecdsa(id, &ECDSA_P256_SHA256_FIXED_SIGNING, ("ES256", "P-256"))
    }

    pub(crate) fn p384(id: &'static str) -> Self {
        Self::ecdsa(id, &ECDSA_P384_SHA384_FIXED_SIGNING, ("ES384", "P-384"))
    }

    fn ecdsa(
        id: &'static str,
        how: &'static EcdsaSigningAlgorithm,
        (alg, crv): (&'static str, &'static str),
    ) -> Self {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(how, &random).expect("random bytes");
        let pair = EcdsaKeyPair::from_pkcs8(how, document.as_ref(), &random).expect("a key");
        Self { id, pair: Pair::Ecdsa { pair, alg, crv } }
    }

    /// As the provider publishes it.
    pub(crate) fn public(&self) -> Value {
        match &self.pair {
            Pair::Ed25519(pair) => {
                let x = encoded(pair.public_key().as_ref());
                json!({ "kty": "OKP", "crv": "Ed25519", "kid": self.id, "use": "sig", "x": x })
            }
            Pair::Ecdsa { pair, alg, crv } => {
                let point = &pair.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                let (x, y) = (encoded(x), encoded(y));
                json!({ "kty": "EC", "crv": crv, "kid": self.id, "use": "sig", "alg": alg, "x": x, "y": y })
            }
        }
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        let alg = match &self.pair {
            Pair::Ed25519(_) => "EdDSA",
            Pair::Ecdsa { alg, .. } => alg,
        };
        let header = json!({ "alg": alg, "kid": self.id, "typ": "JWT" });
        let message =
            format!("{}.{}", encoded(header.to_string().as_bytes()), encoded(claims.to_string().as_bytes()));
        let signature = match &self.pair {
            Pair::Ed25519(pair) => encoded(pair.sign(message.as_bytes()).as_ref()),
            Pair::Ecdsa { pair, .. } => {
                let signed = pair.sign(&SystemRandom::new(), message.as_bytes());
                encoded(signed.expect("random bytes").as_ref())
            }
        };
        format!("{message}.{signature}")
    }
}
