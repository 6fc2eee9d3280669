//! How much, how long, how many: every limit that a user can meet has its setting here.

use std::path::PathBuf;
use std::time::Duration;

use slipway_buildpacks::Bases;

use super::{ConfigError, Sizes, sizes, value};
use crate::docker::lifecycle::Trust;
use crate::journal;
use crate::local::disk::Watermark;

/// Builds.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Builds")]
pub(crate) struct BuildSettings {
    /// Builds that run at the same time.
    #[arg(id = "build-concurrency", long = "build-concurrency", env = "SLIPWAY_BUILD_CONCURRENCY", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=256), value_name = "COUNT")]
    pub(crate) concurrency: u16,

    /// How long a build may take in all.
    #[arg(id = "build-deadline", long = "build-deadline", env = "SLIPWAY_BUILD_DEADLINE", default_value = "30m", value_parser = value::duration, value_name = "DURATION")]
    pub(crate) deadline: Duration,

    /// How long a build may go without a sign of progress.
    #[arg(id = "build-idle-deadline", long = "build-idle-deadline", env = "SLIPWAY_BUILD_IDLE_DEADLINE", default_value = "10m", value_parser = value::duration, value_name = "DURATION")]
    pub(crate) idle_deadline: Duration,

    /// How much of a log (of a build, of a release phase) is kept; the rest is cut with a mark.
    #[arg(id = "build-log-bytes", long = "build-log-bytes", env = "SLIPWAY_BUILD_LOG_BYTES", default_value = "16MiB", value_parser = value::bytes, value_name = "SIZE")]
    pub(crate) log_bytes: u64,

    /// Certificates (PEM) that builds trust in addition, as the secret `ca`.
    #[arg(
        id = "build-extra-ca",
        long = "build-extra-ca",
        env = "SLIPWAY_BUILD_EXTRA_CA",
        value_name = "FILE"
    )]
    pub(crate) extra_ca: Option<PathBuf>,

    /// Network of the steps of builds: the engine's `default`, the machine's own (`host`), or `none`.
    #[arg(
        id = "build-network",
        long = "build-network",
        env = "SLIPWAY_BUILD_NETWORK",
        default_value = "default",
        value_name = "NETWORK"
    )]
    pub(crate) network: BuildNetwork,

    /// List of the base images of buildpacks, a line each: an official image's name and the image that stands for it.
    /// deploy/stack/build writes one of the images that it makes.
    #[arg(id = "base-images", long = "base-images", env = "SLIPWAY_BASE_IMAGES", value_name = "FILE")]
    pub(crate) base_images: Option<PathBuf>,

    /// What goes before the names of official images, for a mirror: `mirror.example.com/library/`.
    #[arg(
        id = "base-image-prefix",
        long = "base-image-prefix",
        env = "SLIPWAY_BASE_IMAGE_PREFIX",
        value_name = "PREFIX"
    )]
    pub(crate) base_image_prefix: Option<String>,
}

impl BuildSettings {
    /// What buildpacks build on. The list is read anew each time: it changes when images are made. Blocking.
    pub(crate) fn bases(&self) -> Result<Bases, ConfigError> {
        let bases = Bases::with_prefix(self.base_image_prefix.as_deref().unwrap_or_default());
        let Some(path) = &self.base_images else { return Ok(bases) };
        let list = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::BaseImages { path: path.clone(), source })?;
        bases.with_list(&list).map_err(|source| ConfigError::NoBaseImages { path: path.clone(), source })
    }
}

/// What the steps of a build can reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum BuildNetwork {
    Default,
    /// With what listens on the machine's loopback: for machines whose own network reaches what the engine's does not.
    Host,
    None,
}

impl BuildNetwork {
    /// As the Docker Engine API has it.
    pub(crate) fn mode(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Host => "host",
            Self::None => "none",
        }
    }
}

/// Builds by builder images of Cloud Native Buildpacks.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Builds with Cloud Native Buildpacks")]
pub(crate) struct LifecycleSettings {
    /// Builder images that are run in one container with the registry's login in it, comma-separated. A name without a
    /// tag stands for all of its tags. All others are run phase by phase, their buildpacks without the login.
    #[arg(
        id = "trusted-builders",
        long = "trusted-builders",
        env = "SLIPWAY_TRUSTED_BUILDERS",
        value_delimiter = ',',
        value_name = "IMAGES"
    )]
    trusted: Vec<String>,

    /// Image whose lifecycle takes the phases with the registry's login (analyze, restore, export) for builders that
    /// are not trusted. By default the builder's own, which so gets the login; set it if others may name builders.
    #[arg(
        id = "lifecycle-image",
        long = "lifecycle-image",
        env = "SLIPWAY_LIFECYCLE_IMAGE",
        value_name = "IMAGE"
    )]
    pub(crate) image: Option<String>,

    /// Memory of each of a build's containers.
    #[arg(id = "lifecycle-memory", long = "lifecycle-memory", env = "SLIPWAY_LIFECYCLE_MEMORY", default_value = "2GiB", value_parser = value::bytes, value_name = "SIZE")]
    pub(crate) memory: u64,

    /// CPUs of each of a build's containers; all of the engine's machine if it has fewer.
    #[arg(id = "lifecycle-cpus", long = "lifecycle-cpus", env = "SLIPWAY_LIFECYCLE_CPUS", default_value = "2", value_parser = value::millicpu, value_name = "CPUS")]
    pub(crate) millicpu: u32,
}

impl LifecycleSettings {
    /// Whether the admin vouches for a builder.
    pub(crate) fn trust_in(&self, builder: &str) -> Trust {
        let builder = official(builder);
        let vouched = |trusted: &String| {
            let trusted = official(trusted.trim());
            let rest = builder.strip_prefix(trusted).filter(|_| !trusted.is_empty());
            let whole = trusted.rsplit('/').next().is_some_and(|name| name.contains([':', '@']));
            rest.is_some_and(|rest| rest.is_empty() || (!whole && rest.starts_with([':', '@'])))
        };
        if self.trusted.iter().any(vouched) { Trust::Trusted } else { Trust::Untrusted }
    }
}

/// An image's name without what Docker adds to it.
fn official(image: &str) -> &str {
    image.strip_prefix("docker.io/").or_else(|| image.strip_prefix("index.docker.io/")).unwrap_or(image)
}

/// What one process of an app gets.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Processes of apps")]
pub(crate) struct ProcessSettings {
    /// Memory of one process.
    #[arg(id = "process-memory", long = "process-memory", env = "SLIPWAY_PROCESS_MEMORY", default_value = "512MiB", value_parser = value::bytes, value_name = "SIZE")]
    pub(crate) memory: u64,

    /// CPUs of one process.
    #[arg(id = "process-cpus", long = "process-cpus", env = "SLIPWAY_PROCESS_CPUS", default_value = "1", value_parser = value::millicpu, value_name = "CPUS")]
    pub(crate) millicpu: u32,

    /// Sizes besides `standard`, which is the memory and the CPUs above: each `name=CPUs:memory`, with a comma between
    /// them. A cluster sets all of that memory and a tenth of those CPUs aside on a node, unless a slash and other
    /// amounts follow: `large=2:2GiB/1:1GiB`.
    #[arg(id = "sizes", long = "sizes", env = "SLIPWAY_SIZES", default_value = "small=0.5:256MiB,large=2:2GiB", value_parser = sizes::parse, value_name = "LIST")]
    pub(crate) sizes: Sizes,

    /// How long a process may take to end after SIGTERM.
    #[arg(id = "process-grace", long = "process-grace", env = "SLIPWAY_PROCESS_GRACE", default_value = "30s", value_parser = value::duration, value_name = "DURATION")]
    pub(crate) grace: Duration,

    /// How long `run`, `run:detached`, `ps:exec` and runs of cron may take at most.
    #[arg(id = "run-time-limit", long = "run-time-limit", env = "SLIPWAY_RUN_TIME_LIMIT", default_value = "24h", value_parser = value::duration, value_name = "DURATION")]
    pub(crate) run_time_limit: Duration,
}

/// Rollouts.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Rollouts")]
pub(crate) struct RolloutSettings {
    /// How long a rollout may take in all before the last good release comes back.
    #[arg(id = "rollout-deadline", long = "rollout-deadline", env = "SLIPWAY_ROLLOUT_DEADLINE", default_value = "10m", value_parser = value::duration, value_name = "DURATION")]
    pub(crate) deadline: Duration,

    /// How long a release phase or a postdeploy script may run before it is ended.
    #[arg(id = "release-phase-deadline", long = "release-phase-deadline", env = "SLIPWAY_RELEASE_PHASE_DEADLINE", default_value = "30m", value_parser = value::duration, value_name = "DURATION")]
    pub(crate) phase_deadline: Duration,

    /// How long a new process may take until it is healthy.
    #[arg(id = "health-deadline", long = "health-deadline", env = "SLIPWAY_HEALTH_DEADLINE", default_value = "60s", value_parser = value::duration, value_name = "DURATION")]
    pub(crate) health_deadline: Duration,

    /// How long a process without a port has to stay up to count as healthy.
    #[arg(id = "health-uptime", long = "health-uptime", env = "SLIPWAY_HEALTH_UPTIME", default_value = "5s", value_parser = value::duration, value_name = "DURATION")]
    pub(crate) health_uptime: Duration,

    /// How long requests in flight may go on at an old process after the switch.
    #[arg(id = "drain", long = "drain", env = "SLIPWAY_DRAIN", default_value = "30s", value_parser = value::duration, value_name = "DURATION")]
    pub(crate) drain: Duration,
}

/// What a push or a connection may bring along.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct LimitSettings {
    /// Size of the pack of one push.
    #[arg(id = "max-pack", long = "max-pack", env = "SLIPWAY_MAX_PACK", default_value = "1GiB", value_parser = value::bytes, value_name = "SIZE")]
    pub(crate) pack_bytes: u64,

    /// Refs in one push.
    #[arg(id = "max-refs", long = "max-refs", env = "SLIPWAY_MAX_REFS", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=65536), value_name = "COUNT")]
    pub(crate) refs: u32,

    /// Push options in one push.
    #[arg(id = "max-push-options", long = "max-push-options", env = "SLIPWAY_MAX_PUSH_OPTIONS", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=1024), value_name = "COUNT")]
    pub(crate) push_options: u32,

    /// Size of all files of a build context together.
    #[arg(id = "max-context", long = "max-context", env = "SLIPWAY_MAX_CONTEXT", default_value = "2GiB", value_parser = value::bytes, value_name = "SIZE")]
    pub(crate) context_bytes: u64,

    /// Files and folders of a build context.
    #[arg(id = "max-files", long = "max-files", env = "SLIPWAY_MAX_FILES", default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1..), value_name = "COUNT")]
    pub(crate) files: u64,

    /// Folders within folders of a build context.
    #[arg(id = "max-depth", long = "max-depth", env = "SLIPWAY_MAX_DEPTH", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1024), value_name = "COUNT")]
    pub(crate) depth: u32,

    /// Length of one path of a build context, in bytes.
    #[arg(id = "max-path", long = "max-path", env = "SLIPWAY_MAX_PATH", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=4096), value_name = "BYTES")]
    pub(crate) path_bytes: u32,

    /// Connections that one address may have open at each door. Trusted proxies have no such limit.
    #[arg(id = "max-connections-per-address", long = "max-connections-per-address", env = "SLIPWAY_MAX_CONNECTIONS_PER_ADDRESS", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..), value_name = "COUNT")]
    pub(crate) connections_per_address: u32,

    /// What is kept of one app's logs; the oldest lines go. Of each process the last 1,500 lines stay within it.
    #[arg(id = "max-app-log", long = "max-app-log", env = "SLIPWAY_MAX_APP_LOG", default_value = "64MiB", value_parser = value::bytes, value_name = "SIZE")]
    app_log_bytes: u64,

    /// Room that has to stay free on the data folder's disk; below it pushes are refused.
    #[arg(id = "disk-free-bytes", long = "disk-free-bytes", env = "SLIPWAY_DISK_FREE_BYTES", default_value = "1GiB", value_parser = value::bytes, value_name = "SIZE")]
    disk_free_bytes: u64,

    /// The same as a share of the disk; the larger of the two counts.
    #[arg(id = "disk-free-percent", long = "disk-free-percent", env = "SLIPWAY_DISK_FREE_PERCENT", default_value_t = 2, value_parser = clap::value_parser!(u8).range(0..=90), value_name = "PERCENT")]
    disk_free_percent: u8,
}

impl LimitSettings {
    pub(crate) fn watermark(&self) -> Watermark {
        Watermark { bytes: self.disk_free_bytes, percent: self.disk_free_percent }
    }

    pub(crate) fn journal(&self) -> journal::Limits {
        journal::Limits { bytes: self.app_log_bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::serve;

    #[test]
    fn a_trusted_name_stands_for_its_tags_and_for_no_other_name() {
        let args = serve(&["--trusted-builders=heroku/builder, r.example:5000/own,paketo/one:1"]);
        let trusts = |builder: &str| args.lifecycle.trust_in(builder) == Trust::Trusted;
        for trusted in [
            "heroku/builder",
            "heroku/builder:24",
            "docker.io/heroku/builder:24",
            "heroku/builder@sha256:00",
            "r.example:5000/own:2",
            "paketo/one:1",
        ] {
            assert!(trusts(trusted), "{trusted}");
        }
        for other in [
            "heroku/builder-evil",
            "heroku/builder/evil",
            "evil/heroku/builder",
            "r.example:5000/owner",
            "r.example",
            "paketo/one",
            "paketo/one:11",
            "paketo/one:1@sha256:00",
            "",
        ] {
            assert!(!trusts(other), "{other}");
        }
        assert_eq!(serve(&[]).lifecycle.trust_in("heroku/builder"), Trust::Untrusted);
        assert_eq!(serve(&["--trusted-builders="]).lifecycle.trust_in(""), Trust::Untrusted);
    }
}
