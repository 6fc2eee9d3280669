//! Deployments that somebody else owns: only the image of named containers moves.

use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::*;
use crate::target::AdoptedSet;

/// A Deployment as its owner applied it: an init container and a container of the same image, and a sidecar.
async fn theirs(stage: &Stage, name: &str, image: &str, line: &str) {
    let labels = json!({ "app": name, "tier": "shop" });
    let object = json!({ "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": name, "labels": labels },
        "spec": { "replicas": 1, "selector": { "matchLabels": { "app": name } }, "template": {
            "metadata": { "labels": labels },
            "spec": { "terminationGracePeriodSeconds": 1,
                "initContainers": [{ "name": "migrate", "image": image, "command": ["true"] }],
                "containers": [
                    { "name": "main", "image": image, "command": ["/bin/sh", "-c", line] },
                    { "name": "sidecar", "image": image, "command": ["/bin/sh", "-c", IDLES] }
                ] }
        } } });
    let params = PatchParams::apply("deploy-bot").force();
    let deployments = stage.target.cluster.api::<Deployment>();
    deployments.patch(name, &params, &Patch::Apply(&object)).await.expect("it can be applied");
    wait_until(|| async {
        let live = stage.deployment(name).await.expect("it is there");
        live.status.and_then(|status| status.available_replicas) == Some(1)
    })
    .await;
}

async fn adopting(stage: &Stage, version: i64, deployments: AdoptedSet) -> Workload {
    let mut next = workload(version, Vec::new()).await;
    next.config.clear();
    next.image = images().await.1.clone();
    next.adopted = Some(Adoption {
        namespace: stage.namespace.clone(),
        deployments,
        containers: vec!["main".to_owned(), "migrate".to_owned()],
    });
    next
}

fn both() -> AdoptedSet {
    AdoptedSet::Names(vec!["api".to_owned(), "jobs".to_owned()])
}

#[tokio::test]
async fn images_of_named_containers_move_in_all_deployments_and_the_owner_is_named() {
    let Some(stage) = Stage::set_up(&[]).await else { return };
    let (one, two) = images().await;
    for name in ["api", "jobs"] {
        theirs(&stage, name, one, IDLES).await;
    }
    let next = adopting(&stage, 1, AdoptedSet::Selector("tier=shop".to_owned())).await;
    let text = stage.succeeds(&next, None).await;
    println!("{text}");
    assert!(text.contains("`deploy-bot`"), "{text}");
    assert!(text.contains("api: 1 of 1 updated, 1 available"), "{text}");
    for name in ["api", "jobs"] {
        assert_eq!(stage.images_of(name).await, [two.clone(), two.clone(), one.clone()], "{name}");
        let live = stage.deployment(name).await.expect("it is there");
        assert_eq!(objects::version_of(&live.metadata), 1);
        assert_eq!(objects::annotation(&live.metadata, objects::PREVIOUS_IMAGES), None);
    }
    let processes = stage.target.processes(&next.app, next.adopted.as_ref()).await.expect("an answer");
    assert!(processes.iter().any(|process| process.process_type.as_str() == "jobs" && process.version == 1));

    let before = stage.pods().await;
    stage.succeeds(&Workload { version: 2, ..next.clone() }, Some(&next)).await;
    assert_eq!(stage.pods().await, before, "an unchanged release moves no pod");
    let (ended, _) = stage.roll_out(&next, None).await;
    assert!(matches!(ended, Err(RolloutError::Interrupted)), "{ended:?}");
    stage.tear_down().await;
}

#[tokio::test]
async fn a_failed_first_push_brings_the_found_images_back() {
    let Some(stage) = Stage::set_up(&[]).await else { return };
    let one = &images().await.0;
    theirs(&stage, "api", one, IDLES).await;
    theirs(&stage, "jobs", one, IDLES).await;
    let mut next = adopting(&stage, 1, both()).await;
    next.image = one.replace(":one", ":nosuch");
    let why = stage.fails(&next, None).await;
    println!("{why}");
    assert!(why.contains("What was there before the first push runs again"), "{why}");
    for name in ["api", "jobs"] {
        assert_eq!(stage.images_of(name).await, [one.clone(), one.clone(), one.clone()], "{name}");
        let live = stage.deployment(name).await.expect("it is there");
        assert_eq!(objects::annotation(&live.metadata, objects::PREVIOUS_IMAGES), None);
        assert_eq!(objects::version_of(&live.metadata), 0);
    }
    stage.tear_down().await;
}

#[tokio::test]
async fn a_failed_later_push_goes_back_to_the_release_before_it() {
    let Some(stage) = Stage::set_up(&[]).await else { return };
    let (one, two) = images().await;
    theirs(&stage, "api", one, IDLES).await;
    theirs(&stage, "jobs", one, IDLES).await;
    let first = adopting(&stage, 1, both()).await;
    stage.succeeds(&first, None).await;
    let second = Workload { version: 2, image: one.replace(":one", ":nosuch"), ..first.clone() };
    let why = stage.fails(&second, Some(&first)).await;
    assert!(why.contains("v1 runs again"), "{why}");
    assert_eq!(stage.images_of("jobs").await, [two.clone(), two.clone(), one.clone()]);
    stage.tear_down().await;
}

#[tokio::test]
async fn a_crash_after_3_seconds_is_no_success_where_the_owner_asks_for_no_time() {
    let Some(stage) = Stage::set_up(&[]).await else { return };
    let one = &images().await.0;
    theirs(&stage, "api", one, IDLES).await;
    let crash = json!([{ "op": "replace", "path": "/spec/template/spec/containers/0/command",
        "value": ["/bin/sh", "-c", "sleep 3; echo gone; exit 5"] }]);
    let next = adopting(&stage, 1, AdoptedSet::Names(vec!["api".to_owned()])).await;
    let patch = serde_json::from_value(crash).expect("a patch");
    stage.target.cluster.patch_json::<Deployment>("api", &patch).await.expect("patched");
    let (ended, text) = stage.roll_out(&next, None).await;
    let Err(RolloutError::Failed(why)) = ended else { panic!("{ended:?}\n{text}") };
    assert!(why.contains("exit status 5"), "{why}");
    stage.tear_down().await;
}

#[tokio::test]
async fn a_wrong_container_name_is_refused_before_anything_is_patched() {
    let Some(stage) = Stage::set_up(&[]).await else { return };
    let one = &images().await.0;
    theirs(&stage, "api", one, IDLES).await;
    theirs(&stage, "jobs", one, IDLES).await;
    let before = stage.deployment("api").await.and_then(|live| live.metadata.generation);
    let mut next = adopting(&stage, 1, both()).await;
    next.adopted.as_mut().expect("adopted").containers = vec!["mian".to_owned()];
    let why = stage.fails(&next, None).await;
    assert!(why.contains("no container named mian") && why.contains("migrate, main, sidecar"), "{why}");
    next.adopted.as_mut().expect("adopted").deployments = AdoptedSet::Names(vec!["apj".to_owned()]);
    let why = stage.fails(&next, None).await;
    assert!(why.contains("no Deployment apj") && why.contains("api, jobs"), "{why}");
    assert_eq!(stage.deployment("api").await.and_then(|live| live.metadata.generation), before);
    stage.tear_down().await;
}

#[tokio::test]
async fn a_deployment_is_moved_by_one_app_until_that_lets_go_of_it() {
    let Some(stage) = Stage::set_up(&[]).await else { return };
    theirs(&stage, "api", &images().await.0, IDLES).await;
    let first = adopting(&stage, 5, AdoptedSet::Names(vec!["api".to_owned()])).await;
    stage.succeeds(&first, None).await;
    let other = Workload { app: "shop".parse().expect("a name"), version: 1, ..first.clone() };
    let why = stage.fails(&other, None).await;
    assert!(why.contains("moved by the app blog") && why.contains("slipway.dev/app-"), "{why}");
    let adoption = first.adopted.as_ref().expect("adopted");
    stage.target.let_go(&first.app, adoption).await.expect("an answer");
    stage.succeeds(&other, None).await;
    stage.tear_down().await;
}

#[tokio::test]
async fn pod_security_refuses_the_pods_of_an_owner_and_is_quoted() {
    let Some(stage) = Stage::set_up(&[]).await else { return };
    let one = &images().await.0;
    theirs(&stage, "api", one, IDLES).await;
    let namespaces: Api<Namespace> = Api::all(stage.target.cluster.client().clone());
    let label = json!({ "metadata": { "labels": { "pod-security.kubernetes.io/enforce": "restricted" } } });
    namespaces
        .patch(&stage.namespace, &PatchParams::default(), &Patch::Merge(&label))
        .await
        .expect("labelled");
    let before = stage.pods().await;
    let next = adopting(&stage, 1, AdoptedSet::Names(vec!["api".to_owned()])).await;
    let why = stage.fails(&next, None).await;
    println!("{why}");
    assert!(why.contains("violates PodSecurity"), "{why}");
    assert!(why.contains("What was there before the first push runs again"), "{why}");
    assert_eq!(stage.pods().await, before);
    stage.tear_down().await;
}
