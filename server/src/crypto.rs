//! Config vars at rest: XChaCha20-Poly1305 with one key per app, itself wrapped by the platform's key file.
//!
//! Invariant: a stolen database opens nothing without the key file, and a sealed value opens only as what it was sealed
//! for: app, name and version are authenticated with it, so values cannot be swapped between apps, names or versions.
//!
//! The key file holds one key a line, `id:key` with the key as 64 hex digits or base64. The first seals; all open. To
//! rotate, put a new line first, start the server, which rewraps, and then remove the old line.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use secrecy::{ExposeSecret, SecretBox, SecretString};
use sha2::{Digest, Sha256};

use crate::domain::ids::AppId;
use crate::domain::names::ConfigKey;

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;
/// Group write and anything for others: who has those could read or replace the key.
const FORBIDDEN_MODE: u32 = 0o037;

/// Why something could not be sealed or opened. No text contains a secret.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CryptoError {
    #[error("the key file {} could not be {doing}", path.display())]
    File { path: PathBuf, doing: &'static str, source: io::Error },
    #[error(
        "the key file {path} has mode {mode:04o} and opens every config var: close it with `chmod 0600 {path}`"
    )]
    Open { path: String, mode: u32 },
    #[error(
        "line {line} of the key file {} is not `id:key` with a key of 32 bytes as hex or base64: restore the file from its backup",
        path.display()
    )]
    Line { path: PathBuf, line: usize },
    #[error(
        "config vars were encrypted with the key `{id}`, which is not in the key file: add its line from the backup of the key file"
    )]
    UnknownKey { id: String },
    #[error("encrypted data does not belong to this app, name and version, or was changed")]
    Tampered,
}

/// The platform's keys, first one sealing.
pub(crate) struct KeyFile {
    keys: Vec<Key>,
}

struct Key {
    id: String,
    bytes: SecretBox<[u8; KEY_BYTES]>,
}

/// The key of one app, unwrapped.
pub(crate) struct AppKey(SecretBox<[u8; KEY_BYTES]>);

/// What a sealed value is bound to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Label<'a> {
    pub(crate) app: AppId,
    pub(crate) name: &'a ConfigKey,
    pub(crate) version: i64,
}

impl KeyFile {
    /// Reads the key file; makes one with a random key if there is none.
    pub(crate) fn open_or_create(path: &Path) -> Result<Self, CryptoError> {
        if !path.try_exists().map_err(file_error(path, "looked up"))? {
            create(path).map_err(file_error(path, "created"))?;
        }
        let mode = fs::metadata(path).map_err(file_error(path, "looked up"))?.permissions().mode() & 0o7777;
        if mode & FORBIDDEN_MODE != 0 {
            return Err(CryptoError::Open { path: path.display().to_string(), mode });
        }
        let text: SecretString = fs::read_to_string(path).map_err(file_error(path, "read"))?.into();
        parse(text.expose_secret()).map_err(|line| CryptoError::Line { path: path.to_owned(), line })
    }

    /// A fresh key for a new app, wrapped: what `apps.wrapped_key` stores.
    pub(crate) fn new_app_key(&self, app: AppId) -> Vec<u8> {
        self.wrap(app, &AppKey(SecretBox::init_with(rand::random)))
    }

    /// The key of an app from what `apps.wrapped_key` stores.
    pub(crate) fn unwrap(&self, app: AppId, wrapped: &[u8]) -> Result<AppKey, CryptoError> {
        let (id, sealed) = split_id(wrapped).ok_or(CryptoError::Tampered)?;
        let key = self
            .keys
            .iter()
            .find(|key| key.id == id)
            .ok_or_else(|| CryptoError::UnknownKey { id: id.to_owned() })?;
        let bytes = SecretBox::new(Box::new(open_bytes(&key.bytes, &wrap_label(app, id), sealed)?));
        let array = <[u8; KEY_BYTES]>::try_from(bytes.expose_secret().as_slice());
        Ok(AppKey(SecretBox::new(Box::new(array.map_err(|_| CryptoError::Tampered)?))))
    }

    /// The same key wrapped by the first key of the file; `None` if it already is.
    pub(crate) fn rewrap(&self, app: AppId, wrapped: &[u8]) -> Result<Option<Vec<u8>>, CryptoError> {
        let current = split_id(wrapped).is_some_and(|(id, _)| id == self.sealing().id);
        if current { Ok(None) } else { Ok(Some(self.wrap(app, &self.unwrap(app, wrapped)?))) }
    }

    /// One byte with the length of the key's id, the id, the sealed key.
    fn wrap(&self, app: AppId, app_key: &AppKey) -> Vec<u8> {
        let key = self.sealing();
        let sealed = seal_bytes(&key.bytes, &wrap_label(app, &key.id), app_key.0.expose_secret());
        let length = u8::try_from(key.id.len()).expect("invariant: ids of keys are checked to be short");
        [&[length], key.id.as_bytes(), sealed.as_slice()].concat()
    }

    fn sealing(&self) -> &Key {
        self.keys.first().expect("invariant: a key file without keys is refused")
    }
}

/// Encrypts one value of a config var: nonce, then ciphertext with its tag.
pub(crate) fn seal(app_key: &AppKey, label: Label<'_>, plaintext: &SecretString) -> Vec<u8> {
    seal_bytes(&app_key.0, &label.text(), plaintext.expose_secret().as_bytes())
}

/// Decrypts what `seal` made for the same label.
pub(crate) fn open(app_key: &AppKey, label: Label<'_>, sealed: &[u8]) -> Result<SecretString, CryptoError> {
    let bytes = open_bytes(&app_key.0, &label.text(), sealed)?;
    Ok(String::from_utf8(bytes).map_err(|_| CryptoError::Tampered)?.into())
}

impl Label<'_> {
    /// Unambiguous: neither ids nor names of config vars contain `|`.
    fn text(&self) -> String {
        format!("{}|{}|{}", self.app, self.name, self.version)
    }
}

fn wrap_label(app: AppId, id: &str) -> String {
    format!("app key|{app}|{id}")
}

fn seal_bytes(key: &SecretBox<[u8; KEY_BYTES]>, label: &str, plaintext: &[u8]) -> Vec<u8> {
    let nonce: [u8; NONCE_BYTES] = rand::random();
    let payload = Payload { msg: plaintext, aad: label.as_bytes() };
    let ciphertext = XChaCha20Poly1305::new(key.expose_secret().into())
        .encrypt(&XNonce::from(nonce), payload)
        .expect("invariant: values are far below the cipher's limit of 256 GiB");
    [nonce.as_slice(), &ciphertext].concat()
}

fn open_bytes(key: &SecretBox<[u8; KEY_BYTES]>, label: &str, sealed: &[u8]) -> Result<Vec<u8>, CryptoError> {
    let (nonce, ciphertext) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or(CryptoError::Tampered)?;
    XChaCha20Poly1305::new(key.expose_secret().into())
        .decrypt(&XNonce::from(*nonce), Payload { msg: ciphertext, aad: label.as_bytes() })
        .map_err(|_| CryptoError::Tampered)
}

fn split_id(wrapped: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = wrapped.split_first()?;
    let (id, sealed) = rest.split_at_checked(usize::from(*length))?;
    Some((std::str::from_utf8(id).ok()?, sealed))
}

/// Lines are keys; empty ones and `#` are skipped. The error is the number of the first bad line.
fn parse(text: &str) -> Result<KeyFile, usize> {
    let mut keys: Vec<Key> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let key = parse_line(line).ok_or(index + 1)?;
        if keys.iter().any(|other| other.id == key.id) {
            return Err(index + 1);
        }
        keys.push(key);
    }
    if keys.is_empty() { Err(1) } else { Ok(KeyFile { keys }) }
}

fn parse_line(line: &str) -> Option<Key> {
    let (id, key) = line.split_once(':')?;
    let known = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'_';
    if !(1..=64).contains(&id.len()) || !id.bytes().all(known) {
        return None;
    }
    let bytes = hex::decode(key).ok().or_else(|| BASE64_STANDARD.decode(key).ok())?;
    let bytes = SecretBox::new(Box::new(bytes));
    let array = <[u8; KEY_BYTES]>::try_from(bytes.expose_secret().as_slice()).ok()?;
    Some(Key { id: id.to_owned(), bytes: SecretBox::new(Box::new(array)) })
}

/// Written whole or not at all. The id is derived from the key, so that two generated files never share one: a lost key
/// is then named as missing instead of looking like tampering.
fn create(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let key: SecretBox<[u8; KEY_BYTES]> = SecretBox::init_with(rand::random);
    let id = hex::encode(&Sha256::digest(key.expose_secret())[..4]);
    // Mode 0600 is what temporary files are made with.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    writeln!(file, "# Keys of the platform's config vars. Back this file up, apart from the database.")?;
    writeln!(file, "{id}:{}", hex::encode(key.expose_secret()))?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        // Somebody was quicker: theirs counts.
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error.error),
        Ok(_) => fs::File::open(folder)?.sync_all(),
    }
}

fn file_error(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> CryptoError {
    let path = path.to_owned();
    move |source| CryptoError::File { path, doing, source }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fresh() -> KeyFile {
        KeyFile { keys: vec![Key { id: "test".to_owned(), bytes: SecretBox::init_with(rand::random) }] }
    }

    fn name(text: &str) -> ConfigKey {
        text.parse().unwrap()
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens_as_the_same(value in ".*", version in 1i64..) {
            let (keys, app, name) = (fresh(), AppId::new(), name("SECRET"));
            let key = keys.unwrap(app, &keys.new_app_key(app)).unwrap();
            let label = Label { app, name: &name, version };
            let sealed = seal(&key, label, &value.clone().into());
            let opened = open(&key, label, &sealed).unwrap();
            prop_assert_eq!(opened.expose_secret(), value);
        }

        #[test]
        fn one_changed_bit_anywhere_is_noticed(value in ".{0,40}", at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let (keys, app, name) = (fresh(), AppId::new(), name("SECRET"));
            let wrapped = keys.new_app_key(app);
            let key = keys.unwrap(app, &wrapped).unwrap();
            let label = Label { app, name: &name, version: 1 };
            let mut sealed = seal(&key, label, &value.into());
            let place = at.index(sealed.len());
            sealed[place] ^= 1 << bit;
            prop_assert!(matches!(open(&key, label, &sealed), Err(CryptoError::Tampered)));
            let mut wrapped = wrapped;
            let place = at.index(wrapped.len());
            wrapped[place] ^= 1 << bit;
            prop_assert!(keys.unwrap(app, &wrapped).is_err());
        }

        #[test]
        fn arbitrary_bytes_neither_open_nor_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let (keys, app, name) = (fresh(), AppId::new(), name("SECRET"));
            prop_assert!(keys.unwrap(app, &bytes).is_err());
            let key = keys.unwrap(app, &keys.new_app_key(app)).unwrap();
            let label = Label { app, name: &name, version: 1 };
            prop_assert!(open(&key, label, &bytes).is_err());
        }
    }

    #[test]
    fn a_value_moved_to_another_app_name_or_version_does_not_open() {
        let (keys, app, other) = (fresh(), AppId::new(), AppId::new());
        let wrapped = keys.new_app_key(app);
        let key = keys.unwrap(app, &wrapped).unwrap();
        let (secret, public) = (name("SECRET"), name("PUBLIC"));
        let label = Label { app, name: &secret, version: 1 };
        let sealed = seal(&key, label, &"hush".to_owned().into());
        for wrong in
            [Label { app: other, ..label }, Label { name: &public, ..label }, Label { version: 2, ..label }]
        {
            assert!(matches!(open(&key, wrong, &sealed), Err(CryptoError::Tampered)), "{wrong:?} opened it");
        }
        assert!(matches!(keys.unwrap(other, &wrapped), Err(CryptoError::Tampered)));
    }

    #[test]
    fn the_key_file_is_made_once_closed_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let app = AppId::new();
        let wrapped = KeyFile::open_or_create(&path).unwrap().new_app_key(app);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        KeyFile::open_or_create(&path).unwrap().unwrap(app, &wrapped).unwrap();
    }

    #[test]
    fn a_key_file_that_others_can_read_is_refused_with_the_command_that_closes_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        KeyFile::open_or_create(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let error = KeyFile::open_or_create(&path).err().unwrap().to_string();
        assert!(error.contains("has mode 0644") && error.contains("chmod 0600"), "{error}");
    }

    #[test]
    fn a_rotated_key_file_opens_the_old_and_seals_with_the_new() {
        let old = format!("old:{}", hex::encode([1; 32]));
        let new = format!("new:{}", BASE64_STANDARD.encode([2; 32]));
        let app = AppId::new();
        let before = parse(&old).unwrap_or_else(|_| panic!("refused")).new_app_key(app);
        let both = parse(&format!("# rotated\n{new}\n{old}\n")).unwrap_or_else(|_| panic!("refused"));
        let after = both.rewrap(app, &before).unwrap().expect("wrapped by the old key");
        assert_eq!(both.rewrap(app, &after).unwrap(), None);
        let only_new = parse(&new).unwrap_or_else(|_| panic!("refused"));
        let (a, b) = (both.unwrap(app, &before).unwrap(), only_new.unwrap(app, &after).unwrap());
        assert_eq!(a.0.expose_secret(), b.0.expose_secret());
        let error = only_new.unwrap(app, &before).err().unwrap();
        assert!(error.to_string().contains("the key `old`, which is not in the key file"), "{error}");
    }

    #[test]
    fn a_broken_key_file_names_the_line() {
        for (text, line) in
            [("", 1), ("a:00\n", 1), (&format!("a:{0}\nb\n", hex::encode([1; 32])), 2), ("#\nkey\n", 2)]
        {
            assert_eq!(parse(text).err(), Some(line), "{text:?}");
        }
    }
}
