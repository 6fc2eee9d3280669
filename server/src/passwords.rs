//! Passwords of people: hashed slowly with argon2id, a few at a time.

use std::sync::LazyLock;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;

/// The shortest password, in characters.
pub(crate) const SHORTEST: usize = 10;
/// The longest password, in bytes.
pub(crate) const LONGEST: usize = 1024;

/// A hash takes 19 MiB and tens of milliseconds of a core: strangers who sign in must not take the machine.
const AT_A_TIME: usize = 2;
static PLACES: Semaphore = Semaphore::const_new(AT_A_TIME);

/// What a name that nobody has is checked against, so that it takes as long as one that somebody has.
static NOBODYS: LazyLock<Option<String>> =
    LazyLock::new(|| hash_now(&SecretString::from(uuid::Uuid::new_v4().to_string())).ok());

/// Why a password was not taken, for its owner.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PasswordError {
    #[error(
        "a password has at least {SHORTEST} characters: a few words that nobody would guess make a good one"
    )]
    TooShort,
    #[error("a password has at most {LONGEST} bytes")]
    TooLong,
    #[error("the password could not be hashed")]
    Hash(#[source] anyhow::Error),
}

/// Hashes a password that its owner has chosen.
pub(crate) async fn hash(password: SecretString) -> Result<String, PasswordError> {
    if password.expose_secret().chars().count() < SHORTEST {
        return Err(PasswordError::TooShort);
    }
    if password.expose_secret().len() > LONGEST {
        return Err(PasswordError::TooLong);
    }
    slowly(move || hash_now(&password)).await.and_then(|hash| hash).map_err(PasswordError::Hash)
}

/// Whether it is the password with this hash. Without a hash it takes as long, and is not.
pub(crate) async fn is_right(password: SecretString, hash: Option<String>) -> bool {
    if password.expose_secret().len() > LONGEST {
        return false;
    }
    let checked = slowly(move || {
        let known = hash.is_some();
        let Some(hash) = hash.or_else(|| NOBODYS.clone()) else { return false };
        let Ok(hash) = PasswordHash::new(&hash) else { return false };
        Argon2::default().verify_password(password.expose_secret().as_bytes(), &hash).is_ok() && known
    });
    checked.await.unwrap_or(false)
}

fn hash_now(password: &SecretString) -> anyhow::Result<String> {
    let hash: Result<PasswordHash, _> = Argon2::default().hash_password(password.expose_secret().as_bytes());
    hash.map(|hash| hash.to_string()).map_err(|error| anyhow::anyhow!("argon2: {error}"))
}

async fn slowly<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> anyhow::Result<T> {
    let _place = PLACES.acquire().await?;
    Ok(tokio::task::spawn_blocking(work).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_right_password_is_right_and_nothing_else() {
        let hashed = hash("a few good words".into()).await.unwrap();
        assert!(hashed.starts_with("$argon2id$"), "{hashed}");
        assert!(is_right("a few good words".into(), Some(hashed.clone())).await);
        assert!(!is_right("a few good word".into(), Some(hashed.clone())).await);
        assert!(!is_right("a few good words".into(), None).await);
        assert!(!is_right("a few good words".into(), Some("garbage".to_owned())).await);
        assert!(matches!(hash("short".into()).await, Err(PasswordError::TooShort)));
        assert!(matches!(hash("x".repeat(LONGEST + 1).into()).await, Err(PasswordError::TooLong)));
    }
}
