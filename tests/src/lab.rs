//! A pretended GitLab: its API for statuses of commits, over TLS, in the shapes of its documentation
//! (https://docs.gitlab.com/api/commits/), and the repository that they are of.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use crate::checkout::Checkout;
use crate::forge::{Doorkeeper, Forge};
use crate::tls::{Listener, Reply};

/// The project by its path, as its API takes it.
const PROJECT: &str = "/api/v4/projects/ada%2Fblog";
/// What may be said of a status, and the states that it may have.
const FIELDS: [&str; 8] =
    ["state", "name", "context", "ref", "target_url", "description", "coverage", "pipeline_id"];
const STATES: [&str; 6] = ["pending", "running", "success", "failed", "canceled", "skipped"];

/// See the module.
#[derive(Debug, Clone)]
pub struct Lab {
    pub port: u16,
    token: String,
    forge: Forge,
    told: Arc<Mutex<Vec<Told>>>,
    jobs: Arc<Mutex<Value>>,
    faults: Arc<Mutex<Vec<String>>>,
}

/// A status as it was told.
#[derive(Debug, Clone)]
pub struct Told {
    pub commit: String,
    pub status: Value,
}

impl Lab {
    /// Listens as `localhost`, with the certificate in `folder`; lets in who has the token.
    pub fn listen(folder: &Path, token: &str) -> Self {
        let listener = Listener::with(folder);
        let lab = Self {
            port: listener.port,
            token: token.to_owned(),
            forge: Forge::new(folder, Doorkeeper::Token(token.to_owned())),
            told: Arc::default(),
            jobs: Arc::new(Mutex::new(json!([]))),
            faults: Arc::default(),
        };
        let answering = lab.clone();
        listener.answer(move |head, body| answering.answer(head, body));
        lab
    }

    pub fn url(&self) -> String {
        format!("https://localhost:{}/ada/blog.git", self.port)
    }

    pub fn push(&self, checkout: &Checkout, words: &[&str]) {
        self.forge.push(checkout, words);
    }

    /// The statuses that jobs of a pipeline have, from now on, of every commit.
    pub fn jobs(&self, jobs: Value) {
        *self.jobs.lock().unwrap_or_else(PoisonError::into_inner) = jobs;
    }

    /// What was told and taken, in order.
    pub fn told(&self) -> Vec<Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What was wrong with requests, by the documentation.
    pub fn faults(&self) -> Vec<String> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn answer(&self, head: &str, body: &[u8]) -> Reply {
        if let Some(reply) = self.forge.answer(head, body) {
            return reply;
        }
        if !head.to_ascii_lowercase().contains(&format!("authorization: bearer {}", self.token)) {
            return (401, json!({ "message": "401 Unauthorized" })).into();
        }
        let mut words = head.split(' ');
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let Some(path) = path.strip_prefix(PROJECT) else {
            return (404, json!({ "message": "404 Project Not Found" })).into();
        };
        let path = path.split('?').next().unwrap_or_default();
        let of_commit =
            path.strip_prefix("/repository/commits/").and_then(|rest| rest.strip_suffix("/statuses"));
        match (method, of_commit, path.strip_prefix("/statuses/")) {
            ("GET", Some(_), _) => {
                (200, self.jobs.lock().unwrap_or_else(PoisonError::into_inner).clone()).into()
            }
            ("POST", None, Some(commit)) => self.tell(commit, body).into(),
            _ => (404, json!({ "error": "404 Not Found" })).into(),
        }
    }

    fn tell(&self, commit: &str, body: &[u8]) -> (u16, Value) {
        let status: Value = serde_json::from_slice(body).unwrap_or_default();
        let fault = fault(&status);
        if let Some(fault) = fault {
            self.faults.lock().unwrap_or_else(PoisonError::into_inner).push(fault.clone());
            return (400, json!({ "message": fault }));
        }
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let before =
            told.iter().rev().find(|told| told.commit == commit && told.status["name"] == status["name"]);
        if before.is_some_and(|before| before.status["state"] == status["state"]) {
            // As it answers to a transition that is none.
            return (400, json!({ "message": "Cannot transition status via :run from :running" }));
        }
        told.push(Told { commit: commit.to_owned(), status });
        (201, json!({ "id": told.len(), "sha": commit }))
    }
}

fn fault(status: &Value) -> Option<String> {
    let Some(fields) = status.as_object() else { return Some("the body is no object".to_owned()) };
    if let Some(unknown) = fields.keys().find(|name| !FIELDS.contains(&name.as_str())) {
        return Some(format!("{unknown} is not described"));
    }
    let known = status["state"].as_str().is_some_and(|state| STATES.contains(&state));
    let short = |field: &str| status[field].as_str().is_none_or(|text| text.len() <= 255);
    (!known || !short("description") || !short("target_url")).then(|| format!("GitLab takes no {status}"))
}
