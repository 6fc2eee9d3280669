//! Pushes from clones of limited depth.

use super::super::super::testing::{Bridge, Work};
use super::*;

/// A full working copy with five commits, and a clone of it that has only the last.
async fn full_and_shallow(bridge: &Bridge) -> (Work, Work) {
    let full = bridge.work("full").await;
    full.history(5).await;
    let from = format!("file://{}", full.path.display());
    full.git(&["clone", "-q", "--depth", "1", &from, "../shallow"]).await;
    let shallow = Work { path: bridge.folder.path().join("shallow") };
    shallow.git(&["remote", "add", "platform", &bridge.url]).await;
    (full, shallow)
}

async fn boundary(bridge: &Bridge) -> Vec<Oid> {
    super::super::shallow::read(bridge.repository.path()).await.unwrap()
}

#[tokio::test]
async fn a_shallow_clone_may_push_and_its_boundary_is_recorded() {
    let bridge = Bridge::start().await;
    let (_, shallow) = full_and_shallow(&bridge).await;
    let (pushed, said) = shallow.push(&["platform", "main"]).await;
    assert!(pushed, "{said}");
    assert_eq!(boundary(&bridge).await, [shallow.head().await]);
    bridge.fsck().await;

    let next = shallow.commit("file", "more").await;
    let (pushed, said) = shallow.push(&["platform", "main"]).await;
    assert!(pushed, "{said}");
    assert_eq!(bridge.main().await, Some(next));
    bridge.fsck().await;
    shallow.git(&["clone", "-q", &bridge.url, "../copy"]).await;
}

#[tokio::test]
async fn a_full_clone_pushes_on_top_of_a_shallow_history() {
    let bridge = Bridge::start().await;
    let (full, shallow) = full_and_shallow(&bridge).await;
    shallow.push(&["platform", "main"]).await;
    let next = full.commit("file", "more").await;
    let (pushed, said) = full.push(&["platform", "main"]).await;
    assert!(pushed, "{said}");
    assert_eq!(bridge.main().await, Some(next));
    bridge.fsck().await;
}

#[tokio::test]
async fn a_push_that_brings_the_missing_parents_heals_the_boundary() {
    let bridge = Bridge::start().await;
    let (full, shallow) = full_and_shallow(&bridge).await;
    shallow.push(&["platform", "main"]).await;
    // A copy that does not know the shallow commit sends what lies below it.
    full.git(&["reset", "-q", "--hard", "HEAD~1"]).await;
    full.git(&["reflog", "expire", "--expire=now", "--all"]).await;
    full.git(&["prune", "--expire=now"]).await;
    let other = full.commit("other", "x").await;
    let (pushed, said) = full.push(&["-f", "platform", "main"]).await;
    assert!(pushed, "{said}");
    assert_eq!(bridge.main().await, Some(other));
    assert_eq!(boundary(&bridge).await, []);
    assert!(!bridge.repository.path().join("shallow").exists());
    bridge.fsck().await;
}

#[tokio::test]
async fn a_shallow_clone_of_what_is_here_whole_leaves_no_boundary() {
    let bridge = Bridge::start().await;
    let (full, shallow) = full_and_shallow(&bridge).await;
    full.push(&["platform", "main"]).await;
    shallow.commit("file", "more").await;
    let (pushed, said) = shallow.push(&["platform", "main"]).await;
    assert!(pushed, "{said}");
    assert_eq!(boundary(&bridge).await, []);
    bridge.fsck().await;
}

#[tokio::test]
async fn an_older_commit_that_git_held_back_is_taken_at_the_second_try() {
    let bridge = Bridge::start().await;
    let (full, shallow) = full_and_shallow(&bridge).await;
    shallow.push(&["platform", "main"]).await;
    // The client knows the shallow commit whole, takes its history for known and sends nothing.
    let (pushed, said) = full.push(&["-f", "platform", "main~2:refs/heads/main"]).await;
    assert!(!pushed && said.contains("Push again now"), "{said}");
    let (pushed, said) = full.push(&["-f", "platform", "main~2:refs/heads/main"]).await;
    assert!(pushed, "{said}");
    let older = full.git(&["rev-parse", "main~2"]).await;
    assert_eq!(bridge.main().await.map(|oid| oid.to_string()), Some(older));
    bridge.fsck().await;
    let (pushed, said) = full.push(&["platform", "main"]).await;
    assert!(pushed, "{said}");
    assert_eq!(boundary(&bridge).await, []);
    bridge.fsck().await;
    let (_, said) = full.push(&["platform", "main"]).await;
    assert!(said.contains("up-to-date"), "{said}");
}

#[tokio::test]
async fn a_tag_of_an_older_commit_is_taken_at_the_second_try() {
    let bridge = Bridge::start().await;
    let (full, shallow) = full_and_shallow(&bridge).await;
    shallow.push(&["platform", "main"]).await;
    full.git(&["tag", "-a", "old", "-m", "Old", "main~2"]).await;
    let (pushed, said) = full.push(&["platform", "old"]).await;
    assert!(!pushed && said.contains("Push again now"), "{said}");
    let (pushed, said) = full.push(&["platform", "old"]).await;
    assert!(pushed, "{said}");
    bridge.fsck().await;
}
