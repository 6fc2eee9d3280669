//! How much room a file system has left, and whether that is enough to accept more.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use bytesize::ByteSize;
use nix::sys::statvfs::statvfs;

/// Why a disk was not accepted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DiskError {
    #[error("the disk of {} could not be measured", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error(
        "the disk at {} (with {}) has {} left and at least {} must stay free: make room there, or lower SLIPWAY_DISK_FREE_BYTES or SLIPWAY_DISK_FREE_PERCENT",
        mount.display(), path.display(), iec(*.free), iec(*.needed)
    )]
    Full { path: PathBuf, mount: PathBuf, free: u64, needed: u64 },
}

/// What has to stay free; the larger of the two counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Watermark {
    pub(crate) bytes: u64,
    /// Of the file system's size.
    pub(crate) percent: u8,
}

/// One file system, as an unprivileged process sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Space {
    pub(crate) free: u64,
    pub(crate) size: u64,
}

/// Free and whole size in bytes of the file system that holds `path`.
pub(crate) fn space(path: &Path) -> Result<Space, DiskError> {
    let unreadable =
        |errno: nix::Error| DiskError::Unreadable { path: path.to_owned(), source: errno.into() };
    let stat = statvfs(path).map_err(unreadable)?;
    let block = stat.fragment_size();
    Ok(Space { free: stat.blocks_available() * block, size: stat.blocks() * block })
}

/// Free bytes of the file system that holds `path`, if they are above the watermark.
pub(crate) fn check(path: &Path, watermark: Watermark) -> Result<u64, DiskError> {
    let Space { free, size } = space(path)?;
    let needed = watermark.needed(size);
    if free >= needed {
        return Ok(free);
    }
    Err(DiskError::Full { path: path.to_owned(), mount: mount_of(path), free, needed })
}

impl Watermark {
    fn needed(self, size: u64) -> u64 {
        self.bytes.max(size / 100 * u64::from(self.percent))
    }
}

/// The highest folder above `path` on the same device.
fn mount_of(path: &Path) -> PathBuf {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let device = |path: &Path| fs::metadata(path).ok().map(|meta| meta.dev());
    let own = device(&path);
    path.ancestors().take_while(|folder| device(folder) == own).last().unwrap_or(&path).to_owned()
}

fn iec(bytes: u64) -> bytesize::Display {
    ByteSize(bytes).display().iec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_with_room_tells_how_much() {
        let free = check(Path::new("/"), Watermark { bytes: 1, percent: 0 }).unwrap();
        assert!(free > 0);
    }

    #[test]
    fn the_refusal_names_disk_path_figures_and_settings() {
        let folder = tempfile::tempdir().unwrap();
        let error = check(folder.path(), Watermark { bytes: u64::MAX, percent: 0 }).unwrap_err().to_string();
        let mount = mount_of(folder.path());
        assert!(
            error.starts_with(&format!(
                "the disk at {} (with {}) has ",
                mount.display(),
                folder.path().display()
            )),
            "{error}"
        );
        assert!(error.contains("at least 16.0 EiB must stay free"), "{error}");
        assert!(error.contains("SLIPWAY_DISK_FREE_BYTES"), "{error}");
    }

    #[test]
    fn the_larger_of_bytes_and_percent_counts() {
        let watermark = Watermark { bytes: 1000, percent: 5 };
        assert_eq!(watermark.needed(10_000), 1000);
        assert_eq!(watermark.needed(1_000_000), 50_000);
    }

    #[test]
    fn a_mounted_file_system_is_named_by_its_mount_point() {
        assert_eq!(mount_of(Path::new("/proc/self/status")), Path::new("/proc"));
    }
}
