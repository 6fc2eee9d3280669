//! What the machine has, and where.

use std::ffi::OsStr;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::engine::Engine;

/// An environment variable of the test run.
pub enum Setting {
    /// A missing part fails the story.
    RequireAll,
    /// kubeconfig of a cluster that the tests may use.
    Kubeconfig,
    /// A registry that this machine and the cluster's nodes reach by one name.
    ClusterRegistry,
    /// State directory of a cluster that tests/cluster/cluster has started.
    ClusterFolder,
    DockerHost,
    /// A registry of the test run's own.
    Registry,
    /// A folder with distributions of Gradle.
    Gradle,
    /// The program of Gitea.
    Gitea,
    /// The folder of what Gitea needs beside its program.
    GiteaFiles,
    /// List of base images that stand for official ones, where those cannot be pulled.
    BaseImages,
    /// axe-core's script: what looks for barriers in a page.
    Axe,
    /// GitHub's OpenAPI document.
    GithubOpenApi,
    /// The folder of an OpenID Connect provider.
    Oidc,
    /// The program of schemathesis, which asks the API what its document promises.
    Schemathesis,
    /// Certificates that the package registries need from here.
    ExtraCa,
    Path,
}

impl Setting {
    #[expect(clippy::disallowed_methods, reason = "the tests have no settings but these")]
    pub fn get(&self) -> Option<String> {
        let name = match self {
            Self::RequireAll => "SLIPWAY_REQUIRE_ALL",
            Self::Kubeconfig => "SLIPWAY_TEST_KUBECONFIG",
            Self::ClusterRegistry => "SLIPWAY_CLUSTER_REGISTRY",
            Self::ClusterFolder => "SLIPWAY_CLUSTER_DIR",
            Self::DockerHost => "DOCKER_HOST",
            Self::Registry => "SLIPWAY_TEST_REGISTRY",
            Self::Gradle => "SLIPWAY_TEST_GRADLE",
            Self::Gitea => "SLIPWAY_TEST_GITEA",
            Self::GiteaFiles => "SLIPWAY_TEST_GITEA_ROOT",
            Self::BaseImages => "SLIPWAY_TEST_BASE_IMAGES",
            Self::Axe => "SLIPWAY_TEST_AXE",
            Self::GithubOpenApi => "SLIPWAY_TEST_GITHUB_OPENAPI",
            Self::Oidc => "SLIPWAY_TEST_OIDC",
            Self::Schemathesis => "SLIPWAY_TEST_SCHEMATHESIS",
            Self::ExtraCa => "SLIPWAY_TEST_EXTRA_CA",
            Self::Path => "PATH",
        };
        std::env::var(name).ok().filter(|value| !value.is_empty())
    }
}

/// Says that a story cannot run here; with SLIPWAY_REQUIRE_ALL=1 that is a failure.
pub fn skip(why: &str) {
    assert!(Setting::RequireAll.get().is_none_or(|value| value == "0"), "SLIPWAY_REQUIRE_ALL: {why}");
    println!("skipped: {why}");
}

/// The engine at DOCKER_HOST with the base image on it; `None` was said to be skipped.
pub fn engine_or_skip() -> Option<Engine> {
    let engine =
        Engine::at(Setting::DockerHost.get().unwrap_or_else(|| "unix:///var/run/docker.sock".to_owned()));
    match engine.missing() {
        None => Some(engine),
        Some(why) => {
            skip(&why);
            None
        }
    }
}

/// The server's program: built beside the tests by `cargo build` or `cargo test --workspace`.
pub fn slipway() -> PathBuf {
    let here = std::env::current_exe().expect("the test's own path");
    let folder = here
        .ancestors()
        .skip(1)
        .find(|folder| folder.file_name() != Some(OsStr::new("deps")))
        .expect("the target folder");
    let program = folder.join("slipway");
    assert!(program.exists(), "{} is missing: `cargo build` first", program.display());
    program
}

/// Where the scripts lie that start the parts.
pub(crate) fn tests_folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Below those that the kernel gives to whoever connects somewhere: none of these is taken before it is used.
const PORTS: Range<u16> = 10_000..20_000;

/// A port of the loopback that nobody has at the moment; each call gives another one, in each process from another place.
pub(crate) fn free_port() -> u16 {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let place = std::process::id().wrapping_mul(7919);
    for _ in PORTS {
        let step = place.wrapping_add(CALLS.fetch_add(1, Ordering::Relaxed)) % PORTS.len() as u32;
        let port = PORTS.start + u16::try_from(step).expect("a step within the range");
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("none of the ports {} to {} is free", PORTS.start, PORTS.end);
}
