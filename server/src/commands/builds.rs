//! Builds and what they wrote.

use axum::http::Method;

use super::client::path;
use super::failure::Failure;
use super::grammar::{BuildsOutput, BuildsRetry, Newest, Reading};
use super::output;
use super::run::Session;
use super::text::{duration, short, when};
use crate::domain::names::AppName;
use crate::web::api::shapes::{Build, Release};

pub(super) async fn list(session: &mut Session, args: Newest) -> Result<(), Failure> {
    let app = session.app(None).await?;
    let rows = session.client.newest::<Build>(&of(&app, &[]), args.num).await?;
    if session.options.json {
        return session.terminal.json(&rows).await;
    }
    if rows.is_empty() {
        return session.terminal.line(format!("{app} has no builds yet: `git push` starts the first.")).await;
    }
    session.terminal.heading(format!("{app} Builds")).await?;
    session.terminal.rows(&rows.iter().map(row).collect::<Vec<_>>()).await
}

fn row(build: &Build) -> [String; 7] {
    [
        format!("#{}", build.number),
        state(build),
        short(&build.commit).to_owned(),
        build.subject.chars().take(50).collect(),
        build.release.as_ref().map_or_else(String::new, |release| format!("v{}", release.number)),
        build.user.email.clone(),
        when(build.created_at),
    ]
}

fn state(build: &Build) -> String {
    match build.superseded_by {
        Some(newer) => format!("superseded by #{newer}"),
        None => build.state.clone(),
    }
}

pub(super) async fn info(session: &mut Session, which: Option<String>) -> Result<(), Failure> {
    let app = session.app(None).await?;
    let number = find(session, &app, which).await?.number.to_string();
    // Only the answer about one build tells its stages.
    let build: Build = session.client.get(&of(&app, &[&number])).await?;
    if session.options.json {
        return session.terminal.json(&build).await;
    }
    session.terminal.heading(format!("Build #{}", build.number)).await?;
    session.terminal.rows(&facts(&build)).await
}

fn facts(build: &Build) -> Vec<[String; 2]> {
    let took = build
        .started_at
        .zip(build.finished_at)
        .map(|(start, end)| duration(end.as_second() - start.as_second()));
    let known = [
        ("State:", Some(state(build))),
        ("Reason:", build.reason.clone()),
        ("Commit:", Some(format!("{} {}", build.commit, build.subject))),
        ("Digest:", build.digest.clone()),
        ("Release:", build.release.as_ref().map(|release| format!("v{}", release.number))),
        ("By:", Some(build.user.email.clone())),
        ("Trigger:", Some(build.trigger.clone())),
        ("When:", Some(when(build.created_at))),
        ("Took:", took),
    ];
    let known = known.into_iter().filter_map(|(name, value)| Some([name.to_owned(), value?]));
    let stages = build.stages.iter().map(|stage| {
        let took = stage.seconds.map_or_else(|| "running".to_owned(), |seconds| format!("{seconds:.1} s"));
        [format!("  {}:", stage.name), took]
    });
    known.chain(stages).collect()
}

pub(super) async fn output(session: &mut Session, args: BuildsOutput) -> Result<(), Failure> {
    let app = session.app(None).await?;
    let build = find(session, &app, args.build.clone()).await?;
    follow(session, &app, build.number, args.reading).await
}

/// Prints the text of a build to its end; a build that did not succeed is the verb's failure.
async fn follow(session: &mut Session, app: &AppName, number: i64, reading: Reading) -> Result<(), Failure> {
    let number = number.to_string();
    output::print(session, &of(app, &[&number, "output"]), &reading).await?;
    if reading.no_follow {
        return Ok(());
    }
    let build: Build = session.client.get(&of(app, &[&number])).await?;
    if build.status == "failed" {
        return Err(Failure::refused(ending(&build)));
    }
    let Some(release) = build.release.map(|release| release.number) else { return Ok(()) };
    let release: Release =
        session.client.get(&path(&["apps", app.as_str(), "releases", &release.to_string()])).await?;
    match release.status.as_str() {
        "failed" => {
            let reason = release.reason.unwrap_or_default();
            Err(Failure::refused(format!("v{} is not live: {reason}", release.version)))
        }
        _ => Ok(()),
    }
}

pub(super) async fn cancel(session: &mut Session, which: Option<String>) -> Result<(), Failure> {
    let app = session.app(None).await?;
    let build = match which {
        Some(which) => find(session, &app, Some(which)).await?,
        None => running(session, &app).await?,
    };
    let number = build.number.to_string();
    let build: Build =
        session.client.send(Method::POST, &of(&app, &[&number, "cancel"]), &serde_json::json!({})).await?;
    if session.options.json {
        return session.terminal.json(&build).await;
    }
    session.terminal.line(format!("Canceling build #{number}... done")).await
}

/// The build that is not over, the oldest if there are two; else the one whose release is not.
async fn running(session: &Session, app: &AppName) -> Result<Build, Failure> {
    let rows = session.client.newest::<Build>(&of(app, &[]), 15).await?;
    if let Some(running) = rows.iter().rfind(|build| build.status == "pending") {
        return Ok(running.clone());
    }
    let newest = rows.into_iter().find(|build| build.release.is_some());
    let release = match newest.as_ref().and_then(|build| build.release.as_ref()) {
        None => None,
        Some(release) => {
            let address = path(&["apps", app.as_str(), "releases", &release.number.to_string()]);
            Some(session.client.get::<Release>(&address).await?)
        }
    };
    newest
        .filter(|_| release.is_some_and(|release| release.status == "pending"))
        .ok_or_else(|| Failure::refused(format!("no build of {app} is running: there is nothing to cancel")))
}

pub(super) async fn retry(session: &mut Session, args: BuildsRetry) -> Result<(), Failure> {
    let app = session.app(None).await?;
    let number = find(session, &app, args.build).await?.number.to_string();
    let build: Build =
        session.client.send(Method::POST, &of(&app, &[&number, "retry"]), &serde_json::json!({})).await?;
    if session.options.json {
        return session.terminal.json(&build).await;
    }
    let started = format!("Build #{} builds {} of build #{number} again", build.number, short(&build.commit));
    session.terminal.line(started).await?;
    if args.detach {
        return Ok(());
    }
    follow(session, &app, build.number, Reading { offset: 0, no_follow: false }).await
}

fn ending(build: &Build) -> String {
    let reason = build.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("build #{} is {}{reason}", build.number, state(build))
}

/// The build named, or the newest.
async fn find(session: &Session, app: &AppName, which: Option<String>) -> Result<Build, Failure> {
    if let Some(which) = which {
        let which = which.strip_prefix('#').unwrap_or(&which);
        return Ok(session.client.get(&of(app, &[which])).await?);
    }
    let rows = session.client.newest::<Build>(&of(app, &[]), 1).await?;
    rows.into_iter()
        .next()
        .ok_or_else(|| Failure::refused(format!("{app} has no builds yet: `git push` starts the first")))
}

fn of(app: &AppName, more: &[&str]) -> String {
    path(&[&["apps", app.as_str(), "builds"], more].concat())
}
