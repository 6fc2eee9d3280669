//! The server's ed25519 host key: made on the first start, the same ever after.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use russh::keys::ssh_key::LineEnding;
use russh::keys::ssh_key::private::{Ed25519Keypair, KeypairData};
use russh::keys::{HashAlg, PrivateKey};

#[derive(Debug, thiserror::Error)]
pub(crate) enum HostKeyError {
    #[error("reading or writing the SSH host key {path}")]
    File { path: PathBuf, source: io::Error },
    #[error(
        "{path} is no ed25519 private key without a passphrase: restore it from a backup, or move it away \
             to have a new one made (every client will then be asked to accept the new host key)"
    )]
    Unusable { path: PathBuf },
    #[error(
        "{path} may be read by others (mode {mode:o}): `chmod 600 {path}`, and replace the key if others had access"
    )]
    Exposed { path: PathBuf, mode: u32 },
}

#[derive(Clone)]
pub(crate) struct HostKey {
    pub(super) key: PrivateKey,
}

impl HostKey {
    /// The key in `path`, made there with mode 0600 if there is none yet.
    pub(crate) fn load_or_create(path: &Path) -> Result<Self, HostKeyError> {
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(path, &text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::create(path),
            Err(source) => Err(HostKeyError::File { path: path.to_owned(), source }),
        }
    }

    /// `SHA256:…`, as ssh shows it when it meets the server for the first time.
    pub(crate) fn fingerprint(&self) -> String {
        self.key.public_key().fingerprint(HashAlg::Sha256).to_string()
    }

    /// `ssh-ed25519 AAAA…`: the public half without a comment.
    pub(crate) fn authorized_line(&self) -> String {
        let public = self.key.public_key().to_openssh().expect("invariant: an ed25519 key has a text form");
        let words: Vec<&str> = public.split_whitespace().take(2).collect();
        words.join(" ")
    }

    fn parse(path: &Path, text: &str) -> Result<Self, HostKeyError> {
        let mode = fs::metadata(path)
            .map_err(|source| HostKeyError::File { path: path.to_owned(), source })?
            .permissions()
            .mode();
        if mode & 0o077 != 0 {
            return Err(HostKeyError::Exposed { path: path.to_owned(), mode: mode & 0o777 });
        }
        let key = PrivateKey::from_openssh(text)
            .ok()
            .filter(|key| matches!(key.key_data(), KeypairData::Ed25519(_)));
        key.map(|key| Self { key }).ok_or_else(|| HostKeyError::Unusable { path: path.to_owned() })
    }

    /// Writes beside the final name first: a crash never leaves half a key.
    fn create(path: &Path) -> Result<Self, HostKeyError> {
        let mut seed = [0; 32];
        rand::fill(&mut seed);
        let key = PrivateKey::from(Ed25519Keypair::from_seed(&seed));
        let text = key.to_openssh(LineEnding::LF).expect("invariant: an ed25519 key has a text form");
        let written = write_private(path, text.as_bytes());
        written.map_err(|source| HostKeyError::File { path: path.to_owned(), source })?;
        Ok(Self { key })
    }
}

fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension("new");
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_stays_the_same_and_nobody_else_may_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ssh_host_ed25519_key");
        let made = HostKey::load_or_create(&path).unwrap();
        let loaded = HostKey::load_or_create(&path).unwrap();
        assert_eq!(made.fingerprint(), loaded.fingerprint());
        assert!(made.fingerprint().starts_with("SHA256:"));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(made.authorized_line().starts_with("ssh-ed25519 AAAA"), "{}", made.authorized_line());
    }

    #[test]
    fn an_exposed_or_damaged_key_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        HostKey::load_or_create(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(HostKey::load_or_create(&path), Err(HostKeyError::Exposed { mode: 0o640, .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "nonsense").unwrap();
        assert!(matches!(HostKey::load_or_create(&path), Err(HostKeyError::Unusable { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "nonsense");
    }
}
