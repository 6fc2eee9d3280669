//! A pretended GitHub: a repository, and its API for deployments and checks, over TLS, which remembers what it was told and refuses what GitHub's
//! published description of it does not have.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use crate::checkout::Checkout;
use crate::forge::{Doorkeeper, Forge};
use crate::hub_app::HubApp;
use crate::openapi::OpenApi;
use crate::tls::{Listener, Reply};

/// Where the API of a GitHub of one's own begins.
const BASE: &str = "/api/v3";
const DEPLOYMENTS: &str = "/repos/ada/blog/deployments";

/// See the module.
#[derive(Debug, Clone)]
pub struct Hub {
    pub port: u16,
    doorkeeper: Doorkeeper,
    forge: Forge,
    checks: Arc<Mutex<Checks>>,
    made: Arc<Mutex<Vec<Deployment>>>,
    away: Arc<AtomicBool>,
    api: Arc<OpenApi>,
    faults: Arc<Mutex<Vec<String>>>,
}

/// What is known of every commit's checks.
#[derive(Debug, Default)]
struct Checks {
    statuses: Vec<Value>,
    runs: Vec<Value>,
}

/// A deployment as it was asked for, with what was told of it.
#[derive(Debug, Clone)]
pub struct Deployment {
    pub wish: Value,
    pub statuses: Vec<Value>,
}

impl Deployment {
    /// The states that were told, in order.
    pub fn states(&self) -> Vec<&str> {
        self.statuses.iter().filter_map(|status| status["state"].as_str()).collect()
    }
}

impl Hub {
    /// Listens as `localhost`, with the certificate in `folder`; lets in who has the token. `None`, said to be skipped,
    /// where GitHub's description is not at hand.
    pub fn listen(folder: &Path, token: &str) -> Option<Self> {
        Self::behind(folder, Doorkeeper::Token(token.to_owned()))
    }

    /// The same, where no token is let in but those of a GitHub App, whose private key lies in `folder`.
    pub fn with_app(folder: &Path) -> Option<(Self, HubApp)> {
        let app = HubApp::new(folder);
        Some((Self::behind(folder, Doorkeeper::App(app.clone()))?, app))
    }

    fn behind(folder: &Path, doorkeeper: Doorkeeper) -> Option<Self> {
        let api = Arc::new(OpenApi::of_github()?);
        let listener = Listener::with(folder);
        let hub = Self {
            port: listener.port,
            forge: Forge::new(folder, doorkeeper.clone()),
            doorkeeper,
            checks: Arc::default(),
            made: Arc::default(),
            away: Arc::default(),
            api,
            faults: Arc::default(),
        };
        let answering = hub.clone();
        listener.answer(move |head, body| answering.answer(head, body));
        Some(hub)
    }

    pub fn url(&self) -> String {
        format!("https://localhost:{}/ada/blog.git", self.port)
    }

    pub fn push(&self, checkout: &Checkout, words: &[&str]) {
        self.forge.push(checkout, words);
    }

    /// How the checks of every commit stand from now on: statuses by context and state, runs by name and conclusion,
    /// without which they are on their way.
    pub fn checks(&self, statuses: &[(&str, &str)], runs: &[(&str, Option<&str>)]) {
        let of_status = |(context, state): &(&str, &str)| json!({ "context": context, "state": state });
        let of_run = |(name, conclusion): &(&str, Option<&str>)| {
            let status = if conclusion.is_some() { "completed" } else { "in_progress" };
            json!({ "name": name, "status": status, "conclusion": conclusion })
        };
        let (statuses, runs) = (statuses.iter().map(of_status).collect(), runs.iter().map(of_run).collect());
        *self.checks.lock().unwrap_or_else(PoisonError::into_inner) = Checks { statuses, runs };
    }

    /// What was wrong with requests, by GitHub's description.
    pub fn faults(&self) -> Vec<String> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn deployments(&self) -> Vec<Deployment> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Answers 503 from now on, or works again.
    pub fn away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    fn answer(&self, head: &str, body: &[u8]) -> Reply {
        match self.forge.answer(head, body) {
            Some(reply) => reply,
            None => {
                let mut reply = Reply::from(self.told(head, body));
                if let Doorkeeper::App(app) = &self.doorkeeper {
                    reply.headers.push(("Date".to_owned(), app.date()));
                }
                reply
            }
        }
    }

    fn told(&self, head: &str, body: &[u8]) -> (u16, Value) {
        if self.away.load(Ordering::SeqCst) {
            return (503, json!({}));
        }
        let mut words = head.split(' ');
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let Some(path) = path.strip_prefix(BASE) else { return (404, json!({ "message": "Not Found" })) };
        let body = if body.is_empty() { Ok(Value::Null) } else { serde_json::from_slice::<Value>(body) };
        let Ok(body) = body else { return (400, json!({ "message": "Problems parsing JSON" })) };
        let path = path.split('?').next().unwrap_or_default();
        let faults = self.api.faults_of_request(method, path, &body);
        if !faults.is_empty() {
            self.faults.lock().unwrap_or_else(PoisonError::into_inner).extend(faults);
            return (422, json!({ "message": "Validation Failed" }));
        }
        if let Some(refusal) = self.refusal(bearer(head), path, &body) {
            return refusal;
        }
        if let Some(of_commit) = path.strip_prefix("/repos/ada/blog/commits/") {
            return self.known(of_commit);
        }
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        match path.strip_prefix(DEPLOYMENTS) {
            Some("") => {
                made.push(Deployment { wish: body, statuses: Vec::new() });
                (201, json!({ "id": made.len() }))
            }
            Some(rest) => {
                let id = rest
                    .strip_prefix('/')
                    .and_then(|rest| rest.strip_suffix("/statuses")?.parse::<usize>().ok());
                match id.and_then(|id| made.get_mut(id.checked_sub(1)?)) {
                    Some(deployment) => {
                        deployment.statuses.push(body);
                        (201, json!({ "id": 1 }))
                    }
                    None => (404, json!({ "message": "Not Found" })),
                }
            }
            None => (404, json!({ "message": "Not Found" })),
        }
    }

    /// What is answered to who may not do it, or asks as the App itself.
    fn refusal(&self, bearer: &str, path: &str, body: &Value) -> Option<(u16, Value)> {
        let stranger = Some((401, json!({ "message": "Bad credentials" })));
        match &self.doorkeeper {
            Doorkeeper::Token(token) => {
                if bearer == token {
                    None
                } else {
                    stranger
                }
            }
            Doorkeeper::App(app) => app.answer(path, bearer, body).or_else(|| {
                let (permission, right) = match path.rsplit('/').next() {
                    Some("status") => ("statuses", "read"),
                    Some("check-runs") => ("checks", "read"),
                    _ => ("deployments", "write"),
                };
                match app.lets_in(bearer, permission, right) {
                    Some(true) => None,
                    Some(false) => {
                        Some((403, json!({ "message": "Resource not accessible by integration" })))
                    }
                    None => stranger,
                }
            }),
        }
    }

    /// What is known of a commit.
    fn known(&self, of_commit: &str) -> (u16, Value) {
        let checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner);
        let Checks { statuses, runs } = &*checks;
        match of_commit.split_once('/') {
            Some((sha, "status")) => {
                (200, json!({ "sha": sha, "total_count": statuses.len(), "statuses": statuses }))
            }
            Some((_, "check-runs")) => (200, json!({ "total_count": runs.len(), "check_runs": runs })),
            _ => (404, json!({ "message": "Not Found" })),
        }
    }
}

/// The token that a request shows.
fn bearer(head: &str) -> &str {
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    let shown = lines.find(|(name, _)| name.eq_ignore_ascii_case("authorization"));
    shown.and_then(|(_, value)| value.strip_prefix("Bearer ")).unwrap_or_default()
}
