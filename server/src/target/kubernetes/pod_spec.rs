//! The pod template of one process type.
//!
//! Invariant: the same image, command, config, limits and check give the same template to the byte, so that a release
//! which changes nothing moves no pod. Hence no version, no time and no release id in here.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Capabilities, Container, ContainerPort, EnvFromSource, EnvVar, HTTPGetAction, Lifecycle,
    LifecycleHandler, LocalObjectReference, PodSecurityContext, PodSpec, PodTemplateSpec, Probe,
    ResourceRequirements, SeccompProfile, SecretEnvSource, SecurityContext, SleepAction, TCPSocketAction,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::objects;
use crate::target::{Check, Command, Limits, Process, Workload};

/// A web pod that ends keeps serving for this long, until every node has stopped sending it requests.
pub(super) const DRAIN_SECONDS: i64 = 5;
/// How often readiness is asked for, and how long one answer may take.
const PROBE_PERIOD_SECONDS: i32 = 2;
const PROBE_TIMEOUT_SECONDS: i32 = 5;
/// CPU that a process may use, for each part of it that is set aside on the node.
const CPU_LIMIT_PER_REQUEST: u32 = 10;
/// The name of a web container's port.
pub(super) const PORT_NAME: &str = "http";

/// Whether the namespace demands that pods say they do not run as root.
///
/// Elsewhere it stays unsaid: most images name no user, or name it by word, and the kubelet refuses both under
/// `runAsNonRoot`. Where pod security `restricted` is enforced the apiserver refuses every pod that does not say it, so
/// saying it is the only way in, and an image that runs as root is refused with a sentence about its USER line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RunAs {
    AsTheImageSays,
    NonRoot,
}

pub(super) fn template(
    platform: &str,
    workload: &Workload,
    process: &Process,
    run_as: RunAs,
) -> PodTemplateSpec {
    let mut labels = objects::app_labels(platform, &workload.app);
    labels.extend(objects::pod_selector(&workload.app, &process.name));
    let drain = if process.name.is_web() { DRAIN_SECONDS } else { 0 };
    PodTemplateSpec {
        metadata: Some(ObjectMeta { labels: Some(labels), ..Default::default() }),
        spec: Some(PodSpec {
            automount_service_account_token: Some(false),
            // The name of every Service of the namespace as an environment variable would clash with config vars.
            enable_service_links: Some(false),
            // The time for draining counts against the grace period.
            termination_grace_period_seconds: Some(whole_seconds(process.grace) + drain),
            image_pull_secrets: workload
                .pull
                .as_ref()
                .map(|_| vec![LocalObjectReference { name: objects::pull_secret_name(&workload.app) }]),
            security_context: Some(PodSecurityContext {
                seccomp_profile: Some(SeccompProfile {
                    type_: "RuntimeDefault".to_owned(),
                    localhost_profile: None,
                }),
                run_as_non_root: (run_as == RunAs::NonRoot).then_some(true),
                ..Default::default()
            }),
            containers: vec![container(workload, process)],
            ..Default::default()
        }),
    }
}

fn container(workload: &Workload, process: &Process) -> Container {
    Container {
        name: process.name.to_string(),
        image: Some(workload.image_of(process).to_owned()),
        command: match &process.command {
            Command::Image => None,
            Command::Argv(argv) => Some(argv.iter().map(|word| escape(word)).collect()),
        },
        env: process.port.map(|port| {
            vec![EnvVar { name: "PORT".to_owned(), value: Some(port.to_string()), value_from: None }]
        }),
        env_from: objects::env_secret_name(workload).map(|name| {
            vec![EnvFromSource {
                secret_ref: Some(SecretEnvSource { name, optional: None }),
                ..Default::default()
            }]
        }),
        ports: process.port.map(|port| {
            vec![ContainerPort {
                name: Some(PORT_NAME.to_owned()),
                container_port: port.into(),
                protocol: Some("TCP".to_owned()),
                ..Default::default()
            }]
        }),
        readiness_probe: readiness(process),
        lifecycle: process.name.is_web().then(|| Lifecycle {
            pre_stop: Some(LifecycleHandler {
                sleep: Some(SleepAction { seconds: DRAIN_SECONDS }),
                ..Default::default()
            }),
            ..Default::default()
        }),
        resources: resources(&process.limits, process.scale.reserved.as_ref()),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// Kubernetes replaces `$(NAME)` in commands by itself, which would break shell lines such as `echo $(date)`.
fn escape(word: &str) -> String {
    word.replace('$', "$$")
}

/// The command as it was before `escape`.
pub(super) fn unescape(word: &str) -> String {
    word.replace("$$", "$")
}

fn readiness(process: &Process) -> Option<Probe> {
    let port = IntOrString::Int(process.port?.into());
    let (http_get, tcp_socket) = match &process.check {
        Check::Http { path, .. } => {
            (Some(HTTPGetAction { path: Some(path.clone()), port, ..Default::default() }), None)
        }
        Check::Tcp { .. } => (None, Some(TCPSocketAction { port, host: None })),
        Check::Uptime(_) => return None,
    };
    Some(Probe {
        http_get,
        tcp_socket,
        period_seconds: Some(PROBE_PERIOD_SECONDS),
        timeout_seconds: Some(PROBE_TIMEOUT_SECONDS),
        ..Default::default()
    })
}

/// Where nothing else is said, memory is set aside whole: a process that fits when it starts is not evicted for what it
/// was promised.
fn resources(limits: &Limits, reserved: Option<&Limits>) -> Option<ResourceRequirements> {
    let requests = reserved.cloned().unwrap_or_else(|| Limits {
        memory: limits.memory,
        // Most processes idle most of the time: with the whole limit set aside, a node of two CPUs holds two of them,
        // and no rolling update fits.
        millicpu: limits.millicpu.map(|millicpu| millicpu.div_ceil(CPU_LIMIT_PER_REQUEST)),
    });
    let limits = amounts(limits);
    (!limits.is_empty()).then(|| ResourceRequirements {
        limits: Some(limits),
        requests: Some(amounts(&requests)),
        claims: None,
    })
}

fn amounts(limits: &Limits) -> BTreeMap<String, Quantity> {
    let memory = limits.memory.map(|bytes| ("memory".to_owned(), Quantity(bytes.to_string())));
    let cpu = limits.millicpu.map(|millicpu| ("cpu".to_owned(), Quantity(format!("{millicpu}m"))));
    memory.into_iter().chain(cpu).collect()
}

/// Rounded up; a duration past 136 years is that.
pub(super) fn whole_seconds(duration: std::time::Duration) -> i64 {
    let up = u64::from(duration.subsec_nanos() > 0);
    i64::from(u32::try_from(duration.as_secs() + up).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_line_survives_the_expansion_that_kubernetes_does() {
        assert_eq!(escape("echo $(date) $PORT $$"), "echo $$(date) $$PORT $$$$");
        assert_eq!(unescape(&escape("echo $(date) $PORT $$")), "echo $(date) $PORT $$");
    }

    #[test]
    fn a_tenth_of_the_cpus_is_set_aside_unless_the_size_says_more() {
        let limits = Limits { memory: Some(64 << 20), millicpu: Some(500) };
        let requests = |reserved: Option<&Limits>| {
            let requests = resources(&limits, reserved).and_then(|resources| resources.requests);
            let requests = requests.expect("requests").into_iter();
            requests.map(|(name, amount)| format!("{name}={}", amount.0)).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(requests(None), "cpu=50m memory=67108864");
        let reserved = Limits { memory: Some(32 << 20), millicpu: Some(200) };
        assert_eq!(requests(Some(&reserved)), "cpu=200m memory=33554432");
    }

    #[test]
    fn a_fraction_of_a_second_counts_as_a_whole_one() {
        assert_eq!(whole_seconds(std::time::Duration::from_millis(1500)), 2);
        assert_eq!(whole_seconds(std::time::Duration::ZERO), 0);
    }
}
