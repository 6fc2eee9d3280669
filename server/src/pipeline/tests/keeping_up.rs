//! What the upkeep finds and mends.

use super::*;

#[tokio::test]
async fn a_build_that_no_job_would_take_further_is_ended() {
    let Some(rig) = Rig::new().await else { return };
    let waiting = rig.push("one").await.build;
    upkeep::converge(rig.platform()).await;
    assert_eq!(rig.build(waiting).await.status, BuildStatus::Queued, "its job is there");
    rig.sql("UPDATE jobs SET status = 'dead'").await;
    upkeep::converge(rig.platform()).await;
    let build = rig.build(waiting).await;
    assert_eq!((build.status, build.log_closed), (BuildStatus::Errored, true));
    assert!(build.reason.expect("a reason").contains("push again"));
}

#[tokio::test]
async fn a_release_that_no_job_would_take_further_gets_one_job() {
    let Some(rig) = Rig::new().await else { return };
    let release = rig.released("one", ReleaseStatus::Pending).await;
    for _ in 0..2 {
        upkeep::converge(rig.platform()).await;
    }
    assert_eq!(rig.claim(ROLLOUT).await.expect("a job").payload, json!({ "release": release.id }));
    assert!(rig.claim(ROLLOUT).await.is_none(), "two jobs for one release");
}

#[tokio::test]
async fn the_branch_goes_where_the_database_says() {
    let Some(rig) = Rig::new().await else { return };
    let commit = rig.commit("one", None);
    sqlx::query("UPDATE apps SET branch_commit = $1")
        .bind(commit.to_string())
        .execute(&rig.platform().pool)
        .await
        .expect("updates");
    upkeep::converge(rig.platform()).await;
    assert_eq!(rig.repository.resolve("refs/heads/main").await.expect("answers"), Some(commit));
}
