use serde_json::{Value, json};

use super::*;

fn pod(status: Value) -> Pod {
    serde_json::from_value(json!({ "metadata": { "name": "blog-web-1" }, "status": status })).expect("a pod")
}

fn waiting(reason: &str, message: &str) -> Value {
    json!({ "name": "web", "image": "i", "imageID": "", "ready": false, "restartCount": 2,
        "state": { "waiting": { "reason": reason, "message": message } } })
}

fn kind(status: Value) -> Option<Kind> {
    of_pod(&pod(status)).map(|trouble| trouble.kind)
}

fn kind_of(reason: &str, message: &str) -> Option<Kind> {
    kind(json!({ "containerStatuses": [waiting(reason, message)] }))
}

#[test]
fn a_pod_that_starts_or_runs_well_is_left_alone() {
    assert_eq!(kind(json!({ "phase": "Pending" })), None);
    assert_eq!(kind_of("ContainerCreating", ""), None);
    assert_eq!(kind_of("PodInitializing", ""), None);
    let ready = json!({ "name": "web", "image": "i", "imageID": "", "ready": true, "restartCount": 0,
        "state": { "running": {} } });
    assert_eq!(kind(json!({ "containerStatuses": [ready] })), None);
}

#[test]
fn a_crash_is_told_with_its_exit_code_and_its_time() {
    let mut container = waiting("CrashLoopBackOff", "back-off 10s restarting");
    container["lastState"] = json!({ "terminated": { "exitCode": 3, "reason": "Error",
        "startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:00:03Z" } });
    let trouble = of_pod(&pod(json!({ "containerStatuses": [container.clone()] }))).expect("a trouble");
    assert_eq!(
        (trouble.kind, trouble.what.as_str()),
        (Kind::Crash, "ended with exit status 3 after 3 s, 3 times so far")
    );
    container["lastState"]["terminated"]["exitCode"] = json!(0);
    let trouble = of_pod(&pod(json!({ "containerStatuses": [container.clone()] }))).expect("a trouble");
    assert!(trouble.what.contains("has to stay up"), "{}", trouble.what);
    container["lastState"]["terminated"]["reason"] = json!("OOMKilled");
    assert_eq!(kind(json!({ "containerStatuses": [container] })), Some(Kind::OutOfMemory));
}

#[test]
fn a_second_end_is_a_crash_also_where_the_kubelet_says_only_terminated() {
    let ended = |restarts: i32, exit_code: i32| {
        json!({ "name": "web", "image": "i", "imageID": "", "ready": false, "restartCount": restarts,
            "state": { "terminated": { "exitCode": exit_code, "reason": "Error" } } })
    };
    assert_eq!(kind(json!({ "containerStatuses": [ended(0, 1)] })), None, "it will be restarted");
    assert_eq!(kind(json!({ "containerStatuses": [ended(1, 1)] })), Some(Kind::Crash));
    assert_eq!(kind(json!({ "initContainerStatuses": [ended(1, 1)] })), Some(Kind::Crash));
    assert_eq!(kind(json!({ "initContainerStatuses": [ended(1, 0)] })), None, "the second try went well");
}

#[test]
fn init_containers_come_first() {
    let mut init = waiting("CrashLoopBackOff", "");
    init["name"] = json!("migrate");
    let status =
        json!({ "initContainerStatuses": [init], "containerStatuses": [waiting("PodInitializing", "")] });
    assert_eq!(of_pod(&pod(status)).map(|trouble| trouble.container).as_deref(), Some("migrate"));
}

#[test]
fn pulls_are_told_apart_by_what_waiting_would_help() {
    for (message, expected) in [
        ("rpc error: code = NotFound desc = failed to resolve: x: not found", Kind::NoSuchImage),
        ("manifest unknown: manifest unknown", Kind::NoSuchImage),
        ("pull access denied, repository does not exist or may require authorization", Kind::PullDenied),
        ("failed to authorize: 401 Unauthorized", Kind::PullDenied),
        ("dial tcp 10.0.0.1:5000: connect: connection refused", Kind::PullStalled),
        ("dial tcp: i/o timeout", Kind::PullStalled),
    ] {
        assert_eq!(kind_of("ImagePullBackOff", message), Some(expected), "{message}");
        assert_eq!(kind_of("ErrImagePull", message), Some(expected), "{message}");
    }
}

#[test]
fn what_keeps_a_container_from_starting_is_told_apart() {
    assert_eq!(kind_of("RunContainerError", "exec: nosuch: not found"), Some(Kind::Start));
    assert_eq!(kind_of("CreateContainerConfigError", "secret \"x\" not found"), Some(Kind::Config));
    let root = "container has runAsNonRoot and image will run as root";
    assert_eq!(kind_of("CreateContainerConfigError", root), Some(Kind::Root));
    assert_eq!(kind_of("InvalidImageName", "couldn't parse"), Some(Kind::NoSuchImage));
}

#[test]
fn a_pod_without_a_node_and_a_pod_that_does_not_answer_are_troubles() {
    let scheduled = json!({ "conditions": [{ "type": "PodScheduled", "status": "False",
        "reason": "Unschedulable", "message": "0/1 nodes are available: insufficient cpu." }] });
    assert_eq!(kind(scheduled), Some(Kind::Unschedulable));
    let idle = json!({ "name": "web", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
        "state": { "running": {} } });
    assert_eq!(kind(json!({ "containerStatuses": [idle] })), Some(Kind::NotReady));
}

#[test]
fn a_replica_set_says_why_it_gets_no_pods() {
    let set = |message: &str| -> ReplicaSet {
        serde_json::from_value(json!({ "metadata": {}, "status": { "replicas": 0, "conditions": [{
            "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message
        }] } }))
        .expect("a ReplicaSet")
    };
    let kind = |message: &str| of_replica_set(&set(message)).map(|trouble| trouble.kind);
    assert_eq!(
        kind("pods \"x\" is forbidden: violates PodSecurity \"restricted:latest\""),
        Some(Kind::PodSecurity)
    );
    assert_eq!(kind("pods \"x\" is forbidden: exceeded quota: small, requested: pods=1"), Some(Kind::Quota));
    assert_eq!(kind("Internal error occurred: admission webhook denied"), Some(Kind::Refused));
}
