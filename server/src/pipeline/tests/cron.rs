//! Entries of cron in the database: what is in force, and what is due.

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::db::cron::{self as entries, Entry};
use crate::db::unattended::{self, NewUnattended};
use crate::domain::batch::BatchKind;
use crate::domain::ids::BatchId;
use crate::pipeline::cron;

async fn with(rig: &Rig, release: &Release, cron: serde_json::Value) -> Release {
    sqlx::query(
        "UPDATE releases SET blueprint = blueprint || jsonb_build_object('cron', $1::jsonb) WHERE id = $2",
    )
    .bind(cron)
    .bind(release.id.0)
    .execute(&rig.platform().pool)
    .await
    .expect("updates");
    rig.release(release.id).await
}

async fn put(rig: &Rig, release: &Release) -> Vec<String> {
    let told = cron::put_in_force(&mut *rig.conn().await, &rig.app().await, release).await;
    told.expect("is in force")
}

async fn in_force(rig: &Rig) -> Vec<Entry> {
    entries::of(&mut *rig.conn().await, rig.app.id).await.expect("answers")
}

fn entry(name: &str, schedule: &str) -> serde_json::Value {
    json!({ "name": name, "command": format!("./{name}"), "schedule": schedule, "timezone": "Etc/UTC" })
}

#[tokio::test]
async fn a_release_replaces_the_entries_before_it_and_an_unchanged_schedule_goes_on_where_it_stood() {
    let Some(rig) = Rig::new().await else { return };
    let first = rig.released("one", ReleaseStatus::Succeeded).await;
    let first = with(
        &rig,
        &first,
        json!([entry("kept", "0 * * * *"), entry("gone", "0 * * * *"), entry("moved", "0 * * * *")]),
    )
    .await;
    assert_eq!(put(&rig, &first).await, ["Cron -> kept (0 * * * *), gone (0 * * * *), moved (0 * * * *)"]);
    rig.sql("UPDATE cron_entries SET next_at = '2020-01-01T00:00:00Z'").await;

    let second = rig.released("two", ReleaseStatus::Succeeded).await;
    let second = with(&rig, &second, json!([entry("kept", "0 * * * *"), entry("moved", "30 * * * *")])).await;
    put(&rig, &second).await;
    let found = in_force(&rig).await;
    let names: Vec<&str> = found.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names, ["kept", "moved"]);
    assert!(found.iter().all(|entry| entry.release_id == second.id));
    assert_eq!(found[0].next_at, "2020-01-01T00:00:00Z".parse::<Timestamp>().expect("a time"));
    assert!(found[1].next_at > Timestamp::now());
    let conn = &mut *rig.conn().await;
    assert_eq!(entries::due(conn, Timestamp::now()).await.expect("answers").len(), 1);
    // What is due already is no reason to look again at once.
    assert_eq!(entries::earliest(conn, Timestamp::now()).await.expect("answers"), Some(found[1].next_at));

    let third = rig.released("three", ReleaseStatus::Succeeded).await;
    assert_eq!(put(&rig, &third).await, Vec::<String>::new());
    assert!(in_force(&rig).await.is_empty());
}

#[tokio::test]
async fn a_due_time_is_settled_once_and_an_entry_has_one_run_at_a_time() {
    let Some(rig) = Rig::new().await else { return };
    let release = rig.released("one", ReleaseStatus::Succeeded).await;
    let release = with(&rig, &release, json!([entry("clean", "0 * * * *")])).await;
    put(&rig, &release).await;
    let entry = in_force(&rig).await.remove(0);
    let conn = &mut *rig.conn().await;
    let later = entry.next_at + SignedDuration::from_hours(1);
    assert_eq!(entries::settle(conn, &entry, later).await.expect("updates"), Fenced::Done);
    assert_eq!(entries::settle(conn, &entry, later).await.expect("updates"), Fenced::Lost);

    let run = |job: Option<&'static str>| NewUnattended {
        id: BatchId::new(),
        app: rig.app.id,
        release: release.id,
        kind: BatchKind::Cron,
        name: "clean",
        command: "./clean",
        actor_name: None,
        time_limit: Duration::from_secs(60),
        due_at: Some(entry.next_at),
        job,
    };
    let first = run(None);
    assert!(unattended::insert(conn, &first).await.expect("answers"));
    assert!(!unattended::insert(conn, &run(None)).await.expect("answers"), "beside the first");
    // What a cluster's own clock has started has started.
    assert!(unattended::insert(conn, &run(Some("blog-cron-clean-1"))).await.expect("answers"));
    let refusal = rig.platform().run_cron(&rig.app().await, &rig.ada, "clean").await;
    assert!(matches!(refusal, Err(ActionError::Conflict(text)) if text.contains("cron.clean runs already")));
    rig.sql("UPDATE batches SET status = 'succeeded', finished_at = now()").await;
    assert!(unattended::insert(conn, &run(None)).await.expect("answers"));
    let app = rig.app().await;
    let history = rig.platform().cron_history(&app, Some("clean"), 10).await.expect("answers");
    assert_eq!(history.len(), 3);
    let shown = rig.platform().cron_of(&app).await.expect("answers");
    assert_eq!(shown[0].last.as_ref().map(|last| last.id), history.first().map(|newest| newest.id));
}

#[tokio::test]
async fn an_app_that_adopts_has_no_entries_and_its_pusher_is_told() {
    let Some(rig) = Rig::new().await else { return };
    let release = rig.released("one", ReleaseStatus::Succeeded).await;
    let release = with(&rig, &release, json!([entry("clean", "0 * * * *")])).await;
    rig.sql(r#"UPDATE apps SET adoption = '{"namespace": "x", "deployments": {"names": ["y"]}, "containers": ["z"]}'"#)
        .await;
    let told = put(&rig, &release).await;
    assert!(told.iter().any(|text| text.contains("somebody else owns")), "{told:?}");
    assert!(in_force(&rig).await.is_empty());
}
