//! Tar archives for the engine to unpack in a container: everything in them belongs to one user.

use std::io::{self, Write};

use tar::{EntryType, Header};

use super::builder::Owner;

/// 1980-01-02 in Unix time: no archive format has trouble with it, and equal files stay equal.
const MODIFIED: u64 = 315_619_200;

/// Archives are made of these.
const BLOCK: u64 = 512;

/// An archive in the making. Paths may begin with `/`.
pub(super) struct Archive<W> {
    out: W,
    owner: Owner,
}

/// One entry, but for its bytes.
struct Entry<'a> {
    kind: EntryType,
    path: &'a str,
    mode: u32,
    size: u64,
    target: Option<&'a str>,
}

impl<W: Write> Archive<W> {
    pub(super) fn new(out: W, owner: Owner) -> Self {
        Self { out, owner }
    }

    pub(super) fn write_folder(&mut self, path: &str, mode: u32) -> io::Result<()> {
        self.entry(&Entry { kind: EntryType::Directory, path, mode, size: 0, target: None })
    }

    pub(super) fn write_symlink(&mut self, path: &str, target: &str) -> io::Result<()> {
        self.entry(&Entry { kind: EntryType::Symlink, path, mode: 0o777, size: 0, target: Some(target) })
    }

    /// Begins a file whose `size` bytes `fill` writes.
    pub(super) fn write_file(
        &mut self,
        path: &str,
        mode: u32,
        size: u64,
        fill: impl FnOnce(&mut W) -> io::Result<()>,
    ) -> io::Result<()> {
        self.entry(&Entry { kind: EntryType::Regular, path, mode, size, target: None })?;
        fill(&mut self.out)?;
        self.pad(size)
    }

    pub(super) fn write_end(&mut self) -> io::Result<()> {
        self.out.write_all(&[0; 2 * BLOCK as usize])?;
        self.out.flush()
    }

    fn entry(&mut self, entry: &Entry<'_>) -> io::Result<()> {
        let path = entry.path.trim_start_matches('/');
        let mut header = self.header(entry.kind, entry.mode, entry.size);
        let mut long = Vec::new();
        if header.set_path(path).is_err() {
            long.extend(record("path", path));
            header.set_path("long")?;
        }
        if let Some(target) = entry.target
            && header.set_link_name_literal(target).is_err()
        {
            long.extend(record("linkpath", target));
        }
        header.set_cksum();
        if !long.is_empty() {
            self.extended(&long)?;
        }
        self.out.write_all(header.as_bytes())
    }

    /// What the old format has no room for goes before the entry.
    fn extended(&mut self, records: &[u8]) -> io::Result<()> {
        let size = records.len() as u64;
        let mut header = self.header(EntryType::XHeader, 0o644, size);
        header.set_path("extended")?;
        header.set_cksum();
        self.out.write_all(header.as_bytes())?;
        self.out.write_all(records)?;
        self.pad(size)
    }

    fn header(&self, kind: EntryType, mode: u32, size: u64) -> Header {
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(self.owner.uid);
        header.set_gid(self.owner.gid);
        header.set_mtime(MODIFIED);
        header.set_size(size);
        header
    }

    fn pad(&mut self, size: u64) -> io::Result<()> {
        let missing = (BLOCK - size % BLOCK) % BLOCK;
        io::copy(&mut io::Read::take(io::repeat(0), missing), &mut self.out).map(drop)
    }
}

/// In memory nothing can fail.
impl Archive<Vec<u8>> {
    pub(super) fn folder(&mut self, path: &str, mode: u32) {
        self.write_folder(path, mode).expect("invariant: a Vec takes everything");
    }

    pub(super) fn file(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.write_file(path, mode, content.len() as u64, |out| out.write_all(content))
            .expect("invariant: a Vec takes everything");
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.write_end().expect("invariant: a Vec takes everything");
        self.out
    }
}

/// `27 path=…\n`, where 27 is the length of all of it.
fn record(key: &str, value: &str) -> Vec<u8> {
    let rest = format!(" {key}={value}\n");
    let mut length = rest.len() + 1;
    while length.to_string().len() + rest.len() > length {
        length += 1;
    }
    format!("{length}{rest}").into_bytes()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn an_archive_is_read_as_it_was_written() {
        let mut archive = Archive::new(Vec::new(), Owner { uid: 1001, gid: 1002 });
        let long = format!("a/{}/ü", "long/".repeat(60));
        let target = "../".repeat(50);
        archive.folder("/layers", 0o755);
        archive.file(&long, 0o400, b"deep");
        archive.write_symlink("link", &target).unwrap();
        archive.write_symlink("short", "./x").unwrap();
        archive.file("empty", 0o755, b"");
        let bytes = archive.finish();
        assert_eq!(bytes.len() % 512, 0);
        let mut reader = tar::Archive::new(bytes.as_slice());
        let read: Vec<_> = reader
            .entries()
            .unwrap()
            .map(|entry| {
                let mut entry = entry.unwrap();
                let header = entry.header().clone();
                assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (1001, 1002));
                let path = entry.path().unwrap().to_str().unwrap().to_owned();
                let link = entry.link_name().unwrap().map(|link| link.to_str().unwrap().to_owned());
                let mut text = String::new();
                entry.read_to_string(&mut text).unwrap();
                (path, header.mode().unwrap(), link, text)
            })
            .collect();
        let of = |path: &str, mode, link: Option<&str>, text: &str| {
            (path.to_owned(), mode, link.map(str::to_owned), text.to_owned())
        };
        assert_eq!(
            read,
            [
                of("layers", 0o755, None, ""),
                of(&long, 0o400, None, "deep"),
                of("link", 0o777, Some(&target), ""),
                of("short", 0o777, Some("./x"), ""),
                of("empty", 0o755, None, ""),
            ]
        );
    }

    #[test]
    fn a_record_counts_itself() {
        assert_eq!(record("path", "x"), b"9 path=x\n");
        assert_eq!(record("path", &"x".repeat(90)).len(), 99);
        for length in 80..110 {
            let record = record("path", &"x".repeat(length));
            assert!(record.starts_with(format!("{} ", record.len()).as_bytes()), "{length}");
        }
    }
}
