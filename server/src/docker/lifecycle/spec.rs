//! What the container of a phase is made of: its program's words, limits, volumes and network.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, HostConfig, HostConfigLogConfig, Mount, MountType, MountVolumeOptions,
};

use super::phase::Phase;
use super::{Job, Trust};
use crate::docker::build::Cache;
use crate::registry::is_loopback;

/// On all containers and volumes that end with their build: whose they are.
pub(super) const OWNER: &str = "dev.slipway.build";
/// On caches, which outlive builds: whose they are, and of which app.
pub(super) const CACHE: &str = "dev.slipway.cache";

/// Volumes of one build.
pub(super) const LAYERS_VOLUME: &str = "layers";
pub(super) const SOURCE_VOLUME: &str = "source";

/// Folders in the containers.
pub(super) const LAYERS: &str = "/layers";
pub(super) const SOURCE: &str = "/workspace";
pub(super) const CACHED: &str = "/cache";
pub(super) const PLATFORM: &str = "/platform";
/// Of our own, in no volume: each container has one to itself.
pub(super) const DESK: &str = "/slipway";

/// Papers that go from phase to phase.
pub(super) const ANALYZED: &str = "/slipway/analyzed.toml";
pub(super) const GROUP: &str = "/slipway/group.toml";
pub(super) const PLAN: &str = "/slipway/plan.toml";
pub(super) const REPORT: &str = "/slipway/report.toml";
/// Two that are never there: buildpacks shall not write the first, nor the builder's list of run images replace the
/// one that was analyzed.
const PROJECT: &str = "/slipway/project-metadata.toml";
const NO_RUN_IMAGES: &str = "/slipway/run.toml";

/// The bundle of certificates, where there are extra ones.
pub(super) const BUNDLE: &str = "/platform/certificates/bundle.pem";
/// The extra ones alone.
pub(super) const EXTRA_CA: &str = "/platform/certificates/extra.pem";

/// Processes and threads that one container may have: room for any build, and an end for a fork bomb.
const PIDS: i64 = 4096;

/// Where the login lies in one container.
///
/// A name that nobody can guess: layers may hold symlinks that the app's scripts made, and exporting follows none that
/// leads to the login because none can.
pub(super) struct Desk {
    pub(super) login: String,
}

impl Desk {
    pub(super) fn new() -> Self {
        Self { login: format!("{DESK}/{}", uuid::Uuid::new_v4().simple()) }
    }
}

pub(super) fn cache_label(owner: &str, name: &str) -> String {
    format!("{owner}/{name}")
}

/// A container to read an image's files from.
pub(super) fn never_started(image: &str) -> ContainerCreateBody {
    ContainerCreateBody {
        image: Some(image.to_owned()),
        entrypoint: Some(vec!["/never/started".to_owned()]),
        ..Default::default()
    }
}

pub(super) fn container(job: &Job<'_>, phase: Phase, desk: &Desk) -> ContainerCreateBody {
    let builder = &job.builder;
    // The trusted one does all in one container, and detect and build need the buildpacks.
    let image = if phase.runs_buildpacks() { &builder.image } else { &builder.connected_image };
    ContainerCreateBody {
        image: Some(image.clone()),
        entrypoint: Some(vec![format!("/cnb/lifecycle/{}", phase.program())]),
        cmd: Some(words(job, phase)),
        // The lifecycle changes its user only if it is another one: as this one it needs no right to do so.
        user: Some(format!("{}:{}", builder.owner.uid, builder.owner.gid)),
        working_dir: Some("/".to_owned()),
        env: Some(environment(job, phase, desk)),
        host_config: Some(host_config(job, phase)),
        ..Default::default()
    }
}

fn words(job: &Job<'_>, phase: Phase) -> Vec<String> {
    let (request, builder) = (job.request, &job.builder);
    let mut words = vec!["-no-color".to_owned()];
    let mut say = |flag: &str, value: &str| words.extend([format!("-{flag}"), value.to_owned()]);
    if phase.has_layers() {
        say("layers", LAYERS);
    }
    if phase.has_the_source() {
        say("app", SOURCE);
    }
    if phase.has_the_cache() {
        say("cache-dir", CACHED);
    }
    if phase.runs_buildpacks() {
        say("platform", PLATFORM);
    }
    if phase.talks_to_the_registry() {
        say("uid", &builder.owner.uid.to_string());
        say("gid", &builder.owner.gid.to_string());
    }
    if phase != Phase::Create {
        say("analyzed", ANALYZED);
    }
    if matches!(phase, Phase::Detect | Phase::Restore | Phase::Build | Phase::Export) {
        say("group", GROUP);
    }
    if matches!(phase, Phase::Detect | Phase::Build) {
        say("plan", PLAN);
    }
    if matches!(phase, Phase::Create | Phase::Analyze) {
        say("run-image", &builder.run_image);
        if let Some(previous) = request.previous_image() {
            say("previous-image", &previous);
        }
    }
    if matches!(phase, Phase::Create | Phase::Export) {
        say("report", REPORT);
        say("project-metadata", PROJECT);
    }
    if phase == Phase::Restore && matches!(builder.platform_api, "0.14" | "0.15") {
        say("run", NO_RUN_IMAGES);
    }
    if request.cache == Cache::Ignore {
        match phase {
            Phase::Create => words.push("-skip-restore".to_owned()),
            Phase::Analyze | Phase::Restore => words.push("-skip-layers".to_owned()),
            Phase::Detect | Phase::Build | Phase::Export => {}
        }
    }
    if matches!(phase, Phase::Create | Phase::Analyze | Phase::Export) {
        words.push(request.image());
    }
    words
}

/// Nothing secret is here: whoever may ask the engine sees it.
fn environment(job: &Job<'_>, phase: Phase, desk: &Desk) -> Vec<String> {
    let request = job.request;
    let mut lines = vec![format!("CNB_PLATFORM_API={}", job.builder.platform_api)];
    if phase.talks_to_the_registry() {
        if request.registry.login().is_some() {
            lines.push(format!("DOCKER_CONFIG={}", desk.login));
        }
        if request.registry.is_plain() {
            lines.push(format!("CNB_INSECURE_REGISTRIES={}", request.registry.address()));
        }
    }
    if request.extra_ca.is_some() {
        lines.push(format!("SSL_CERT_FILE={BUNDLE}"));
    }
    lines
}

fn host_config(job: &Job<'_>, phase: Phase) -> HostConfig {
    let memory = i64::try_from(job.request.limits.memory).ok();
    // A registry on this machine's loopback is on no other network.
    let reaches_loopback = phase.talks_to_the_registry() && is_loopback(job.request.registry.address());
    HostConfig {
        memory,
        // As much as memory alone: no swap.
        memory_swap: memory,
        nano_cpus: Some(i64::from(job.millicpu) * 1_000_000),
        pids_limit: Some(PIDS),
        cap_drop: Some(vec!["ALL".to_owned()]),
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        privileged: Some(false),
        network_mode: reaches_loopback.then(|| "host".to_owned()),
        // We read what it says as it says it; nothing of it stays on the engine's disk.
        log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
        mounts: Some(mounts(job, phase)),
        ..Default::default()
    }
}

fn mounts(job: &Job<'_>, phase: Phase) -> Vec<Mount> {
    let volume = |source: String, target: &str, labels: HashMap<String, String>| Mount {
        typ: Some(MountType::VOLUME),
        source: Some(source),
        target: Some(target.to_owned()),
        volume_options: Some(MountVolumeOptions {
            no_copy: Some(true),
            labels: Some(labels),
            ..Default::default()
        }),
        ..Default::default()
    };
    let workshop = job.workshop;
    let mut mounts = Vec::new();
    if phase.has_layers() {
        mounts.push(volume(workshop.volume(LAYERS_VOLUME), LAYERS, workshop.labels()));
    }
    if phase.has_the_source() {
        mounts.push(volume(workshop.volume(SOURCE_VOLUME), SOURCE, workshop.labels()));
    }
    if phase.has_the_cache() {
        let label = cache_label(&job.request.owner, &job.request.cache_name);
        let labels = HashMap::from([(CACHE.to_owned(), label)]);
        mounts.push(volume(cache_volume(job), CACHED, labels));
    }
    mounts
}

/// One for each app, user and kind of trust: its files belong to the builder's user, and what a trusted builder finds in
/// its cache no untrusted one has put there.
fn cache_volume(job: &Job<'_>) -> String {
    let request = job.request;
    let trust = match request.trust {
        Trust::Trusted => "trusted",
        Trust::Untrusted => "untrusted",
    };
    let user = job.builder.owner.uid;
    format!("slipway-cache-{}-{}-{trust}-{user}", request.owner, request.cache_name)
}
