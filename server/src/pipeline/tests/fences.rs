//! Whose writes count.

use super::*;

#[tokio::test]
async fn a_zombie_writes_nothing_and_does_not_close_the_log() {
    let Some(rig) = Rig::new().await else { return };
    let id = rig.push("one").await.build;
    let conn = &mut *rig.conn().await;
    assert_eq!(builds::begin(conn, id, 1).await.expect("updates"), Fenced::Done);
    let zombie = rig.build(id).await;
    assert_eq!(builds::begin(conn, id, 2).await.expect("updates"), Fenced::Done);
    let blueprint = json!({});
    let made = Made { digest: "sha256:0", blueprint: &blueprint, reuse_key: None };
    assert_eq!(builds::begin(conn, id, 1).await.expect("updates"), Fenced::Lost);
    assert_eq!(builds::begin_pushing(conn, &zombie).await.expect("updates"), Fenced::Lost);
    assert_eq!(builds::store_digest(conn, &zombie, &made).await.expect("updates"), Fenced::Lost);
    let failed = BuildStatus::Failed;
    assert_eq!(builds::end(conn, &zombie, failed, Some("late")).await.expect("updates"), Fenced::Lost);
    assert_eq!(builds::close_log(conn, &zombie).await.expect("updates"), Fenced::Lost);
    let build = rig.build(id).await;
    assert_eq!((build.status, build.digest, build.log_closed), (BuildStatus::Building, None, false));
}

#[tokio::test]
async fn only_one_build_of_an_app_runs() {
    let Some(rig) = Rig::new().await else { return };
    let conn = &mut *rig.conn().await;
    let first = rig.push("one").await.build;
    assert_eq!(builds::begin(conn, first, 1).await.expect("updates"), Fenced::Done);
    let second = rig.push("two").await.build;
    let refused = builds::begin(conn, second, 1).await.expect_err("two ran");
    assert!(refused.as_database_error().is_some_and(|error| error.is_unique_violation()));
}

#[tokio::test]
async fn the_cancel_boundary_lies_before_the_push() {
    let Some(rig) = Rig::new().await else { return };
    let conn = &mut *rig.conn().await;
    let id = rig.push("one").await.build;
    builds::begin(conn, id, 1).await.expect("updates").or_stop().expect("ours");
    let build = rig.build(id).await;
    assert_eq!(builds::cancel(conn, id, "ada").await.expect("updates"), Cancel::Requested);
    assert_eq!(builds::begin_pushing(conn, &build).await.expect("updates"), Fenced::Lost);
    rig.sql("UPDATE builds SET cancel_requested = false").await;
    assert_eq!(builds::begin_pushing(conn, &build).await.expect("updates"), Fenced::Done);
    assert_eq!(builds::cancel(conn, id, "ada").await.expect("updates"), Cancel::TooLate);
    let waiting = rig.push("two").await.build;
    assert_eq!(builds::cancel(conn, waiting, "ada").await.expect("updates"), Cancel::Ended);
    assert!(rig.build(waiting).await.log_closed);
}

#[tokio::test]
async fn cancel_running_spares_the_push_that_asked() {
    let Some(rig) = Rig::new().await else { return };
    let first = rig.push("one").await;
    rig.claim(BUILD).await.expect("a job");
    builds::begin(&mut *rig.conn().await, first.build, 1).await.expect("updates").or_stop().expect("ours");
    let itself = rig.platform().cancel_before(&rig.app, &rig.ada, first.number).await.expect("answers");
    assert!(itself.is_none(), "a push canceled its own build");
    let second = rig.push("two").await;
    let canceled = rig.platform().cancel_before(&rig.app, &rig.ada, second.number).await.expect("answers");
    assert_eq!(canceled.map(|build| build.number), Some(1));
}
