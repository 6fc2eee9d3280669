//! A workload as Kubernetes objects: Deployments, the Service of web, Secrets.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use k8s_openapi::ByteString;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment};
use k8s_openapi::api::core::v1::{Secret, Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use secrecy::ExposeSecret;
use serde_json::json;

use super::objects;
use super::pod_spec::{self, PORT_NAME, RunAs, whole_seconds};
use crate::domain::health::{Ask, Probe};
use crate::target::{Check, Process, RegistryLogin, Workload};

/// How long a pod has to stay ready before it counts, where a connection (or nothing) is all that is checked. Without
/// it a process that ends after 3 s was "successfully rolled out".
const STEADY_SECONDS: i64 = 5;
/// The same where an HTTP request is answered well: who answers has finished starting.
const STEADY_AFTER_HTTP_SECONDS: i64 = 1;
/// On top of the check's own time, what scheduling and pulling the image may take before Kubernetes gives up.
const START_ALLOWANCE: Duration = Duration::from_secs(600);
/// Pods started beyond the quantity while old ones still run.
const SURGE: &str = "25%";
/// Old ReplicaSets that Kubernetes keeps; ours to go back to is in the database, these are for people with kubectl.
const REVISIONS_KEPT: i32 = 5;
/// The Service's port.
const SERVICE_PORT: i32 = 80;

/// What the objects are made from, besides the process.
#[derive(Clone, Copy)]
pub(super) struct Blueprint<'a> {
    pub(super) platform: &'a str,
    pub(super) workload: &'a Workload,
    pub(super) run_as: RunAs,
}

impl Blueprint<'_> {
    /// The Deployment of one process type. `replicas` is `None` where somebody else has them.
    pub(super) fn deployment(&self, process: &Process, replicas: Option<i32>) -> Deployment {
        let Self { platform, workload, run_as } = *self;
        let steady = steady_seconds(process);
        let mut annotations = self.version();
        annotations.insert(objects::ASKED.to_owned(), process.scale.asked.to_string());
        Deployment {
            metadata: ObjectMeta {
                name: Some(objects::deployment_name(&workload.app, &process.name)),
                labels: Some(self.labels(process)),
                annotations: Some(annotations),
                ..Default::default()
            },
            spec: Some(DeploymentSpec {
                replicas,
                min_ready_seconds: Some(small(steady)),
                progress_deadline_seconds: Some(small(whole_seconds(deadline(process)) + steady)),
                revision_history_limit: Some(REVISIONS_KEPT),
                selector: LabelSelector {
                    match_labels: Some(objects::pod_selector(&workload.app, &process.name)),
                    match_expressions: None,
                },
                strategy: Some(DeploymentStrategy {
                    type_: Some("RollingUpdate".to_owned()),
                    rolling_update: Some(RollingUpdateDeployment {
                        max_unavailable: Some(IntOrString::Int(0)),
                        max_surge: Some(IntOrString::String(SURGE.to_owned())),
                    }),
                }),
                template: pod_spec::template(platform, workload, process, run_as),
                paused: None,
            }),
            status: None,
        }
    }

    /// The Service of the web process: port 80 of the app's name.
    pub(super) fn service(&self, web: &Process) -> Service {
        Service {
            metadata: ObjectMeta {
                name: Some(objects::service_name(&self.workload.app)),
                labels: Some(self.labels(web)),
                annotations: Some(self.version()),
                ..Default::default()
            },
            spec: Some(ServiceSpec {
                selector: Some(objects::pod_selector(&self.workload.app, &web.name)),
                ports: Some(vec![ServicePort {
                    name: Some(PORT_NAME.to_owned()),
                    port: SERVICE_PORT,
                    protocol: Some("TCP".to_owned()),
                    target_port: Some(IntOrString::String(PORT_NAME.to_owned())),
                    ..Default::default()
                }]),
                ..Default::default()
            }),
            status: None,
        }
    }

    /// The config, immutable and named after its content: going back to a release goes back to its config.
    pub(super) fn env_secret(&self) -> Option<Secret> {
        let name = objects::env_secret_name(self.workload)?;
        let data = self
            .workload
            .config
            .iter()
            .map(|(key, value)| (key.to_string(), ByteString(value.expose_secret().as_bytes().to_vec())));
        Some(Secret {
            metadata: self.secret_metadata(name, "env"),
            data: Some(data.collect()),
            immutable: Some(true),
            type_: Some("Opaque".to_owned()),
            string_data: None,
        })
    }

    /// The registry's credentials for the kubelet.
    pub(super) fn pull_secret(&self) -> Option<Secret> {
        let login = self.workload.pull.as_ref()?;
        let data = [(".dockerconfigjson".to_owned(), ByteString(docker_config(login)))];
        Some(Secret {
            metadata: self.secret_metadata(objects::pull_secret_name(&self.workload.app), "pull"),
            data: Some(data.into()),
            type_: Some("kubernetes.io/dockerconfigjson".to_owned()),
            ..Default::default()
        })
    }

    fn secret_metadata(&self, name: String, kind: &str) -> ObjectMeta {
        let mut labels = objects::app_labels(self.platform, &self.workload.app);
        labels.insert(objects::SECRET_KIND.to_owned(), kind.to_owned());
        ObjectMeta {
            name: Some(name),
            labels: Some(labels),
            // An immutable Secret's annotations still move: the version is of the latest release that uses it.
            annotations: Some(self.version()),
            ..Default::default()
        }
    }

    pub(super) fn labels(&self, process: &Process) -> BTreeMap<String, String> {
        let mut labels = objects::app_labels(self.platform, &self.workload.app);
        labels.extend(objects::pod_selector(&self.workload.app, &process.name));
        labels
    }

    pub(super) fn version(&self) -> BTreeMap<String, String> {
        [(objects::VERSION.to_owned(), self.workload.version.to_string())].into()
    }
}

/// How long the process has to start once its container runs; `None` where nothing is asked of it.
pub(super) fn start_limit(process: &Process) -> Option<Duration> {
    let usual = match process.check {
        Check::Http { timeout, .. } | Check::Tcp { timeout } => Some(timeout),
        Check::Uptime(_) => None,
    };
    let checks = &process.checks;
    let asked = [&checks.startup, &checks.readiness].into_iter().flatten();
    let asked = asked.filter(|probe| !matches!(probe.ask, Ask::Uptime(_))).map(Probe::longest);
    asked.fold(usual, |limit, longest| Some(limit.unwrap_or_default() + longest))
}

fn steady_seconds(process: &Process) -> i64 {
    let usual = match process.check {
        Check::Http { .. } => STEADY_AFTER_HTTP_SECONDS,
        Check::Tcp { .. } => STEADY_SECONDS,
        Check::Uptime(up) => whole_seconds(up),
    };
    match process.checks.startup.as_ref().map(|startup| &startup.ask) {
        Some(Ask::Uptime(seconds)) => usual.max(i64::from(*seconds)),
        _ => usual,
    }
}

fn deadline(process: &Process) -> Duration {
    START_ALLOWANCE + start_limit(process).unwrap_or_default()
}

/// Kubernetes counts seconds in 32 bits.
fn small(seconds: i64) -> i32 {
    i32::try_from(seconds).unwrap_or(i32::MAX)
}

fn docker_config(login: &RegistryLogin) -> Vec<u8> {
    let password = login.password.expose_secret();
    let auth = BASE64_STANDARD.encode(format!("{}:{password}", login.username));
    json!({ "auths": { &login.host: { "username": login.username, "password": password, "auth": auth } } })
        .to_string()
        .into_bytes()
}
