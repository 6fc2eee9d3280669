//! Tokens by repository, until some minutes before they expire. Who asks while one is being made waits for that one.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;

use super::AppError;

/// What a token has left at least when it is handed out: the largest fetch begins its last request within it.
const MARGIN: SignedDuration = SignedDuration::from_mins(5);

#[derive(Debug, Clone, Default)]
pub(super) struct Cache {
    slots: Arc<std::sync::Mutex<HashMap<String, Slot>>>,
}

type Slot = Arc<Mutex<Option<Token>>>;

/// A token and when it ends, by our clock.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) text: SecretString,
    pub(super) until: Timestamp,
}

impl Token {
    fn counts(&self, now: Timestamp) -> bool {
        now + MARGIN < self.until
    }
}

impl Cache {
    /// The token that is known, else the one that `make` brings.
    pub(super) async fn get<F>(
        &self,
        repository: &str,
        now: Timestamp,
        make: impl FnOnce() -> F,
    ) -> Result<SecretString, AppError>
    where
        F: Future<Output = Result<Token, AppError>>,
    {
        let slot = self.slot(repository, now);
        let mut known = slot.lock().await;
        if let Some(token) = known.as_ref().filter(|token| token.counts(now)) {
            return Ok(token.text.clone());
        }
        // One that ends sooner is good for now, if not for later.
        let token = known.insert(make().await?);
        Ok(token.text.clone())
    }

    /// Drops the token, unless another one has taken its place.
    pub(super) async fn forget(&self, repository: &str, token: &SecretString) {
        let slot = self.slots.lock().unwrap_or_else(PoisonError::into_inner).get(repository).cloned();
        let Some(slot) = slot else { return };
        let mut known = slot.lock().await;
        known.take_if(|known| known.text.expose_secret() == token.expose_secret());
    }

    fn slot(&self, repository: &str, now: Timestamp) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(repository) {
            return Arc::clone(slot);
        }
        // Repositories that nobody asks for any more.
        let counts = |known: &Option<Token>| known.as_ref().is_some_and(|token| token.counts(now));
        slots.retain(|_, slot| {
            Arc::strong_count(slot) > 1 || slot.try_lock().is_ok_and(|known| counts(&known))
        });
        Arc::clone(slots.entry(repository.to_owned()).or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn at(minute: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minute)
    }

    /// A cache, and how often it had a token made: each for an hour, numbered.
    #[derive(Default)]
    struct Counted {
        cache: Cache,
        made: AtomicUsize,
    }

    impl Counted {
        async fn get(&self, repository: &str, minute: i64) -> String {
            let make = || async {
                tokio::task::yield_now().await;
                let number = self.made.fetch_add(1, Ordering::SeqCst) + 1;
                Ok(Token { text: format!("{repository} {number}").into(), until: at(minute + 60) })
            };
            let got = self.cache.get(repository, at(minute), make).await;
            got.expect("a token").expose_secret().to_owned()
        }
    }

    #[tokio::test]
    async fn a_token_is_made_once_for_its_repository_until_some_minutes_before_its_end() {
        let tokens = Counted::default();
        assert_eq!(tokens.get("ada/blog", 0).await, "ada/blog 1");
        assert_eq!(tokens.get("ada/blog", 54).await, "ada/blog 1");
        assert_eq!(tokens.get("ada/other", 54).await, "ada/other 2");
        assert_eq!(tokens.get("ada/blog", 55).await, "ada/blog 3");
        assert_eq!(tokens.made.load(Ordering::SeqCst), 3);
    }

    #[tokio::test]
    async fn who_asks_at_the_same_time_gets_the_same_token() {
        let tokens = Counted::default();
        let all = futures::future::join_all((0..20).map(|_| tokens.get("ada/blog", 0))).await;
        assert!(all.iter().all(|token| token == "ada/blog 1"), "{all:?}");
    }

    #[tokio::test]
    async fn a_token_that_was_not_let_in_is_replaced_and_one_that_took_its_place_stays() {
        let tokens = Counted::default();
        let first = tokens.get("ada/blog", 0).await.into();
        tokens.cache.forget("ada/blog", &first).await;
        assert_eq!(tokens.get("ada/blog", 0).await, "ada/blog 2");
        tokens.cache.forget("ada/blog", &first).await;
        assert_eq!(tokens.get("ada/blog", 0).await, "ada/blog 2");
    }

    #[tokio::test]
    async fn a_failure_is_not_kept_and_repositories_that_nobody_asks_for_are_forgotten() {
        let tokens = Counted::default();
        let failed = tokens.cache.get("ada/blog", at(0), || async { Err(AppError::Unset) }).await;
        assert!(matches!(failed, Err(AppError::Unset)));
        assert_eq!(tokens.get("ada/blog", 0).await, "ada/blog 1");
        tokens.get("ada/other", 60).await;
        assert_eq!(tokens.cache.slots.lock().expect("a lock").len(), 1);
    }
}
