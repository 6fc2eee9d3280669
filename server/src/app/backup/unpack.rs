//! Reading an archive: nothing of it is believed before its end has been seen and agrees.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Component, Path};

use sha2::{Digest, Sha256};
use tar::EntryType;

use super::archive::{Hashing, begin};
use super::{DUMP, END, End, FACTS, FORMAT, HEAD, HOST_KEY, Head, REGISTRY, REPOSITORIES};

/// The largest of the files that are read into memory.
const SMALL_BYTES: u64 = 1 << 20;

/// Why an archive is not restored.
#[derive(Debug, thiserror::Error)]
pub(super) enum UnpackError {
    #[error("this is no backup that `slipway backup` has made")]
    Foreign,
    #[error("this backup was made by a newer slipway ({0}): restore it with that version or a later one")]
    Newer(String),
    #[error(
        "the backup was cut short, or altered after it was made: what is in it does not agree with its end. Take another one"
    )]
    Broken,
    #[error("the backup could not be read, or its files not be written: {0}")]
    Io(#[from] io::Error),
}

/// Unpacks into `root`; the dump goes into the file that is handed in.
pub(super) fn unpack(archive: impl Read, root: &Path, dump: &mut File) -> Result<Head, UnpackError> {
    let mut archive = tar::Archive::new(archive);
    let (mut digest, mut files, mut bytes) = (Sha256::new(), 0, 0);
    let (mut head, mut end) = (None, None);
    for entry in archive.entries().map_err(unreadable)? {
        let mut entry = entry.map_err(unreadable)?;
        let name = entry.path().map_err(unreadable)?.into_owned();
        if head.is_none() && name != Path::new(HEAD) {
            return Err(UnpackError::Foreign);
        }
        if entry.header().entry_type() == EntryType::Directory {
            make_folder(&root.join(inside(&name)?))?;
            continue;
        }
        if name == Path::new(END) {
            end = Some(serde_json::from_slice::<End>(&small(&mut entry)?).map_err(|_| UnpackError::Broken)?);
            break;
        }
        begin(&mut digest, &name);
        let mut content = Hashing { content: entry, digest: &mut digest, read: 0 };
        if name == Path::new(HEAD) {
            head = Some(read_head(&small(&mut content)?)?);
        } else if name == Path::new(DUMP) {
            io::copy(&mut content, dump).map_err(unreadable)?;
            dump.rewind()?;
        } else {
            write(&root.join(inside(&name)?), &mut content)?;
        }
        files += 1;
        bytes += content.read;
    }
    let end = end.ok_or(UnpackError::Broken)?;
    if end != (End { files, bytes, sha256: hex::encode(digest.finalize()) }) {
        return Err(UnpackError::Broken);
    }
    head.ok_or(UnpackError::Foreign)
}

fn read_head(text: &[u8]) -> Result<Head, UnpackError> {
    let head: Head = serde_json::from_slice(text).map_err(|_| UnpackError::Foreign)?;
    if head.format > FORMAT { Err(UnpackError::Newer(head.slipway)) } else { Ok(head) }
}

/// A name that leads to where restored files belong and nowhere else.
fn inside(name: &Path) -> Result<&Path, UnpackError> {
    let plain = name.components().all(|part| matches!(part, Component::Normal(_)));
    let known = [FACTS, HOST_KEY].iter().any(|file| name == Path::new(file))
        || [REPOSITORIES, REGISTRY].iter().any(|folder| name.starts_with(folder));
    if plain && known { Ok(name) } else { Err(UnpackError::Foreign) }
}

fn small(content: &mut impl Read) -> Result<Vec<u8>, UnpackError> {
    let mut text = Vec::new();
    content.take(SMALL_BYTES).read_to_end(&mut text).map_err(unreadable)?;
    Ok(text)
}

fn write(path: &Path, content: &mut impl Read) -> Result<(), UnpackError> {
    if let Some(folder) = path.parent() {
        make_folder(folder)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    io::copy(content, &mut file).map_err(unreadable)?;
    Ok(())
}

fn make_folder(path: &Path) -> io::Result<()> {
    if fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir()) {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// What tar says of an archive that ends too early, or that is none.
fn unreadable(error: io::Error) -> UnpackError {
    match error.kind() {
        // The tar crate's kinds for an end in mid-way and for headers that make no sense; a failing disk has others.
        io::ErrorKind::UnexpectedEof | io::ErrorKind::Other | io::ErrorKind::InvalidData => {
            UnpackError::Broken
        }
        _ => UnpackError::Io(error),
    }
}
