//! The GitHub App of a pretended GitHub: who signs with its private key is given tokens for a repository, as GitHub gives
//! them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use crate::forge::NAME;
use crate::person::Said;

/// By which GitHub knows it.
const ID: &str = "123456";
const INSTALLATION: &str = "77";
/// Seconds that a token counts, and that a signature may count at most.
const HOUR: i64 = 3600;
const LONGEST: i64 = 600;

/// See the module.
#[derive(Debug, Clone)]
pub struct HubApp {
    folder: PathBuf,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    installed: bool,
    suspended: bool,
    permissions: Map<String, Value>,
    /// Seconds that a token counts.
    life: i64,
    /// Seconds that the hub's clock is ahead.
    ahead: i64,
    /// What each token may do, of those that count.
    tokens: BTreeMap<String, Map<String, Value>>,
    /// What was asked for, one for each token that was given.
    asked: Vec<Value>,
}

impl HubApp {
    /// Makes the App with a private key in `folder`, and installs it.
    pub(crate) fn new(folder: &Path) -> Self {
        let app = Self { folder: folder.to_owned(), state: Arc::new(Mutex::new(State::new())) };
        app.new_key();
        app
    }

    pub fn id(&self) -> &'static str {
        ID
    }

    /// The file of its private key.
    pub fn key(&self) -> PathBuf {
        self.folder.join("app.pem")
    }

    /// A new private key in the place of the old one, which counts no more.
    pub fn new_key(&self) {
        openssl(|openssl| openssl.args(["genrsa", "-traditional", "-out"]).arg(self.key()).arg("2048"));
        let public = self.folder.join("app.pub");
        openssl(|openssl| openssl.args(["rsa", "-pubout", "-in"]).arg(self.key()).arg("-out").arg(public));
    }

    /// Installs it on the repository, or removes it from there, with its tokens.
    pub fn install(&self, installed: bool) {
        self.state().installed = installed;
        self.revoke();
    }

    pub fn suspend(&self, suspended: bool) {
        self.state().suspended = suspended;
        self.revoke();
    }

    /// What its installation is given.
    pub fn permit(&self, permissions: Value) {
        let Value::Object(permissions) = permissions else { panic!("permissions are an object") };
        self.state().permissions = permissions;
    }

    /// Ends all tokens before their time.
    pub fn revoke(&self) {
        self.state().tokens.clear();
    }

    /// For how many seconds tokens count that are given from now on.
    pub fn life(&self, seconds: i64) {
        self.state().life = seconds;
    }

    /// Puts the hub's clock ahead.
    pub fn clock(&self, seconds: i64) {
        self.state().ahead = seconds;
    }

    /// What was asked for, one for each token that was given.
    pub fn asked(&self) -> Vec<Value> {
        self.state().asked.clone()
    }

    /// Whether a token is one that counts, and has this permission.
    pub(crate) fn lets_in(&self, token: &str, permission: &str, right: &str) -> Option<bool> {
        let state = self.state();
        let given = state.tokens.get(token)?.get(permission).and_then(Value::as_str);
        Some(given == Some("write") || given == Some(right))
    }

    /// What the hub's clock says, as a header has it.
    pub(crate) fn date(&self) -> String {
        date(now() + self.state().ahead, "%a, %d %b %Y %H:%M:%S GMT")
    }

    /// Answers what is asked with the App's own signature; `None` if the request is not one of those.
    pub(crate) fn answer(&self, path: &str, bearer: &str, body: &Value) -> Option<(u16, Value)> {
        let tokens = format!("/app/installations/{INSTALLATION}/access_tokens");
        let installation = format!("/repos/{NAME}/installation");
        if path != "/app" && path != tokens && path != installation {
            return None;
        }
        if let Err(message) = self.verify(bearer) {
            return Some((401, json!({ "message": message })));
        }
        let mut state = self.state();
        if path == "/app" {
            return Some((200, json!({ "id": 123_456, "html_url": "https://localhost/apps/slipway" })));
        }
        if !state.installed {
            return Some((404, json!({ "message": "Not Found" })));
        }
        let answer = if path == installation { state.installation() } else { state.give(body) };
        Some(answer)
    }

    /// Whether the App has signed it, and for now.
    fn verify(&self, bearer: &str) -> Result<(), &'static str> {
        const NONE: &str = "A JSON web token could not be decoded";
        let (message, signature) = bearer.rsplit_once('.').ok_or(NONE)?;
        let (header, claims) = message.split_once('.').ok_or(NONE)?;
        let decoded = |part: &str| BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|_| NONE);
        let json = |part: &str| serde_json::from_slice::<Value>(&decoded(part)?).map_err(|_| NONE);
        let (header, claims) = (json(header)?, json(claims)?);
        if header["alg"] != "RS256" || claims["iss"] != ID || !self.signed(message, &decoded(signature)?) {
            return Err(NONE);
        }
        let now = now() + self.state().ahead;
        let seconds = |claim: &str| claims[claim].as_i64().unwrap_or_default();
        if seconds("iat") > now {
            return Err(
                "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued",
            );
        }
        if seconds("exp") > now + LONGEST {
            return Err("'Expiration time' claim ('exp') is too far in the future");
        }
        if seconds("exp") <= now {
            return Err(
                "'Expiration time' claim ('exp') must be a numeric value representing the future time at which the assertion expires",
            );
        }
        Ok(())
    }

    fn signed(&self, message: &str, signature: &[u8]) -> bool {
        let folder = tempfile::tempdir().expect("a folder");
        let (text, sign) = (folder.path().join("message"), folder.path().join("signature"));
        std::fs::write(&text, message).expect("writes");
        std::fs::write(&sign, signature).expect("writes");
        let mut openssl = Command::new("openssl");
        openssl.args(["dgst", "-sha256", "-verify"]).arg(self.folder.join("app.pub"));
        openssl.arg("-signature").arg(sign).arg(text).stdout(Stdio::null()).stderr(Stdio::null());
        openssl.status().expect("openssl").success()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn new() -> Self {
        let permissions = json!({ "contents": "read", "metadata": "read", "deployments": "write", "checks": "read",
            "statuses": "read", "pull_requests": "read", "issues": "write" });
        let Value::Object(permissions) = permissions else { unreachable!() };
        let (tokens, asked) = Default::default();
        Self { installed: true, suspended: false, permissions, life: HOUR, ahead: 0, tokens, asked }
    }

    fn installation(&self) -> (u16, Value) {
        let suspended = self.suspended.then(|| date(now(), ISO));
        let id: i64 = INSTALLATION.parse().expect("a number");
        (200, json!({ "id": id, "permissions": self.permissions, "suspended_at": suspended }))
    }

    fn give(&mut self, asked: &Value) -> (u16, Value) {
        if self.suspended {
            return (403, json!({ "message": "This installation has been suspended" }));
        }
        let name = NAME.split_once('/').map(|(_, name)| name);
        if asked["repositories"].as_array().is_none_or(|names| names.iter().any(|one| one.as_str() != name)) {
            return (422, json!({ "message": "There is at least one repository that does not exist" }));
        }
        let Some(wanted) = asked["permissions"].as_object() else {
            return (422, json!({ "message": "No permissions: that would be all of them" }));
        };
        let given = |(name, right): (&String, &Value)| {
            self.permissions.get(name).is_some_and(|given| given == right || given == "write")
        };
        if !wanted.iter().all(given) {
            return (
                422,
                json!({ "message": "The permissions requested are not granted to this installation." }),
            );
        }
        self.asked.push(asked.clone());
        let token = format!("ghs_{:036}", self.asked.len());
        self.tokens.insert(token.clone(), wanted.clone());
        let end = date(now() + self.ahead + self.life, ISO);
        (201, json!({ "token": token, "expires_at": end, "permissions": wanted }))
    }
}

const ISO: &str = "%Y-%m-%dT%H:%M:%SZ";

fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(now.as_secs()).expect("before the end of time")
}

fn date(seconds: i64, form: &str) -> String {
    let mut date = Command::new("date");
    date.env("LC_ALL", "C").args(["-u", "-d", &format!("@{seconds}"), &format!("+{form}")]);
    let output = date.output().expect("date");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn openssl(words: impl FnOnce(&mut Command) -> &mut Command) {
    let mut command = Command::new("openssl");
    words(&mut command);
    Said::of(&command.output().expect("openssl")).ok();
}
