//! One-off processes, and commands in processes that run already: who has one, and how it is ended.
//!
//! Invariant: a one-off process that somebody is attached to lives as long as they are, and no longer than its time
//! limit. Its name is entered here before it is started and leaves after it is gone, so that the upkeep can end those
//! that no entry accounts for: their server has died.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use rand::RngExt;
use secrecy::SecretString;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::workload;
use crate::actions::ActionError;
use crate::db::apps::App;
use crate::db::{audit, releases};
use crate::domain::access::Principal;
use crate::domain::blueprint::Blueprint;
use crate::domain::ids::AppId;
use crate::domain::names::ConfigKey;
use crate::domain::procfile;
use crate::platform::Platform;
use crate::target::attached::{AttachError, Ends, Inside, OneOff, Screen};
use crate::target::{Whose, Workload};

/// One-off processes are `run.1000` to `run.9999`, as Heroku's.
pub(super) const NUMBERS: std::ops::Range<u16> = 1000..10_000;

/// What somebody wants to be run.
#[derive(Debug)]
pub(crate) struct Wish {
    pub(crate) place: Place,
    /// Words for the kernel, or one line for a shell.
    pub(crate) command: Vec<String>,
    pub(crate) environment: BTreeMap<ConfigKey, SecretString>,
    /// Of the one-off process; `None` is the usual one.
    pub(crate) size: Option<String>,
    pub(crate) screen: Option<Screen>,
    pub(crate) time_limit: Option<Duration>,
}

/// Where it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// In a process of its own.
    OneOff,
    /// In this process of the formation.
    Inside(String),
}

/// A one-off process that runs.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) app: AppId,
    /// `run.4821`
    pub(crate) name: String,
    pub(crate) command: String,
    pub(crate) actor: String,
    pub(crate) version: i64,
    pub(crate) since: Timestamp,
    /// Nobody is attached to it.
    pub(crate) detached: bool,
}

/// All that run. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Runs {
    entries: Arc<Mutex<BTreeMap<String, (Run, CancellationToken)>>>,
    tasks: TaskTracker,
    /// The parent of every run's token.
    all: CancellationToken,
}

impl Runs {
    /// Who is attached, `ps:exec` included.
    pub(crate) fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    /// What ends one of them.
    pub(crate) fn stop_token(&self) -> CancellationToken {
        self.all.child_token()
    }

    /// At a shutdown they are in hand like builds: they may end by themselves until `hard`.
    pub(crate) async fn finish(self, soft: CancellationToken, hard: CancellationToken) {
        soft.cancelled().await;
        self.tasks.close();
        tokio::select! {
            () = self.tasks.wait() => {}
            () = hard.cancelled() => {
                self.all.cancel();
                self.tasks.wait().await;
            }
        }
    }

    /// Of one app, by name.
    pub(crate) fn of(&self, app: AppId) -> Vec<Run> {
        let entries = self.locked();
        entries.values().map(|(run, _)| run).filter(|run| run.app == app).cloned().collect()
    }

    /// Ends one; `None` if there is none of that name.
    pub(crate) fn stop(&self, app: AppId, name: &str) -> Option<Run> {
        let entries = self.locked();
        let (run, stop) = entries.get(name).filter(|(run, _)| run.app == app)?;
        stop.cancel();
        Some(run.clone())
    }

    /// Whether somebody is attached to it.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.locked().contains_key(name)
    }

    fn enter(&self, run: impl Fn(String) -> Run, stop: CancellationToken) -> Entry {
        let mut entries = self.locked();
        let name = loop {
            let name = format!("run.{}", rand::rng().random_range(NUMBERS));
            if !entries.contains_key(&name) {
                break name;
            }
        };
        let run = run(name.clone());
        entries.insert(name, (run.clone(), stop));
        Entry { runs: self.clone(), run }
    }

    fn locked(&self) -> MutexGuard<'_, BTreeMap<String, (Run, CancellationToken)>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Leaves with whoever holds it.
struct Entry {
    runs: Runs,
    run: Run,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.runs.locked().remove(&self.run.name);
    }
}

impl Platform {
    /// Runs a command to its end for somebody who is attached to it; its exit status.
    /// Dropping the future may leave the process behind for the upkeep; cancel `stop` instead.
    pub(crate) async fn run_attached(
        &self,
        app: &App,
        principal: &Principal,
        wish: Wish,
        ends: Ends,
        stop: CancellationToken,
    ) -> Result<i64, AttachError> {
        let most = self.settings.processes.run_time_limit;
        let time_limit = wish.time_limit.unwrap_or(most).min(most);
        match wish.place.clone() {
            Place::Inside(process) => {
                let detail = json!({ "process": process, "command": wish.command.join(" ") });
                self.note(app, principal, "ps:exec", detail).await?;
                let argv = argv(&wish.command, &BTreeMap::new());
                let inside = Inside { process: &process, argv, screen: wish.screen, time_limit };
                let whose = Whose { app: &app.name, adopted: app.adoption.as_ref() };
                self.target.exec(whose, &inside, ends, &stop).await
            }
            Place::OneOff => self.run_one_off(app, principal, (wish, time_limit), ends, stop).await,
        }
    }

    /// Ends a one-off process, whoever is attached to it, or has left it.
    pub(crate) async fn stop_run(
        &self,
        app: &App,
        principal: &Principal,
        name: &str,
    ) -> Result<Run, ActionError> {
        let stopped = match self.runs.stop(app.id, name) {
            Some(run) => Some(run),
            None => self.stop_unattended(app, principal, name).await?,
        };
        let run = stopped.ok_or_else(|| {
            ActionError::NotFound(format!("no `{name}` of {} runs: `run:list` lists those that do", app.name))
        })?;
        let mut conn = self.pool.acquire().await?;
        let detail = json!({ "name": run.name, "command": run.command, "of": run.actor });
        audit::note(&mut conn, principal, Some((app.id, &app.name)), "run:stop", detail).await?;
        Ok(run)
    }

    async fn run_one_off(
        &self,
        app: &App,
        principal: &Principal,
        (wish, time_limit): (Wish, Duration),
        ends: Ends,
        stop: CancellationToken,
    ) -> Result<i64, AttachError> {
        let (release, blueprint) = runnable(self, app).await?;
        let size = self.settings.processes.size(wish.size.as_deref());
        let size = size.map_err(AttachError::Refused)?;
        let entry = self.runs.enter(
            |name| Run {
                app: app.id,
                name,
                command: wish.command.join(" "),
                actor: principal.name.clone(),
                version: release.version,
                since: Timestamp::now(),
                detached: false,
            },
            stop.clone(),
        );
        let names: Vec<&str> = wish.environment.keys().map(ConfigKey::as_str).collect();
        let detail = json!({ "name": entry.run.name, "command": entry.run.command, "environment": names,
                             "version": release.version });
        self.note(app, principal, "run", detail).await?;
        let run = OneOff {
            name: &entry.run.name,
            workload: &release,
            argv: argv(&wish.command, &blueprint.processes),
            environment: wish.environment,
            limits: size.limits,
            screen: wish.screen,
            time_limit,
        };
        // Words of a command can be secrets: they stand in the audit, not in the server's log.
        info!(app = %app.name, "{} runs for {}", run.name, principal.name);
        let outcome = self.target.run(&run, ends, &stop).await;
        match &outcome {
            Ok(status) => info!(app = %app.name, "{} ended with status {status}", run.name),
            Err(why) => info!(app = %app.name, "{} ended: {why}", run.name),
        }
        outcome
    }

    async fn note(
        &self,
        app: &App,
        principal: &Principal,
        action: &str,
        detail: serde_json::Value,
    ) -> Result<(), AttachError> {
        let note = async {
            let mut conn = self.pool.acquire().await?;
            audit::note(&mut conn, principal, Some((app.id, &app.name)), action, detail).await
        };
        // What nobody could look up later is not run.
        note.await.map_err(|error| ours(error.into()))
    }
}

/// What a one-off process of the app runs with now.
pub(super) async fn runnable(platform: &Platform, app: &App) -> Result<(Workload, Blueprint), AttachError> {
    if app.adoption.is_some() {
        return Err(AttachError::Refused(
            "this app moves Deployments that somebody else owns, with a config that is theirs: a process beside \
             them would lack it. `ps:exec` runs a command in one of theirs"
                .to_owned(),
        ));
    }
    let current = current_workload(platform, app).await.map_err(ours)?;
    current.ok_or_else(|| {
        AttachError::Refused(format!("nothing of {} was released yet: push it first", app.name))
    })
}

async fn current_workload(platform: &Platform, app: &App) -> anyhow::Result<Option<(Workload, Blueprint)>> {
    let mut conn = platform.pool.acquire().await?;
    let Some(release) = releases::good_before(&mut conn, app.id, i64::MAX).await? else { return Ok(None) };
    drop(conn);
    let Some(code) = &release.code else { return Ok(None) };
    let blueprint = workload::blueprint_of(code)?;
    Ok(workload::of(platform, app, &release).await?.map(|workload| (workload, blueprint)))
}

/// Of the process type that a one-off process is most like: web, or the first.
pub(super) fn image_of(workload: &Workload) -> Option<String> {
    let processes = &workload.processes;
    let like = processes.iter().find(|process| process.name.is_web()).or(processes.first())?;
    Some(workload.image_of(like).to_owned())
}

fn ours(error: anyhow::Error) -> AttachError {
    warn!("A command could not be run: {error:#}");
    AttachError::Unreachable("the platform could not look up what to run; its log has the cause".to_owned())
}

/// The name of a process type stands for its command; one word with spaces in it is a line, as in a Procfile.
pub(super) fn argv(
    command: &[String],
    processes: &BTreeMap<crate::domain::names::ProcessType, Option<String>>,
) -> Vec<String> {
    let [line] = command else { return command.to_vec() };
    let named =
        processes.iter().find(|(name, _)| name.as_str() == line).and_then(|(_, command)| command.as_ref());
    procfile::argv(named.unwrap_or(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn words_stay_as_they_are_and_a_line_is_read_as_in_a_procfile() {
        let none = BTreeMap::new();
        assert_eq!(argv(&words(&["echo", "$HOME a"]), &none), ["echo", "$HOME a"]);
        assert_eq!(argv(&words(&["rake db:migrate"]), &none), ["rake", "db:migrate"]);
        assert_eq!(argv(&words(&["echo a && echo b"]), &none), ["/bin/sh", "-c", "echo a && echo b"]);
    }

    #[test]
    fn a_process_type_stands_for_its_command() {
        let worker = "worker".parse().expect("a type");
        let processes = BTreeMap::from([(worker, Some("python3 worker.py".to_owned()))]);
        assert_eq!(argv(&words(&["worker"]), &processes), ["python3", "worker.py"]);
        assert_eq!(argv(&words(&["worker", "-x"]), &processes), ["worker", "-x"]);
    }

    #[test]
    fn an_entry_leaves_with_its_holder_and_is_stopped_by_its_own_app_alone() {
        let (runs, app, stop) = (Runs::default(), AppId::new(), CancellationToken::new());
        let run = |name| Run {
            app,
            name,
            command: "sh".to_owned(),
            actor: "ada".to_owned(),
            version: 1,
            since: Timestamp::now(),
            detached: false,
        };
        let entry = runs.enter(run, stop.clone());
        let name = entry.run.name.clone();
        assert!(runs.stop(AppId::new(), &name).is_none() && !stop.is_cancelled());
        assert!(runs.stop(app, &name).is_some() && stop.is_cancelled());
        drop(entry);
        assert!(runs.of(app).is_empty());
    }
}
