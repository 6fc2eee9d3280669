//! A cluster that goes away half-way, and an account with no more rights than `deploy/kubernetes/rbac.yaml` gives.

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::config::{AuthInfo, Kubeconfig};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use super::*;

/// The tests' kubeconfig with a change, as a target in the stage's namespace.
async fn target_with(stage: &Stage, change: impl FnOnce(&mut Kubeconfig)) -> KubernetesTarget {
    let path = setting("SLIPWAY_TEST_KUBECONFIG").expect("the stage has it too");
    let mut kubeconfig = Kubeconfig::read_from(path).expect("it is good");
    change(&mut kubeconfig);
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), serde_json::to_vec(&kubeconfig).expect("JSON")).expect("written");
    let access = Access {
        credentials: Credentials::Kubeconfig { path: file.path().into(), context: None },
        namespace: Some(stage.namespace.clone()),
        platform: "test".to_owned(),
        patience: Patience::default(),
    };
    KubernetesTarget::connect(access).await.expect("the kubeconfig is good")
}

fn cluster_of(kubeconfig: &mut Kubeconfig) -> &mut kube::config::Cluster {
    kubeconfig.clusters[0].cluster.as_mut().expect("it names a cluster")
}

/// Hands connections on to `upstream` until it is cut: then all of them break, and new ones are refused.
async fn relay(upstream: String, cut: CancellationToken) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(cut.run_until_cancelled_owned(async move {
        let mut open = tokio::task::JoinSet::new();
        while let Ok((mut near, _)) = listener.accept().await {
            let upstream = upstream.clone();
            open.spawn(async move {
                let mut far = TcpStream::connect(upstream).await?;
                tokio::io::copy_bidirectional(&mut near, &mut far).await
            });
        }
    }));
    port
}

#[tokio::test]
async fn an_apiserver_lost_half_way_is_waited_for_and_the_same_release_goes_on_later() {
    let Some(stage) = Stage::set_up(&[]).await else { return };
    let path = setting("SLIPWAY_TEST_KUBECONFIG").expect("the stage has it too");
    let server =
        cluster_of(&mut Kubeconfig::read_from(path).expect("it is good")).server.clone().expect("an address");
    let address: url::Url = server.parse().expect("a URL");
    let host = address.host_str().expect("a host").to_owned();
    let cut = CancellationToken::new();
    let upstream = format!("{host}:{}", address.port_or_known_default().expect("a port"));
    let port = relay(upstream, cut.clone()).await;
    let target = target_with(&stage, |kubeconfig| {
        let cluster = cluster_of(kubeconfig);
        cluster.server = Some(format!("https://127.0.0.1:{port}"));
        cluster.tls_server_name = Some(host);
    })
    .await;

    let next = healthy(1).await;
    let (transcript, _listener) = Transcript::channel();
    let interrupt = CancellationToken::new();
    let lose = async {
        wait_until(|| async { stage.pods().await.len() == 2 }).await;
        cut.cancel();
        Instant::now()
    };
    let (ended, lost) = tokio::join!(target.roll_out(&next, None, &transcript, &interrupt), lose);
    let Err(RolloutError::Unreachable(text)) = ended else { panic!("{ended:?}") };
    println!("{text} ({} ms)", lost.elapsed().as_millis());
    assert!(lost.elapsed() < Duration::from_secs(30));
    let before = stage.pods().await;
    stage.succeeds(&next, None).await;
    assert_eq!(stage.pods().await, before, "what was begun is taken up, not begun again");
    stage.tear_down().await;
}

/// The same stage as seen by an account of its own, which has no rights yet.
async fn limited(stage: &Stage) -> Stage {
    stage.create::<ServiceAccount>(serde_json::json!({ "metadata": { "name": "slipway" } })).await;
    let accounts = stage.target.cluster.api::<ServiceAccount>();
    let request = TokenRequest {
        spec: TokenRequestSpec { audiences: Vec::new(), ..Default::default() },
        ..Default::default()
    };
    let answer =
        accounts.create_token_request("slipway", &PostParams::default(), &request).await.expect("a token");
    let token = answer.status.expect("a token").token;
    let target = target_with(stage, |kubeconfig| {
        kubeconfig.auth_infos[0].auth_info =
            Some(AuthInfo { token: Some(token.into()), ..Default::default() });
    });
    Stage { target: target.await, namespace: stage.namespace.clone() }
}

#[tokio::test]
async fn the_role_that_we_ship_is_enough_and_what_is_missing_is_named() {
    let Some(stage) = Stage::set_up(&[]).await else { return };
    let limited = limited(&stage).await;
    let health = limited.target.health().await.expect("an answer");
    assert!(health.missing.iter().any(|right| right.starts_with("patch deployments in ")), "{health:?}");
    let why = limited.fails(&healthy(1).await, None).await;
    assert!(why.contains("deploy/kubernetes/rbac.yaml"), "{why}");

    grant(&stage, ROLE).await;
    let health = limited.target.health().await.expect("an answer");
    assert_eq!(health.missing, Vec::<String>::new());
    let first = healthy(1).await;
    limited.succeeds(&first, None).await;
    let mut crash = changed(2).await;
    crash.processes[1].command = shell("exit 1");
    let why = limited.fails(&crash, Some(&first)).await;
    assert!(why.contains("v1 runs again") && why.contains("BackOff"), "{why}");
    limited.target.remove(&first.app).await.expect("it can be removed");
    stage.tear_down().await;
}

#[tokio::test]
async fn a_rollout_that_may_not_watch_looks() {
    let Some(stage) = Stage::set_up(&[]).await else { return };
    let limited = limited(&stage).await;
    grant(&stage, &ROLE.replace("list, watch, create", "list, create")).await;
    let health = limited.target.health().await.expect("an answer");
    assert!(health.missing.iter().any(|right| right.starts_with("watch deployments")), "{health:?}");
    limited.succeeds(&healthy(1).await, None).await;
    stage.tear_down().await;
}

/// What users apply.
const ROLE: &str = include_str!("../../../../../deploy/kubernetes/rbac.yaml");

/// Applies the Role and the RoleBinding of such a file, with the test's namespace in it.
async fn grant(stage: &Stage, file: &str) {
    let file = file.replace("slipway-apps", &stage.namespace);
    let rights = "/apis/rbac.authorization.k8s.io/v1/namespaces";
    for document in file.split("\n---\n") {
        let kind = document.lines().find_map(|line| line.strip_prefix("kind: ")).expect("a kind");
        let path = match kind {
            "Role" => format!("{rights}/{}/roles/slipway", stage.namespace),
            "RoleBinding" => format!("{rights}/{}/rolebindings/slipway", stage.namespace),
            _ => continue,
        };
        let request = axum::http::Request::patch(format!("{path}?fieldManager=test"))
            .header("content-type", "application/apply-patch+yaml")
            .body(document.as_bytes().to_vec())
            .expect("a request");
        let client = stage.target.cluster.client();
        client.request::<Value>(request).await.expect("the apiserver takes the file");
    }
}
