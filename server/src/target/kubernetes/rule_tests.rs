use k8s_openapi::api::apps::v1::Deployment;
use serde_json::{Value, json};

use super::*;

const OURS: &str = "registry/blog:b2@sha256:2";

fn pin() -> Pin {
    Pin { version: 7, generation: 4, images: vec![("web".to_owned(), OURS.to_owned())] }
}

/// A Deployment of two at generation 4, complete, with what `change` says on top.
fn live(change: Value) -> Deployment {
    let mut object = json!({
        "metadata": { "generation": 4, "annotations": { "slipway.dev/version": "7" } },
        "spec": {
            "replicas": 2,
            "selector": {},
            "template": { "spec": { "containers": [{ "name": "web", "image": OURS }] } }
        },
        "status": {
            "observedGeneration": 4, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2
        }
    });
    json_patch::merge(&mut object, &change);
    serde_json::from_value(object).expect("a Deployment")
}

fn timed_out(replica_set: &str) -> Value {
    json!({ "status": { "updatedReplicas": 1, "conditions": [{
        "type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded",
        "message": format!("ReplicaSet \"{replica_set}\" has timed out progressing.")
    }] } })
}

fn verdict(change: Value) -> Verdict {
    judge(&live(change), Some("blog-web-new"), &pin())
}

#[test]
fn the_counts_follow_kubectls_rule() {
    let waiting =
        |updated, total, available| Verdict::Waiting(Progress { desired: 2, updated, total, available });
    let status = |updated: i32, total: i32, available: i32| {
        verdict(json!({ "status": {
            "updatedReplicas": updated, "replicas": total, "availableReplicas": available
        } }))
    };
    assert_eq!(status(1, 3, 2), waiting(1, 3, 2), "one of two is new");
    assert_eq!(status(2, 3, 2), waiting(2, 3, 2), "an old one still runs");
    assert_eq!(status(2, 2, 1), waiting(2, 2, 1), "one of the new ones is not available");
    assert!(matches!(status(2, 2, 2), Verdict::Done(_)));
}

#[test]
fn a_status_of_the_generation_before_ours_says_nothing() {
    assert_eq!(verdict(json!({ "status": { "observedGeneration": 3 } })), Verdict::Unobserved);
    // A read that is older than our write, complete as that was.
    let stale = json!({ "metadata": { "generation": 3 }, "status": { "observedGeneration": 3 } });
    assert_eq!(verdict(stale), Verdict::Unobserved);
}

#[test]
fn a_missed_deadline_counts_only_for_the_current_replica_set() {
    assert!(matches!(verdict(timed_out("blog-web-new")), Verdict::DeadlineExceeded(_)));
    assert!(matches!(verdict(timed_out("blog-web-old")), Verdict::Waiting(_)));
    assert!(matches!(judge(&live(timed_out("blog-web-new")), None, &pin()), Verdict::Waiting(_)));
    // One name may begin like another.
    assert!(matches!(verdict(timed_out("blog-web-new-2")), Verdict::Waiting(_)));
}

#[test]
fn a_process_type_of_none_is_done_once_its_last_pod_is_gone() {
    let none = |total: i32| {
        verdict(json!({ "spec": { "replicas": 0 }, "status": {
            "replicas": total, "updatedReplicas": total, "availableReplicas": total
        } }))
    };
    assert!(matches!(none(0), Verdict::Done(_)));
    let old = json!({ "spec": { "replicas": 0 }, "status": { "replicas": 1, "updatedReplicas": 0 } });
    assert!(matches!(verdict(old), Verdict::Waiting(_)));
}

#[test]
fn another_image_in_the_live_object_is_no_success() {
    let template = json!({ "spec": { "template": { "spec": { "containers": [
        { "name": "web", "image": "registry/blog:old" }
    ] } } } });
    assert_eq!(
        verdict(template),
        Verdict::Overwritten { container: "web".to_owned(), image: "registry/blog:old".to_owned() }
    );
}

#[test]
fn a_newer_release_and_a_pause_end_the_watch() {
    let newer = json!({ "metadata": { "annotations": { "slipway.dev/version": "8" } } });
    assert_eq!(verdict(newer), Verdict::Newer);
    assert_eq!(verdict(json!({ "spec": { "paused": true } })), Verdict::Paused);
}

#[test]
fn an_autoscalers_write_is_waited_for_like_our_own() {
    let scaled = json!({ "metadata": { "generation": 5 }, "spec": { "replicas": 3 } });
    assert_eq!(verdict(scaled), Verdict::Unobserved);
    let seen = json!({
        "metadata": { "generation": 5 }, "spec": { "replicas": 3 }, "status": { "observedGeneration": 5 }
    });
    assert!(matches!(verdict(seen), Verdict::Waiting(Progress { desired: 3, .. })));
}

#[test]
fn the_current_replica_set_is_owned_and_of_the_current_revision() {
    let mut deployment = live(json!({ "metadata": { "uid": "d1" } }));
    let annotations = deployment.metadata.annotations.get_or_insert_default();
    annotations.insert("deployment.kubernetes.io/revision".to_owned(), "3".to_owned());
    let set = |name: &str, owner: &str, revision: &str, image: &str| -> ReplicaSet {
        serde_json::from_value(json!({ "metadata": {
            "name": name,
            "annotations": { "deployment.kubernetes.io/revision": revision },
            "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "Deployment", "name": "x", "uid": owner }]
        }, "spec": { "selector": {}, "template": {
            "spec": { "containers": [{ "name": "web", "image": image }] }
        } } }))
        .expect("a ReplicaSet")
    };
    let sets = [
        set("foreign", "d2", "3", OURS),
        set("old", "d1", "2", OURS),
        set("not-yet-replaced", "d1", "3", "registry/blog:old"),
        set("new", "d1", "3", OURS),
    ];
    let current = current_replica_set(&deployment, &sets).and_then(|set| set.metadata.name.as_deref());
    assert_eq!(current, Some("new"));
    assert!(current_replica_set(&deployment, &sets[..3]).is_none());
}
