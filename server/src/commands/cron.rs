//! `run:detached`, and what a clock starts.

use axum::http::Method;

use super::attached::variables;
use super::client::path;
use super::failure::Failure;
use super::grammar::{CronHistory, RunDetached};
use super::run::Session;
use super::text::{duration, when};
use crate::web::api::shapes::{CronEntry, CronRun, NewRun, Run};

pub(super) async fn run_detached(session: &mut Session, args: RunDetached) -> Result<(), Failure> {
    let app = session.app(None).await?;
    let wish = NewRun {
        env: variables(&args.env)?,
        command: args.command,
        size: args.size,
        time_limit: args.time_limit.map(|limit| limit.as_secs()),
    };
    let address = path(&["apps", app.as_str(), "runs"]);
    let run: Run = session.client.send(Method::POST, &address, &wish).await?;
    if session.options.json {
        return session.terminal.json(&run).await;
    }
    let hint = session.typed(&format!("logs --tail --ps {} --app {app}", run.name));
    session.terminal.line(format!("Running on {app}... done, {}", run.name)).await?;
    session.terminal.line(format!("Its output: {hint}")).await
}

pub(super) async fn list(session: &mut Session) -> Result<(), Failure> {
    let app = session.app(None).await?;
    let entries: Vec<CronEntry> = session.client.get(&path(&["apps", app.as_str(), "cron"])).await?;
    if session.options.json {
        return session.terminal.json(&entries).await;
    }
    if entries.is_empty() {
        let text = format!(
            "{app} has no entries of cron: `cron` in its app.json names them, and a push brings them."
        );
        return session.terminal.line(text).await;
    }
    session.terminal.heading(format!("{app} Cron")).await?;
    let rows: Vec<[String; 5]> = entries
        .into_iter()
        .map(|entry| {
            let schedule = format!("{} {}", entry.schedule, entry.timezone);
            let next = entry.next_at.map_or_else(|| "never".to_owned(), |next| format!("next {next:.0}"));
            let last = entry.last.map_or_else(
                || "has not run yet".to_owned(),
                |last| format!("last {}: {}", when(last.created_at), outcome(&last)),
            );
            [entry.name, schedule, next, last, entry.command]
        })
        .collect();
    session.terminal.rows(&rows).await
}

pub(super) async fn history(session: &mut Session, args: CronHistory) -> Result<(), Failure> {
    let app = session.app(None).await?;
    let mut address = format!("{}?num={}", path(&["apps", app.as_str(), "cron-runs"]), args.num);
    if let Some(name) = &args.name {
        address.push_str("&name=");
        address.extend(url::form_urlencoded::byte_serialize(name.as_bytes()));
    }
    let runs: Vec<CronRun> = session.client.get(&address).await?;
    if session.options.json {
        return session.terminal.json(&runs).await;
    }
    if runs.is_empty() {
        return session.terminal.line(format!("Nothing of {app}'s cron has run yet.")).await;
    }
    session.terminal.heading(format!("{app} Cron history")).await?;
    let rows: Vec<[String; 5]> = runs.iter().map(row).collect();
    session.terminal.rows(&rows).await
}

fn row(run: &CronRun) -> [String; 5] {
    let took = run.started_at.zip(run.finished_at).map(|(start, end)| end.as_second() - start.as_second());
    [
        run.name.clone(),
        when(run.created_at),
        outcome(run),
        format!(
            "v{}{}",
            run.release.version,
            took.map_or_else(String::new, |took| format!(", {}", duration(took)))
        ),
        run.user.as_ref().map_or_else(|| "by schedule".to_owned(), |user| format!("by {user}")),
    ]
}

pub(super) async fn start(session: &mut Session, name: &str) -> Result<(), Failure> {
    let app = session.app(None).await?;
    let address = path(&["apps", app.as_str(), "cron", name, "runs"]);
    let run: CronRun = session.client.send(Method::POST, &address, &serde_json::json!({})).await?;
    if session.options.json {
        return session.terminal.json(&run).await;
    }
    let hint = session.typed(&format!("logs --tail --ps cron.{} --app {app}", run.name));
    session.terminal.line(format!("Running cron.{} on {app}... started", run.name)).await?;
    session.terminal.line(format!("Its output: {hint}")).await
}

fn outcome(run: &CronRun) -> String {
    match (run.exit_status, &run.reason) {
        (_, Some(reason)) => format!("{} ({reason})", run.status),
        (Some(status), None) => format!("{}, exit status {status}", run.status),
        (None, None) => run.status.clone(),
    }
}
