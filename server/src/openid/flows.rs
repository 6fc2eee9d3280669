//! Sign-ins that have begun, each bound to the browser that began it by a cookie.
//!
//! Invariant: each is taken once. They are in memory only: after a restart people press the button again.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use crate::domain::token;

/// How long people may take at the provider.
pub(crate) const LIFE: Duration = Duration::from_secs(10 * 60);
/// Sign-ins that are remembered. When there are so many, those that are too old are forgotten, and if that is not
/// enough, no more begin: each is a few hundred bytes.
const MOST: usize = 10_000;

/// What is remembered of one.
#[derive(Debug, Clone)]
pub(super) struct Flow {
    /// Comes back with the answer: it is the one to our question.
    pub(super) state: String,
    /// Comes back in the ID token: it was made for this question.
    pub(super) nonce: String,
    /// Who has it is the one that asked (PKCE).
    pub(super) verifier: String,
    /// The page of ours that somebody wanted.
    pub(super) next: String,
}

#[derive(Default)]
pub(super) struct Flows {
    /// By the hash of the browser's cookie.
    begun: Mutex<HashMap<[u8; 32], (Instant, Flow)>>,
}

impl Flows {
    /// A new one with the cookie for the browser; `None` when there are too many.
    pub(super) fn begin(&self, next: &str) -> Option<(SecretString, Flow)> {
        self.begin_at(next, Instant::now())
    }

    /// The one that this cookie and this state belong to.
    pub(super) fn take(&self, cookie: &str, state: &str) -> Option<Flow> {
        self.take_at(cookie, state, Instant::now())
    }

    fn begin_at(&self, next: &str, now: Instant) -> Option<(SecretString, Flow)> {
        let cookie = token::generate();
        let hash = token::hash(cookie.expose_secret())?;
        let flow = Flow { state: random(), nonce: random(), verifier: random(), next: next.to_owned() };
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        if begun.len() >= MOST {
            begun.retain(|_, (at, _)| now.duration_since(*at) < LIFE);
        }
        if begun.len() >= MOST {
            return None;
        }
        begun.insert(hash, (now, flow.clone()));
        Some((cookie, flow))
    }

    fn take_at(&self, cookie: &str, state: &str, now: Instant) -> Option<Flow> {
        let hash = token::hash(cookie)?;
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, flow) = begun.get(&hash)?;
        // A link that somebody else has made does not end it.
        if !bool::from(flow.state.as_bytes().ct_eq(state.as_bytes())) {
            return None;
        }
        let (at, flow) = begun.remove(&hash)?;
        (now.duration_since(at) < LIFE).then_some(flow)
    }
}

/// 256 random bits as text for an address.
fn random() -> String {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes);
    encoded(&bytes)
}

/// Base64 as addresses and tokens have it.
pub(super) fn encoded(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_in_is_taken_once_by_its_browser_with_its_state_and_in_time() {
        let (flows, start) = (Flows::default(), Instant::now());
        let (cookie, flow) = flows.begin_at("/ui/apps", start).unwrap();
        let (other, _) = flows.begin_at("/ui/apps", start).unwrap();
        let take = |cookie: &SecretString, state: &str, at| flows.take_at(cookie.expose_secret(), state, at);
        assert!(take(&other, &flow.state, start).is_none());
        assert!(take(&cookie, "another", start).is_none());
        assert_eq!(take(&cookie, &flow.state, start).unwrap().verifier, flow.verifier);
        assert!(take(&cookie, &flow.state, start).is_none(), "it was taken twice");
        let (late, flow) = flows.begin_at("/ui/apps", start).unwrap();
        assert!(take(&late, &flow.state, start + LIFE).is_none());
    }

    #[test]
    fn the_memory_is_bounded_and_those_that_are_too_old_make_room() {
        let (flows, start) = (Flows::default(), Instant::now());
        for _ in 0..MOST {
            assert!(flows.begin_at("/ui/apps", start).is_some());
        }
        assert!(flows.begin_at("/ui/apps", start).is_none());
        assert!(flows.begin_at("/ui/apps", start + LIFE).is_some());
    }
}
