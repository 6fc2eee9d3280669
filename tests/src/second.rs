//! A second API server of the test cluster: a story ends it and starts it again, and the cluster goes on.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::guard::Guard;
use crate::parts::{Setting, skip, tests_folder};

/// See the module. There is one at a time.
#[derive(Debug)]
pub struct SecondServer {
    cluster: PathBuf,
    _guard: Guard,
}

impl SecondServer {
    /// `None`, said to be skipped, where the cluster is not one of tests/cluster.
    pub fn start() -> Option<Self> {
        let Some(cluster) = Setting::ClusterFolder.get().map(PathBuf::from) else {
            skip("SLIPWAY_CLUSTER_DIR names no cluster that tests/cluster/cluster has started");
            return None;
        };
        let mut stop = script();
        stop.arg("stop-second").arg(&cluster);
        let server = Self { cluster, _guard: Guard::that(&stop) };
        server.start_again();
        Some(server)
    }

    /// Goes to the second API server.
    pub fn kubeconfig(&self) -> PathBuf {
        self.cluster.join("second/kubeconfig")
    }

    /// As in a crash: who waits for an answer gets none.
    pub fn kill(&self) {
        self.run("stop-second");
    }

    /// Waits until it answers.
    pub fn start_again(&self) {
        self.run("start-second");
    }

    fn run(&self, verb: &str) {
        let ran = script().arg(verb).arg(&self.cluster).stdin(Stdio::null()).output().expect("the script");
        let said = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "cluster {verb}: {said}");
    }
}

fn script() -> Command {
    Command::new(tests_folder().join("cluster/cluster"))
}
