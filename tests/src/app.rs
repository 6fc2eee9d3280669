//! An app of a story: one each, so that stories can share a platform.

use std::cell::Cell;
use std::ops::Deref;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::checkout::Checkout;
use crate::http::Answer;
use crate::person::{Person, Said};
use crate::platform::Platform;
use crate::pushing::Pushing;
use crate::traffic::Traffic;
use crate::wait::{LONG, SHORT, until, wait_for};

/// See the module. It is dropped with nothing left to do for it, or the story fails.
#[derive(Debug)]
pub struct App {
    pub name: String,
    pub id: String,
    pub checkout: Checkout,
    platform: Arc<Platform>,
    gone: Cell<bool>,
}

/// An app's checkout is what most stories are about.
impl Deref for App {
    type Target = Checkout;

    fn deref(&self) -> &Checkout {
        &self.checkout
    }
}

impl App {
    pub(crate) fn create(platform: &Arc<Platform>, name: &str) -> Self {
        let admin = platform.admin();
        let created = platform.ask("POST", "/apps", &admin.token, Some(json!({ "name": name }).to_string()));
        assert_eq!(created.status, 201, "{created:?}");
        let id = created.json()["id"].as_str().expect("an id").to_owned();
        let checkout = admin.checkout(name);
        Self { name: name.to_owned(), id, checkout, platform: Arc::clone(platform), gone: Cell::new(false) }
    }

    /// With the small app that answers `answer` committed.
    pub fn answering(self, answer: &str) -> Self {
        self.checkout.add_app(answer);
        self
    }

    pub fn platform(&self) -> &Arc<Platform> {
        &self.platform
    }

    fn admin(&self) -> &Person {
        self.platform.admin()
    }

    /// Reads `/apps/<app><path>`.
    pub fn get(&self, path: &str) -> Value {
        self.platform.get(&format!("/apps/{}{path}", self.name))
    }

    pub fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let path = format!("/apps/{}{path}", self.name);
        self.platform.ask(method, &path, &self.admin().token, body.map(|body| body.to_string()))
    }

    /// `ssh platform <words> --app <app>`.
    pub fn verb(&self, words: &[&str]) -> Said {
        self.admin().verb(&[words, &["--app", &self.name]].concat())
    }

    /// `slipway logs --tail <words>` on the command line, from now on.
    pub fn start_logs(&self, words: &[&str]) -> Pushing {
        let words = [&["logs", "--tail", "--app", &self.name], words].concat();
        Pushing::start(self.admin().command_line(&words))
    }

    /// What `logs` prints with these words.
    pub fn logs(&self, words: &[&str]) -> String {
        self.verb(&[&["logs"], words].concat()).ok().out.clone()
    }

    /// Waits until `logs` prints these words.
    pub fn until_logged(&self, text: &str) -> String {
        wait_for(&format!("{text:?} in the logs of {}", self.name), LONG, || {
            let logs = self.logs(&["-n", "1500"]);
            logs.contains(text).then_some(logs)
        })
    }

    /// Releases, the oldest first.
    pub fn releases(&self) -> Vec<Value> {
        sorted(self.get("/releases"), "version")
    }

    /// Builds, the oldest first.
    pub fn builds(&self) -> Vec<Value> {
        sorted(self.get("/builds"), "number")
    }

    pub fn release(&self, version: i64) -> Value {
        self.get(&format!("/releases/{version}"))
    }

    pub fn build(&self, number: i64) -> Value {
        self.get(&format!("/builds/{number}"))
    }

    /// The version that is live, or 0.
    pub fn current(&self) -> i64 {
        let releases = self.releases();
        let current = releases.iter().find(|release| release["current"] == true);
        current.and_then(|release| release["version"].as_i64()).unwrap_or(0)
    }

    pub fn until_current(&self, version: i64) {
        until(&format!("v{version} of {} to be current", self.name), LONG, || self.current() == version);
    }

    /// Waits until a build is in one of these states; the build.
    pub fn until_build(&self, number: i64, states: &[&str]) -> Value {
        wait_for(&format!("build {number} of {} to be {states:?}", self.name), LONG, || {
            let build = self.builds().into_iter().find(|build| build["number"] == number)?;
            states.contains(&build["state"].as_str()?).then_some(build)
        })
    }

    /// The text of a build's log from a byte on; with `&follow=1` to its end.
    pub fn output(&self, number: i64, query: &str) -> String {
        let answer = self.ask("GET", &format!("/builds/{number}/output?{query}"), None);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    }

    /// What the app answers to `/`.
    pub fn answer_now(&self) -> String {
        self.browse("/")
    }

    pub fn browse(&self, path: &str) -> String {
        match self.platform.browse(&self.name, path) {
            Ok(answer) if answer.status == 200 => answer.body.trim().to_owned(),
            Ok(answer) => format!("{} {}", answer.status, answer.body),
            Err(error) => error.to_string(),
        }
    }

    pub fn traffic(&self) -> Traffic {
        self.platform.traffic(&self.name, "/")
    }

    /// Requests whose answers take a moment, so that some are on their way at any time.
    pub fn slow_traffic(&self) -> Vec<Traffic> {
        (0..4).map(|_| self.platform.traffic(&self.name, "/slow")).collect()
    }

    pub fn containers(&self) -> Vec<String> {
        self.platform.engine().containers(&self.platform.id(), &self.name)
    }

    /// Waits until old processes have drained and this many are left.
    pub fn until_containers(&self, count: usize) -> Vec<String> {
        wait_for(&format!("{} to have {count} containers", self.name), SHORT, || {
            let found = self.containers();
            (found.len() == count).then_some(found)
        })
    }

    /// The story has destroyed it: nothing is asked about it any more.
    pub fn is_gone(self) {
        let answer = self.ask("GET", "", None);
        assert_eq!(answer.status, 404, "{answer:?}");
        self.gone.set(true);
    }

    fn is_at_rest(&self) -> bool {
        let ended = |status: &Value| {
            !["queued", "building", "pushing", "pending"].contains(&status.as_str().unwrap_or(""))
        };
        self.builds().iter().all(|build| ended(&build["state"]))
            && self.releases().iter().all(|release| ended(&release["status"]))
    }
}

impl Drop for App {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "--- the server on {} ---\n{}",
                self.name,
                self.platform.server().log_about(&self.name)
            );
        } else if !self.gone.get() && self.platform.server().is_running() {
            until(&format!("{} to have nothing queued or running", self.name), SHORT, || self.is_at_rest());
        }
    }
}

fn sorted(list: Value, by: &str) -> Vec<Value> {
    let mut list = list.as_array().cloned().unwrap_or_default();
    list.sort_by_key(|item| item[by].as_i64());
    list
}
