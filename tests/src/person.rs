//! Somebody with a key and a token, at the doors with real clients.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::checkout::Checkout;
use crate::parts::{Setting, slipway};
use crate::platform::Ports;

/// See the module.
#[derive(Debug, Clone)]
pub struct Person {
    pub name: String,
    pub token: String,
    key: PathBuf,
    ssh_config: PathBuf,
    ports: Ports,
}

/// What a client printed, and how it ended.
#[derive(Debug, Clone)]
pub struct Said {
    pub status: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    pub fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            status: output.status.code().unwrap_or(-1),
            out: text(&output.stdout),
            err: text(&output.stderr),
        }
    }

    #[track_caller]
    pub fn ok(&self) -> &Self {
        assert_eq!(self.status, 0, "it failed:\n{}{}", self.out, self.err);
        self
    }

    /// Fails the story unless the client failed with these words.
    #[track_caller]
    pub fn refused(&self, words: &str) -> &Self {
        assert_ne!(self.status, 0, "it was let through:\n{}{}", self.out, self.err);
        self.says(words)
    }

    #[track_caller]
    pub fn says(&self, words: &str) -> &Self {
        let said = format!("{}{}", self.out, self.err);
        assert!(said.contains(words), "no {words:?} in:\n{said}");
        self
    }

    #[track_caller]
    pub fn says_not(&self, words: &str) -> &Self {
        let said = format!("{}{}", self.out, self.err);
        assert!(!said.contains(words), "{words:?} in:\n{said}");
        self
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }
}

impl Person {
    pub(crate) fn new(people: &Path, name: &str, token: String, ports: Ports) -> Self {
        let folder = people.join(name);
        fs::create_dir_all(&folder).expect("a folder");
        let key = folder.join("id");
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"])
            .arg(&key)
            .stdin(Stdio::null())
            .status();
        assert!(made.expect("ssh-keygen").success());
        let ssh_config = folder.join("config");
        fs::write(&ssh_config, block(&key, &people.join("known_hosts"), ports)).expect("ssh_config");
        Self { name: name.to_owned(), token, key, ssh_config, ports }
    }

    pub fn public_key(&self) -> String {
        fs::read_to_string(self.key.with_extension("pub")).expect("the key").trim().to_owned()
    }

    /// `SHA256:…` of the public key.
    pub fn fingerprint(&self) -> String {
        let ran = Command::new("ssh-keygen").arg("-lf").arg(&self.key).output();
        let line = Said::of(&ran.expect("ssh-keygen")).ok().out.clone();
        line.split(' ').nth(1).expect("bits, fingerprint and comment").to_owned()
    }

    /// `ssh platform <words>`.
    pub fn verb(&self, words: &[&str]) -> Said {
        let ran = self.ssh().arg("platform").args(words).output();
        Said::of(&ran.expect("ssh"))
    }

    /// `ssh <options> platform <words>`, for who stays attached.
    pub fn ssh_with(&self, options: &[&str], words: &[&str]) -> Command {
        let mut ssh = self.ssh();
        ssh.args(options).arg("platform").args(words);
        ssh
    }

    /// `slipway <words>` on the command line, signed in by a token.
    pub fn command_line(&self, words: &[&str]) -> Command {
        let mut slipway = Command::new(slipway());
        slipway
            .env_clear()
            .env("HOME", self.ssh_config.parent().unwrap_or(Path::new("/")))
            .env("SLIPWAY_URL", format!("http://127.0.0.1:{}", self.ports.http))
            .env("SLIPWAY_TOKEN", &self.token)
            .args(words)
            .stdin(Stdio::null());
        slipway
    }

    fn ssh(&self) -> Command {
        let mut ssh = Command::new("ssh");
        ssh.arg("-F").arg(&self.ssh_config).stdin(Stdio::null());
        ssh
    }

    /// `git` as this person would run it, with nothing of the machine's own settings.
    pub fn git(&self) -> Command {
        let mut git = Command::new("git");
        git.env_clear()
            .env("PATH", Setting::Path.get().unwrap_or_default())
            .env("HOME", self.ssh_config.parent().unwrap_or(Path::new("/")))
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_SSH_COMMAND", format!("ssh -F {}", self.ssh_config.display()))
            .envs(["AUTHOR", "COMMITTER"].map(|who| (format!("GIT_{who}_NAME"), self.name.clone())))
            .envs(["AUTHOR", "COMMITTER"].map(|who| (format!("GIT_{who}_EMAIL"), "someone@example.com")))
            .stdin(Stdio::null());
        git
    }

    pub fn ssh_url(&self, app: &str) -> String {
        format!("ssh://platform/{app}.git")
    }

    pub fn http_url(&self, app: &str) -> String {
        format!("http://{}:{}@127.0.0.1:{}/{app}.git", self.name, self.token, self.ports.http)
    }

    /// A new repository with remotes for both doors of `app`.
    pub fn checkout(&self, app: &str) -> Checkout {
        Checkout::init(self, app)
    }
}

fn block(key: &Path, known_hosts: &Path, ports: Ports) -> String {
    format!(
        "Host platform\n HostName 127.0.0.1\n Port {}\n User git\n IdentityFile {}\n IdentitiesOnly yes\n \
         IdentityAgent none\n UserKnownHostsFile {}\n StrictHostKeyChecking yes\n UpdateHostKeys no\n",
        ports.ssh,
        key.display(),
        known_hosts.display()
    )
}
