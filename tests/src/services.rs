//! A PostgreSQL and a registry that do not belong to the platform, so that a story can take them away.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use tempfile::TempDir;

use crate::parts::free_port;
use crate::proxy::{Behind, Proxy};
use crate::wait::{SHORT, until};

/// A service in a folder of its own, behind a proxy.
#[derive(Debug)]
pub struct Service {
    pub proxy: Proxy,
    child: Child,
    stop: Signal,
    _folder: TempDir,
}

impl Service {
    /// An empty PostgreSQL that trusts everybody on the loopback.
    pub fn postgres() -> Self {
        let folder = folder();
        let (data, port) = (folder.path().join("data"), free_port());
        let made = as_postgres(&folder, &program("initdb"))
            .args(["--auth=trust", "--username=postgres", "--no-sync", "--encoding=UTF8", "-D"])
            .arg(&data)
            .stdout(Stdio::null())
            .status();
        assert!(made.expect("initdb").success(), "initdb failed");
        let mut command = as_postgres(&folder, &program("postgres"));
        command.arg("-D").arg(&data).arg("-k").arg(folder.path());
        command.args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]);
        Self::start(command, port, Signal::SIGINT, folder)
    }

    pub fn registry() -> Self {
        let folder = folder();
        let (config, port) = (folder.path().join("config.yml"), free_port());
        let text = format!(
            "version: 0.1\nlog:\n  accesslog:\n    disabled: true\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:{port}\n",
            folder.path().join("images").display()
        );
        fs::write(&config, text).expect("config.yml");
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&config);
        Self::start(command, port, Signal::SIGTERM, folder)
    }

    /// Serves the files of a folder over HTTP.
    pub fn files(of: &Path) -> Self {
        let port = free_port();
        let mut command = Command::new("python3");
        command
            .args(["-m", "http.server", "--bind", "127.0.0.1", "--directory"])
            .arg(of)
            .arg(port.to_string());
        Self::start(command, port, Signal::SIGTERM, folder())
    }

    fn start(mut command: Command, port: u16, stop: Signal, folder: TempDir) -> Self {
        let log = fs::File::create(folder.path().join("log")).expect("a log");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn().expect("a service");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        until(&format!("{command:?} to answer"), SHORT, || TcpStream::connect(address).is_ok());
        Self { proxy: Proxy::to(Behind::Tcp(address)), child, stop, _folder: folder }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.proxy.cut();
        kill(Pid::from_raw(i32::try_from(self.child.id()).expect("a pid")), self.stop).ok();
        drop(self.child.wait());
    }
}

fn folder() -> TempDir {
    let folder =
        tempfile::Builder::new().prefix("slipway-test-service-").tempdir_in("/var/tmp").expect("a folder");
    // PostgreSQL refuses to run as root.
    if geteuid().is_root() {
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).expect("its mode");
    }
    folder
}

/// A program of the newest PostgreSQL that is installed.
fn program(name: &str) -> PathBuf {
    let mut found: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|version| version.path().join("bin").join(name))
        .filter(|path| path.exists())
        .collect();
    found.sort_unstable();
    found.pop().unwrap_or_else(|| Path::new(name).to_owned())
}

fn as_postgres(folder: &TempDir, program: &Path) -> Command {
    let mut command = match geteuid().is_root() {
        true => {
            let mut other = Command::new("setpriv");
            other.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
            other
        }
        false => Command::new(program),
    };
    command.current_dir(folder.path());
    command
}
