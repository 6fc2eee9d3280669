//! The private registry, when no setting names one: the system's `docker-registry`, or the `registry:2` image.
//!
//! It listens on a loopback port that never changes once chosen, because the images of deployed apps name it.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

use super::service::{Predecessor, Running, Service, ServiceError, Writer};
use super::state::{DataDir, PlatformId, StateError, is_free, make_folder};

/// Ports that are tried on the first start, in this order.
const PORTS: std::ops::RangeInclusive<u16> = 5000..=5099;
/// How long the registry may take to answer.
const READY_DEADLINE: Duration = Duration::from_secs(30);
/// The same for the image, which the engine may have to pull first.
const PULL_DEADLINE: Duration = Duration::from_secs(300);
/// How long one question to the registry, or to a program about its version, may take.
const ANSWER_DEADLINE: Duration = Duration::from_secs(5);
/// Ports that are tried one after another as long as none has been kept.
const CHOICES: u32 = 5;
const NAME: &str = "registry";
/// Tells whose registry answers.
const HEADER: &str = "X-Slipway-Platform";
/// How long a predecessor's port may take to be free: a process that ends loses its arguments, by which it is known,
/// before its sockets.
const PORT_RELEASE: Duration = Duration::from_secs(3);
/// Between two looks at the port.
const PORT_LOOK: Duration = Duration::from_millis(20);
/// Bytes of an answer that are looked at.
const LONGEST_ANSWER: u64 = 4096;
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
        // Another platform that starts at this moment may be quicker at a port that was free when it was chosen.
        let mut choices = if data.has_port(NAME) { 1 } else { CHOICES };
        loop {
            choices -= 1;
            let port = data.port(NAME, PORTS)?;
            let outcome = Self::start_at(port, data, docker_host).await;
            let conflict = match &outcome {
                Err(RegistryError::PortTaken { .. }) => true,
                Err(RegistryError::Service(ServiceError::Ended { .. })) => !is_free(port),
                _ => false,
            };
            if choices == 0 || !conflict {
                return outcome;
            }
            data.forget_port(NAME)?;
        }
    }

    async fn start_at(port: u16, data: &DataDir, docker_host: &str) -> Result<Self, RegistryError> {
        let service = match find_binary().await {
            Some(program) => binary(program, data, port)?,
            None if is_program("docker", "Docker").await => {
                container(data, port, Engine { host: docker_host, image: IMAGE })?
            }
            None => return Err(RegistryError::Missing),
        };
        service.clear_predecessor().await?;
        if tokio::time::timeout(PORT_RELEASE, until_free(port)).await.is_err() {
            return Err(RegistryError::PortTaken { port });
        }
        let service = service.start(async || answers(port, data.platform()).await).await?;
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

async fn until_free(port: u16) {
    while !is_free(port) {
        tokio::time::sleep(PORT_LOOK).await;
    }
}

/// Written for its owner alone: it holds the registry's HTTP secret.
fn write_secret(path: &Path, text: &str) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    file.write_all(text.as_bytes())
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
    write_secret(&config, &configuration(data, port)).map_err(files(&config))?;
    Ok(Service {
        name: NAME,
        program,
        args: vec!["serve".into(), config.clone().into()],
        account: None,
        log: data.layout().log_of(NAME),
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
fn configuration(data: &DataDir, port: u16) -> String {
    let secret = hex::encode(rand::random::<[u8; 32]>());
    let config = json!({
        "version": 0.1,
        "log": { "level": "warn", "accesslog": { "disabled": true } },
        "storage": {
            "filesystem": { "rootdirectory": data.layout().registry().join("storage") },
            "delete": { "enabled": true },
        },
        "http": {
            "addr": format!("{}:{port}", Ipv4Addr::LOCALHOST),
            "secret": secret,
            "headers": headers(data.platform()),
        },
    });
    format!("{config:#}\n")
}

/// What the registry adds to its answers; the first is its own usual one, which a list replaces.
fn headers(platform: &PlatformId) -> serde_json::Value {
    json!({ "X-Content-Type-Options": ["nosniff"], HEADER: [platform.as_str()] })
}

/// An engine and what it is to run.
struct Engine<'a> {
    host: &'a str,
    image: &'a str,
}

fn container(data: &DataDir, port: u16, engine: Engine<'_>) -> Result<Service, RegistryError> {
    let storage = data.layout().registry().join("storage");
    make_folder(&storage).map_err(files(&storage))?;
    let name = format!("slipway-registry-{}", data.platform().as_str());
    let host = ["--host".into(), engine.host.into()];
    let mut mount = OsString::from("type=bind,target=/var/lib/registry,source=");
    mount.push(&storage);
    let mut args: Vec<OsString> = host.to_vec();
    args.extend(["run", "--rm", "--log-driver=none", "--name", &name].map(OsString::from));
    args.push(format!("--label=slipway.platform={}", data.platform().as_str()).into());
    args.push("--label=slipway.service=registry".into());
    args.push(format!("--publish={}:{port}:5000", Ipv4Addr::LOCALHOST).into());
    args.extend(["--mount".into(), mount]);
    args.push(format!("--env=REGISTRY_HTTP_HEADERS={}", headers(data.platform())).into());
    args.extend(
        ["--env=REGISTRY_STORAGE_DELETE_ENABLED=true", "--env=REGISTRY_LOG_LEVEL=warn", engine.image]
            .map(OsString::from),
    );
    let mut remove = host.to_vec();
    remove.extend(["rm", "--force", "--volumes", &name].map(OsString::from));
    Ok(Service {
        name: NAME,
        program: "docker".into(),
        args,
        account: None,
        log: data.layout().log_of(NAME),
        predecessor: Predecessor::Container { remove },
        stop: Signal::SIGTERM,
        ready_deadline: PULL_DEADLINE,
    })
}

/// Whether the registry of this platform answers at `/v2/`.
async fn answers(port: u16, platform: &PlatformId) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        stream.write_all(b"GET /v2/ HTTP/1.0\r\nHost: localhost\r\n\r\n").await?;
        let mut answer = Vec::new();
        stream.take(LONGEST_ANSWER).read_to_end(&mut answer).await?;
        io::Result::Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    let Ok(Ok(answer)) = tokio::time::timeout(ANSWER_DEADLINE, ask).await else { return false };
    let ours = format!("{HEADER}: {}", platform.as_str());
    let mut lines = answer.lines();
    lines.next().is_some_and(|status| status.contains(" 200")) && lines.any(|line| line == ours)
}

fn files(path: &Path) -> impl FnOnce(io::Error) -> RegistryError {
    let path = path.to_owned();
    move |source| RegistryError::Files { path, source }
}

#[cfg(test)]
mod tests;
