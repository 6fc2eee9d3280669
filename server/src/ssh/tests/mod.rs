//! The door as OpenSSH's client and git see it.

mod abuse;
mod authentication;
mod git;
mod raw;
mod verbs;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tokio::net::TcpListener;
use tokio::process::Command;
use tokio_util::task::TaskTracker;

use super::{Door, HostKey, Settings, Stop};
use crate::doors::testing::Neighbours;

/// An open door whose server key the client knows, and ada's key.
struct Open {
    neighbours: Neighbours,
    address: SocketAddr,
    known_hosts: PathBuf,
    key: PathBuf,
    stop: Stop,
    tasks: TaskTracker,
}

impl Open {
    async fn new() -> Self {
        Self::with(Settings::default()).await
    }

    async fn with(settings: Settings) -> Self {
        let neighbours = Neighbours::new().await;
        let host_key = HostKey::load_or_create(&neighbours.path("host_key")).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let known_hosts = neighbours.path("known_hosts");
        let known = format!("[127.0.0.1]:{} {}\n", address.port(), host_key.authorized_line());
        std::fs::write(&known_hosts, known).unwrap();
        let key = neighbours.make_key("ada", &["-t", "ed25519"]).await;
        neighbours.add_key(&key).await;
        let (stop, tasks) = (Stop::default(), TaskTracker::new());
        let door = Door::new(settings, neighbours.services.clone(), host_key);
        tasks.spawn(door.serve(listener, stop.clone(), tasks.clone()));
        Self { neighbours, address, known_hosts, key, stop, tasks }
    }

    /// ssh with ada's key and nothing of this machine's configuration.
    fn ssh(&self) -> Command {
        let key = self.key.clone();
        self.ssh_with(&[&key])
    }

    fn ssh_with(&self, keys: &[&Path]) -> Command {
        let mut command = Command::new("ssh");
        command.args(self.ssh_options(keys)).arg("anybody@127.0.0.1").kill_on_drop(true);
        command
    }

    fn ssh_options(&self, keys: &[&Path]) -> Vec<String> {
        let mut options = vec!["-F".to_owned(), "/dev/null".to_owned()];
        options.extend(["-p".to_owned(), self.address.port().to_string()]);
        for key in keys {
            options.extend(["-i".to_owned(), key.display().to_string()]);
        }
        let settings = [
            "IdentitiesOnly=yes".to_owned(),
            "IdentityAgent=none".to_owned(),
            "StrictHostKeyChecking=yes".to_owned(),
            format!("UserKnownHostsFile={}", self.known_hosts.display()),
            "GlobalKnownHostsFile=/dev/null".to_owned(),
        ];
        for setting in settings {
            options.extend(["-o".to_owned(), setting]);
        }
        options
    }

    /// git that reaches the door with ada's key.
    fn git(&self, folder: &Path) -> Command {
        let mut command = crate::doors::testing::git(folder);
        command.env(
            "GIT_SSH_COMMAND",
            shell_words::join(["ssh".to_owned()].into_iter().chain(self.ssh_options(&[&self.key]))),
        );
        command
    }

    fn url(&self, app: &str) -> String {
        format!("ssh://git@{}/{app}.git", self.address)
    }
}
