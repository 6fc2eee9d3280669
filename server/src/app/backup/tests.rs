//! What is written is read again, and what was altered on the way is not.

use std::process::Command;

use super::unpack::{UnpackError, unpack};
use super::*;

/// A data folder with one small repository, and a registry's storage.
fn platform() -> (tempfile::TempDir, Layout) {
    let folder = tempfile::tempdir().unwrap();
    let layout = Layout::new(folder.path().join("data"));
    fs::create_dir_all(layout.registry().join("storage/docker/registry/v2/blobs/sha256/ab")).unwrap();
    fs::write(layout.registry().join("storage/docker/registry/v2/blobs/sha256/ab/data"), "layer").unwrap();
    let uploads = layout.registry().join("storage/docker/registry/v2/repositories/blog/_uploads/1");
    fs::create_dir_all(&uploads).unwrap();
    fs::write(uploads.join("data"), "half a layer").unwrap();
    fs::write(layout.facts(), "{}").unwrap();
    fs::write(layout.ssh_host_key(), "a key").unwrap();
    fs::write(layout.key_file(), "k:0").unwrap();
    let repository = layout.repositories().join("one.git");
    fs::create_dir_all(&repository).unwrap();
    git(&repository, &["init", "--quiet", "--bare", "."]);
    let tree = git(&repository, &["write-tree"]);
    let commit = git(&repository, &["commit-tree", "-m", "first", &tree]);
    git(&repository, &["update-ref", "refs/heads/main", &commit]);
    git(&repository, &["repack", "-d", "-q"]);
    let commit = git(&repository, &["commit-tree", "-m", "second", "-p", &commit, &tree]);
    git(&repository, &["update-ref", "refs/heads/main", &commit]);
    fs::create_dir(repository.join("objects").join(format!("{}x", crate::git::receive::QUARANTINE_PREFIX)))
        .unwrap();
    fs::write(repository.join("refs/heads/main.lock"), "").unwrap();
    (folder, layout)
}

fn git(folder: &Path, words: &[&str]) -> String {
    let mut git = Command::new("git");
    git.arg("-C").arg(folder).args(["-c", "user.name=ada", "-c", "user.email=ada@example.com"]);
    let ran = git.args(words).env("GIT_CONFIG_NOSYSTEM", "1").output().unwrap();
    assert!(ran.status.success(), "{words:?}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap().trim().to_owned()
}

fn written(layout: &Layout) -> Vec<u8> {
    let mut dump = tempfile::tempfile().unwrap();
    dump.write_all(b"all rows").unwrap();
    let mut archive = Vec::new();
    fill(&mut archive, layout, dump).unwrap();
    archive
}

fn read(archive: &[u8]) -> (tempfile::TempDir, Result<String, UnpackError>) {
    let (folder, mut dump) = (tempfile::tempdir().unwrap(), tempfile::tempfile().unwrap());
    let unpacked = unpack(archive, folder.path(), &mut dump).map(|_| {
        let mut text = String::new();
        io::Read::read_to_string(&mut dump, &mut text).unwrap();
        text
    });
    (folder, unpacked)
}

#[test]
fn repositories_images_and_the_dump_come_back_and_the_key_and_unfinished_work_do_not() {
    let (_platform, layout) = platform();
    let (restored, dump) = read(&written(&layout));
    assert_eq!(dump.unwrap(), "all rows");
    let there = Layout::new(restored.path().to_owned());
    assert_eq!(fs::read_to_string(there.ssh_host_key()).unwrap(), "a key");
    let repository = there.repositories().join("one.git");
    git(&repository, &["fsck", "--strict"]);
    assert_eq!(git(&repository, &["log", "--format=%s", "main"]), "second\nfirst");
    let storage = there.registry().join("storage/docker/registry/v2");
    assert_eq!(fs::read_to_string(storage.join("blobs/sha256/ab/data")).unwrap(), "layer");
    let gone = [
        there.key_file(),
        storage.join("repositories/blog/_uploads"),
        repository.join("refs/heads/main.lock"),
        repository.join("objects").join(format!("{}x", crate::git::receive::QUARANTINE_PREFIX)),
    ];
    for path in gone {
        assert!(!path.exists(), "{}", path.display());
    }
}

#[test]
fn an_archive_that_was_cut_short_or_altered_is_refused() {
    let (_platform, layout) = platform();
    let whole = written(&layout);
    for length in [0, 1000, whole.len() / 2, whole.len() - 3 * 1024] {
        let error = read(&whole[..length]).1.unwrap_err();
        assert!(matches!(error, UnpackError::Broken), "{length}: {error}");
    }
    let mut altered = whole.clone();
    let at = whole.windows(8).position(|bytes| bytes == b"all rows").unwrap();
    altered[at] = b'A';
    assert!(matches!(read(&altered).1.unwrap_err(), UnpackError::Broken));
}

#[test]
fn what_is_no_backup_and_what_leads_elsewhere_is_refused() {
    let archive_of = |name: &str| {
        let mut archive = Archive::new(Vec::new());
        let head = Head { format: FORMAT, slipway: "0".to_owned(), made_at: jiff::Timestamp::UNIX_EPOCH };
        archive.text(HEAD, &serde_json::to_vec(&head).unwrap()).unwrap();
        archive.text(name, b"x").unwrap();
        archive.into_inner()
    };
    for name in ["config.key", "repositoriesx", "lock"] {
        let error = read(&archive_of(name)).1.unwrap_err();
        assert!(matches!(error, UnpackError::Foreign), "{name}: {error}");
    }
    let mut foreign = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(0);
    foreign.append_data(&mut header, "README.md", io::empty()).unwrap();
    assert!(matches!(read(&foreign.into_inner().unwrap()).1.unwrap_err(), UnpackError::Foreign));

    let mut archive = Archive::new(Vec::new());
    let newer = Head { format: FORMAT + 1, slipway: "9.9".to_owned(), made_at: jiff::Timestamp::UNIX_EPOCH };
    archive.text(HEAD, &serde_json::to_vec(&newer).unwrap()).unwrap();
    let error = read(&archive.into_inner()).1.unwrap_err();
    assert!(error.to_string().contains("9.9"), "{error}");
}
