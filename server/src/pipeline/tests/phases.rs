//! Release phase and postdeploy, as far as they go without an image.

use super::*;
use crate::db::batch_log;
use crate::db::batches::{self, End, NewBatch};
use crate::domain::batch::{BatchKind, BatchStatus};
use crate::pipeline::{batch, phases};

/// With this in its blueprint, besides what every release of these tests has.
async fn with_phases(rig: &Rig, release: &Release) -> Release {
    sqlx::query(
        r#"UPDATE releases SET blueprint = blueprint || '{"release": "./migrate", "postdeploy": "./seed"}'"#,
    )
    .execute(&rig.platform().pool)
    .await
    .expect("updates");
    rig.release(release.id).await
}

async fn add(rig: &Rig, release: &Release, kind: BatchKind) -> crate::domain::ids::BatchId {
    let new = NewBatch { app: rig.app.id, release: release.id, kind, command: "./run" };
    batches::insert(&mut *rig.conn().await, &new).await.expect("inserts")
}

async fn end(rig: &Rig, id: crate::domain::ids::BatchId, status: BatchStatus) {
    let end = End { status, exit_status: Some(0), reason: None };
    assert_eq!(batches::end(&mut *rig.conn().await, id, &end).await.expect("updates"), Fenced::Done);
}

#[tokio::test]
async fn a_release_phase_that_cannot_run_fails_the_release_before_any_process_is_started() {
    let Some(rig) = Rig::new().await else { return };
    let release = with_phases(&rig, &rig.released("one", ReleaseStatus::Pending).await).await;
    let Rolled::Failed(reason) = rig.roll_out(&release).await else { panic!("it went live") };
    assert!(
        reason
            .starts_with("v1 is not live: the release phase (./migrate) could not be run: release could not"),
        "{reason}"
    );
    let conn = &mut *rig.conn().await;
    let phase =
        batches::phase_of(conn, release.id, BatchKind::Release).await.expect("answers").expect("stays");
    assert_eq!((phase.status, phase.command.as_str()), (BatchStatus::Failed, "./migrate"));
    assert!(phase.finished_at.is_some());
}

#[tokio::test]
async fn a_release_phase_that_has_ended_is_not_run_again() {
    let Some(rig) = Rig::new().await else { return };
    let release = with_phases(&rig, &rig.released("one", ReleaseStatus::Pending).await).await;
    let phase = add(&rig, &release, BatchKind::Release).await;
    end(&rig, phase, BatchStatus::Succeeded).await;
    let Rolled::Failed(reason) = rig.roll_out(&release).await else { panic!("there is no such image") };
    assert!(reason.starts_with("v1 is not live: web.1 cannot be started"), "{reason}");
}

#[tokio::test]
async fn an_app_that_adopts_has_no_phases() {
    let Some(rig) = Rig::new().await else { return };
    let release = with_phases(&rig, &rig.released("one", ReleaseStatus::Pending).await).await;
    rig.sql(r#"UPDATE apps SET adoption = '{"namespace": "x", "deployments": {"names": ["y"]}, "containers": ["z"]}'"#)
        .await;
    let (transcript, mut spoken) = Transcript::channel();
    let app = rig.app().await;
    let stop = CancellationToken::new();
    let passed = phases::before(rig.platform(), &app, &release, &transcript, &stop).await.expect("answers");
    assert!(passed.is_ok());
    let said = String::from_utf8_lossy(&spoken.recv().await.expect("a sentence")).into_owned();
    assert!(said.contains("somebody else owns"), "{said}");
    let conn = &mut *rig.conn().await;
    phases::plan_postdeploy(conn, &app, &release).await.expect("answers");
    assert_eq!(batches::phases_of(conn, release.id).await.expect("answers").len(), 0);
}

#[tokio::test]
async fn postdeploy_is_planned_with_the_first_release_that_succeeds() {
    let Some(rig) = Rig::new().await else { return };
    rig.released("one", ReleaseStatus::Failed).await;
    let first = rig.released("two", ReleaseStatus::Succeeded).await;
    let second = with_phases(&rig, &rig.released("three", ReleaseStatus::Pending).await).await;
    let first = rig.release(first.id).await;
    let conn = &mut *rig.conn().await;
    for release in [&first, &second] {
        phases::plan_postdeploy(conn, &rig.app, release).await.expect("answers");
    }
    let planned = batches::phases_of(conn, first.id).await.expect("answers");
    assert_eq!(planned.iter().map(|batch| batch.command.as_str()).collect::<Vec<_>>(), ["./seed"]);
    assert_eq!(batches::phases_of(conn, second.id).await.expect("answers").len(), 0);
    // A server that was killed before it ran takes it up again.
    upkeep::converge(rig.platform()).await;
    assert!(rig.claim(ROLLOUT).await.is_some());
}

#[tokio::test]
async fn a_phase_whose_release_has_ended_without_it_is_over() {
    let Some(rig) = Rig::new().await else { return };
    let pending = rig.released("one", ReleaseStatus::Pending).await;
    let lives = add(&rig, &pending, BatchKind::Release).await;
    let failed = rig.released("two", ReleaseStatus::Failed).await;
    let orphan = add(&rig, &failed, BatchKind::Release).await;
    batch::sweep(rig.platform()).await.expect("sweeps");
    let conn = &mut *rig.conn().await;
    assert_eq!(batches::alive(conn).await.expect("answers"), [lives]);
    let orphan = batches::by_id(conn, orphan).await.expect("answers").expect("stays");
    assert_eq!(orphan.status, BatchStatus::Canceled);
}

#[tokio::test]
async fn the_output_of_all_phases_is_one_text_that_is_read_from_any_byte_and_followed_to_its_end() {
    let Some(rig) = Rig::new().await else { return };
    let release = rig.released("one", ReleaseStatus::Succeeded).await;
    let read = async |query: &str| {
        let answer = rig.api.get(&rig.ada, &format!("/apps/blog/releases/v1/output?{query}")).await;
        (answer.status.as_u16(), answer.text)
    };
    let (status, text) = read("").await;
    assert!(status == 404 && text.contains("ran no release phase"), "{text}");
    for (kind, text) in [(BatchKind::Release, "migrated\n"), (BatchKind::Postdeploy, "seeded\n")] {
        let batch = add(&rig, &release, kind).await;
        batch_log::append(&mut *rig.conn().await, batch, 0, text.as_bytes()).await.expect("inserts");
        end(&rig, batch, BatchStatus::Succeeded).await;
    }
    for follow in ["", "&follow=1"] {
        assert_eq!(read(&format!("offset=0{follow}")).await, (200, "migrated\nseeded\n".to_owned()));
        assert_eq!(read(&format!("offset=9{follow}")).await, (200, "seeded\n".to_owned()));
        assert_eq!(read(&format!("offset=12{follow}")).await, (200, "ded\n".to_owned()));
        assert_eq!(read(&format!("offset=99{follow}")).await, (200, String::new()));
    }
    let info = rig.api.get(&rig.ada, "/apps/blog/releases/v1").await.json();
    assert_eq!(info["phases"][1]["name"], "postdeploy");
    assert_eq!(info["output_stream_url"], "http://localhost:7080/apps/blog/releases/1/output?follow=1");
}

#[tokio::test]
async fn a_release_phase_is_canceled_as_long_as_it_has_not_ended() {
    let Some(rig) = Rig::new().await else { return };
    let release = with_phases(&rig, &rig.released("one", ReleaseStatus::Pending).await).await;
    let phase = add(&rig, &release, BatchKind::Release).await;
    let app = rig.app().await;
    rig.platform().cancel_build(&app, &rig.ada, 1).await.expect("is canceled");
    // Also where the server that was asked has died meanwhile.
    let Rolled::Failed(reason) = rig.roll_out(&release).await else { panic!("it went live") };
    assert_eq!(reason, "v1 is not live: canceled by ada in its release phase");
    let stored = batches::by_id(&mut *rig.conn().await, phase).await.expect("answers").expect("stays");
    assert!(stored.finished_at.is_some());
    let again = rig.platform().cancel_build(&app, &rig.ada, 1).await;
    assert!(matches!(again, Err(ActionError::Conflict(_))), "{again:?}");
}

#[tokio::test]
async fn a_release_phase_that_has_ended_is_canceled_no_more() {
    let Some(rig) = Rig::new().await else { return };
    let release = with_phases(&rig, &rig.released("one", ReleaseStatus::Pending).await).await;
    let phase = add(&rig, &release, BatchKind::Release).await;
    end(&rig, phase, BatchStatus::Succeeded).await;
    let refusal = rig.platform().cancel_build(&rig.app().await, &rig.ada, 1).await;
    assert!(matches!(refusal, Err(ActionError::Conflict(_))), "{refusal:?}");
    let conn = &mut *rig.conn().await;
    assert_eq!(releases::canceled_by(conn, release.id).await.expect("answers"), None);
}
