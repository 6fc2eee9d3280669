//! What is asked of the formation, before it touches a process.

use super::*;
use crate::db::formation;
use crate::domain::formation::{ChangeStatus, Count, Wish};
use crate::pipeline::jobs::FORMATION;

impl Rig {
    async fn scale(&self, quantity: u32) -> crate::domain::ids::ChangeId {
        let count = Count { quantity: Some(quantity), size: None };
        let types = [("web".parse().expect("a type"), count)].into();
        self.platform().scale(&self.app().await, &self.ada, types).await.expect("is queued")
    }
}

#[tokio::test]
async fn scaling_waits_for_a_release_on_its_way() {
    let Some(rig) = Rig::new().await else { return };
    rig.released("one", ReleaseStatus::Succeeded).await;
    let id = rig.scale(2).await;
    let push = rig.released("two", ReleaseStatus::Pending).await;
    let job = rig.claim(FORMATION).await.expect("a job");
    let waits = super::super::formation::change(Arc::new(rig.platform().clone()), job).await;
    let Err(JobError::NotBegun { error, .. }) = waits else { panic!("{waits:?}") };
    assert_eq!(error.to_string(), format!("v{} is on its way", push.version));
    let change = formation::change(&mut *rig.conn().await, id).await.expect("answers").expect("is there");
    assert_eq!(change.status, ChangeStatus::Pending);
    assert!(matches!(change.wish, Wish::Scale(_)));
}

#[tokio::test]
async fn a_type_is_introduced_by_the_release_that_is_live_and_told_once() {
    let Some(rig) = Rig::new().await else { return };
    let release = Release {
        code: Some(releases::Code {
            commit: Some("c".to_owned()),
            image: "i".to_owned(),
            digest: "d".to_owned(),
            blueprint: json!({ "processes": { "web": null, "worker": "./work" }, "port": 80 }),
        }),
        ..rig.released("one", ReleaseStatus::Pending).await
    };
    let conn = &mut *rig.conn().await;
    let locked = app_lock::lock(conn, rig.app.id).await.expect("locks").expect("is there");
    let told = super::super::formation::introduce(conn, &rig.app, &locked, &release).await.expect("inserts");
    assert_eq!(
        told,
        [
            "worker is new: it runs 0 processes; `ps:scale worker=1` starts it",
            "Formation -> web=1:standard worker=0:standard"
        ]
    );
    let again = super::super::formation::introduce(conn, &rig.app, &locked, &release).await.expect("inserts");
    assert_eq!(again, Vec::<String>::new());
}
