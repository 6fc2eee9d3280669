//! Rollouts on a real cluster with real pods; each test has a namespace of its own.
//!
//! `SLIPWAY_TEST_KUBECONFIG` names the cluster. `SLIPWAY_CLUSTER_REGISTRY` names a registry from which its nodes pull
//! and to which the local engine pushes; the image is `slipway/base` (python3 and busybox).

mod adopted;
mod batches;
mod failing;
mod faults;
mod health;
mod logs;
mod owned;
mod refused;
mod scaling;
mod serving;
mod usage;

use std::process::Stdio;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ObjectMeta, PostParams};
use serde_json::Value;
use tokio::process::Command as Child;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::domain::names::ProcessType;
use crate::target::{Adoption, Check, Command, Limits, Process};

/// No test waits longer for any one thing.
const LIMIT: Duration = Duration::from_secs(120);
const APP: &str = "blog";
const PORT: u16 = 8080;
/// Answers on $PORT, at once.
const SERVES: &str = "exec busybox nc -ll -p $PORT -e busybox echo hello";
const IDLES: &str = "while true; do sleep 1; done";

fn setting(name: &str) -> Option<String> {
    std::env::var_os(name).and_then(|value| value.into_string().ok()).filter(|value| !value.is_empty())
}

/// The two names of the test image, pushed once per run.
async fn images() -> &'static (String, String) {
    static IMAGES: OnceCell<(String, String)> = OnceCell::const_new();
    let push = || async {
        let registry =
            setting("SLIPWAY_CLUSTER_REGISTRY").expect("SLIPWAY_CLUSTER_REGISTRY is set with the cluster");
        let names = ["one", "two"].map(|tag| format!("{registry}/slipway/kubernetes-test:{tag}"));
        for name in &names {
            for words in [["tag", "slipway/base:latest", name].as_slice(), ["push", "-q", name].as_slice()] {
                let ended = Child::new("docker")
                    .args(words)
                    .stdout(Stdio::null())
                    .status()
                    .await
                    .expect("docker runs");
                assert!(ended.success(), "docker {words:?}");
            }
        }
        names.into()
    };
    IMAGES.get_or_init(push).await
}

/// A namespace in the cluster and a target that works in it.
struct Stage {
    target: KubernetesTarget,
    namespace: String,
}

impl Stage {
    /// `None`, with a line that says so, where no cluster was named.
    async fn set_up(labels: &[(&str, &str)]) -> Option<Self> {
        let Some(path) = setting("SLIPWAY_TEST_KUBECONFIG") else {
            assert!(setting("SLIPWAY_REQUIRE_ALL").is_none(), "SLIPWAY_TEST_KUBECONFIG names no cluster");
            println!("skipped: SLIPWAY_TEST_KUBECONFIG names no cluster");
            return None;
        };
        let namespace = format!("slipway-test-{}", &uuid::Uuid::now_v7().simple().to_string()[16..]);
        let access = Access {
            credentials: Credentials::Kubeconfig { path: path.into(), context: None },
            namespace: Some(namespace.clone()),
            platform: "test".to_owned(),
            patience: Patience {
                unschedulable: Duration::from_secs(3),
                quota: Duration::from_secs(3),
                ..Patience::default()
            },
        };
        let target = KubernetesTarget::connect(access).await.expect("the kubeconfig is good");
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let object = Namespace {
            metadata: ObjectMeta {
                name: Some(namespace.clone()),
                labels: Some(labels),
                ..Default::default()
            },
            ..Default::default()
        };
        let namespaces: Api<Namespace> = Api::all(target.cluster.client().clone());
        namespaces.create(&PostParams::default(), &object).await.expect("a namespace can be made");
        Some(Self { target, namespace })
    }

    /// Deletes the namespace, without waiting for its pods to end.
    async fn tear_down(self) {
        delete(&self.target, &self.namespace).await;
    }

    async fn roll_out(
        &self,
        next: &Workload,
        previous: Option<&Workload>,
    ) -> (Result<(), RolloutError>, String) {
        self.roll_out_until(next, previous, &CancellationToken::new()).await
    }

    async fn roll_out_until(
        &self,
        next: &Workload,
        previous: Option<&Workload>,
        interrupt: &CancellationToken,
    ) -> (Result<(), RolloutError>, String) {
        let (transcript, mut listener) = Transcript::channel();
        let listen = tokio::spawn(async move {
            let mut text = Vec::new();
            while let Some(chunk) = listener.recv().await {
                text.extend_from_slice(&chunk);
            }
            String::from_utf8_lossy(&text).into_owned()
        });
        let rollout = self.target.roll_out(next, previous, &transcript, interrupt);
        let ended = tokio::time::timeout(LIMIT, rollout).await.expect("the rollout ends in time");
        drop(transcript);
        (ended, listen.await.expect("the transcript is text"))
    }

    async fn succeeds(&self, next: &Workload, previous: Option<&Workload>) -> String {
        let (ended, text) = self.roll_out(next, previous).await;
        ended.unwrap_or_else(|error| panic!("{error}\n{text}"));
        text
    }

    /// The text of the failure.
    async fn fails(&self, next: &Workload, previous: Option<&Workload>) -> String {
        match self.roll_out(next, previous).await {
            (Err(RolloutError::Failed(why)), _) => why,
            (other, text) => panic!("expected a failure, got {other:?}\n{text}"),
        }
    }

    async fn create<K>(&self, object: Value)
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
            + Clone
            + serde::de::DeserializeOwned
            + serde::Serialize
            + std::fmt::Debug,
    {
        let object: K = serde_json::from_value(object).expect("an object");
        self.target.cluster.api::<K>().create(&PostParams::default(), &object).await.expect("it can be made");
    }

    async fn deployment(&self, name: &str) -> Option<Deployment> {
        self.target.cluster.get(name).await.expect("the cluster answers")
    }

    /// The images of a Deployment's containers, init containers first; empty where it is gone.
    async fn images_of(&self, name: &str) -> Vec<String> {
        let found = self.deployment(name).await;
        found.iter().flat_map(rule::containers).filter_map(|container| container.image.clone()).collect()
    }

    /// The names of the pods that are there to stay.
    async fn pods(&self) -> Vec<String> {
        let pods: Vec<Pod> = self.target.cluster.list("").await.expect("the cluster answers");
        let staying = pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none());
        let mut names: Vec<_> = staying.map(ResourceExt::name_any).collect();
        names.sort();
        names
    }
}

impl Drop for Stage {
    /// A failed test cleans up too. Its own runtime is ending, so another one does it.
    fn drop(&mut self) {
        if !std::thread::panicking() || self.namespace.is_empty() {
            return;
        }
        let Some(path) = setting("SLIPWAY_TEST_KUBECONFIG") else { return };
        let namespace = std::mem::take(&mut self.namespace);
        let clean = async move {
            let credentials = Credentials::Kubeconfig { path: path.into(), context: None };
            let cluster = Cluster::connect(&credentials, None).await.expect("the kubeconfig is good");
            let namespaces: Api<Namespace> = Api::all(cluster.client().clone());
            // Two stages may share a namespace: the second finds it gone.
            namespaces.delete(&namespace, &DeleteParams::default()).await.map(drop).ok();
        };
        let cleaner = std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(clean);
        });
        cleaner.join().ok();
    }
}

async fn delete(target: &KubernetesTarget, namespace: &str) {
    let namespaces: Api<Namespace> = Api::all(target.cluster.client().clone());
    namespaces.delete(namespace, &DeleteParams::default()).await.expect("the namespace can be deleted");
}

fn shell(line: &str) -> Command {
    Command::Argv(["/bin/sh", "-c", line].map(str::to_owned).into())
}

fn process(name: &str, line: &str) -> Process {
    let name: ProcessType = name.parse().expect("a process type");
    let web = name.is_web();
    Process {
        image: None,
        checks: Default::default(),
        command: shell(line),
        quantity: 1,
        port: web.then_some(PORT),
        check: if web {
            Check::Tcp { timeout: Duration::from_secs(10) }
        } else {
            Check::Uptime(Duration::from_secs(5))
        },
        limits: Limits { memory: Some(64 << 20), millicpu: None },
        grace: Duration::from_secs(1),
        scale: Default::default(),
        name,
    }
}

async fn workload(version: i64, processes: Vec<Process>) -> Workload {
    Workload {
        app: APP.parse().expect("an app's name"),
        version,
        image: images().await.0.clone(),
        processes,
        config: [("GREETING".parse().expect("a key"), "hello".into())].into(),
        pull: None,
        adopted: None,
        cron: Vec::new(),
    }
}

/// A healthy release of web and worker.
async fn healthy(version: i64) -> Workload {
    workload(version, vec![process("web", SERVES), process("worker", IDLES)]).await
}

/// The same with one changed line of config, so that all pods are replaced.
async fn changed(version: i64) -> Workload {
    let mut next = healthy(version).await;
    next.config.insert("GREETING".parse().expect("a key"), format!("hello from v{version}").into());
    next
}

/// Asks again and again, for as long as any wait may take.
async fn wait_until<F: Future<Output = bool>>(holds: impl Fn() -> F) {
    let mut looks = tokio::time::interval(Duration::from_millis(200));
    let wait = async {
        while !holds().await {
            looks.tick().await;
        }
    };
    tokio::time::timeout(LIMIT, wait).await.expect("it holds in time");
}
