//! Trees made by real git, read as build contexts.

use std::os::unix::fs::{PermissionsExt, symlink};

use super::super::testing::Work;
use super::*;

/// A bare repository and a working copy whose commits go straight into it.
async fn made() -> (tempfile::TempDir, Repository, Work) {
    let folder = tempfile::tempdir().unwrap();
    let repository = Repository::init(&folder.path().join("app.git")).await.unwrap();
    let work = Work { path: folder.path().join("work") };
    std::fs::create_dir(&work.path).unwrap();
    work.git(&["init", "-q", "-b", "main"]).await;
    (folder, repository, work)
}

async fn commit(repository: &Repository, work: &Work) -> Oid {
    work.git(&["add", "-A"]).await;
    work.git(&["commit", "-q", "-m", "x"]).await;
    let path = repository.path().to_str().unwrap().to_owned();
    work.git(&["push", "-q", "-f", &path, "HEAD:refs/heads/main"]).await;
    work.head().await
}

fn of(repository: &Repository, commit: Oid) -> Result<(Snapshot, Vec<Finding>), SnapshotError> {
    Snapshot::of(repository, commit, None, &SnapshotLimits::default())
}

fn write(work: &Work, path: &str, content: impl AsRef<[u8]>) {
    let path = work.path.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

fn bytes(snapshot: &Snapshot, path: &str) -> Vec<u8> {
    let entry = snapshot.entries.iter().find(|entry| entry.path == path).unwrap();
    let mut bytes = Vec::new();
    let take = |chunk: &[u8]| {
        bytes.extend_from_slice(chunk);
        Ok(())
    };
    snapshot.contents().unwrap().for_each_chunk(entry, take).unwrap();
    bytes
}

#[tokio::test]
async fn a_tree_is_listed_depth_first_in_byte_order_with_modes_and_sizes() {
    let (_folder, repository, work) = made().await;
    for path in ["a/z", "a.txt", "a-b", "b/c/d", "run"] {
        write(&work, path, path);
    }
    std::fs::set_permissions(work.path.join("run"), std::fs::Permissions::from_mode(0o755)).unwrap();
    symlink("a/z", work.path.join("link")).unwrap();
    let head = commit(&repository, &work).await;
    let (snapshot, findings) = of(&repository, head).unwrap();
    let paths: Vec<_> = snapshot.entries.iter().map(|entry| entry.path.as_str()).collect();
    assert_eq!(paths, ["a", "a/z", "a-b", "a.txt", "b", "b/c", "b/c/d", "link", "run"]);
    assert_eq!(snapshot.entries[8].kind, EntryKind::File { size: 3, executable: true });
    assert_eq!(snapshot.entries[7].kind, EntryKind::Symlink { target: "a/z".to_owned() });
    assert_eq!(findings, []);
    assert_eq!(snapshot.read("a.txt").unwrap().as_deref(), Some(b"a.txt".as_slice()));
    assert_eq!(snapshot.read("link").unwrap(), None);
    assert_eq!(snapshot.read("absent").unwrap(), None);
    assert_eq!(bytes(&snapshot, "b/c/d"), b"b/c/d");

    let below = |folder| Snapshot::of(&repository, head, Some(folder), &SnapshotLimits::default());
    assert_eq!(below("b/").unwrap().0.entries[1].path, "c/d");
    for absent in ["..", "b/..", "x", "run", "link"] {
        assert!(matches!(below(absent), Err(SnapshotError::NoFolder(_))), "{absent}");
    }
}

#[tokio::test]
async fn submodules_and_lfs_pointers_are_found_before_the_build() {
    let (_folder, repository, work) = made().await;
    let oid = "4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393";
    let pointer = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize 12345\n");
    write(&work, "big.bin", pointer);
    write(&work, "plain", "version https://git-lfs is what a pointer says");
    work.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{},lib/sub", "ab".repeat(20))]).await;
    work.git(&["add", "big.bin", "plain"]).await;
    work.git(&["commit", "-q", "-m", "x"]).await;
    let path = repository.path().to_str().unwrap().to_owned();
    work.git(&["push", "-q", &path, "HEAD:refs/heads/main"]).await;
    let (snapshot, findings) = of(&repository, work.head().await).unwrap();
    let expected = [
        Finding::LfsPointer { path: "big.bin".to_owned() },
        Finding::Submodule { path: "lib/sub".to_owned() },
    ];
    assert_eq!(findings, expected);
    assert!(snapshot.entries.iter().all(|entry| entry.path != "lib/sub"));
}

#[tokio::test]
async fn a_symlink_out_of_the_tree_is_refused_by_name() {
    let (_folder, repository, work) = made().await;
    symlink("../../etc/passwd", work.path.join("secret")).unwrap();
    let head = commit(&repository, &work).await;
    let error = of(&repository, head).expect_err("accepted");
    insta::assert_snapshot!(error, @"the symlink secret points out of the tree, to ../../etc/passwd: make it relative and keep it inside, or remove it");
}

#[tokio::test]
async fn every_cap_ends_the_walk() {
    let (_folder, repository, work) = made().await;
    for path in ["one/two/three/four", "five", "six"] {
        write(&work, path, [b'x'; 100]);
    }
    let head = commit(&repository, &work).await;
    let with = |change: fn(&mut SnapshotLimits)| {
        let mut limits = SnapshotLimits::default();
        change(&mut limits);
        Snapshot::of(&repository, head, None, &limits).map(drop)
    };
    assert!(matches!(with(|limits| limits.entries = 5), Err(SnapshotError::TooManyEntries(5))));
    assert!(with(|limits| limits.entries = 6).is_ok());
    assert!(matches!(with(|limits| limits.bytes = 299), Err(SnapshotError::TooLarge(299))));
    assert!(matches!(with(|limits| limits.depth = 2), Err(SnapshotError::TooDeep { .. })));
    assert!(with(|limits| limits.depth = 3).is_ok());
    assert!(matches!(with(|limits| limits.path_bytes = 13), Err(SnapshotError::PathTooLong { .. })));
}

/// A few small trees, each of which names the one before many times.
#[tokio::test]
async fn a_small_repository_with_a_million_files_is_refused_quickly() {
    let (_folder, repository, work) = made().await;
    write(&work, "seed", "x");
    let head = commit(&repository, &work).await;
    let git = open_git2(repository.path()).unwrap();
    let blob = git.find_commit(head.to_git2()).unwrap().tree().unwrap().get_name("seed").unwrap().id();
    let (mut below, mut mode) = (blob, 0o100_644);
    for _ in 0..3 {
        let mut tree = git.treebuilder(None).unwrap();
        for n in 0..100 {
            tree.insert(format!("n{n}"), below, mode).unwrap();
        }
        (below, mode) = (tree.write().unwrap(), 0o040_000);
    }
    let root = git.find_tree(below).unwrap();
    let who = git2::Signature::now("Ada", "ada@example.org").unwrap();
    let bomb = git.commit(None, &who, &who, "Bomb", &root, &[]).unwrap();
    let outcome = of(&repository, bomb.into());
    assert!(matches!(outcome, Err(SnapshotError::TooManyEntries(200_000))));
}

#[tokio::test]
async fn large_files_are_streamed_whole() {
    let (_folder, repository, work) = made().await;
    let large: Vec<u8> = (0..17 * 1024 * 1024u32).map(|n| (n / 7) as u8).collect();
    write(&work, "large", &large);
    let head = commit(&repository, &work).await;
    let (snapshot, _) = of(&repository, head).unwrap();
    assert!(bytes(&snapshot, "large") == large);
    assert!(matches!(snapshot.read("large"), Err(SnapshotError::TooLargeToRead { .. })));
    let entry = &snapshot.entries[0];
    let stopped = snapshot.contents().unwrap().for_each_chunk(entry, |_| Err(io_stop()));
    assert_eq!(stopped.expect_err("not stopped").to_string(), "enough");
}

fn io_stop() -> std::io::Error {
    std::io::Error::other("enough")
}
