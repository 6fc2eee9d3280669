//! Checks of processes, as `healthchecks` of app.json has them: Dokku's keys, as far as every target can do them.
//!
//! Of each type of check a process type has one: a cluster knows no second. What is not used is told, so that nobody
//! believes in a check that nobody makes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::names::ProcessType;
use super::procfile;

/// Tries before a check has failed, if it names no number.
const ATTEMPTS: u32 = 3;
/// Seconds that a try may take, and seconds between two of them.
const TIMEOUT: u32 = 5;
const WAIT: u32 = 5;
/// The most that a number may be: an hour, a thousand tries.
const LONGEST: u64 = 3600;
const MOST: u64 = 1000;

/// The checks of one process type.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Checks {
    /// Has to succeed once before the others begin, and before a release goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) startup: Option<Probe>,
    /// Whether it gets requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) readiness: Option<Probe>,
    /// Failed, the process is started again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) liveness: Option<Probe>,
}

/// One check. Times are in seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Probe {
    pub(crate) ask: Ask,
    pub(crate) attempts: u32,
    pub(crate) timeout: u32,
    pub(crate) wait: u32,
    pub(crate) initial_delay: u32,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Ask {
    /// GET of this path answers 2xx or 3xx; without a port on the process' own.
    Http { path: String, port: Option<u16> },
    /// The port accepts a connection.
    Listening { port: Option<u16> },
    /// The command ends with status 0, within the container.
    Command(Vec<String>),
    /// It has stayed up for this many seconds; startup only.
    Uptime(u32),
}

/// All checks of an app.
pub(crate) type AllChecks = BTreeMap<ProcessType, Checks>;

/// What app.json asks for, and sentences on what of it is not used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Healthchecks {
    pub(crate) checks: AllChecks,
    pub(crate) notes: Vec<String>,
}

/// A check that cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("app.json: {place} {fault}")]
pub(crate) struct BadCheck {
    place: String,
    fault: String,
}

#[derive(Deserialize)]
struct AppJson {
    healthchecks: Option<BTreeMap<String, Vec<Map<String, Value>>>>,
}

impl Healthchecks {
    /// Reads the text of an app.json.
    pub(crate) fn parse(text: &str) -> Result<Self, BadCheck> {
        let place = "`healthchecks`".to_owned();
        let file: AppJson = serde_json::from_str(text.trim_start_matches('\u{feff}')).map_err(|error| {
            BadCheck { place, fault: format!("is not a list of checks for each process type: {error}") }
        })?;
        let mut found = Self::default();
        for (name, checks) in file.healthchecks.unwrap_or_default() {
            let process: ProcessType = name.parse().map_err(|error| BadCheck {
                place: "`healthchecks`".to_owned(),
                fault: format!("{error}"),
            })?;
            for (number, check) in checks.iter().enumerate() {
                let read = Reading { place: place_of(&process, number, check), process: &process, check };
                found.take(&read)?;
            }
        }
        Ok(found)
    }

    fn take(&mut self, read: &Reading<'_>) -> Result<(), BadCheck> {
        let kind = read.text("type")?.unwrap_or_default();
        let probe = read.probe(kind == "startup")?;
        self.notes.extend(read.unused());
        let checks = self.checks.entry(read.process.clone()).or_default();
        let place = match kind {
            "startup" => &mut checks.startup,
            "readiness" => &mut checks.readiness,
            "liveness" => &mut checks.liveness,
            _ => return Err(read.fault("needs a `type`: startup, readiness or liveness")),
        };
        match place {
            Some(_) => self.notes.push(format!(
                "app.json: {} is not used: {} has a {kind} check already, and the first one counts",
                read.place, read.process
            )),
            None => *place = Some(probe),
        }
        Ok(())
    }
}

impl Probe {
    /// How long all its tries take at most.
    pub(crate) fn longest(&self) -> std::time::Duration {
        let tries = u64::from(self.attempts) * (u64::from(self.wait) + u64::from(self.timeout));
        let uptime = if let Ask::Uptime(seconds) = self.ask { seconds } else { 0 };
        std::time::Duration::from_secs(u64::from(self.initial_delay) + u64::from(uptime) + tries)
    }

    /// What is asked, for people: `GET /healthz`.
    pub(crate) fn question(&self) -> String {
        let on = |port: &Option<u16>| port.map_or_else(String::new, |port| format!(" on port {port}"));
        match &self.ask {
            Ask::Http { path, port } => format!("GET {path}{}", on(port)),
            Ask::Listening { port } => format!("a connection{}", on(port)),
            Ask::Command(words) => format!("`{}`", words.join(" ")),
            Ask::Uptime(seconds) => format!("{seconds} s of uptime"),
        }
    }
}

/// One check as it is written.
struct Reading<'a> {
    /// For messages: `the check "db" of web`.
    place: String,
    process: &'a ProcessType,
    check: &'a Map<String, Value>,
}

/// Keys that are read.
const USED: [&str; 11] = [
    "type",
    "path",
    "port",
    "attempts",
    "timeout",
    "wait",
    "initialDelay",
    "command",
    "listening",
    "uptime",
    "name",
];
/// Keys that say nothing of what is done.
const WORDS: [&str; 1] = ["description"];

fn place_of(process: &ProcessType, number: usize, check: &Map<String, Value>) -> String {
    match check.get("name").and_then(Value::as_str) {
        Some(name) => format!("the check \"{}\" of {process}", name.chars().take(40).collect::<String>()),
        None => format!("check {} of {process}", number + 1),
    }
}

impl Reading<'_> {
    fn fault(&self, fault: impl Into<String>) -> BadCheck {
        BadCheck { place: self.place.clone(), fault: fault.into() }
    }

    fn text(&self, key: &str) -> Result<Option<&str>, BadCheck> {
        match self.check.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.fault(format!("has a `{key}` that is no text"))),
        }
    }

    fn number(&self, key: &str, (least, most): (u64, u64)) -> Result<Option<u32>, BadCheck> {
        let Some(value) = self.check.get(key).filter(|value| !value.is_null()) else { return Ok(None) };
        let number = value.as_u64().filter(|number| (least..=most).contains(number));
        number.and_then(|number| u32::try_from(number).ok()).map(Some).ok_or_else(|| {
            self.fault(format!("has a `{key}` of {value}: it is a whole number from {least} to {most}"))
        })
    }

    fn probe(&self, is_startup: bool) -> Result<Probe, BadCheck> {
        let seconds = |key: &str, least: u64| self.number(key, (least, LONGEST));
        Ok(Probe {
            ask: self.ask(is_startup)?,
            attempts: self.number("attempts", (1, MOST))?.unwrap_or(ATTEMPTS),
            timeout: seconds("timeout", 1)?.unwrap_or(TIMEOUT),
            wait: seconds("wait", 1)?.unwrap_or(WAIT),
            initial_delay: seconds("initialDelay", 0)?.unwrap_or(0),
        })
    }

    fn ask(&self, is_startup: bool) -> Result<Ask, BadCheck> {
        let port = self.number("port", (1, u16::MAX.into()))?.and_then(|port| u16::try_from(port).ok());
        let listening = match self.check.get("listening") {
            None | Some(Value::Null | Value::Bool(false)) => false,
            Some(Value::Bool(true)) => true,
            Some(_) => return Err(self.fault("has a `listening` that is neither true nor false")),
        };
        let (command, path) = (self.command()?, self.text("path")?);
        let uptime = self.number("uptime", (1, LONGEST))?;
        let ways = [command.is_some(), path.is_some(), listening, uptime.is_some()];
        if ways.into_iter().filter(|way| *way).count() > 1 {
            return Err(self.fault(
                "asks in more than one way: give it one of `path`, `command`, `listening` and `uptime`",
            ));
        }
        if let Some(command) = command {
            return Ok(Ask::Command(command));
        }
        if let Some(seconds) = uptime {
            return match is_startup {
                true => Ok(Ask::Uptime(seconds)),
                false => Err(self.fault("asks for `uptime`, which is a question of `startup` alone")),
            };
        }
        if port.is_none() && !self.process.is_web() {
            return Err(self.fault("names no `port`, and only web has one by itself"));
        }
        if listening {
            return Ok(Ask::Listening { port });
        }
        let path = path.unwrap_or("/");
        if !path.starts_with('/') || !path.bytes().all(|c| c.is_ascii_graphic()) {
            return Err(self.fault("has a `path` that is none: write one such as /healthz"));
        }
        Ok(Ask::Http { path: path.to_owned(), port })
    }

    /// A list of words, or a line as in a Procfile.
    fn command(&self) -> Result<Option<Vec<String>>, BadCheck> {
        let words = match self.check.get("command") {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::String(line)) => procfile::argv(line),
            Some(Value::Array(words)) => {
                let words: Option<Vec<_>> =
                    words.iter().map(|word| word.as_str().map(str::to_owned)).collect();
                words.ok_or_else(|| self.fault("has a `command` with something that is no text"))?
            }
            Some(_) => return Err(self.fault("has a `command` that is neither a list of words nor a line")),
        };
        if words.first().is_none_or(String::is_empty) {
            return Err(self.fault("has an empty `command`"));
        }
        Ok(Some(words))
    }

    /// A sentence on the keys that nobody reads.
    fn unused(&self) -> Option<String> {
        let keys = self.check.keys().map(String::as_str);
        let unused: Vec<_> = keys.filter(|key| !USED.contains(key) && !WORDS.contains(key)).collect();
        let named = unused.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
        (!unused.is_empty()).then(|| format!("app.json: {named} of {} is not used here", self.place))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(checks: Value) -> Result<Healthchecks, String> {
        Healthchecks::parse(&json!({ "name": "blog", "healthchecks": checks }).to_string())
            .map_err(|error| error.to_string())
    }

    fn web(found: &Healthchecks) -> &Checks {
        &found.checks[&ProcessType::web()]
    }

    #[test]
    fn dokkus_keys_are_read_and_have_dokkus_defaults() {
        let found = parse(json!({ "web": [
            { "type": "startup", "name": "web check", "description": "Is it there?", "path": "/healthz" },
            { "type": "readiness", "listening": true, "port": 9000, "attempts": 5, "timeout": 1, "wait": 2 },
            { "type": "liveness", "command": ["/bin/alive", "-q"], "initialDelay": 30 },
        ] }))
        .expect("reads");
        assert_eq!(found.notes, Vec::<String>::new());
        let Checks { startup, readiness, liveness } = web(&found).clone();
        let http = Ask::Http { path: "/healthz".into(), port: None };
        let startup = startup.expect("one");
        assert_eq!(startup, Probe { ask: http, attempts: 3, timeout: 5, wait: 5, initial_delay: 0 });
        assert_eq!((startup.longest().as_secs(), startup.question()), (30, "GET /healthz".to_owned()));
        let readiness = readiness.expect("one");
        assert_eq!((readiness.ask, readiness.attempts), (Ask::Listening { port: Some(9000) }, 5));
        let liveness = liveness.expect("one");
        assert_eq!(liveness.question(), "`/bin/alive -q`");
        assert_eq!(liveness.initial_delay, 30);
    }

    #[test]
    fn what_is_not_used_is_told() {
        let found = parse(json!({ "web": [
            { "type": "startup", "name": "a", "path": "/", "content": "ok", "httpHeaders": [] },
            { "type": "startup", "name": "b", "uptime": 3 },
        ] }))
        .expect("reads");
        assert_eq!(
            found.notes,
            [
                "app.json: `content`, `httpHeaders` of the check \"a\" of web is not used here",
                "app.json: the check \"b\" of web is not used: web has a startup check already, and the first one counts",
            ]
        );
    }

    #[test]
    fn checks_that_cannot_be_made_are_refused_by_name() {
        let said = |checks: Value| parse(checks).expect_err("is refused");
        assert_eq!(
            said(json!({ "web": [{ "path": "/" }] })),
            "app.json: check 1 of web needs a `type`: startup, readiness or liveness"
        );
        assert!(said(json!({ "worker": [{ "type": "liveness", "path": "/" }] })).contains("names no `port`"));
        assert!(said(json!({ "web": [{ "type": "liveness", "uptime": 3 }] })).contains("`startup` alone"));
        assert!(said(json!({ "web": [{ "type": "startup", "attempts": 0 }] })).contains("from 1 to 1000"));
        assert!(said(json!({ "web": [{ "type": "startup", "path": "x" }] })).contains("/healthz"));
        let two = json!({ "web": [{ "type": "startup", "path": "/", "command": "true" }] });
        assert!(said(two).contains("more than one way"));
        assert!(said(json!([])).starts_with("app.json: `healthchecks` is not a list"));
    }

    #[test]
    fn without_checks_there_are_none_and_stored_ones_are_read_again() {
        assert_eq!(Healthchecks::parse("{}"), Ok(Healthchecks::default()));
        let found = parse(json!({ "worker": [{ "type": "startup", "uptime": 3 }] })).expect("reads");
        let stored = serde_json::to_value(&found.checks).expect("writes");
        assert_eq!(serde_json::from_value::<AllChecks>(stored).expect("reads"), found.checks);
    }
}
