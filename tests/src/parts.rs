//! What the machine has, and where.

use std::ffi::OsStr;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;

use crate::engine::Engine;

/// An environment variable of the test run.
pub enum Setting {
    /// A missing part fails the story.
    RequireAll,
    /// kubeconfig of a cluster that the tests may use.
    Kubeconfig,
    /// A registry that this machine and the cluster's nodes reach by one name.
    ClusterRegistry,
    DockerHost,
    /// A registry of the test run's own.
    Registry,
    /// A folder with distributions of Gradle.
    Gradle,
    /// List of base images that stand for official ones, where those cannot be pulled.
    BaseImages,
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
            Self::DockerHost => "DOCKER_HOST",
            Self::Registry => "SLIPWAY_TEST_REGISTRY",
            Self::Gradle => "SLIPWAY_TEST_GRADLE",
            Self::BaseImages => "SLIPWAY_TEST_BASE_IMAGES",
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

/// A port of the loopback that nobody has at the moment.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("its address").port()
}
