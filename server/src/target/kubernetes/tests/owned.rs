//! Owned apps: what a release puts in place and what it leaves alone.

use std::collections::BTreeSet;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{Secret, Service};
use kube::api::{Patch, PatchParams};
use serde_json::json;
use tokio::time::Instant;

use super::*;

#[tokio::test]
async fn a_first_and_a_second_release_of_web_and_worker_run() {
    let Some(stage) = Stage::set_up(&[]).await else { return };
    let first = healthy(1).await;
    let text = stage.succeeds(&first, None).await;
    assert!(text.contains("web: 1 of 1 updated, 1 available"), "{text}");
    assert!(text.contains("worker: 1 of 1 updated, 1 available"), "{text}");
    let service = stage.target.cluster.get::<Service>(APP).await.expect("an answer").expect("a Service");
    assert_eq!(service.spec.and_then(|spec| spec.ports).map(|ports| ports[0].port), Some(80));

    let second = changed(2).await;
    stage.succeeds(&second, Some(&first)).await;
    let processes = stage.target.processes(&second.app, None).await.expect("an answer");
    let up: Vec<_> = processes.iter().filter(|process| process.state == "up").collect();
    assert_eq!(up.iter().map(|process| process.version).collect::<Vec<_>>(), [2, 2], "{processes:?}");
    assert!(up[0].command.ends_with(SERVES), "{processes:?}");
    let secrets: Vec<Secret> = stage.target.cluster.list("").await.expect("an answer");
    assert_eq!(secrets.len(), 2, "the config of both releases is kept");

    stage.succeeds(&changed(3).await, Some(&second)).await;
    assert!(
        stage.target.cluster.list::<Secret>("").await.expect("an answer").len() == 2,
        "the oldest is pruned"
    );
    stage.target.remove(&second.app).await.expect("it can be removed");
    assert_eq!(stage.deployment("blog-web").await, None);
    stage.tear_down().await;
}

#[tokio::test]
async fn what_a_deployment_changes_to_is_told_as_it_happens() {
    let Some(stage) = Stage::set_up(&[]).await else { return };
    let first = healthy(1).await;
    stage.succeeds(&first, None).await;
    let mut changes = changes::of(&stage.target.cluster, ["blog-web", "blog-worker"]);
    let mut until_told = async |version| {
        let mut told = BTreeSet::new();
        while told.len() < 2 {
            let (place, live) = changes.next().await.expect("it goes on");
            if objects::version_of(&live.metadata) == version {
                told.insert((place, live.name_any()));
            }
        }
        told.into_iter().collect::<Vec<_>>()
    };
    let both = [(0, "blog-web".to_owned()), (1, "blog-worker".to_owned())];
    let told = tokio::time::timeout(LIMIT, until_told(1)).await.expect("in time");
    assert_eq!(told, both, "as they are");
    stage.succeeds(&changed(2).await, Some(&first)).await;
    let told = tokio::time::timeout(LIMIT, until_told(2)).await.expect("in time");
    assert_eq!(told, both, "as they are now");
    stage.tear_down().await;
}

#[tokio::test]
async fn an_unchanged_release_moves_no_pod() {
    let Some(stage) = Stage::set_up(&[]).await else { return };
    let first = healthy(1).await;
    stage.succeeds(&first, None).await;
    let before = stage.pods().await;
    let began = Instant::now();
    stage.succeeds(&healthy(2).await, Some(&first)).await;
    println!("unchanged release: {} ms", began.elapsed().as_millis());
    assert_eq!(stage.pods().await, before);
    let live = stage.deployment("blog-web").await.expect("it is there");
    assert_eq!(objects::version_of(&live.metadata), 2);
    stage.tear_down().await;
}

#[tokio::test]
async fn a_process_type_that_left_is_pruned_after_success() {
    let Some(stage) = Stage::set_up(&[]).await else { return };
    let first = healthy(1).await;
    stage.succeeds(&first, None).await;
    let without = workload(2, vec![process("web", SERVES)]).await;
    stage.succeeds(&without, Some(&first)).await;
    assert_eq!(stage.deployment("blog-worker").await, None);
    assert!(stage.deployment("blog-web").await.is_some());
    stage.tear_down().await;
}

#[tokio::test]
async fn a_lower_version_is_refused() {
    let Some(stage) = Stage::set_up(&[]).await else { return };
    let third = healthy(3).await;
    stage.succeeds(&third, None).await;
    let (ended, _) = stage.roll_out(&changed(2).await, None).await;
    assert!(matches!(ended, Err(RolloutError::Interrupted)), "{ended:?}");
    let live = stage.deployment("blog-web").await.expect("it is there");
    assert_eq!((objects::version_of(&live.metadata), live.metadata.generation), (3, Some(1)));
    stage.tear_down().await;
}

#[tokio::test]
async fn a_newer_release_interrupts_at_once_and_wins() {
    let Some(stage) = Stage::set_up(&[]).await else { return };
    let first = healthy(1).await;
    stage.succeeds(&first, None).await;
    let mut never = changed(2).await;
    never.processes[0].command = shell(IDLES);
    let interrupt = CancellationToken::new();
    let newer = async {
        wait_until(|| async { stage.pods().await.len() == 4 }).await;
        interrupt.cancel();
        Instant::now()
    };
    let ((ended, text), asked) = tokio::join!(stage.roll_out_until(&never, Some(&first), &interrupt), newer);
    assert!(matches!(ended, Err(RolloutError::Interrupted)), "{ended:?}\n{text}");
    assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
    let third = healthy(3).await;
    stage.succeeds(&third, Some(&first)).await;
    println!("interrupt to healthy: {} ms", asked.elapsed().as_millis());
    let running = stage.target.processes(&third.app, None).await.expect("an answer");
    assert!(running.iter().all(|process| process.state == "down" || process.version == 3), "{running:?}");
    stage.tear_down().await;
}

#[tokio::test]
async fn reconcile_puts_back_what_was_deleted_or_changed() {
    let Some(stage) = Stage::set_up(&[]).await else { return };
    let first = healthy(1).await;
    stage.succeeds(&first, None).await;
    assert_eq!(stage.target.reconcile(&first).await.expect("an answer"), Reconciled::Unchanged);
    let released = [first];
    assert!(stage.target.adrift(&released).await.expect("an answer").is_empty());
    let [first] = &released;
    let deployments = stage.target.cluster.api::<Deployment>();
    deployments.delete("blog-worker", &DeleteParams::default()).await.expect("deleted");
    let foreign = json!({ "spec": { "template": { "spec": { "containers": [{ "name": "web", "image": images().await.1 }] } } } });
    deployments
        .patch("blog-web", &PatchParams::default(), &Patch::Strategic(&foreign))
        .await
        .expect("patched");
    wait_until(|| async { stage.deployment("blog-worker").await.is_none() }).await;
    let adrift = stage.target.adrift(&released).await.expect("an answer");
    assert_eq!(adrift.iter().map(|workload| workload.app.as_str()).collect::<Vec<_>>(), [APP]);
    let Reconciled::Applied(reasons) = stage.target.reconcile(first).await.expect("an answer") else {
        panic!("nothing was put back");
    };
    assert_eq!(reasons.len(), 2, "{reasons:?}");
    assert_eq!(stage.images_of("blog-web").await.as_slice(), std::slice::from_ref(&first.image));
    assert!(stage.deployment("blog-worker").await.is_some());
    assert!(stage.target.adrift(&released).await.expect("an answer").is_empty());
    stage.tear_down().await;
}

#[tokio::test]
async fn an_autoscalers_number_is_kept() {
    let Some(stage) = Stage::set_up(&[]).await else { return };
    let first = healthy(1).await;
    stage.succeeds(&first, None).await;
    stage
        .create::<k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler>(json!({
            "metadata": { "name": "blog-worker" },
            "spec": { "minReplicas": 1, "maxReplicas": 3,
                "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "blog-worker" } }
        }))
        .await;
    let two = json!({ "spec": { "replicas": 2 } });
    let deployments = stage.target.cluster.api::<Deployment>();
    deployments
        .patch_scale("blog-worker", &PatchParams::default(), &Patch::Merge(&two))
        .await
        .expect("scaled");
    let second = changed(2).await;
    stage.succeeds(&second, Some(&first)).await;
    stage.succeeds(&changed(3).await, Some(&second)).await;
    let live = stage.deployment("blog-worker").await.expect("it is there");
    assert_eq!(live.spec.and_then(|spec| spec.replicas), Some(2));
    stage.tear_down().await;
}
