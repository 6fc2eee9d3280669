//! Real git clients push through the steps of this module.

use super::super::testing::Bridge;
use super::super::{Oid, Repository};
use super::*;

mod faults;
mod shallow;

#[tokio::test]
async fn the_first_push_makes_the_branch_and_the_second_moves_it() {
    let bridge = Bridge::start().await;
    let work = bridge.work("work").await;
    let first = work.commit("a.txt", "one").await;
    let (pushed, said) = work.push(&["platform", "main"]).await;
    assert!(pushed && said.contains("[new branch]"), "{said}");
    assert_eq!(bridge.main().await, Some(first));

    let second = work.commit("a.txt", "two").await;
    let (pushed, said) = work.push(&["platform", "main"]).await;
    assert!(pushed, "{said}");
    assert_eq!(bridge.main().await, Some(second));
    assert_eq!(bridge.quarantines(), 0);
    bridge.fsck().await;
    let (_, said) = work.push(&["platform", "main"]).await;
    assert!(said.contains("up-to-date"), "{said}");
}

#[tokio::test]
async fn what_was_pushed_can_be_cloned_and_pins_stay_hidden() {
    let bridge = Bridge::start().await;
    let work = bridge.work("work").await;
    let head = work.commit("a.txt", "one").await;
    work.push(&["platform", "main"]).await;
    bridge.repository.set_head("main").await.unwrap();
    bridge.repository.update_ref("refs/builds/1", head, Oid::ZERO).await.unwrap();
    for version in ["0", "1", "2"] {
        let copy = format!("copy{version}");
        let protocol = format!("protocol.version={version}");
        work.git(&["-c", &protocol, "clone", "-q", &bridge.url, &copy]).await;
        assert!(work.path.join(copy).join("a.txt").exists());
        let refs = work.git(&["-c", &protocol, "ls-remote", &bridge.url]).await;
        assert!(refs.contains("refs/heads/main") && !refs.contains("refs/builds"), "{refs}");
    }
}

#[tokio::test]
async fn push_options_arrive_and_the_log_is_shown() {
    let bridge = Bridge::start().await;
    let work = bridge.work("work").await;
    work.commit("a.txt", "one").await;
    let (pushed, said) = work.push(&["-o", "detach", "-o", "no-cache", "platform", "main"]).await;
    assert!(pushed && said.contains("remote: -----> option detach"), "{said}");
    assert!(said.contains("remote: -----> option no-cache"), "{said}");
}

#[tokio::test]
async fn a_refused_ref_keeps_an_atomic_push_from_moving_anything() {
    let bridge = Bridge::start().await;
    let work = bridge.work("work").await;
    work.commit("a.txt", "one").await;
    let (pushed, said) = work.push(&["--atomic", "platform", "main", "main:closed"]).await;
    assert!(!pushed && said.contains("closed by policy"), "{said}");
    assert_eq!(bridge.main().await, None);
    let (pushed, said) = work.push(&["platform", "main", "main:closed"]).await;
    assert!(!pushed && said.contains("[new branch]"), "{said}");
    assert!(bridge.main().await.is_some());
}

#[tokio::test]
async fn a_push_kept_elsewhere_is_shown_under_its_other_name() {
    let bridge = Bridge::start().await;
    let work = bridge.work("work").await;
    work.commit("a.txt", "one").await;
    let (pushed, said) = work.push(&["platform", "main:later"]).await;
    assert!(pushed && said.contains("main -> refs/builds/12"), "{said}");
    assert_eq!(bridge.repository.pins().await.unwrap().len(), 1);
}

#[tokio::test]
async fn commits_of_a_build_that_failed_are_not_sent_again() {
    let bridge = Bridge::start().await;
    let work = bridge.work("work").await;
    let noise: Vec<u8> = (0..200_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 11) as u8).collect();
    work.commit("noise", noise).await;
    work.push(&["platform", "main:later"]).await;
    work.commit("a.txt", "mended").await;
    let (_, said) = work.push(&["--progress", "platform", "main"]).await;
    assert!(said.contains("Writing objects: 100% (3/3)"), "{said}");
}

#[tokio::test]
async fn branches_are_deleted_without_a_pack() {
    let bridge = Bridge::start().await;
    let work = bridge.work("work").await;
    work.commit("a.txt", "one").await;
    work.push(&["platform", "main", "main:other"]).await;
    let (pushed, said) = work.push(&["platform", ":other"]).await;
    assert!(pushed && said.contains("[deleted]"), "{said}");
    assert_eq!(bridge.repository.resolve("refs/heads/other").await.unwrap(), None);
}

#[tokio::test]
async fn a_forced_push_replaces_and_says_so() {
    let bridge = Bridge::start().await;
    let work = bridge.work("work").await;
    work.commit("a.txt", "one").await;
    work.push(&["platform", "main"]).await;
    work.git(&["commit", "-q", "--amend", "-m", "Other"]).await;
    let (pushed, said) = work.push(&["platform", "main"]).await;
    assert!(!pushed && said.contains("non-fast-forward"), "{said}");
    let (pushed, said) = work.push(&["-f", "platform", "main"]).await;
    assert!(pushed && said.contains("(forced update)"), "{said}");
    assert_eq!(bridge.main().await, Some(work.head().await));
}

#[tokio::test]
async fn tags_are_taken_with_the_commits_that_they_point_at() {
    let bridge = Bridge::start().await;
    let work = bridge.work("work").await;
    let head = work.commit("a.txt", "one").await;
    work.git(&["tag", "-a", "v1", "-m", "First"]).await;
    let (pushed, said) = work.push(&["platform", "v1"]).await;
    assert!(pushed && said.contains("[new tag]"), "{said}");
    let tag = bridge.repository.resolve("refs/tags/v1").await.unwrap().unwrap();
    assert_ne!(tag, head);
    let info = bridge.repository.commit_info(tag).await.unwrap();
    assert_eq!((info.commit, info.subject.as_str()), (head, "Change a.txt"));
}

#[tokio::test]
async fn thin_packs_are_completed_from_what_is_there() {
    let bridge = Bridge::start().await;
    let work = bridge.work("work").await;
    let lines = |last: &str| (0..3000).map(|n| format!("line {n}\n")).collect::<String>() + last;
    work.commit("long", lines("a")).await;
    work.push(&["platform", "main"]).await;
    work.commit("long", lines("b")).await;
    let (pushed, said) = work.push(&["--progress", "platform", "main"]).await;
    assert!(pushed && said.contains("(delta 1)"), "{said}");
    bridge.fsck().await;
    assert!(bridge.repository.repack().await.is_ok());
    bridge.fsck().await;
}

#[tokio::test]
async fn two_pushes_at_once_move_the_branch_once() {
    let bridge = Bridge::start().await;
    let (one, two) = (bridge.work("one").await, bridge.work("two").await);
    one.commit("a.txt", "one").await;
    two.commit("a.txt", "two").await;
    let (a, b) = tokio::join!(one.push(&["platform", "main"]), two.push(&["platform", "main"]));
    assert!(a.0 != b.0, "{a:?} {b:?}");
    bridge.fsck().await;
}

#[tokio::test]
async fn stale_quarantines_are_swept_and_fresh_ones_stay() {
    let bridge = Bridge::start().await;
    let folder = bridge.repository.path().join("objects").join(format!("{QUARANTINE_PREFIX}left"));
    std::fs::create_dir_all(folder.join("pack")).unwrap();
    let hour = std::time::Duration::from_secs(3600);
    assert_eq!(bridge.repository.sweep(hour).await.unwrap(), 0);
    assert_eq!(bridge.repository.sweep(std::time::Duration::ZERO).await.unwrap(), 1);
    assert!(!folder.exists());
}

#[tokio::test]
async fn a_repository_is_made_once_and_opened_after() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.git");
    assert!(Repository::open(&path).await.is_err());
    Repository::init(&path).await.unwrap();
    Repository::init(&path).await.unwrap();
    assert!(Repository::open(&path).await.is_ok());
    assert!(Repository::init(std::path::Path::new("relative.git")).await.is_err());
    assert!(!path.join("hooks").exists());
}
