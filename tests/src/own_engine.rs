//! A Docker engine of a story's own beside the one that all share, which the story restarts.

use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::engine::Engine;
use crate::guard::Guard;
use crate::parts::{engine_or_skip, tests_folder};

/// See the module. Nothing of it is left: containers, images, bridge.
#[derive(Debug)]
pub struct OwnEngine {
    pub engine: Engine,
    // Dropped in this order: the guard ends the engine and empties its folder.
    _guard: Guard,
    folder: TempDir,
}

impl OwnEngine {
    /// With the base image on it; `None` was said to be skipped.
    pub fn start() -> Option<Self> {
        let shared = engine_or_skip()?;
        let folder =
            tempfile::Builder::new().prefix("slipway-test-engine-").tempdir_in("/var/tmp").expect("a folder");
        let mut end = Command::new("sh");
        end.args(["-c", "\"$1\" stop \"$2\"; rm -rf \"$2\" || sudo rm -rf \"$2\"", "sh"])
            .arg(script())
            .arg(folder.path());
        let guard = Guard::that(&end);
        let engine = Engine::at(run("beside", folder.path()));
        let copied = Command::new("sh")
            .args(["-ec", "docker --host \"$1\" save slipway/base:latest | docker --host \"$2\" load", "sh"])
            .args([&shared.host, &engine.host])
            .stdin(Stdio::null())
            .output()
            .expect("sh");
        assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
        Some(Self { engine, _guard: guard, folder })
    }

    /// What `systemctl restart docker` does: containers end with the engine, and those that shall always run are
    /// started with it.
    pub fn restart(&self) {
        run("stop", self.folder.path());
        assert_eq!(run("beside", self.folder.path()), self.engine.host, "it came back elsewhere");
    }
}

fn script() -> std::path::PathBuf {
    tests_folder().join("../deploy/engine")
}

fn run(verb: &str, folder: &Path) -> String {
    let ran = Command::new(script()).arg(verb).arg(folder).stdin(Stdio::null()).output().expect("the script");
    assert!(ran.status.success(), "engine {verb}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8_lossy(&ran.stdout).trim().to_owned()
}
