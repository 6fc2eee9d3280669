//! The rollout of a release: by the build that made it, or by a job of its own (rollback, config, a target that was away).

use std::time::Instant;

use anyhow::Context;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::rollouts::{Kind, Turn};
use super::{Line, Stop, workload};
use crate::db::apps::App;
use crate::db::releases::{self, Release};
use crate::db::{app_lock, jobs};
use crate::domain::ids::ReleaseId;
use crate::domain::release::ReleaseStatus;
use crate::platform::Platform;
use crate::target::RolloutError;
use crate::telemetry::metrics::{RELEASES_TOTAL, ROLLOUT_SECONDS};
use crate::transcript::Transcript;

/// How a rollout ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Rolled {
    Live,
    /// What ran before runs again; the text says why.
    Failed(String),
    /// The target does not answer: the release stays pending.
    Waiting(String),
}

/// The last stage of a build.
pub(crate) async fn of_build(line: &Line, release: ReleaseId) -> Result<(), Stop> {
    match roll_out(&line.platform, &line.app, release, &line.transcript).await.map_err(Stop::ours)? {
        Rolled::Live => Ok(()),
        Rolled::Failed(reason) => Err(Stop::ReleaseFailed(reason)),
        Rolled::Waiting(reason) => {
            let mut conn = line.platform.pool.acquire().await?;
            let job = super::jobs::rollout_job(&line.app, release);
            jobs::enqueue(&mut conn, job.as_new()).await?;
            line.platform.queue.wake();
            Err(Stop::Waiting(reason))
        }
    }
}

/// Moves the app's processes to the release and records how it ended. Asked again for a release that has ended, it
/// answers without touching anything.
pub(crate) async fn roll_out(
    platform: &Platform,
    app: &App,
    id: ReleaseId,
    transcript: &Transcript,
) -> anyhow::Result<Rolled> {
    let release = load(platform, id).await?;
    let turn = platform.rollouts.enter(app.id, release.version, release.kind()).await;
    let release = load(platform, id).await?;
    match release.status {
        ReleaseStatus::Succeeded => return Ok(Rolled::Live),
        ReleaseStatus::Failed => return Ok(Rolled::Failed(release.reason.unwrap_or_default())),
        ReleaseStatus::Pending => {}
    }
    if let Some(newer) = newer_than(platform, app, &release).await? {
        return fail(platform, &release, overtaken_by(&newer)).await;
    }
    let release = with_code(platform, app, release).await?;
    let began = Instant::now();
    let outcome = move_processes(platform, app, &release, transcript, &turn).await?;
    metrics::histogram!(ROLLOUT_SECONDS).record(began.elapsed());
    match outcome {
        Ok(()) => succeed(platform, app, &release, transcript).await,
        Err(RolloutError::Failed(reason)) => {
            transcript.warn(&reason).await;
            let summary = reason.lines().next().unwrap_or_default();
            fail(platform, &release, format!("v{} is not live: {summary}", release.version)).await
        }
        Err(RolloutError::Unreachable(reason)) => {
            transcript.warn(&reason).await;
            transcript
                .warn(format!(
                    "v{} is recorded; its rollout goes on when the target is back",
                    release.version
                ))
                .await;
            Ok(Rolled::Waiting(reason))
        }
        Err(RolloutError::Interrupted) => {
            let reason = match newer_than(platform, app, &release).await? {
                Some(newer) => overtaken_by(&newer),
                None => "interrupted by a newer release".to_owned(),
            };
            transcript.warn(&reason).await;
            fail(platform, &release, reason).await
        }
    }
}

async fn load(platform: &Platform, id: ReleaseId) -> anyhow::Result<Release> {
    let mut conn = platform.pool.acquire().await?;
    releases::by_id(&mut conn, id).await?.context("the release is gone: its app was destroyed")
}

/// A release that makes this one pointless: newer, not failed, and of a kind that overtakes it.
async fn newer_than(platform: &Platform, app: &App, release: &Release) -> sqlx::Result<Option<Release>> {
    let mut conn = platform.pool.acquire().await?;
    let newest = releases::newest_live_or_pending_of(&mut conn, app.id).await?;
    Ok(newest.filter(|newest| {
        newest.version > release.version && (newest.kind() == Kind::Code || release.kind() == Kind::Config)
    }))
}

fn overtaken_by(newer: &Release) -> String {
    format!("v{} took over: {} by {}", newer.version, newer.description, newer.actor_name)
}

/// A config change runs the code that turned out to be good, which it could not know when it was asked for.
async fn with_code(platform: &Platform, app: &App, release: Release) -> anyhow::Result<Release> {
    if release.kind() == Kind::Code {
        return Ok(release);
    }
    let mut conn = platform.pool.acquire().await?;
    let Some(good) = releases::good_before(&mut conn, app.id, release.version).await? else {
        return Ok(release);
    };
    match good.code {
        Some(code) if release.code.as_ref() != Some(&code) => {
            let _gone_if_lost = releases::take_code(&mut conn, release.id, &code).await?;
            Ok(Release { code: Some(code), ..release })
        }
        _ => Ok(release),
    }
}

async fn move_processes(
    platform: &Platform,
    app: &App,
    release: &Release,
    transcript: &Transcript,
    turn: &Turn,
) -> anyhow::Result<Result<(), RolloutError>> {
    let Some(next) = workload::of(platform, app, release).await? else { return Ok(Ok(())) };
    let mut conn = platform.pool.acquire().await?;
    let good = releases::good_before(&mut conn, app.id, release.version).await?;
    drop(conn);
    let previous = match &good {
        Some(good) => workload::of(platform, app, good).await?,
        None => None,
    };
    let interrupt = CancellationToken::new();
    let mut rollout = Box::pin(platform.target.roll_out(&next, previous.as_ref(), transcript, &interrupt));
    let overtaken = tokio::select! {
        outcome = &mut rollout => return Ok(outcome),
        version = turn.overtaken() => version,
    };
    info!("v{} is interrupted by v{overtaken}", release.version);
    interrupt.cancel();
    Ok(rollout.await)
}

async fn succeed(
    platform: &Platform,
    app: &App,
    release: &Release,
    transcript: &Transcript,
) -> anyhow::Result<Rolled> {
    let mut tx = platform.pool.begin().await?;
    if let Some(app) = app_lock::lock(&mut tx, app.id).await?
        && let (true, Some(code)) = (release.build_id.is_some(), &release.code)
    {
        app.move_branch(&mut tx, &code.commit).await?;
    }
    let _ended_already_if_lost = releases::end(&mut tx, release.id, ReleaseStatus::Succeeded, None).await?;
    tx.commit().await?;
    metrics::counter!(RELEASES_TOTAL, "status" => ReleaseStatus::Succeeded.as_str()).increment(1);
    platform.converge_branch(app.id).await?;
    let Some(code) = &release.code else { return Ok(Rolled::Live) };
    transcript.detail(format!("Released v{}", release.version)).await;
    if let Some(url) = platform.url_of(app, code) {
        transcript.detail(format!("{url} deployed")).await;
    }
    // The tag is for people; the digest is what runs.
    let repository = platform.image_repository(&app.name);
    let version = format!("v{}", release.version);
    if let Err(error) = platform.registry.tag(&repository, &code.digest, &version).await {
        warn!("Could not tag v{} in the registry: {error:#}", release.version);
    }
    Ok(Rolled::Live)
}

async fn fail(platform: &Platform, release: &Release, reason: String) -> anyhow::Result<Rolled> {
    metrics::counter!(RELEASES_TOTAL, "status" => ReleaseStatus::Failed.as_str()).increment(1);
    let mut conn = platform.pool.acquire().await?;
    let _ended_already_if_lost =
        releases::end(&mut conn, release.id, ReleaseStatus::Failed, Some(&reason)).await?;
    Ok(Rolled::Failed(reason))
}

impl Release {
    pub(crate) fn kind(&self) -> Kind {
        if self.trigger == "config" { Kind::Config } else { Kind::Code }
    }
}
