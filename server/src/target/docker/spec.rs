//! What one container is made of: names, labels, environment, limits, and the fingerprint of all that matters.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use bollard::models::{
    ContainerCreateBody, HostConfig, HostConfigLogConfig, PortBinding, RestartPolicy, RestartPolicyNameEnum,
};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};

use crate::domain::names::ProcessType;
use crate::target::{Command, Process, Workload};

pub(super) const PLATFORM: &str = "dev.slipway.platform";
pub(super) const APP: &str = "dev.slipway.app";
pub(super) const PROCESS: &str = "dev.slipway.process";
pub(super) const NUMBER: &str = "dev.slipway.number";
pub(super) const VERSION: &str = "dev.slipway.version";
pub(super) const SPEC: &str = "dev.slipway.spec";

/// Raised when this file makes containers of another kind from the same workload, so that they are made anew.
const LAYOUT: u32 = 1;

/// Processes and threads that one container may have: room for any app, and an end for a fork bomb.
const PIDS: i64 = 4096;

/// The engine keeps this much of what a process writes.
const LOG_FILE_SIZE: &str = "10m";
const LOG_FILES: &str = "3";

/// One place in the formation: `web.1`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Slot {
    pub(super) process: ProcessType,
    pub(super) number: u32,
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.process, self.number)
    }
}

/// Whether the engine puts an init of its own in front of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Init {
    Engine,
    None,
}

/// Where a container is published, and how it is started.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placement {
    pub(super) host_port: Option<u16>,
    pub(super) init: Init,
}

/// Everything that decides whether a running container is what a workload asks for. The version is not part of it.
pub(super) fn fingerprint(workload: &Workload, process: &Process) -> String {
    let mut hash = Sha256::new();
    let mut part = |text: &str| {
        hash.update(text.len().to_le_bytes());
        hash.update(text);
    };
    part(&LAYOUT.to_string());
    // The tag names the build; what runs is the digest.
    let image = workload.image_of(process);
    part(image.split_once('@').map_or(image, |(_, digest)| digest));
    match &process.command {
        Command::Image => part("image"),
        Command::Argv(words) => words.iter().for_each(|word| part(&format!(":{word}"))),
    }
    part(&format!("{:?} {:?} {}", process.port, process.limits, process.grace.as_secs()));
    for (key, value) in &workload.config {
        part(key.as_str());
        part(value.expose_secret());
    }
    hex::encode(hash.finalize())
}

/// The container's name; it carries the version, so that two releases stand side by side during a switch.
pub(super) fn container_name(platform: &str, workload: &Workload, slot: &Slot) -> String {
    format!("slipway-{}-{}-{}-v{}-{platform}", workload.app, slot.process, slot.number, workload.version)
}

/// The container on trial: no restart policy, so that a crash is seen at once.
pub(super) fn container(
    platform: &str,
    workload: &Workload,
    process: &Process,
    slot: &Slot,
    placement: Placement,
) -> ContainerCreateBody {
    let published = process.port.zip(placement.host_port);
    let (entrypoint, cmd) = match &process.command {
        Command::Image => (None, None),
        Command::Argv(words) => (Some(words.clone()), Some(Vec::new())),
    };
    ContainerCreateBody {
        image: Some(workload.image_of(process).to_owned()),
        entrypoint,
        cmd,
        env: Some(environment(workload, process, slot)),
        labels: Some(labels(platform, workload, process, slot)),
        exposed_ports: published.map(|(port, _)| vec![format!("{port}/tcp")]),
        stop_timeout: i64::try_from(process.grace.as_secs()).ok(),
        host_config: Some(host_config(process, published, placement.init)),
        ..Default::default()
    }
}

fn host_config(process: &Process, published: Option<(u16, u16)>, init: Init) -> HostConfig {
    let memory = process.limits.memory.and_then(|bytes| i64::try_from(bytes).ok());
    HostConfig {
        init: Some(init == Init::Engine),
        memory,
        // As much as memory alone: no swap.
        memory_swap: memory,
        nano_cpus: process.limits.millicpu.map(|thousandths| i64::from(thousandths) * 1_000_000),
        pids_limit: Some(PIDS),
        port_bindings: published.map(|(port, host_port)| {
            let binding =
                PortBinding { host_ip: Some("127.0.0.1".to_owned()), host_port: Some(host_port.to_string()) };
            HashMap::from([(format!("{port}/tcp"), Some(vec![binding]))])
        }),
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            maximum_retry_count: None,
        }),
        log_config: Some(HostConfigLogConfig {
            typ: Some("json-file".to_owned()),
            config: Some(HashMap::from([
                ("max-size".to_owned(), LOG_FILE_SIZE.to_owned()),
                ("max-file".to_owned(), LOG_FILES.to_owned()),
            ])),
        }),
        ..Default::default()
    }
}

fn labels(platform: &str, workload: &Workload, process: &Process, slot: &Slot) -> HashMap<String, String> {
    let pairs = [
        (PLATFORM, platform.to_owned()),
        (APP, workload.app.to_string()),
        (PROCESS, slot.process.to_string()),
        (NUMBER, slot.number.to_string()),
        (VERSION, workload.version.to_string()),
        (SPEC, fingerprint(workload, process)),
    ];
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// The app's config, and on top of it what the platform tells. No version: it would make every release another spec.
fn environment(workload: &Workload, process: &Process, slot: &Slot) -> Vec<String> {
    let mut variables: BTreeMap<&str, String> =
        workload.config.iter().map(|(key, value)| (key.as_str(), value.expose_secret().to_owned())).collect();
    variables.insert("DYNO", slot.to_string());
    variables.insert("SLIPWAY_APP", workload.app.to_string());
    if let Some(port) = process.port {
        variables.insert("PORT", port.to_string());
    }
    variables.into_iter().map(|(key, value)| format!("{key}={value}")).collect()
}
