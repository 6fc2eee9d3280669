//! Writing an archive from folders that others are writing to.
//!
//! Invariant: what names something is read before what it names, since both only get additions: refs before objects, the
//! registry's links before its blobs. Loose objects are read before packs, for that is where repacking puts them.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::End;
use crate::git::receive::QUARANTINE_PREFIX;

/// Files below this are read whole before they are written, so that a change meanwhile does no harm. Larger ones (packs,
/// layers, the dump) are never changed.
const SMALL_BYTES: u64 = 1 << 20;
/// How often the packs of a repository are listed anew because one went away; each time a repacking has ended.
const LISTINGS: u32 = 20;
/// The registry's uploads that nobody has finished.
const UPLOADS: &str = "_uploads";

/// An archive that is being written.
pub(super) struct Archive<W: Write> {
    builder: tar::Builder<W>,
    digest: Sha256,
    files: u64,
    bytes: u64,
}

impl<W: Write> Archive<W> {
    pub(super) fn new(out: W) -> Self {
        Self { builder: tar::Builder::new(out), digest: Sha256::new(), files: 0, bytes: 0 }
    }

    pub(super) fn text(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        self.append(Path::new(name), content.len() as u64, content)
    }

    /// A file that has to be there.
    pub(super) fn one(&mut self, name: &str, path: &Path) -> io::Result<()> {
        let file = File::open(path).map_err(|error| named(path, &error))?;
        self.file(name, file)
    }

    /// From its beginning.
    pub(super) fn file(&mut self, name: impl AsRef<Path>, mut file: File) -> io::Result<()> {
        io::Seek::rewind(&mut file)?;
        let meta = file.metadata()?;
        if meta.size() > SMALL_BYTES {
            return self.append(name.as_ref(), meta.size(), file);
        }
        let mut content = Vec::new();
        file.read_to_end(&mut content)?;
        self.append(name.as_ref(), content.len() as u64, content.as_slice())
    }

    /// All repositories of a folder.
    pub(super) fn repositories(&mut self, name: &str, folder: &Path) -> io::Result<()> {
        self.folder(Path::new(name))?;
        for repository in entries(folder)?.into_iter().filter(|entry| entry.is_dir()) {
            let name = Path::new(name).join(file_name(&repository));
            self.folder(&name)?;
            for entry in entries(&repository)?.into_iter().filter(|entry| !entry.ends_with("objects")) {
                self.tree(&name.join(file_name(&entry)), &entry)?;
            }
            self.objects(&name.join("objects"), &repository.join("objects"))?;
        }
        Ok(())
    }

    fn objects(&mut self, name: &Path, folder: &Path) -> io::Result<()> {
        self.folder(name)?;
        let loose = |entry: &PathBuf| entry.file_name().is_some_and(|name| name.len() == 2);
        for entry in entries(folder)?.into_iter().filter(loose) {
            self.tree(&name.join(file_name(&entry)), &entry)?;
        }
        for part in ["info", "pack"] {
            self.folder(&name.join(part))?;
            for (path, file) in open_all(&folder.join(part))? {
                self.file(name.join(part).join(file_name(&path)), file)?;
            }
        }
        Ok(())
    }

    /// The private registry's storage; there is none where the platform uses another registry.
    pub(super) fn registry(&mut self, name: &str, folder: &Path) -> io::Result<()> {
        let (name, folder) = (Path::new(name), folder.to_owned());
        for part in ["docker/registry/v2/repositories", "docker/registry/v2/blobs"] {
            let path = folder.join(part);
            if path.is_dir() {
                self.tree(&name.join(part), &path)?;
            }
        }
        Ok(())
    }

    /// A file, or a folder with all below it; what has gone meanwhile is passed over.
    fn tree(&mut self, name: &Path, path: &Path) -> io::Result<()> {
        let meta = match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            meta => meta.map_err(|error| named(path, &error))?,
        };
        if meta.is_dir() {
            self.folder(name)?;
            for entry in entries(path)?.into_iter().filter(|entry| is_kept(entry)) {
                self.tree(&name.join(file_name(&entry)), &entry)?;
            }
            return Ok(());
        }
        match File::open(path) {
            Ok(file) if meta.is_file() => self.file(name, file),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(named(path, &error)),
            _ => Ok(()),
        }
    }

    fn folder(&mut self, name: &Path) -> io::Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_mode(0o700);
        header.set_size(0);
        self.builder.append_data(&mut header, name, io::empty())
    }

    fn append(&mut self, name: &Path, size: u64, content: impl Read) -> io::Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o600);
        header.set_size(size);
        begin(&mut self.digest, name);
        let mut content = Hashing { content: content.take(size), digest: &mut self.digest, read: 0 };
        self.builder.append_data(&mut header, name, &mut content)?;
        if content.read != size {
            return Err(io::Error::other(format!("{} was cut short while it was read", name.display())));
        }
        self.files += 1;
        self.bytes += size;
        Ok(())
    }

    /// What was written so far: an archive without an end.
    #[cfg(test)]
    pub(super) fn into_inner(self) -> W {
        self.builder.into_inner().expect("a writer that takes everything")
    }

    /// Writes what the archive says of itself.
    pub(super) fn finish(mut self, name: &str) -> io::Result<End> {
        let end =
            End { files: self.files, bytes: self.bytes, sha256: hex::encode(self.digest.clone().finalize()) };
        self.text(name, &serde_json::to_vec_pretty(&end)?)?;
        self.builder.into_inner()?.flush()?;
        Ok(end)
    }
}

/// Takes a file's name up into the digest over all.
pub(super) fn begin(digest: &mut Sha256, name: &Path) {
    digest.update(name.as_os_str().as_encoded_bytes());
    digest.update([0]);
}

/// Reads on, and takes up what it reads.
pub(super) struct Hashing<'a, R> {
    pub(super) content: R,
    pub(super) digest: &'a mut Sha256,
    pub(super) read: u64,
}

impl<R: Read> Read for Hashing<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.content.read(buffer)?;
        self.digest.update(&buffer[..length]);
        self.read += length as u64;
        Ok(length)
    }
}

/// All files of a folder, open, so that a repacking cannot take one of them away.
fn open_all(folder: &Path) -> io::Result<Vec<(PathBuf, File)>> {
    let mut listings = LISTINGS;
    loop {
        let open = |path: PathBuf| File::open(&path).map(|file| (path, file));
        let kept = entries(folder)?.into_iter().filter(|entry| entry.is_file() && is_kept(entry));
        match kept.map(open).collect() {
            Err(error) if error.kind() == io::ErrorKind::NotFound && listings > 0 => listings -= 1,
            done => return done.map_err(|error| named(folder, &error)),
        }
    }
}

/// Locks, quarantines and uploads belong to somebody at work.
fn is_kept(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let temporary =
        name.ends_with(".lock") || name.starts_with("tmp_") || name.starts_with(QUARANTINE_PREFIX);
    !temporary && name != UPLOADS
}

/// What is in a folder, in order; nothing where it has gone.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let listed = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed.map_err(|error| named(folder, &error))?,
    };
    let mut paths = listed.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

fn file_name(path: &Path) -> &Path {
    Path::new(path.file_name().expect("invariant: a folder's entry has a name"))
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{} could not be read: {error}", path.display()))
}
