//! SSH public keys as people hand them in, checked before they are kept.

use russh::keys::{HashAlg, PublicKey, ssh_key::public::KeyData};

/// RSA keys with fewer bits are refused.
const LEAST_RSA_BITS: u32 = 2048;
/// The longest line that is looked at, in bytes: an RSA key of 16384 bits needs 2,800.
const LONGEST: usize = 8 * 1024;

/// A key that may open the SSH door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AcceptedKey {
    /// `ssh-ed25519 AAAA…`, without the comment.
    pub(crate) openssh: String,
    /// `SHA256:…`, as `ssh-keygen -l` prints it.
    pub(crate) fingerprint: String,
    pub(crate) comment: String,
}

/// Why a key was refused; the text says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyError {
    #[error(
        "this is a PRIVATE key: keep it to yourself (and make a new one if it was sent over an open line); send the `.pub` file beside it"
    )]
    Private,
    #[error(
        "this is not an SSH public key: it is one line such as `ssh-ed25519 AAAA… you@laptop`, the content of ~/.ssh/id_ed25519.pub (made by `ssh-keygen -t ed25519`)"
    )]
    Unreadable,
    #[error("an RSA key of {0} bits is too weak: make another with `ssh-keygen -t ed25519`")]
    WeakRsa(u32),
    #[error("{0} keys are not accepted: make another with `ssh-keygen -t ed25519`")]
    Algorithm(String),
    #[error("this holds {0} keys: add them one at a time")]
    Several(usize),
}

/// Reads one line of a `.pub` file or of `authorized_keys` (without options).
pub(crate) fn accept(text: &str) -> Result<AcceptedKey, KeyError> {
    if text.contains("PRIVATE KEY-----") {
        return Err(KeyError::Private);
    }
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let line = lines.next().filter(|line| line.len() <= LONGEST).ok_or(KeyError::Unreadable)?;
    match lines.count() {
        0 => {}
        more => return Err(KeyError::Several(more + 1)),
    }
    let mut key = PublicKey::from_openssh(line).map_err(|_| KeyError::Unreadable)?;
    refuse_weak(key.key_data())?;
    let comment = printable(key.comment().as_ref());
    let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
    key.set_comment("");
    let openssh = key.to_openssh().map_err(|_| KeyError::Unreadable)?;
    Ok(AcceptedKey { openssh: openssh.trim_end().to_owned(), fingerprint, comment })
}

fn refuse_weak(key: &KeyData) -> Result<(), KeyError> {
    match key {
        KeyData::Rsa(rsa) if rsa.key_size() < LEAST_RSA_BITS => Err(KeyError::WeakRsa(rsa.key_size())),
        KeyData::Rsa(_)
        | KeyData::Ed25519(_)
        | KeyData::Ecdsa(_)
        | KeyData::SkEd25519(_)
        | KeyData::SkEcdsaSha2NistP256(_) => Ok(()),
        other => Err(KeyError::Algorithm(other.algorithm().as_str().to_owned())),
    }
}

/// Comments are printed on terminals.
fn printable(comment: &str) -> String {
    comment.chars().filter(|c| !c.is_control()).take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use russh::keys::{Algorithm, PrivateKey};

    fn line() -> String {
        let key = PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519).expect("a key");
        key.public_key().to_openssh().expect("a line").trim().to_owned()
    }

    #[test]
    fn a_comment_is_kept_without_control_characters() {
        let key = accept(&format!("\n# mine\n{} ada@\u{1b}laptop\n", line())).expect("accepted");
        assert_eq!(key.comment, "ada@laptop");
        assert!(key.fingerprint.starts_with("SHA256:"));
        assert!(key.openssh.starts_with("ssh-ed25519 AAAA"));
    }

    #[test]
    fn what_is_no_strong_public_key_is_refused_with_the_way_out() {
        assert_eq!(accept("hello"), Err(KeyError::Unreadable));
        assert_eq!(accept(""), Err(KeyError::Unreadable));
        assert_eq!(accept("-----BEGIN OPENSSH PRIVATE KEY-----\nabc"), Err(KeyError::Private));
        let one = line();
        assert_eq!(accept(&format!("{one}\n{one}")), Err(KeyError::Several(2)));
        assert_eq!(accept(include_str!("testdata/rsa1024.pub")), Err(KeyError::WeakRsa(1024)));
        assert_eq!(accept(include_str!("testdata/dsa.pub")), Err(KeyError::Algorithm("ssh-dss".into())));
    }
}
