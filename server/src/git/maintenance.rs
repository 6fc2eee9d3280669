//! What a repository needs now and then, out of band: nothing here prunes objects that a build may still read.

use std::path::Path;
use std::time::{Duration, SystemTime};

use super::command::{self, CommandError};
use super::receive::QUARANTINE_PREFIX;
use super::repository::Repository;

/// A large repository's worst case.
const REPACK_DEADLINE: Duration = Duration::from_secs(60 * 60);

impl Repository {
    /// Removes quarantines that a killed server left, once they are older than any push may take. Tells how many.
    pub(crate) async fn sweep(&self, older_than: Duration) -> std::io::Result<usize> {
        let objects = self.path().join("objects");
        tokio::task::spawn_blocking(move || sweep(&objects, older_than)).await?
    }

    /// Rolls small packs up into larger ones. Unreachable objects stay: a push in flight may be about to pin them.
    pub(crate) async fn repack(&self) -> Result<(), CommandError> {
        let mut repack = command::git(self.path(), "repack");
        repack.args(["--geometric=2", "-d", "--quiet"]);
        command::succeed(&mut repack, b"", REPACK_DEADLINE).await.map(drop)
    }
}

fn sweep(objects: &Path, older_than: Duration) -> std::io::Result<usize> {
    let mut removed = 0;
    for entry in std::fs::read_dir(objects)? {
        let entry = entry?;
        let ours = entry.file_name().to_string_lossy().starts_with(QUARANTINE_PREFIX);
        if ours && is_older(&entry.path(), older_than) {
            std::fs::remove_dir_all(entry.path())?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// By the newest of its parts: a folder's own time stands still while a pack inside it grows.
fn is_older(folder: &Path, age: Duration) -> bool {
    let modified = |path: &Path| std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    let inside = std::fs::read_dir(folder.join("pack")).into_iter().flatten().flatten();
    let newest = inside.filter_map(|entry| modified(&entry.path())).chain(modified(folder)).max();
    newest.is_some_and(|at| SystemTime::now().duration_since(at).is_ok_and(|since| since >= age))
}
