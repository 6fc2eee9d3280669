//! API tokens: `slp_`, 256 random bits in hex, and a checksum that catches a token cut short before any look-up.
//!
//! Invariant: only the SHA-256 of a token is ever stored. 256 random bits need no slow hash.

use secrecy::SecretString;
use sha2::{Digest, Sha256};

const PREFIX: &str = "slp_";
const RANDOM_BYTES: usize = 32;
const CHECKSUM_CHARS: usize = 8;

/// A fresh token, for its owner's eyes only.
pub(crate) fn generate() -> SecretString {
    let mut random = [0; RANDOM_BYTES];
    rand::fill(&mut random);
    let body = format!("{PREFIX}{}", hex::encode(random));
    let checksum = checksum(&body);
    SecretString::from(format!("{body}{checksum}"))
}

/// What a token is looked up by, or `None` for text that no `generate` has made.
pub(crate) fn hash(token: &str) -> Option<[u8; 32]> {
    let cut = PREFIX.len() + 2 * RANDOM_BYTES;
    let (body, sum) = token.split_at_checked(cut)?;
    let whole = token.is_ascii() && token.starts_with(PREFIX) && sum == checksum(body);
    whole.then(|| Sha256::digest(token.as_bytes()).into())
}

fn checksum(body: &str) -> String {
    let mut sum = hex::encode(Sha256::digest(body.as_bytes()));
    sum.truncate(CHECKSUM_CHARS);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    #[test]
    fn a_fresh_token_is_recognised_and_a_damaged_one_is_not() {
        let token = generate();
        let token = token.expose_secret();
        assert!(hash(token).is_some());
        assert!(hash(&token[..token.len() - 1]).is_none());
        assert!(hash(&format!("{token}0")).is_none());
        assert!(hash(&token.replace("slp_", "xyz_")).is_none());
        assert!(hash("").is_none());
        assert!(hash("ä").is_none());
    }

    #[test]
    fn two_tokens_differ() {
        assert_ne!(generate().expose_secret(), generate().expose_secret());
    }
}
