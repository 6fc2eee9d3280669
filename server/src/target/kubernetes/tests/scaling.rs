//! Numbers of pods, who has set them, and fresh pods.

use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::*;
use crate::domain::formation::{Autoscale, Which};
use crate::target::Scale;

/// A release of web and worker of which somebody asked for so many web processes.
async fn scaled(version: i64, quantity: u32, asked: i64) -> Workload {
    let mut next = healthy(version).await;
    next.processes[0].quantity = quantity;
    next.processes[0].scale = Scale { asked, ..Default::default() };
    next
}

impl Stage {
    async fn replicas(&self, name: &str) -> Option<i32> {
        self.deployment(name).await.and_then(|found| found.spec?.replicas)
    }

    async fn by_hand(&self, name: &str, replicas: i32) {
        let patch = json!({ "spec": { "replicas": replicas } });
        let deployments = self.target.cluster.api::<Deployment>();
        let params = PatchParams { field_manager: Some("kubectl".to_owned()), ..Default::default() };
        deployments.patch_scale(name, &params, &Patch::Merge(&patch)).await.expect("scaled");
    }

    async fn restart(&self, running: &Workload, which: &Which) -> Result<(), RolloutError> {
        let (transcript, mut listener) = Transcript::channel();
        tokio::spawn(async move { while listener.recv().await.is_some() {} });
        let interrupt = CancellationToken::new();
        let restart = self.target.restart(running, which, &transcript, &interrupt);
        tokio::time::timeout(LIMIT, restart).await.expect("in time")
    }
}

#[tokio::test]
async fn a_number_set_by_hand_stays_until_another_is_asked_for() {
    let Some(stage) = Stage::set_up(&[]).await else { return };
    let first = scaled(1, 1, 0).await;
    stage.succeeds(&first, None).await;
    stage.by_hand("blog-web", 2).await;
    let mut second = changed(2).await;
    stage.succeeds(&second, Some(&first)).await;
    assert_eq!(stage.replicas("blog-web").await, Some(2), "a release took it back");
    let deployments = stage.target.cluster.api::<Deployment>();
    deployments.delete("blog-worker", &DeleteParams::default()).await.expect("deleted");
    wait_until(|| async { stage.deployment("blog-worker").await.is_none() }).await;
    let reconciled = stage.target.reconcile(&second).await.expect("an answer");
    assert!(matches!(reconciled, Reconciled::Applied(_)), "{reconciled:?}");
    assert_eq!(stage.replicas("blog-web").await, Some(2), "the upkeep took it back");

    second.processes[0].scale.asked = 7;
    stage.succeeds(&second, Some(&second)).await;
    assert_eq!(stage.replicas("blog-web").await, Some(1));
    // The same number, asked for once more.
    stage.by_hand("blog-web", 2).await;
    second.processes[0].scale.asked = 8;
    stage.succeeds(&second, Some(&second)).await;
    assert_eq!(stage.replicas("blog-web").await, Some(1));
    stage.tear_down().await;
}

#[tokio::test]
async fn a_scaling_that_is_not_healthy_is_taken_back() {
    let Some(stage) = Stage::set_up(&[]).await else { return };
    let first = scaled(1, 1, 0).await;
    stage.succeeds(&first, None).await;
    let before = stage.pods().await;
    let mut more = scaled(1, 2, 5).await;
    more.processes[0].limits.memory = Some(1 << 50);
    let mut back = first.clone();
    back.processes[0].scale.asked = 6;
    let why = stage.fails(&more, Some(&back)).await;
    assert!(why.contains("Insufficient memory") && why.contains("v1 runs again"), "{why}");
    assert_eq!(stage.replicas("blog-web").await, Some(1));
    wait_until(|| async { stage.pods().await == before }).await;
    stage.tear_down().await;
}

#[tokio::test]
async fn an_autoscaler_is_made_followed_and_taken_away() {
    let Some(stage) = Stage::set_up(&[]).await else { return };
    let first = scaled(1, 1, 0).await;
    stage.succeeds(&first, None).await;
    let mut elastic = first.clone();
    elastic.processes[0].scale.autoscale = Some(Autoscale { min: 2, max: 3, cpu: 70 });
    stage.succeeds(&elastic, Some(&first)).await;
    wait_until(|| async { stage.replicas("blog-web").await == Some(2) }).await;
    let mut second = changed(2).await;
    second.processes[0].scale.autoscale = elastic.processes[0].scale.autoscale;
    stage.succeeds(&second, Some(&elastic)).await;
    assert_eq!(stage.replicas("blog-web").await, Some(2), "the autoscaler's number was taken back");
    assert_eq!(stage.target.reconcile(&second).await.expect("an answer"), Reconciled::Unchanged);
    stage.succeeds(&changed(2).await, Some(&second)).await;
    assert_eq!(live::autoscalers(&stage.target.cluster).await.expect("an answer"), []);
    assert_eq!(stage.replicas("blog-web").await, Some(2), "what runs stays");
    stage.tear_down().await;
}

#[tokio::test]
async fn a_restart_replaces_the_pods_and_a_release_that_fails_after_it_goes_back_to_them() {
    let Some(stage) = Stage::set_up(&[]).await else { return };
    let first = scaled(1, 2, 1).await;
    stage.succeeds(&first, None).await;
    let before = stage.pods().await;
    stage.restart(&first, &Which::Type("web".parse().expect("a type"))).await.expect("restarts");
    wait_until(|| async { stage.pods().await.len() == 3 }).await;
    let fresh = stage.pods().await;
    assert_eq!(fresh.iter().filter(|pod| before.contains(pod)).count(), 1, "{before:?} {fresh:?}");

    let mut broken = scaled(2, 2, 1).await;
    broken.processes[1].command = shell("exit 1");
    stage.fails(&broken, Some(&first)).await;
    wait_until(|| async { stage.pods().await == fresh }).await;

    // One alone, by its name.
    let one = fresh.iter().find(|pod| pod.starts_with("blog-web-")).expect("a web pod").clone();
    stage.restart(&first, &Which::Named(one.clone())).await.expect("restarts");
    let now = stage.pods().await;
    assert!(!now.contains(&one) && now.len() == 3, "{fresh:?} {now:?}");
    stage.tear_down().await;
}
