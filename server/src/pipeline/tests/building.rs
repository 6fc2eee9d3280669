//! How the job of a build ends.

use super::*;

#[tokio::test]
async fn a_build_that_failed_says_why_in_its_log_before_the_log_closes() {
    let Some(rig) = Rig::new().await else { return };
    let id = rig.push("no Dockerfile here").await.build;
    let job = rig.claim(BUILD).await.expect("a job");
    rig.work_on(job).await.expect("over");
    let build = rig.build(id).await;
    assert_eq!((build.status, build.log_closed), (BuildStatus::Failed, true));
    let log = rig.log_of(id).await;
    let reason = build.reason.expect("a reason");
    assert!(reason.contains("Dockerfile") && log.contains(reason.lines().next().expect("a line")), "{log}");
    assert!(log.starts_with("-----> Build 1 of "), "{log}");
}

#[tokio::test]
async fn a_build_that_ended_is_not_built_again_to_close_its_log() {
    let Some(rig) = Rig::new().await else { return };
    let id = rig.push("one").await.build;
    let job = rig.claim(BUILD).await.expect("a job");
    rig.sql("UPDATE builds SET status = 'failed', reason = 'broken', attempt = 1").await;
    rig.work_on(job).await.expect("over");
    let build = rig.build(id).await;
    assert_eq!((build.log_closed, build.reason.as_deref()), (true, Some("broken")));
    assert_eq!(rig.log_of(id).await, "");
}

#[tokio::test]
async fn a_database_that_is_away_at_the_begin_costs_no_try() {
    let Some(rig) = Rig::new().await else { return };
    let id = rig.push("one").await.build;
    let job = rig.claim(BUILD).await.expect("a job");
    rig.sql("ALTER TABLE builds RENAME TO away").await;
    let ended = rig.work_on(job.clone()).await;
    assert!(matches!(ended, Err(JobError::NotBegun { .. })), "{ended:?}");
    rig.sql("ALTER TABLE away RENAME TO builds").await;
    rig.work_on(job).await.expect("over");
    assert_eq!(rig.build(id).await.status, BuildStatus::Failed);
}

#[tokio::test]
async fn config_vars_that_cannot_be_read_end_the_build_after_its_tries() {
    let Some(rig) = Rig::new().await else { return };
    let id = rig.push("one").await.build;
    rig.sql("INSERT INTO config_values (app_id, name, version, sealed) SELECT id, 'TOKEN', 1, 'garbage' FROM apps").await;
    rig.sql(r#"UPDATE apps SET config = '{"TOKEN": 1}'"#).await;
    let job = rig.claim(BUILD).await.expect("a job");
    let first = rig.work_on(job.clone()).await;
    assert!(matches!(first, Err(JobError::Retry { .. })), "{first:?}");
    assert!(!rig.build(id).await.log_closed);
    rig.work_on(Job { attempt: 2, tries: 2, ..job }).await.expect("over");
    let build = rig.build(id).await;
    assert_eq!((build.status, build.log_closed), (BuildStatus::Errored, true));
    assert!(build.reason.expect("a reason").contains("not your code's fault"));
}

#[tokio::test]
async fn a_build_whose_worker_is_lost_each_time_ends_errored() {
    let Some(rig) = Rig::new().await else { return };
    let id = rig.push("one").await.build;
    let job = rig.claim(BUILD).await.expect("a job");
    rig.work_on(Job { attempt: 3, tries: 3, ..job }).await.expect("over");
    let build = rig.build(id).await;
    assert_eq!((build.status, build.log_closed), (BuildStatus::Errored, true));
    assert!(rig.log_of(id).await.contains("its worker was lost each time"));
}

#[tokio::test]
async fn interruptions_by_a_shutdown_are_not_tries() {
    let Some(rig) = Rig::new().await else { return };
    let id = rig.push("one").await.build;
    let job = rig.claim(BUILD).await.expect("a job");
    rig.work_on(Job { attempt: 7, tries: 1, ..job }).await.expect("over");
    assert_eq!(rig.build(id).await.status, BuildStatus::Failed);
    assert!(!rig.log_of(id).await.contains("Trying again"));
}

#[tokio::test]
async fn a_recorded_release_is_not_called_lost_with_its_worker() {
    let Some(rig) = Rig::new().await else { return };
    let release = rig.released("one", ReleaseStatus::Pending).await;
    let id = release.build_id.expect("has a build");
    let job =
        Job { id: crate::domain::ids::JobId::new(), payload: json!({ "build": id }), attempt: 3, tries: 3 };
    rig.work_on(job).await.expect("over");
    let build = rig.build(id).await;
    assert_eq!((build.status, build.log_closed), (BuildStatus::Succeeded, true));
    assert!(rig.log_of(id).await.contains("its rollout goes on by itself"));
}

#[tokio::test]
async fn a_cancel_before_the_begin_is_found_and_names_who_asked() {
    let Some(rig) = Rig::new().await else { return };
    let id = rig.push("one").await.build;
    let job = rig.claim(BUILD).await.expect("a job");
    builds::begin(&mut *rig.conn().await, id, job.attempt).await.expect("updates").or_stop().expect("ours");
    rig.platform().cancel_build(&rig.app, &rig.ada, 1).await.expect("is asked");
    rig.work_on(job).await.expect("over");
    let build = rig.build(id).await;
    assert_eq!((build.status, build.reason.as_deref()), (BuildStatus::Canceled, Some("canceled by ada")));
}

#[tokio::test]
async fn a_push_that_does_not_contain_what_was_released_meanwhile_is_refused_unless_forced() {
    let Some(rig) = Rig::new().await else { return };
    let base = rig.commit("base", None);
    let theirs = rig.commit("theirs", Some(base));
    let ours = rig.commit("ours", Some(base));
    sqlx::query("UPDATE apps SET branch_commit = $1")
        .bind(theirs.to_string())
        .execute(&rig.platform().pool)
        .await
        .expect("updates");
    for (forced, said) in [(false, "the branch has moved since your push"), (true, "Dockerfile")] {
        let id = rig.push_with(ours, Some(base), forced).await.expect("accepted").build;
        let job = rig.claim(BUILD).await.expect("a job");
        rig.work_on(job.clone()).await.expect("over");
        assert!(rig.build(id).await.reason.expect("a reason").contains(said), "forced: {forced}");
        assert_eq!(
            jobs::finish(&mut *rig.conn().await, &job, &jobs::End::Done).await.expect("updates"),
            Fenced::Done
        );
    }
}

#[tokio::test]
async fn the_build_of_a_destroyed_app_is_let_go() {
    let Some(rig) = Rig::new().await else { return };
    rig.push("one").await;
    let job = rig.claim(BUILD).await.expect("a job");
    rig.platform().destroy_app(&rig.app, (&rig.ada).into()).await.expect("is destroyed");
    rig.work_on(job).await.expect("nothing to do");
}
