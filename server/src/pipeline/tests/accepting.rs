//! From a push to a build that waits.

use super::*;

#[tokio::test]
async fn the_newest_waiting_build_wins_and_the_other_is_told_by_which() {
    let Some(rig) = Rig::new().await else { return };
    let first = rig.push("one").await;
    let second = rig.push("two").await;
    assert_eq!((second.number, second.superseded), (2, Some(1)));
    let old = rig.build(first.build).await;
    assert_eq!((old.status, old.log_closed), (BuildStatus::Superseded, true));
    assert_eq!(old.reason.as_deref(), Some("superseded by build 2"));
    assert_eq!(rig.claim(BUILD).await.expect("a job").payload, json!({ "build": second.build }));
    assert!(rig.claim(BUILD).await.is_none(), "the superseded build's job is still queued");
}

#[tokio::test]
async fn a_build_that_is_superseded_between_its_claim_and_its_begin_does_nothing() {
    let Some(rig) = Rig::new().await else { return };
    let first = rig.push("one").await;
    let job = rig.claim(BUILD).await.expect("a job");
    assert_eq!(rig.push("two").await.superseded, Some(1));
    rig.work_on(job).await.expect("nothing to do");
    assert_eq!(rig.build(first.build).await.status, BuildStatus::Superseded);
    assert_eq!(rig.log_of(first.build).await, "");
}

#[tokio::test]
async fn numbers_have_no_gaps_after_a_transaction_that_failed_and_left_its_pin() {
    let Some(rig) = Rig::new().await else { return };
    let mut tx = rig.platform().pool.begin().await.expect("begins");
    let locked = app_lock::lock(&mut tx, rig.app.id).await.expect("locks").expect("is there");
    assert_eq!(locked.next_build_number(&mut tx).await.expect("counts"), 1);
    rig.repository.pin(&pin(1), rig.commit("lost", None)).await.expect("pins");
    drop(tx);
    let commit = rig.commit("kept", None);
    assert_eq!(rig.push_with(commit, None, false).await.expect("accepted").number, 1);
    assert_eq!(rig.repository.resolve(&pin(1)).await.expect("answers"), Some(commit));
}

#[tokio::test]
async fn pushes_at_the_same_time_get_numbers_in_a_row_and_one_of_them_waits() {
    let Some(rig) = Rig::new().await else { return };
    let accepted = futures::future::join_all(["a", "b", "c", "d"].map(|text| rig.push(text))).await;
    let mut numbers: Vec<i64> = accepted.iter().map(|accepted| accepted.number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2, 3, 4]);
    let mut waiting = Vec::new();
    for accepted in &accepted {
        let build = rig.build(accepted.build).await;
        waiting.extend((build.status == BuildStatus::Queued).then_some(build.number));
    }
    assert_eq!(waiting, [4]);
}

#[tokio::test]
async fn a_retry_of_an_older_commit_is_refused() {
    let Some(rig) = Rig::new().await else { return };
    let old = rig.commit("old", None);
    let new = rig.commit("new", Some(old));
    rig.push_with(old, None, false).await.expect("accepted");
    let mut tx = rig.platform().pool.begin().await.expect("begins");
    let locked = app_lock::lock(&mut tx, rig.app.id).await.expect("locks").expect("is there");
    locked.move_branch(&mut tx, &new.to_string()).await.expect("moves");
    tx.commit().await.expect("commits");
    let refused = rig.platform().retry_build(&rig.app().await, &rig.ada, Some(1)).await.expect_err("older");
    assert!(matches!(&refused, ActionError::Conflict(text) if text.contains("older commit")), "{refused}");
    rig.push_with(new, Some(new), false).await.expect("accepted");
    let again =
        rig.platform().retry_build(&rig.app().await, &rig.ada, Some(2)).await.expect("the same commit");
    assert_eq!(again.number, 3);
}
