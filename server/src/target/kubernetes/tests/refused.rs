//! What the cluster does not let in, and a cluster that is not there.

use k8s_openapi::api::core::v1::ResourceQuota;
use serde_json::json;
use tokio::time::Instant;

use super::*;

#[tokio::test]
async fn a_quota_is_named_and_the_old_release_stays() {
    let Some(stage) = Stage::set_up(&[]).await else { return };
    let first = healthy(1).await;
    stage.succeeds(&first, None).await;
    stage
        .create::<ResourceQuota>(
            json!({ "metadata": { "name": "small" }, "spec": { "hard": { "pods": "2" } } }),
        )
        .await;
    let before = stage.pods().await;
    let why = stage.fails(&changed(2).await, Some(&first)).await;
    println!("{why}\n");
    assert!(why.contains("exceeded quota: small") && why.contains("ResourceQuota"), "{why}");
    assert_eq!(stage.pods().await, before);
    stage.tear_down().await;
}

#[tokio::test]
async fn an_image_that_runs_as_root_is_refused_under_restricted_pod_security() {
    let Some(stage) = Stage::set_up(&[("pod-security.kubernetes.io/enforce", "restricted")]).await else {
        return;
    };
    let why = stage.fails(&healthy(1).await, None).await;
    println!("{why}\n");
    assert!(why.contains("USER 1000"), "{why}");
    stage.tear_down().await;
}

#[tokio::test]
async fn somebody_elses_objects_are_left_alone() {
    let Some(stage) = Stage::set_up(&[]).await else { return };
    let labels = json!({ "app": "theirs" });
    stage
        .create::<Deployment>(json!({ "metadata": { "name": "blog-web" }, "spec": {
            "replicas": 0, "selector": { "matchLabels": labels }, "template": {
                "metadata": { "labels": labels },
                "spec": { "containers": [{ "name": "web", "image": "theirs:1" }] }
        } } }))
        .await;
    let why = stage.fails(&healthy(1).await, None).await;
    assert!(why.contains("Deployment blog-web") && why.contains("left alone"), "{why}");
    assert_eq!(stage.images_of("blog-web").await, ["theirs:1"]);
    assert_eq!(stage.deployment("blog-worker").await, None, "nothing at all was written");
    stage.tear_down().await;
}

#[tokio::test]
async fn a_namespace_that_is_not_there_is_named_with_the_command_that_makes_it() {
    let Some(mut stage) = Stage::set_up(&[]).await else { return };
    let made = stage.target.cluster.clone();
    stage.target.cluster = made.in_namespace("slipway-test-nosuch");
    let why = stage.fails(&healthy(1).await, None).await;
    assert!(why.contains("kubectl create namespace"), "{why}");
    stage.target.cluster = made;
    stage.tear_down().await;
}

#[tokio::test]
async fn a_cluster_that_does_not_answer_is_unreachable_and_not_a_failure() {
    let kubeconfig = tempfile::NamedTempFile::new().expect("a file");
    let text = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{ "name": "c", "cluster": { "server": "http://127.0.0.1:9" } }],
        "users": [{ "name": "c", "user": {} }],
        "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "c" } }]
    });
    std::fs::write(kubeconfig.path(), text.to_string()).expect("written");
    let access = Access {
        credentials: Credentials::Kubeconfig { path: kubeconfig.path().into(), context: None },
        namespace: None,
        platform: "test".to_owned(),
        patience: Patience::default(),
    };
    let target = KubernetesTarget::connect(access).await.expect("the cluster need not be there");
    let stage = Stage { target, namespace: String::new() };
    let image = "registry/blog:1".to_owned();
    let next = Workload { image, ..blank() };
    let began = Instant::now();
    let (ended, _) = stage.roll_out(&next, None).await;
    assert!(matches!(ended, Err(RolloutError::Unreachable(_))), "{ended:?}");
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    let health = stage.target.health().await;
    assert!(matches!(health, Err(RolloutError::Unreachable(_))), "{health:?}");
}

fn blank() -> Workload {
    Workload {
        app: APP.parse().expect("an app's name"),
        version: 1,
        image: String::new(),
        processes: vec![process("web", SERVES)],
        config: Default::default(),
        pull: None,
        adopted: None,
        cron: Vec::new(),
    }
}

#[tokio::test]
async fn health_names_the_version_and_misses_no_right_as_an_admin() {
    let Some(stage) = Stage::set_up(&[]).await else { return };
    let health = stage.target.health().await.expect("an answer");
    assert!(health.version.starts_with("v1."), "{health:?}");
    assert_eq!(health.missing, Vec::<String>::new());
    stage.tear_down().await;
}
