//! Going back, and waiting for what a release does to the processes.

use std::time::{Duration, Instant};

use axum::http::Method;

use super::client::path;
use super::failure::Failure;
use super::grammar::{Reading, Rollback};
use super::run::Session;
use crate::domain::names::AppName;
use crate::web::api::shapes::{NewRelease, Release, WhichRelease};

/// Pause between two questions for a release on its way, each of which the server may leave open for so many seconds.
const PAUSE: Duration = Duration::from_millis(300);
const WAIT_SECONDS: u64 = 20;
/// How long a verb waits for a release; it goes on without the verb.
const PATIENCE: Duration = Duration::from_secs(20 * 60);

pub(super) async fn roll_back(session: &mut Session, args: Rollback) -> Result<(), Failure> {
    let app = session.app(None).await?;
    let before = session.client.newest::<Release>(&releases_of(&app), 200).await?;
    let before = before.iter().find(|release| release.current).map(|release| release.version);
    let wish = NewRelease { release: args.release.map(WhichRelease::Word) };
    let made: Release = session.client.send(Method::POST, &releases_of(&app), &wish).await?;
    let kept = match made.rollback_of {
        Some(version) => format!("The config vars stay those of v{version}"),
        None => "The config vars stay those of the earlier release".to_owned(),
    };
    let kept = format!("{kept}, and the next release takes them along");
    if session.options.json {
        let made = if args.detach { made } else { ended(session, &app, made.version).await? };
        session.terminal.json(&made).await?;
        return refuse_failed(session, &app, &made, &kept).await;
    }
    let to = made.rollback_of.map_or_else(String::new, |version| format!(" to v{version}"));
    let doing = format!("Rolling back {app}{to}");
    if args.detach {
        return session.terminal.line(format!("{doing}... v{} is on its way", made.version)).await;
    }
    announce_and_wait(session, &app, (&doing, &kept), made.version).await?;
    if let Some(before) = before {
        let undo = session.typed(&format!("rollback v{before} --app {app}"));
        session
            .terminal
            .note(&format!("Code and config vars are those of the earlier release. To undo: {undo}\n"))
            .await;
    }
    Ok(())
}

/// Prints `doing... done, v12` around the wait; a release that fails is the verb's failure, and `kept` says what stays.
pub(super) async fn announce_and_wait(
    session: &mut Session,
    app: &AppName,
    (doing, kept): (&str, &str),
    version: i64,
) -> Result<(), Failure> {
    session.terminal.bytes(format!("{doing}... ").as_bytes()).await?;
    let release = shown(session, app, version).await?;
    let word = if release.status == "succeeded" { "done" } else { "failed" };
    session.terminal.line(format!("{word}, v{version}")).await?;
    refuse_failed(session, app, &release, kept).await
}

/// The release once it is no longer on its way; what its release phase writes is printed as it comes.
async fn shown(session: &mut Session, app: &AppName, version: i64) -> Result<Release, Failure> {
    let release = until(session, app, version, |release| release.output_stream_url.is_some()).await?;
    if release.output_stream_url.is_none() {
        return Ok(release);
    }
    session.terminal.line("running its release phase").await?;
    let text = path(&["apps", app.as_str(), "releases", &version.to_string(), "output"]);
    super::output::print(session, &text, &Reading { offset: 0, no_follow: false }).await?;
    ended(session, app, version).await
}

/// Waits for a release that brings its own code, with `doing... done, v12` around the wait; the release. One that failed
/// is the verb's failure: what ran before runs on.
pub(super) async fn follow(
    session: &mut Session,
    app: &AppName,
    doing: &str,
    version: i64,
) -> Result<Release, Failure> {
    let quiet = session.options.json;
    let release = if quiet {
        ended(session, app, version).await?
    } else {
        session.terminal.bytes(format!("{doing}... ").as_bytes()).await?;
        shown(session, app, version).await?
    };
    let word = if release.status == "succeeded" { "done" } else { "failed" };
    if !quiet {
        session.terminal.line(format!("{word}, v{version}")).await?;
    }
    if release.status == "failed" {
        let reason = release.reason.as_deref().unwrap_or("no reason is known");
        return Err(Failure::Refused(format!("v{version} failed: {reason}")));
    }
    Ok(release)
}

/// Config is the app's, as on Heroku: no rollout that fails takes a change of it back. Whoever made the change has to
/// know, unless a newer release has come and it is that one's.
async fn refuse_failed(
    session: &Session,
    app: &AppName,
    release: &Release,
    kept: &str,
) -> Result<(), Failure> {
    if release.status != "failed" {
        return Ok(());
    }
    let reason = release.reason.as_deref().unwrap_or("no reason is known");
    let mut text = format!("v{} failed: {reason}", release.version);
    // The failure counts more than how to undo what it left.
    let rows = session.client.newest::<Release>(&releases_of(app), 1000).await.unwrap_or_default();
    if rows.iter().all(|row| row.version <= release.version) {
        text.push_str(&format!("\n{kept}"));
        if let Some(runs) = rows.iter().find(|row| row.current) {
            let undo = session.typed(&format!("rollback v{} --app {app}", runs.version));
            text.push_str(&format!(". To go back to those that run: {undo}"));
        }
    }
    Err(Failure::Refused(text))
}

/// The release once it is no longer on its way.
async fn ended(session: &Session, app: &AppName, version: i64) -> Result<Release, Failure> {
    until(session, app, version, |_| false).await
}

/// The release once it is no longer on its way, or `is_enough`.
async fn until(
    session: &Session,
    app: &AppName,
    version: i64,
    is_enough: impl Fn(&Release) -> bool,
) -> Result<Release, Failure> {
    let one = path(&["apps", app.as_str(), "releases", &version.to_string()]);
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        let release: Release = session.client.get(&format!("{one}?wait={WAIT_SECONDS}")).await?;
        if release.status != "pending" || is_enough(&release) {
            return Ok(release);
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(Failure::refused(format!(
        "v{version} is still on its way after {} minutes, and goes on: `{}` tells how it ends",
        PATIENCE.as_secs() / 60,
        session.typed(&format!("releases:info v{version} --app {app}"))
    )))
}

fn releases_of(app: &AppName) -> String {
    path(&["apps", app.as_str(), "releases"])
}
