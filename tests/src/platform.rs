//! A whole platform in a folder of its own: server, private database and registry, both doors, the apps' router.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use crate::app::App;
use crate::engine::Engine;
use crate::guard::Guard;
use crate::http::{Answer, Ask};
use crate::parts::{Setting, engine_or_skip, free_port};
use crate::person::Person;
use crate::server::Server;
use crate::sink::Sink;
use crate::traffic::Traffic;
use crate::wait::{SHORT, until};

/// Short patience, so that stories of failure end soon.
const SETTINGS: [(&str, &str); 7] = [
    ("SLIPWAY_HEALTH_DEADLINE", "15s"),
    ("SLIPWAY_HEALTH_UPTIME", "2s"),
    ("SLIPWAY_DRAIN", "2s"),
    ("SLIPWAY_PROCESS_GRACE", "2s"),
    ("SLIPWAY_DISK_FREE_PERCENT", "0"),
    ("SLIPWAY_DISK_FREE_BYTES", "64MiB"),
    ("SLIPWAY_LOG", "info,slipway=debug"),
];

/// A platform to be, with settings that differ from what stories usually have.
#[derive(Debug, Default)]
pub struct Start {
    settings: BTreeMap<String, String>,
    engine: Option<Engine>,
}

impl Start {
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.settings.insert(name.to_owned(), value.into());
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.settings.remove(name);
        self
    }

    /// Another engine than the one at DOCKER_HOST.
    pub fn on(mut self, engine: Engine) -> Self {
        self.engine = Some(engine);
        self
    }

    /// Starts it and waits until it is ready; `None` if the machine lacks a part.
    pub fn start(self) -> Option<Arc<Platform>> {
        let engine = match self.engine {
            Some(engine) => engine,
            None => engine_or_skip()?,
        };
        let platform = Platform::prepare(self.settings, engine);
        platform.server().start();
        platform.server().until_ready();
        platform.introduce();
        Some(Arc::new(platform))
    }

    /// Prepares it without starting the server.
    pub fn later(self) -> Option<Arc<Platform>> {
        let engine = match self.engine {
            Some(engine) => engine,
            None => engine_or_skip()?,
        };
        Some(Arc::new(Platform::prepare(self.settings, engine)))
    }
}

/// See the module.
#[derive(Debug)]
pub struct Platform {
    server: Mutex<Server>,
    admin: OnceLock<Person>,
    ports: Ports,
    engine: Engine,
    home: PathBuf,
    // Dropped in this order: the guard clears the folder up, which is then gone.
    _guard: Guard,
    _folder: TempDir,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) http: u16,
    pub(crate) ssh: u16,
    pub(crate) apps: u16,
}

impl Platform {
    /// One platform for all stories of a file that need no more than an app of their own.
    pub fn shared() -> Option<Arc<Self>> {
        static SHARED: OnceLock<Option<Arc<Platform>>> = OnceLock::new();
        SHARED.get_or_init(|| Start::default().start()).clone()
    }

    pub fn start() -> Option<Arc<Self>> {
        Start::default().start()
    }

    pub fn with(name: &str, value: impl Into<String>) -> Start {
        Start::default().with(name, value)
    }

    /// One that fetches from this machine alone, and the folder with the certificate that it trusts there.
    pub fn trusting() -> Option<(tempfile::TempDir, Arc<Self>)> {
        let folder = tempfile::tempdir().expect("a folder");
        let authority = Sink::certificate(folder.path());
        let platform = Self::with("SLIPWAY_HOOK_CA", authority.display().to_string())
            .with("SLIPWAY_HOOK_NETWORKS", "127.0.0.0/8,::1/128")
            .with("SLIPWAY_HOOK_SEARCH", "1h")
            .start()?;
        Some((folder, platform))
    }

    fn prepare(changed: BTreeMap<String, String>, engine: Engine) -> Self {
        // The private PostgreSQL runs as another user, who has to reach its folder; a socket's path has to be short.
        let folder =
            tempfile::Builder::new().prefix("slipway-test-").tempdir_in("/var/tmp").expect("a folder");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("its mode");
        keep_registry_port(&folder.path().join("data"));
        let ports = Ports { http: free_port(), ssh: free_port(), apps: free_port() };
        let mut settings: BTreeMap<String, String> =
            SETTINGS.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut set = |name: &str, value: String| settings.insert(name.to_owned(), value);
        set("SLIPWAY_HTTP_LISTEN", format!("127.0.0.1:{}", ports.http));
        set("SLIPWAY_SSH_LISTEN", format!("127.0.0.1:{}", ports.ssh));
        set("SLIPWAY_APPS_LISTEN", format!("127.0.0.1:{}", ports.apps));
        set("DOCKER_HOST", engine.host.clone());
        let of_the_run =
            [("SLIPWAY_BASE_IMAGES", Setting::BaseImages), ("SLIPWAY_BUILD_EXTRA_CA", Setting::ExtraCa)];
        for (name, setting) in of_the_run {
            if let Some(value) = setting.get() {
                set(name, value);
            }
        }
        settings.extend(changed);
        Self {
            server: Mutex::new(Server::new(folder.path(), settings, ports.http)),
            admin: OnceLock::new(),
            ports,
            home: folder.path().to_owned(),
            _guard: Guard::of(folder.path(), &engine),
            engine,
            _folder: folder,
        }
    }

    /// Makes the first admin, and remembers the server's host key for everybody.
    pub fn introduce(&self) {
        let made = self.server().command("admin").arg("root").output().expect("slipway admin");
        let said = String::from_utf8_lossy(&made.stderr).into_owned();
        assert!(made.status.success(), "slipway admin: {said}");
        let token = String::from_utf8_lossy(&made.stdout).trim().to_owned();
        let doors = self.ask("GET", "/platform", &token, None).json();
        let key = doors["ssh_host_keys"][0].as_str().expect("a host key").to_owned();
        let known = format!("[127.0.0.1]:{} {key}\n", self.ports.ssh);
        fs::write(self.known_hosts(), known).expect("known_hosts");
        let admin = Person::new(&self.home.join("people"), "root", token, self.ports);
        self.register_key(&admin);
        assert!(self.admin.set(admin).is_ok(), "introduced twice");
    }

    /// The one who may do everything.
    pub fn admin(&self) -> &Person {
        self.admin.get().expect("a platform that was introduced")
    }

    /// A new user with a key and a token, in the team `team` with `role`.
    pub fn person_in(&self, team: &str, name: &str, role: &str) -> Person {
        let words = ["users:create", name, "--team", team, "--role", role, "--json"];
        let made = self.admin().verb(&words);
        let token = made.ok().json()["token"].as_str().map(str::to_owned);
        let person = Person::new(
            &self.home.join("people"),
            name,
            token.unwrap_or_else(|| panic!("no token: {made:?}")),
            self.ports,
        );
        self.register_key(&person);
        person
    }

    pub fn person(&self, name: &str, role: &str) -> Person {
        self.person_in("default", name, role)
    }

    /// Somebody whose key and token the platform does not know.
    pub fn stranger(&self, name: &str) -> Person {
        let token = format!("slipway_{}", "0".repeat(40));
        Person::new(&self.home.join("people"), name, token, self.ports)
    }

    /// Asks the private database; what `psql` printed, without decoration.
    pub fn sql(&self, query: &str) -> String {
        let socket = self.home.join("data/postgres/run");
        let mut psql = Command::new("psql");
        psql.args(["-X", "-A", "-t", "-U", "slipway", "-d", "postgres", "-c", query]).arg("-h").arg(socket);
        let ran = psql.stdin(Stdio::null()).output().expect("psql");
        assert!(ran.status.success(), "psql: {}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8_lossy(&ran.stdout).trim().to_owned()
    }

    fn register_key(&self, person: &Person) {
        let body = serde_json::json!({ "public_key": person.public_key() }).to_string();
        let added = self.ask("POST", "/account/keys", &person.token, Some(body));
        assert!(added.status < 300, "the key was not added: {added:?}");
    }

    /// A new app with an empty checkout, which belongs to the admin's team.
    pub fn app(self: &Arc<Self>, name: &str) -> App {
        App::create(self, name)
    }

    /// A request to the API with a token.
    pub fn ask(&self, method: &str, path: &str, token: &str, body: Option<String>) -> Answer {
        self.try_ask(method, path, token, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    pub fn try_ask(
        &self,
        method: &str,
        path: &str,
        token: &str,
        body: Option<String>,
    ) -> std::io::Result<Answer> {
        let headers = vec![("Authorization", format!("Bearer {token}"))];
        Ask { method, host: "127.0.0.1", path, headers, body }.send(self.ports.http)
    }

    /// Sends something to an address of the platform as a stranger would, with these headers.
    pub fn post(&self, path: &str, headers: &[(&str, &str)], body: &str) -> std::io::Result<Answer> {
        let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Ask { method: "POST", host: "127.0.0.1", path, headers, body: Some(body.to_owned()) }
            .send(self.ports.http)
    }

    /// Opens an address of the platform as a stranger would, with these headers.
    pub fn open(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let ask = Ask { method: "GET", host: "127.0.0.1", path, headers, body: None };
        ask.send(self.ports.http).unwrap_or_else(|error| panic!("GET {path}: {error}"))
    }

    /// Where browsers find it.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.http)
    }

    /// A link that signs `name` in at the web page once.
    pub fn sign_in_link(&self, name: &str) -> String {
        let made = self.server().command("admin").args([name, "--link"]).output().expect("slipway admin");
        assert!(made.status.success(), "slipway admin: {}", String::from_utf8_lossy(&made.stderr));
        String::from_utf8_lossy(&made.stdout).trim().to_owned()
    }

    /// Reads the API as the admin.
    pub fn get(&self, path: &str) -> Value {
        let answer = self.ask("GET", path, &self.admin().token, None);
        assert!(answer.status < 300, "GET {path}: {answer:?}");
        answer.json()
    }

    /// The status of `/readyz`; 0 if nobody answers.
    pub fn readiness(&self) -> u16 {
        let answer = Ask::get("127.0.0.1", "/readyz").send(self.ports.http);
        answer.map_or(0, |answer| answer.status)
    }

    /// Asks an app for `path`, over a fresh connection to the router.
    pub fn browse(&self, app: &str, path: &str) -> std::io::Result<Answer> {
        Ask::get(&format!("{app}.localhost:{}", self.ports.apps), path).send(self.ports.apps)
    }

    pub fn traffic(&self, app: &str, path: &'static str) -> Traffic {
        Traffic::start(self.ports.apps, format!("{app}.localhost:{}", self.ports.apps), path)
    }

    pub fn server(&self) -> MutexGuard<'_, Server> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    pub fn home(&self) -> &Path {
        &self.home
    }

    /// The bare repository that the server keeps of an app.
    pub fn repository(&self, app_id: &str) -> PathBuf {
        self.home.join("data/repositories").join(format!("{app_id}.git"))
    }

    /// How containers' labels name this platform.
    pub fn id(&self) -> String {
        let text = fs::read_to_string(self.home.join("data/state.json")).expect("state.json");
        let state: Value = serde_json::from_str(&text).expect("JSON");
        state["platform"].as_str().expect("an id").to_owned()
    }

    fn known_hosts(&self) -> PathBuf {
        let people = self.home.join("people");
        fs::create_dir_all(&people).expect("a folder");
        people.join("known_hosts")
    }

    /// What a reboot of the machine leaves: no server, no router, and stopped containers.
    pub fn power_off(&self) {
        self.server().kill();
        let folder = format!("{}/", self.home.display());
        for process in fs::read_dir("/proc").expect("/proc").flatten() {
            let Ok(pid) = process.file_name().to_string_lossy().parse() else { continue };
            let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            if line.contains(&folder) && !line.contains("slipway-test-guard") {
                kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
            }
        }
        for container in self.engine.containers_of(&self.id()) {
            self.engine.docker(&["kill", &container]).ok();
        }
    }

    /// Whether any process of this machine, build steps among them, has these words in its command.
    pub fn machine_runs(&self, words: &str) -> bool {
        processes().any(|line| line.starts_with(words))
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the server's last words ---\n{}", self.server().log_tail());
            return;
        }
        if !self.server().is_running() {
            return;
        }
        let ended = self.server().stop();
        assert!(ended.success(), "the server did not end well: {ended}\n{}", self.server().log_tail());
        // The apps' router outlives its server on purpose.
        let folder = format!("{}/", self.home.display());
        let left = || {
            let ours = |line: &String| line.contains(&folder) && !line.contains(" router ");
            processes().filter(ours).collect::<Vec<_>>()
        };
        until("the server's children to be gone", SHORT, || left().is_empty());
    }
}

/// Writes the facts that a data folder keeps before there is a server: with a registry port that no platform beside
/// this one would look for while this one is down.
fn keep_registry_port(data: &Path) {
    fs::create_dir(data).expect("a folder");
    fs::set_permissions(data, fs::Permissions::from_mode(0o755)).expect("its mode");
    let id = format!("{:06x}{:06x}", std::process::id() & 0xff_ffff, free_port());
    let facts = serde_json::json!({ "platform": id, "ports": { "registry": free_port() } });
    fs::write(data.join("state.json"), facts.to_string()).expect("state.json");
}

/// The commands of all processes of this machine.
fn processes() -> impl Iterator<Item = String> {
    let listed = fs::read_dir("/proc").expect("/proc").flatten();
    let lines = listed.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
}
