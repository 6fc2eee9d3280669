//! The target on a real engine, with a real router in front.

mod batch;
mod faults;
mod health;
mod life;
mod logs;
mod pull;
mod switch;
mod usage;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bollard::Docker;
use bollard::query_parameters::{ListContainersOptionsBuilder, RemoveContainerOptionsBuilder};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::*;
use crate::domain::formation::Which;
use crate::local::router::tests::{Running, get_from, router};
use crate::target::{Check, Command, Limits, Process, RolloutError, Workload};
use crate::transcript::Transcript;

const IMAGE: &str = "slipway/base:latest";

/// For anything in these tests.
const PATIENCE: Duration = Duration::from_secs(60);

/// A platform of its own on the engine; its containers are removed with it.
struct Stage {
    target: DockerTarget,
    router: Arc<Running>,
    docker: Docker,
    platform: String,
}

/// `None`, said on the terminal, where there is no engine for tests.
#[expect(clippy::disallowed_methods, reason = "tests have no settings")]
async fn stage() -> Option<Stage> {
    let Ok(host) = std::env::var("DOCKER_HOST") else {
        assert!(std::env::var("SLIPWAY_REQUIRE_ALL").is_err(), "DOCKER_HOST names no engine for tests");
        println!("skipped: DOCKER_HOST names no engine for tests");
        return None;
    };
    let docker = Docker::connect_with_host(&host).expect("an engine's address");
    let docker = docker.negotiate_version().await.expect("an engine");
    let platform = format!("t{}", &uuid::Uuid::new_v4().simple().to_string()[..8]);
    Some(Stage::on(docker, Arc::new(router().await), platform))
}

impl Stage {
    fn on(docker: Docker, router: Arc<Running>, platform: String) -> Self {
        let strangers_after = Duration::from_secs(300);
        let settings = Settings {
            platform: platform.clone(),
            ports: PORTS,
            strangers_after,
            drain: Duration::from_secs(30),
        };
        let target = DockerTarget::new(docker.clone(), router.control.clone(), settings, TaskTracker::new());
        Self { target, router, docker, platform }
    }

    /// The same platform, as after a restart of the server.
    fn restarted(&self) -> Self {
        Self::on(self.docker.clone(), Arc::clone(&self.router), self.platform.clone())
    }

    async fn roll_out(&self, next: &Workload) -> Result<(), RolloutError> {
        self.roll_out_until(next, &CancellationToken::new()).await
    }

    async fn roll_out_until(
        &self,
        next: &Workload,
        interrupt: &CancellationToken,
    ) -> Result<(), RolloutError> {
        let (transcript, mut listener) = Transcript::channel();
        tokio::spawn(async move { while listener.recv().await.is_some() {} });
        tokio::time::timeout(PATIENCE, self.target.roll_out(next, &transcript, interrupt))
            .await
            .expect("in time")
    }

    async fn replace(&self, next: &Workload, which: &Which) -> Result<(), RolloutError> {
        let (transcript, mut listener) = Transcript::channel();
        tokio::spawn(async move { while listener.recv().await.is_some() {} });
        let interrupt = CancellationToken::new();
        let replaced = self.target.replace(next, which, &transcript, &interrupt);
        tokio::time::timeout(PATIENCE, replaced).await.expect("in time")
    }

    /// The text that a failed rollout tells the user.
    async fn failure(&self, next: &Workload) -> String {
        match self.roll_out(next).await {
            Err(RolloutError::Failed(text)) => text,
            other => panic!("did not fail: {other:?}"),
        }
    }

    async fn page(&self) -> String {
        let (status, text) = self.router.get("blog.localhost", "/").await;
        assert_eq!(status, 200, "{text}");
        text.lines().last().unwrap_or_default().to_owned()
    }

    /// Names of all containers of the platform, ended ones too.
    async fn containers(&self) -> Vec<String> {
        let mut names: Vec<String> = self.ids().await.into_values().collect();
        names.sort();
        names
    }

    async fn ids(&self) -> HashMap<String, String> {
        ids(&self.docker, &self.platform).await
    }

    /// The container of this name, if it runs.
    async fn running(&self, name: &str) -> Option<String> {
        let (id, _) = self.ids().await.into_iter().find(|(_, found)| found == name)?;
        self.target.member(&id).await.ok().flatten().filter(Member::is_running).map(|member| member.id)
    }

    /// Waits for the old processes to be gone.
    async fn settled(&self) {
        self.target.tasks.close();
        tokio::time::timeout(PATIENCE, self.target.tasks.wait()).await.expect("old processes end");
        self.target.tasks.reopen();
    }
}

async fn ids(docker: &Docker, platform: &str) -> HashMap<String, String> {
    let filters = HashMap::from([("label".to_owned(), vec![format!("{}={platform}", spec::PLATFORM)])]);
    let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
    let listed = docker.list_containers(Some(options)).await.expect("a list");
    listed
        .into_iter()
        .map(|container| {
            let name = container.names.unwrap_or_default().concat();
            let name = name.trim_start_matches("/slipway-").replace(&format!("-{platform}"), "");
            (container.id.unwrap_or_default(), name)
        })
        .collect()
}

impl Drop for Stage {
    fn drop(&mut self) {
        if Arc::strong_count(&self.router) > 1 {
            return;
        }
        let (docker, platform) = (self.docker.clone(), self.platform.clone());
        let clean = std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            runtime.block_on(async {
                for id in ids(&docker, &platform).await.into_keys() {
                    let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
                    drop(docker.remove_container(&id, Some(options)).await);
                }
            });
        });
        clean.join().expect("cleans up");
    }
}

fn workload(version: i64, processes: Vec<Process>) -> Workload {
    Workload {
        app: "blog".parse().expect("a name"),
        version,
        image: IMAGE.to_owned(),
        processes,
        config: BTreeMap::new(),
        pull: None,
        adopted: None,
        cron: Vec::new(),
    }
}

/// A process type that runs a shell line.
fn process(name: &str, line: &str, check: Check) -> Process {
    let name: crate::domain::names::ProcessType = name.parse().expect("a process type");
    Process {
        port: name.is_web().then_some(5000),
        name,
        image: None,
        checks: Default::default(),
        command: Command::Argv(["/bin/sh", "-c", line].map(str::to_owned).to_vec()),
        quantity: 1,
        check,
        limits: Limits::default(),
        grace: Duration::from_secs(3),
        scale: Default::default(),
    }
}

fn tcp() -> Check {
    Check::Tcp { timeout: Duration::from_secs(20) }
}

fn http(path: &str) -> Check {
    Check::Http { path: path.to_owned(), timeout: Duration::from_secs(20) }
}

/// A web process that answers `text`.
fn web(text: &str) -> Process {
    let line = format!(
        "mkdir -p /tmp/www; echo {text} > /tmp/www/index.html; exec busybox httpd -f -p $PORT -h /tmp/www"
    );
    process("web", &line, tcp())
}

fn worker(line: &str) -> Process {
    process("worker", line, Check::Uptime(Duration::from_millis(300)))
}
