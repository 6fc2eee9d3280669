//! Which release is made, which is refused, and what a rollout does before it touches a process.

use super::*;

#[tokio::test]
async fn versions_have_no_gaps_when_some_of_many_transactions_fail() {
    let Some(rig) = Rig::new().await else { return };
    let insert = async |fails: bool| {
        let mut tx = rig.platform().pool.begin().await.expect("begins");
        let locked = app_lock::lock(&mut tx, rig.app.id).await.expect("locks").expect("is there");
        let config = json!({});
        let new = NewRelease {
            description: "Set A config vars",
            trigger: "config",
            build_id: None,
            code: None,
            config: &config,
            actor_id: None,
            actor_name: "ada",
            rollback_of: None,
        };
        let (_, version) = releases::insert(&mut tx, &locked, &new).await.expect("inserts");
        if fails {
            return None;
        }
        tx.commit().await.expect("commits");
        Some(version)
    };
    let made = futures::future::join_all((0..12).map(|number| insert(number % 3 == 0))).await;
    let mut versions: Vec<i64> = made.into_iter().flatten().collect();
    versions.sort_unstable();
    assert_eq!(versions, [1, 2, 3, 4, 5, 6, 7, 8]);
}

#[tokio::test]
async fn a_rollback_refuses_the_build_in_flight_and_the_one_that_waits() {
    let Some(rig) = Rig::new().await else { return };
    rig.released("one", ReleaseStatus::Succeeded).await;
    let running = rig.push("two").await;
    let job = rig.claim(BUILD).await.expect("a job");
    rig.rollback(Some(1)).await.expect("goes back");
    let stop = rig.record(running.build, job.attempt).await.expect_err("the gate is closed");
    let Stop::Superseded(reason) = stop else { panic!("{stop:?}") };
    assert!(reason.starts_with("v2 (Rollback to v1 by ada) was made after this push"), "{reason}");
    rig.work_on(job).await.expect("over");
    let build = rig.build(running.build).await;
    assert_eq!((build.status, build.reason), (BuildStatus::Superseded, Some(reason)));
    assert!(!rig.log_of(running.build).await.contains("Dockerfile"), "it was built in vain");
}

#[tokio::test]
async fn a_release_whose_commit_was_not_confirmed_is_found_and_not_made_twice() {
    let Some(rig) = Rig::new().await else { return };
    let build = rig.push("one").await.build;
    let first = rig.record(build, 1).await.expect("is recorded");
    assert_eq!(rig.record(build, 2).await.expect("is found"), first);
    assert_eq!(rig.release(first).await.version, 1);
}

#[tokio::test]
async fn which_release_is_current_and_which_was_good_before() {
    let Some(rig) = Rig::new().await else { return };
    rig.set("A", "alpha").await.expect("v1");
    let version = |release: Option<Release>| release.map(|release| release.version);
    let conn = &mut *rig.conn().await;
    assert_eq!(version(releases::current_of(conn, rig.app.id).await.expect("answers")), Some(1));
    rig.released("two", ReleaseStatus::Succeeded).await;
    rig.released("three", ReleaseStatus::Failed).await;
    rig.released("four", ReleaseStatus::Pending).await;
    assert_eq!(version(releases::current_of(conn, rig.app.id).await.expect("answers")), Some(2));
    assert_eq!(version(releases::good_before(conn, rig.app.id, 4).await.expect("answers")), Some(2));
    assert_eq!(version(releases::good_before(conn, rig.app.id, 2).await.expect("answers")), None);
}

#[tokio::test]
async fn a_rollback_brings_back_code_and_config() {
    let Some(rig) = Rig::new().await else { return };
    rig.set("A", "old").await.expect("v1");
    let good = rig.released("one", ReleaseStatus::Succeeded).await;
    rig.set("A", "new").await.expect("v3");
    let back = rig.rollback(Some(2)).await.expect("goes back");
    assert_eq!((back.version, &back.code, &back.config), (4, &good.code, &good.config));
    assert_eq!(rig.app().await.config, good.config);
    let values = rig.platform().config_of(&rig.app().await).await.expect("opens");
    assert_eq!(secrecy::ExposeSecret::expose_secret(&values[&"A".parse().expect("a name")]), "old");
}

#[tokio::test]
async fn two_who_go_back_at_the_same_time_go_to_the_same_release() {
    let Some(rig) = Rig::new().await else { return };
    rig.released("one", ReleaseStatus::Succeeded).await;
    rig.released("two", ReleaseStatus::Succeeded).await;
    rig.rollback(None).await.expect("to v1");
    let refused = rig.rollback(None).await.expect_err("back to v2");
    assert!(refused.to_string().starts_with("v3 is on its way already (Rollback to v1 by ada)"), "{refused}");
    assert_eq!(rig.rollback(Some(2)).await.expect("named").version, 4);
}

#[tokio::test]
async fn there_is_nothing_to_go_back_to_before_the_second_release() {
    let Some(rig) = Rig::new().await else { return };
    assert!(matches!(rig.rollback(None).await, Err(ActionError::Conflict(_))));
    rig.set("A", "alpha").await.expect("v1");
    assert!(matches!(rig.rollback(Some(1)).await, Err(ActionError::Invalid(_))));
    rig.released("one", ReleaseStatus::Failed).await;
    let refused = rig.rollback(Some(2)).await.expect_err("never ran");
    assert!(refused.to_string().starts_with("v2 never ran (failed)"), "{refused}");
    assert!(matches!(rig.rollback(Some(9)).await, Err(ActionError::NotFound(_))));
}

#[tokio::test]
async fn an_unchanged_config_makes_no_release() {
    let Some(rig) = Rig::new().await else { return };
    assert_eq!(rig.set("A", "alpha").await.expect("v1").version, 1);
    assert!(rig.set("A", "alpha").await.is_none());
    assert_eq!(rig.set("A", "beta").await.expect("v2").version, 2);
}

#[tokio::test]
async fn a_config_change_waits_for_the_push_whose_code_it_takes_up() {
    let Some(rig) = Rig::new().await else { return };
    rig.released("one", ReleaseStatus::Succeeded).await;
    let push = rig.released("two", ReleaseStatus::Pending).await;
    let change = rig.set("A", "alpha").await.expect("v3");
    assert_eq!(change.code, push.code);
    assert!(matches!(rig.roll_out(&change).await, Rolled::Waiting(_)), "it went before the push");
    assert_eq!(rig.release(push.id).await.status, ReleaseStatus::Pending);
}

#[tokio::test]
async fn a_config_change_does_not_take_up_the_code_of_a_first_push_that_failed() {
    let Some(rig) = Rig::new().await else { return };
    let push = rig.released("one", ReleaseStatus::Pending).await;
    let change = rig.set("A", "alpha").await.expect("v2");
    let conn = &mut *rig.conn().await;
    let failed = releases::end(conn, push.id, ReleaseStatus::Failed, Some("crashed")).await.expect("updates");
    assert_eq!(failed, Fenced::Done);
    assert_eq!(rig.roll_out(&change).await, Rolled::Live);
    let change = rig.release(change.id).await;
    assert_eq!((change.status, change.code), (ReleaseStatus::Succeeded, None));
}

#[tokio::test]
async fn a_push_that_a_rollback_took_over_does_not_come_back_behind_a_config_change() {
    let Some(rig) = Rig::new().await else { return };
    rig.released("one", ReleaseStatus::Succeeded).await;
    let push = rig.released("two", ReleaseStatus::Pending).await;
    rig.rollback(Some(1)).await.expect("v3");
    rig.set("A", "alpha").await.expect("v4");
    let Rolled::Failed(reason) = rig.roll_out(&push).await else { panic!("it was rolled out") };
    assert_eq!(reason, "v3 took over: Rollback to v1 by ada");
    assert_eq!(rig.release(push.id).await.status, ReleaseStatus::Failed);
    assert_eq!(rig.app().await.branch_commit, None, "the branch moved for a release that failed");
}

#[tokio::test]
async fn who_asks_again_for_a_release_that_has_ended_moves_nothing() {
    let Some(rig) = Rig::new().await else { return };
    let failed = rig.released("one", ReleaseStatus::Failed).await;
    assert_eq!(rig.roll_out(&failed).await, Rolled::Failed("crashed".to_owned()));
    let live = rig.released("two", ReleaseStatus::Succeeded).await;
    assert_eq!(rig.roll_out(&live).await, Rolled::Live);
    assert_eq!(rig.app().await.branch_commit, None);
}
