//! A real git host: Gitea over HTTPS and SSH, with repositories, deploy keys and web hooks of its own.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use crate::checkout::Checkout;
use crate::parts::{Setting, free_port, skip};
use crate::person::Said;
use crate::platform::{Platform, Start};
use crate::sink::Sink;
use crate::wait::{LONG, until};

/// The one who owns everything there.
const OWNER: &str = "ada";
const PASSWORD: &str = "correct-horse-battery";

/// See the module. It ends when it is dropped, or with the platform in whose folder it lies.
#[derive(Debug)]
pub struct Gitea {
    folder: PathBuf,
    https: u16,
    ssh: u16,
    child: Mutex<Option<Child>>,
}

/// A repository there.
#[derive(Debug)]
pub struct Hosted<'a> {
    gitea: &'a Gitea,
    owner: String,
    pub name: String,
}

impl Gitea {
    /// A platform that may fetch from this machine, and a Gitea in its folder, which ends with it.
    pub fn beside(settings: Start) -> Option<(Arc<Platform>, Self)> {
        let platform = settings.with("SLIPWAY_HOOK_NETWORKS", "127.0.0.0/8,::1/128").later()?;
        let folder = platform.home().join("gitea");
        let gitea = Self::start(&folder)?;
        let authority = folder.join("cert.pem").display().to_string();
        platform.server().set("SLIPWAY_HOOK_CA", &authority);
        platform.server().start();
        platform.server().until_ready();
        platform.introduce();
        Some((platform, gitea))
    }

    /// Starts it in `folder`; `None`, said to be skipped, where it was not built.
    fn start(folder: &Path) -> Option<Self> {
        let (Some(program), Some(files)) = (Setting::Gitea.get(), Setting::GiteaFiles.get()) else {
            skip("SLIPWAY_TEST_GITEA names no Gitea (tests/gitea/build makes one)");
            return None;
        };
        let gitea =
            Self { folder: folder.to_owned(), https: free_port(), ssh: free_port(), child: Mutex::new(None) };
        fs::create_dir_all(folder).expect("a folder");
        Sink::certificate(folder);
        fs::write(gitea.config(), gitea.settings(&files)).expect("app.ini");
        let log = fs::File::create(folder.join("output.log")).expect("a log");
        let child = gitea.command(&program, &["web"]).stdout(Stdio::null()).stderr(log).spawn();
        *gitea.child.lock().unwrap_or_else(PoisonError::into_inner) = Some(child.expect("gitea"));
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, gitea.https));
        until("Gitea to listen", LONG, || TcpStream::connect(address).is_ok());
        let words = ["admin", "user", "create", "--admin", "--must-change-password=false"];
        let who = ["--username", OWNER, "--password", PASSWORD, "--email", "ada@example.com"];
        let made = gitea.command(&program, &[&words[..], &who[..]].concat()).output().expect("gitea");
        Said::of(&made).ok();
        Some(gitea)
    }

    fn command(&self, program: &str, words: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", Setting::Path.get().unwrap_or_default())
            .env("HOME", &self.folder)
            .env("USER", "root")
            .env("GITEA_I_AM_BEING_UNSAFE_RUNNING_AS_ROOT", "true")
            .args(words)
            .arg("--config")
            .arg(self.config())
            .arg("--work-path")
            .arg(&self.folder)
            .stdin(Stdio::null());
        command
    }

    fn config(&self) -> PathBuf {
        self.folder.join("app.ini")
    }

    fn settings(&self, files: &str) -> String {
        let folder = self.folder.display();
        let (https, ssh) = (self.https, self.ssh);
        let user = Command::new("id").arg("-un").output().expect("id");
        let user = String::from_utf8_lossy(&user.stdout).trim().to_owned();
        format!(
            "RUN_MODE = prod\nRUN_USER = {user}\n\
             [server]\nPROTOCOL = https\nHTTP_ADDR = 127.0.0.1\nHTTP_PORT = {https}\n\
             ROOT_URL = https://localhost:{https}/\nDOMAIN = localhost\nCERT_FILE = {folder}/cert.pem\n\
             KEY_FILE = {folder}/key.pem\nSTATIC_ROOT_PATH = {files}\nOFFLINE_MODE = true\n\
             START_SSH_SERVER = true\nBUILTIN_SSH_SERVER_USER = git\nSSH_DOMAIN = localhost\n\
             SSH_LISTEN_HOST = 127.0.0.1\nSSH_PORT = {ssh}\nSSH_LISTEN_PORT = {ssh}\nLFS_START_SERVER = false\n\
             [database]\nDB_TYPE = sqlite3\nPATH = {folder}/gitea.db\n\
             [repository]\nROOT = {folder}/repositories\nDEFAULT_BRANCH = main\n\
             [security]\nINSTALL_LOCK = true\nSECRET_KEY = stories\nPASSWORD_HASH_ALGO = pbkdf2$1000$50\n\
             [webhook]\nALLOWED_HOST_LIST = loopback\nDELIVER_TIMEOUT = 10\n\
             [log]\nMODE = console\nLEVEL = Warn\n\
             [actions]\nENABLED = false\n[indexer]\nREPO_INDEXER_ENABLED = false\n"
        )
    }

    /// An empty private repository.
    pub fn repository(&self, name: &str) -> Hosted<'_> {
        let wish = json!({ "name": name, "private": true, "default_branch": "main" });
        self.ask("POST", "/user/repos", Some(wish));
        Hosted::of(self, name)
    }

    /// A token of the owner's that may do everything.
    pub fn token(&self, name: &str) -> String {
        let wish = json!({ "name": name, "scopes": ["all"] });
        let made = self.ask("POST", &format!("/users/{OWNER}/tokens"), Some(wish));
        made["sha1"].as_str().expect("a token").to_owned()
    }

    /// Asks its API.
    #[track_caller]
    pub fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--fail-with-body", "--noproxy", "*", "--request", method])
            .arg("--cacert")
            .arg(self.folder.join("cert.pem"))
            .args(["--user", &format!("{OWNER}:{PASSWORD}"), "--header", "Content-Type: application/json"])
            .arg(format!("https://localhost:{}/api/v1{path}", self.https));
        if let Some(body) = body {
            curl.args(["--data", &body.to_string()]);
        }
        let said = Said::of(&curl.stdin(Stdio::null()).output().expect("curl"));
        assert_eq!(said.status, 0, "Gitea refuses {method} {path}: {} {}", said.out, said.err);
        serde_json::from_str(&said.out).unwrap_or(Value::Null)
    }
}

impl<'a> Hosted<'a> {
    /// A repository that is there.
    pub fn of(gitea: &'a Gitea, name: &str) -> Self {
        Self { gitea, owner: OWNER.to_owned(), name: name.to_owned() }
    }

    /// Where its SSH door is.
    pub fn ssh_address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.gitea.ssh))
    }

    pub fn ssh_url(&self) -> String {
        format!("ssh://git@127.0.0.1:{}/{OWNER}/{}.git", self.gitea.ssh, self.name)
    }

    pub fn https_url(&self) -> String {
        format!("https://localhost:{}/{OWNER}/{}.git", self.gitea.https, self.name)
    }

    /// The owner's password, which Gitea takes for a token: it is no word that a header could not hold.
    pub fn user_url(&self) -> String {
        format!("https://{OWNER}@localhost:{}/{OWNER}/{}.git", self.gitea.https, self.name)
    }

    pub fn password(&self) -> &'static str {
        PASSWORD
    }

    pub fn add_deploy_key(&self, key: &str) {
        let body = json!({ "title": "slipway", "key": key, "read_only": true });
        self.ask("POST", "/keys", Some(body));
    }

    /// A fork of somebody who may read this one.
    pub fn fork(&self, who: &str) -> Self {
        let user = json!({ "username": who, "password": PASSWORD, "email": format!("{who}@example.com"),
            "must_change_password": false });
        self.gitea.ask("POST", "/admin/users", Some(user));
        self.ask("PUT", &format!("/collaborators/{who}"), Some(json!({ "permission": "read" })));
        self.ask("POST", &format!("/forks?sudo={who}"), Some(json!({})));
        Self { gitea: self.gitea, owner: who.to_owned(), name: self.name.clone() }
    }

    /// Opens a pull request of a branch here or, as `who:branch`, of a fork; its number.
    pub fn open_pull(&self, head: &str) -> i64 {
        let who = head.split_once(':').map_or(OWNER, |(who, _)| who);
        let wish = json!({ "head": head, "base": "main", "title": format!("Take {head}") });
        self.ask("POST", &format!("/pulls?sudo={who}"), Some(wish))["number"].as_i64().expect("a number")
    }

    /// Opens or closes a pull request: `open` or `closed`.
    pub fn set_pull(&self, number: i64, state: &str) {
        self.ask("PATCH", &format!("/pulls/{number}"), Some(json!({ "state": state })));
    }

    /// A hook for pushes; its id.
    pub fn add_hook(&self, url: &str, secret: &str) -> i64 {
        self.add_hook_for(url, secret, &["push"])
    }

    /// A hook for these events; its id.
    pub fn add_hook_for(&self, url: &str, secret: &str, events: &[&str]) -> i64 {
        let config = json!({ "url": url, "content_type": "json", "secret": secret });
        let body = json!({ "type": "gitea", "config": config, "events": events, "active": true });
        self.ask("POST", "/hooks", Some(body))["id"].as_i64().expect("an id")
    }

    pub fn remove_hook(&self, id: i64) {
        self.ask("DELETE", &format!("/hooks/{id}"), None);
    }

    /// Asks the API about this repository.
    #[track_caller]
    pub fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        self.gitea.ask(method, &format!("/repos/{}/{}{path}", self.owner, self.name), body)
    }

    /// Pushes from a checkout, as the owner.
    #[track_caller]
    pub fn push(&self, checkout: &Checkout, words: &[&str]) {
        // The owner of all is an admin there, whom the repositories of others let in too.
        let url = format!(
            "https://{OWNER}:{PASSWORD}@localhost:{}/{}/{}.git",
            self.gitea.https, self.owner, self.name
        );
        let authority = format!("http.sslCAInfo={}", self.gitea.folder.join("cert.pem").display());
        let (options, refs): (Vec<&str>, Vec<&str>) = words.iter().partition(|word| word.starts_with('-'));
        let mut git = checkout.command();
        git.args(["-c", &authority, "push", "--quiet"]).args(options).arg(url).args(refs);
        Said::of(&git.output().expect("git")).ok();
    }
}

impl Drop for Gitea {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.lock().unwrap_or_else(PoisonError::into_inner).take() {
            child.kill().ok();
            drop(child.wait());
        }
    }
}
