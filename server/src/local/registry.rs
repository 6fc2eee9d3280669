//! The private registry, when no setting names one: the system's `docker-registry`, or the `registry:2` image.
//!
//! It listens on a loopback port that never changes once chosen, because the images of deployed apps name it.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

use super::service::{Predecessor, Running, Service, ServiceError, Writer};
use super::state::{DataDir, StateError, is_free, make_folder};

/// Ports that are tried on the first start, in this order.
const PORTS: std::ops::RangeInclusive<u16> = 5000..=5099;
/// How long the registry may take to answer.
const READY_DEADLINE: Duration = Duration::from_secs(30);
/// The same for the image, which the engine may have to pull first.
const PULL_DEADLINE: Duration = Duration::from_secs(300);
/// How long one question to the registry, or to a program about its version, may take.
const ANSWER_DEADLINE: Duration = Duration::from_secs(5);
const IMAGE: &str = "registry:2";

/// Why the private registry does not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RegistryError {
    #[error(
        "no registry is set, and none can be run: neither `docker-registry` nor `docker` is installed. Install one (Debian: apt-get install docker-registry), or set SLIPWAY_REGISTRY"
    )]
    Missing,
    #[error(
        "port {port} of 127.0.0.1 belongs to the private registry (deployed images name it), and another program listens there: stop that program, or set SLIPWAY_REGISTRY to a registry of your own"
    )]
    PortTaken { port: u16 },
    #[error("the private registry's {} could not be written: {source}", path.display())]
    Files { path: PathBuf, source: io::Error },
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Service(#[from] ServiceError),
}

/// The private registry while it runs.
#[derive(Debug)]
pub(crate) struct PrivateRegistry {
    port: u16,
    service: Running,
}

impl PrivateRegistry {
    /// Starts it and waits until it answers. `docker_host` is used only if the system has no registry.
    pub(crate) async fn start(data: &mut DataDir, docker_host: &str) -> Result<Self, RegistryError> {
        let port = data.port("registry", PORTS)?;
        let service = match find_binary().await {
            Some(program) => binary(program, data, port)?,
            None if is_program("docker", "Docker").await => container(data, port, docker_host)?,
            None => return Err(RegistryError::Missing),
        };
        service.clear_predecessor().await?;
        if !is_free(port) {
            return Err(RegistryError::PortTaken { port });
        }
        let service = service.start(async || answers(port).await).await?;
        Ok(Self { port, service })
    }

    /// `127.0.0.1:port`: where to push to and pull from.
    pub(crate) fn address(&self) -> String {
        format!("{}:{}", Ipv4Addr::LOCALHOST, self.port)
    }

    pub(crate) async fn stop(self) {
        self.service.stop().await;
    }
}

/// The registry under the names that distributions give it.
async fn find_binary() -> Option<PathBuf> {
    for name in ["docker-registry", "registry"] {
        if is_program(name, "distribution").await {
            return Some(PathBuf::from(name));
        }
    }
    None
}

/// Whether a program on the PATH says this word about its version.
async fn is_program(name: &str, word: &str) -> bool {
    let mut command = Command::new(name);
    command.arg("--version").stdin(Stdio::null()).kill_on_drop(true).process_group(0);
    match tokio::time::timeout(ANSWER_DEADLINE, command.output()).await {
        Ok(Ok(output)) => String::from_utf8_lossy(&output.stdout).contains(word),
        _ => false,
    }
}

fn binary(program: PathBuf, data: &DataDir, port: u16) -> Result<Service, RegistryError> {
    let folder = data.layout().registry();
    let config = folder.join("config.yml");
    make_folder(&folder.join("storage")).map_err(files(&folder))?;
    fs::write(&config, configuration(&folder.join("storage"), port)).map_err(files(&config))?;
    Ok(Service {
        name: "registry",
        program,
        args: vec!["serve".into(), config.clone().into()],
        account: None,
        log: data.layout().log_of("registry"),
        predecessor: Predecessor::Process {
            pid_file: folder.join("pid"),
            writer: Writer::Slipway,
            marks: vec!["serve".to_owned(), config.display().to_string()],
        },
        stop: Signal::SIGTERM,
        ready_deadline: READY_DEADLINE,
    })
}

/// The registry's configuration; JSON, which is YAML too and quotes any path.
fn configuration(storage: &Path, port: u16) -> String {
    let secret = hex::encode(rand::random::<[u8; 32]>());
    let config = json!({
        "version": 0.1,
        "log": { "level": "warn", "accesslog": { "disabled": true } },
        "storage": { "filesystem": { "rootdirectory": storage }, "delete": { "enabled": true } },
        "http": { "addr": format!("{}:{port}", Ipv4Addr::LOCALHOST), "secret": secret },
    });
    format!("{config:#}\n")
}

fn container(data: &DataDir, port: u16, docker_host: &str) -> Result<Service, RegistryError> {
    let storage = data.layout().registry().join("storage");
    make_folder(&storage).map_err(files(&storage))?;
    let name = format!("slipway-registry-{}", data.platform().as_str());
    let host = ["--host".into(), docker_host.into()];
    let mut mount = OsString::from("type=bind,target=/var/lib/registry,source=");
    mount.push(&storage);
    let mut args: Vec<OsString> = host.to_vec();
    args.extend(["run", "--rm", "--log-driver=none", "--name", &name].map(OsString::from));
    args.push(format!("--label=slipway.platform={}", data.platform().as_str()).into());
    args.push("--label=slipway.service=registry".into());
    args.push(format!("--publish={}:{port}:5000", Ipv4Addr::LOCALHOST).into());
    args.extend(["--mount".into(), mount]);
    args.extend(
        ["--env=REGISTRY_STORAGE_DELETE_ENABLED=true", "--env=REGISTRY_LOG_LEVEL=warn", IMAGE]
            .map(OsString::from),
    );
    let mut remove = host.to_vec();
    remove.extend(["rm", "--force", "--volumes", &name].map(OsString::from));
    Ok(Service {
        name: "registry",
        program: "docker".into(),
        args,
        account: None,
        log: data.layout().log_of("registry"),
        predecessor: Predecessor::Container { remove },
        stop: Signal::SIGTERM,
        ready_deadline: PULL_DEADLINE,
    })
}

/// Whether a registry answers at `/v2/`.
async fn answers(port: u16) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        stream.write_all(b"GET /v2/ HTTP/1.0\r\nHost: localhost\r\n\r\n").await?;
        let mut status = [0; 12];
        stream.read_exact(&mut status).await?;
        io::Result::Ok(status.starts_with(b"HTTP/1.") && status.ends_with(b" 200"))
    };
    matches!(tokio::time::timeout(ANSWER_DEADLINE, ask).await, Ok(Ok(true)))
}

fn files(path: &Path) -> impl FnOnce(io::Error) -> RegistryError {
    let path = path.to_owned();
    move |source| RegistryError::Files { path, source }
}

#[cfg(test)]
mod tests {
    use super::super::state::Layout;
    use super::*;

    fn data(folder: &tempfile::TempDir) -> DataDir {
        DataDir::open(Layout::new(folder.path().join("data"))).unwrap()
    }

    #[tokio::test]
    async fn it_keeps_its_port_and_its_images_over_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let mut data = data(&folder);
        let first = PrivateRegistry::start(&mut data, "unix:///nowhere").await.unwrap();
        let address = first.address();
        assert!(answers(first.port).await);
        first.stop().await;
        let port = data.port("registry", PORTS).unwrap();
        assert!(is_free(port), "it went on after its stop");
        let second = PrivateRegistry::start(&mut data, "unix:///nowhere").await.unwrap();
        assert_eq!(second.address(), address);
        second.stop().await;
    }

    #[tokio::test]
    async fn what_a_killed_server_left_is_ended_and_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let mut data = data(&folder);
        let port = data.port("registry", PORTS).unwrap();
        let orphan = binary("docker-registry".into(), &data, port).unwrap();
        let mut orphan = std::process::Command::new(&orphan.program).args(&orphan.args).spawn().unwrap();
        fs::write(data.layout().registry().join("pid"), orphan.id().to_string()).unwrap();
        let reaper = tokio::task::spawn_blocking(move || orphan.wait().unwrap());
        let registry = PrivateRegistry::start(&mut data, "unix:///nowhere").await.unwrap();
        assert!(!reaper.await.unwrap().success());
        registry.stop().await;
    }

    #[tokio::test]
    async fn a_stranger_with_the_noted_pid_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let mut data = data(&folder);
        let mut stranger = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        make_folder(&data.layout().registry()).unwrap();
        fs::write(data.layout().registry().join("pid"), stranger.id().to_string()).unwrap();
        let registry = PrivateRegistry::start(&mut data, "unix:///nowhere").await.unwrap();
        assert!(stranger.try_wait().unwrap().is_none(), "the stranger was ended");
        registry.stop().await;
        stranger.kill().unwrap();
        stranger.wait().unwrap();
    }

    #[tokio::test]
    async fn a_stranger_on_the_port_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let mut data = data(&folder);
        let port = data.port("registry", PORTS).unwrap();
        let _stranger = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        let error = PrivateRegistry::start(&mut data, "unix:///nowhere").await.unwrap_err().to_string();
        assert!(error.contains(&format!("port {port} ")) && error.contains("SLIPWAY_REGISTRY"), "{error}");
    }

    #[tokio::test]
    async fn it_is_started_again_when_it_dies() {
        let folder = tempfile::tempdir().unwrap();
        let mut data = data(&folder);
        let registry = PrivateRegistry::start(&mut data, "unix:///nowhere").await.unwrap();
        let pid = fs::read_to_string(data.layout().registry().join("pid")).unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid.parse().unwrap()), Signal::SIGKILL).unwrap();
        let back = async {
            while fs::read_to_string(data.layout().registry().join("pid")).unwrap() == pid
                || !answers(registry.port).await
            {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(READY_DEADLINE, back).await.expect("it did not come back");
        registry.stop().await;
    }
}
