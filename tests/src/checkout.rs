//! A repository on somebody's machine, with a small app in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::person::{Person, Said};
use crate::pushing::{Push, Pushing};

/// The way a push takes: also the name of its git remote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    Ssh,
    Http,
}

impl Door {
    pub(crate) fn remote(self) -> &'static str {
        match self {
            Self::Ssh => "platform",
            Self::Http => "over-http",
        }
    }
}

const DOCKERFILE: &str =
    "FROM slipway/base\nCOPY . /app\nWORKDIR /app\nCMD [\"python3\", \"-u\", \"server.py\"]\n";
const SERVER: &str = include_str!("server.py");

/// See the module.
#[derive(Debug)]
pub struct Checkout {
    person: Person,
    app: String,
    folder: TempDir,
}

impl Checkout {
    pub(crate) fn init(person: &Person, app: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("slipway-checkout-").tempdir().expect("a folder");
        let checkout = Self { person: person.clone(), app: app.to_owned(), folder };
        checkout.git(&["init", "-q", "-b", "main"]).ok();
        checkout.add_remotes();
        checkout
    }

    fn add_remotes(&self) {
        let (ssh, http) = (self.person.ssh_url(&self.app), self.person.http_url(&self.app));
        self.git(&["remote", "add", Door::Ssh.remote(), &ssh]).ok();
        self.git(&["remote", "add", Door::Http.remote(), &http]).ok();
    }

    /// The same repository in the hands of somebody else.
    pub fn of(&self, person: &Person) -> Self {
        let folder = tempfile::Builder::new().prefix("slipway-checkout-").tempdir().expect("a folder");
        let theirs = Self { person: person.clone(), app: self.app.clone(), folder };
        let from = format!("file://{}", self.path().display());
        theirs.git(&["clone", "-q", &from, "."]).ok();
        theirs.add_remotes();
        theirs
    }

    /// The same repository with the newest commits only, as CI systems check out.
    pub fn shallow(&self, depth: u32) -> Self {
        let folder = tempfile::Builder::new().prefix("slipway-checkout-").tempdir().expect("a folder");
        let shallow = Self { person: self.person.clone(), app: self.app.clone(), folder };
        let from = format!("file://{}", self.path().display());
        shallow.git(&["clone", "-q", &format!("--depth={depth}"), &from, "."]).ok();
        shallow.add_remotes();
        shallow
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn command(&self) -> Command {
        let mut git = self.person.git();
        git.current_dir(self.path());
        git
    }

    pub fn git(&self, words: &[&str]) -> Said {
        Said::of(&self.command().args(words).output().expect("git"))
    }

    /// Writes the small app that answers `answer`, and commits.
    pub fn add_app(&self, answer: &str) -> &Self {
        self.write("Dockerfile", DOCKERFILE).write("server.py", SERVER).write("answer", answer);
        // The engine's cache remembers the steps of earlier runs: no two checkouts are alike.
        let folder = self.path().display();
        self.write("run", &format!("{folder} {:?}", std::time::SystemTime::now()));
        self.commit(answer);
        self
    }

    pub fn write(&self, path: &str, text: &str) -> &Self {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap_or(self.path())).expect("a folder");
        fs::write(path, text).expect("a file");
        self
    }

    /// Copies an app of tests/apps, and commits it.
    pub fn bring(&self, app: &str) -> &Self {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("apps").join(app);
        let copied = Command::new("cp").arg("-a").arg(from.join(".")).arg(self.path()).status();
        assert!(copied.expect("cp").success(), "{} cannot be copied", from.display());
        self.commit(app);
        self
    }

    /// Replaces a piece of a file.
    pub fn edit(&self, path: &str, from: &str, to: &str) -> &Self {
        let text = fs::read_to_string(self.path().join(path)).expect("a file");
        assert!(text.contains(from), "{path} has no {from:?}");
        self.write(path, &text.replace(from, to))
    }

    pub fn remove(&self, path: &str) -> &Self {
        self.git(&["rm", "-rq", path]).ok();
        self
    }

    /// Commits everything; the commit's id.
    pub fn commit(&self, subject: &str) -> String {
        self.git(&["add", "-A"]).ok();
        self.git(&["commit", "-q", "--allow-empty", "-m", subject]).ok();
        self.head()
    }

    /// Changes the app's answer, and commits.
    pub fn answer(&self, answer: &str) -> String {
        self.write("answer", answer);
        self.commit(answer)
    }

    /// Adds a build step before the app's own, and commits.
    pub fn step(&self, step: &str) -> String {
        self.write("Dockerfile", &DOCKERFILE.replace("WORKDIR", &format!("{step}\nWORKDIR")));
        self.commit("a build step")
    }

    pub fn head(&self) -> String {
        self.git(&["rev-parse", "HEAD"]).ok().out.trim().to_owned()
    }

    pub fn push(&self, door: Door) -> Push {
        self.push_with(door, &["main"])
    }

    /// `git push <words> <remote> <refs>`: words with a dash stand before the remote.
    pub fn push_with(&self, door: Door, words: &[&str]) -> Push {
        self.start_push(door, words).end()
    }

    pub fn start_push(&self, door: Door, words: &[&str]) -> Pushing {
        let (options, refs): (Vec<&str>, Vec<&str>) = words.iter().partition(|word| word.starts_with('-'));
        let mut git = self.command();
        git.arg("push").args(options).arg(door.remote()).args(refs);
        Pushing::start(git)
    }

    /// What the remote has: `(id, name)`.
    pub fn remote_refs(&self, door: Door) -> Vec<(String, String)> {
        let listed = self.git(&["ls-remote", door.remote()]);
        let lines = listed.ok().out.lines().filter_map(|line| line.split_once('\t'));
        lines.map(|(id, name)| (id.to_owned(), name.to_owned())).collect()
    }

    /// Where the remote's ref stands.
    pub fn remote_ref(&self, name: &str) -> Option<String> {
        self.remote_refs(Door::Ssh).into_iter().find(|(_, found)| found == name).map(|(id, _)| id)
    }

    /// A clone of the app over a door, in a folder beside this one.
    pub fn clone_over(&self, door: Door) -> (Said, PathBuf) {
        let folder = self.path().join(format!(".git/clone-{}", door.remote()));
        drop(fs::remove_dir_all(&folder));
        let url = match door {
            Door::Ssh => self.person.ssh_url(&self.app),
            Door::Http => self.person.http_url(&self.app),
        };
        let said = Said::of(&self.command().args(["clone", "-q", &url]).arg(&folder).output().expect("git"));
        (said, folder)
    }
}
