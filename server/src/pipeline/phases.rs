//! What runs once with a release, beside its processes: the release phase before they move, and `scripts.postdeploy`
//! after an app's first release.
//!
//! As on Heroku, the release phase runs for every release that has code: pushes, rollbacks and config changes. Apps that
//! adopt Deployments have none, for only their owners know with which config it would have to run.

use sqlx::PgConnection;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::batch::{self, Outcome};
use super::workload;
use crate::db::apps::App;
use crate::db::batches::{self, NewBatch};
use crate::db::releases::{self, Release};
use crate::domain::batch::{BatchKind, BatchStatus};
use crate::domain::blueprint::Blueprint;
use crate::domain::procfile;
use crate::platform::Platform;
use crate::target::batch::{Batch, Take};
use crate::target::{Command, RolloutError};
use crate::transcript::Transcript;

/// The release phase, to its end; nothing moves before it has succeeded. One that has ended before, in a rollout that
/// was cut off, tells its end again.
pub(super) async fn before(
    platform: &Platform,
    app: &App,
    release: &Release,
    transcript: &Transcript,
    stop: &CancellationToken,
) -> anyhow::Result<Result<(), RolloutError>> {
    let Some(command) = blueprint_of(release)?.and_then(|blueprint| blueprint.release) else {
        return Ok(Ok(()));
    };
    if app.adoption.is_some() {
        let text = "The `release` line of the Procfile is not run: this app moves Deployments that somebody else owns, \
             and their config is not known here. Run it where those Deployments are defined, as a Job of their own";
        transcript.warn(text).await;
        return Ok(Ok(()));
    }
    let mut conn = platform.pool.acquire().await?;
    let stored = match batches::phase_of(&mut conn, release.id, BatchKind::Release).await? {
        Some(stored) => stored,
        None => {
            let kind = BatchKind::Release;
            let new = NewBatch { app: app.id, release: release.id, kind, command: &command };
            let id = batches::insert(&mut conn, &new).await?;
            platform.rollouts.tell(app.id);
            batches::by_id(&mut conn, id).await?.ok_or(sqlx::Error::RowNotFound)?
        }
    };
    drop(conn);
    match stored.status {
        BatchStatus::Succeeded => return Ok(Ok(())),
        BatchStatus::Failed | BatchStatus::Canceled => {
            return Ok(Err(failed(release, &command, &stored.reason.unwrap_or_default())));
        }
        BatchStatus::Waiting => transcript.step(format!("Release phase: {command}")).await,
        BatchStatus::Running => transcript.step(format!("Release phase, taken up again: {command}")).await,
    }
    let Some(batch) = batch_of(platform, app, release, &stored).await? else { return Ok(Ok(())) };
    let began = std::time::Instant::now();
    Ok(match batch::run(platform, &batch, transcript, stop).await? {
        Outcome::Succeeded => {
            transcript.detail(format!("Release phase done ({:.1} s)", began.elapsed().as_secs_f64())).await;
            Ok(())
        }
        Outcome::Failed(why) => Err(failed(release, &command, &why)),
        Outcome::Unreachable(why) => Err(RolloutError::Unreachable(why)),
        Outcome::Stopped => Err(RolloutError::Interrupted),
    })
}

fn failed(release: &Release, command: &str, why: &str) -> RolloutError {
    let hint = if why.starts_with("did not end within") {
        " (SLIPWAY_RELEASE_PHASE_DEADLINE allows more)"
    } else {
        ""
    };
    let version = release.version;
    RolloutError::Failed(format!(
        "the release phase ({command}) {why}{hint}\nNo process was moved. What it wrote is kept: `releases:output v{version}`"
    ))
}

/// Plans `scripts.postdeploy` with the app's first release that succeeds, in the transaction that says so.
pub(super) async fn plan_postdeploy(
    conn: &mut PgConnection,
    app: &App,
    release: &Release,
) -> anyhow::Result<()> {
    let Some(command) = blueprint_of(release)?.and_then(|blueprint| blueprint.postdeploy) else {
        return Ok(());
    };
    let is_first = releases::good_before(conn, app.id, release.version).await?.is_none();
    if is_first && app.adoption.is_none() {
        let kind = BatchKind::Postdeploy;
        let new = NewBatch { app: app.id, release: release.id, kind, command: &command };
        batches::insert(conn, &new).await?;
    }
    Ok(())
}

/// Runs what was planned for after the release, unless it has run. The release is live, whatever comes of it.
pub(super) async fn after(
    platform: &Platform,
    app: &App,
    release: &Release,
    transcript: &Transcript,
) -> anyhow::Result<()> {
    let mut conn = platform.pool.acquire().await?;
    let stored = batches::phase_of(&mut conn, release.id, BatchKind::Postdeploy).await?;
    drop(conn);
    let Some(stored) = stored.filter(|stored| stored.finished_at.is_none()) else { return Ok(()) };
    let Some(batch) = batch_of(platform, app, release, &stored).await? else { return Ok(()) };
    transcript.step(format!("Postdeploy: {}", stored.command)).await;
    match batch::run(platform, &batch, transcript, &CancellationToken::new()).await? {
        Outcome::Succeeded => transcript.detail("Postdeploy done").await,
        Outcome::Failed(why) => {
            let text = format!(
                "postdeploy ({}) {why}\nv{} is live all the same. It runs after the first release alone: if it has to be \
                 done still, do it by hand",
                stored.command, release.version
            );
            transcript.warn(text).await;
        }
        Outcome::Unreachable(why) => {
            transcript.warn(format!("{why}\npostdeploy is taken up again when the target is back")).await;
        }
        Outcome::Stopped => info!(app = %app.name, "postdeploy was stopped"),
    }
    Ok(())
}

fn blueprint_of(release: &Release) -> anyhow::Result<Option<Blueprint>> {
    release.code.as_ref().map(workload::blueprint_of).transpose()
}

async fn batch_of(
    platform: &Platform,
    app: &App,
    release: &Release,
    stored: &batches::Batch,
) -> anyhow::Result<Option<Batch>> {
    let (Some(mut of), Some(blueprint)) =
        (workload::of(platform, app, release).await?, blueprint_of(release)?)
    else {
        return Ok(None);
    };
    if let Some(image) = blueprint.batch_image {
        of.image = image.at(platform.registry.pull_address());
    }
    Ok(Some(Batch {
        id: stored.id,
        name: stored.kind.as_str().to_owned(),
        dyno: format!("{}.1", stored.kind.as_str()),
        of,
        command: Command::Argv(procfile::argv(&stored.command)),
        environment: Default::default(),
        limits: platform.settings.processes.usual().limits,
        deadline: platform.settings.rollout.phase_deadline,
        take: Take::StartOrFollow,
    }))
}
