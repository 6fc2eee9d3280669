//! The rollout of a release: by the build that made it, or by a job of its own (rollback, config, a target that was away).

use std::time::Instant;

use anyhow::Context;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::rollouts::{Kind, Turn};
use super::{Line, Stop, phases, workload};
use crate::db::apps::App;
use crate::db::jobs::Fenced;
use crate::db::releases::{self, Release};
use crate::db::{app_lock, jobs};
use crate::domain::ids::ReleaseId;
use crate::domain::release::ReleaseStatus;
use crate::events;
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
    if release.status != ReleaseStatus::Pending {
        drop(turn);
        if release.status == ReleaseStatus::Succeeded {
            phases::after(platform, app, &release, transcript).await?;
        }
        return Ok(as_recorded(release));
    }
    if let Some(newer) = newer_than(platform, &release).await? {
        return fail(platform, &release, overtaken_by(&newer)).await;
    }
    if let Some(before) = code_on_its_way_before(platform, &release).await? {
        let (version, before) = (release.version, before.version);
        return Ok(Rolled::Waiting(format!("v{before} is on its way, and v{version} takes up its code")));
    }
    events::released(platform, &app.name, &release).await;
    let release = with_code(platform, app, release).await?;
    match carry_out(platform, app, &release, transcript, &turn).await? {
        Ok(()) => {
            let rolled = succeed(platform, app, &release, transcript).await?;
            // A newer release does not wait for what comes after this one.
            drop(turn);
            phases::after(platform, app, &release, transcript).await?;
            Ok(rolled)
        }
        Err(RolloutError::Failed(reason)) => {
            transcript.warn(&reason).await;
            let summary = reason.lines().next().unwrap_or_default();
            let text = format!("Release v{} failed: {summary}", release.version);
            events::note(platform, &app.name, events::API, text).await;
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
            let reason = match newer_than(platform, &release).await? {
                Some(newer) => overtaken_by(&newer),
                None => "interrupted by a newer release".to_owned(),
            };
            transcript.warn(&reason).await;
            fail(platform, &release, reason).await
        }
    }
}

fn as_recorded(release: Release) -> Rolled {
    match release.status {
        ReleaseStatus::Succeeded => Rolled::Live,
        ReleaseStatus::Failed => Rolled::Failed(release.reason.unwrap_or_default()),
        ReleaseStatus::Pending => Rolled::Waiting("the release is still on its way".to_owned()),
    }
}

async fn load(platform: &Platform, id: ReleaseId) -> anyhow::Result<Release> {
    let mut conn = platform.pool.acquire().await?;
    releases::by_id(&mut conn, id).await?.context("the release is gone: its app was destroyed")
}

/// A release that makes this one pointless: newer, not failed, and of a kind that overtakes it.
async fn newer_than(platform: &Platform, release: &Release) -> sqlx::Result<Option<Release>> {
    let mut conn = platform.pool.acquire().await?;
    releases::newest_overtaking(&mut conn, release, release.kind() == Kind::Config).await
}

/// A push or a rollback that a config change has to wait for, because it takes up that code. The turn alone does not
/// keep the order: the job of a config change may be quicker than a push that has just recorded its release.
async fn code_on_its_way_before(platform: &Platform, release: &Release) -> sqlx::Result<Option<Release>> {
    if release.kind() == Kind::Code {
        return Ok(None);
    }
    let mut conn = platform.pool.acquire().await?;
    releases::pending_code_before(&mut conn, release).await
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
    // Without any, what the change was made for has failed: the next push takes the config along.
    let code = releases::good_before(&mut conn, app.id, release.version).await?.and_then(|good| good.code);
    if release.code != code {
        let _gone_if_lost = releases::take_code(&mut conn, release.id, code.as_ref()).await?;
    }
    Ok(Release { code, ..release })
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
    let began = Instant::now();
    let rollout = Box::pin(platform.target.roll_out(&next, previous.as_ref(), transcript, &interrupt));
    let outcome = turn.guard(&interrupt, rollout).await;
    metrics::histogram!(ROLLOUT_SECONDS).record(began.elapsed());
    Ok(outcome)
}

/// The release phase, and once that has succeeded, the processes.
async fn carry_out(
    platform: &Platform,
    app: &App,
    release: &Release,
    transcript: &Transcript,
    turn: &Turn,
) -> anyhow::Result<Result<(), RolloutError>> {
    let cancel = platform.phase_cancels.register(release.id);
    // A server before this one may have been asked.
    if canceled(platform, release).await?.is_some() {
        cancel.token().cancel();
    }
    let phase = Box::pin(phases::before(platform, app, release, transcript, cancel.token()));
    let ended = turn.guard(cancel.token(), phase).await?;
    match (canceled(platform, release).await?, ended) {
        (Some(canceled), _) => Ok(Err(canceled)),
        (None, Ok(())) => move_processes(platform, app, release, transcript, turn).await,
        (None, stopped) => Ok(stopped),
    }
}

/// The failure of a release whose release phase somebody has canceled.
async fn canceled(platform: &Platform, release: &Release) -> sqlx::Result<Option<RolloutError>> {
    let mut conn = platform.pool.acquire().await?;
    let by = releases::canceled_by(&mut conn, release.id).await?;
    Ok(by.map(|by| {
        RolloutError::Failed(format!("canceled by {by} in its release phase\nNo process was moved."))
    }))
}

async fn succeed(
    platform: &Platform,
    app: &App,
    release: &Release,
    transcript: &Transcript,
) -> anyhow::Result<Rolled> {
    let mut tx = platform.pool.begin().await?;
    let locked = app_lock::lock(&mut tx, app.id).await?.context("the app was destroyed")?;
    // Before the branch, which must not move for a release that somebody else has ended as failed.
    if releases::end(&mut tx, release.id, ReleaseStatus::Succeeded, None).await? == Fenced::Lost {
        drop(tx);
        return Ok(as_recorded(load(platform, release.id).await?));
    }
    // A rollback, a promotion and a prebuilt image leave the branch where the pushes have it.
    let pushed = release.build_id.and(release.code.as_ref()).and_then(|code| code.commit.as_deref());
    if let Some(commit) = pushed {
        locked.move_branch(&mut tx, commit).await?;
    }
    phases::plan_postdeploy(&mut tx, app, release).await?;
    let mut told = super::formation::introduce(&mut tx, app, &locked, release).await?;
    told.extend(super::cron::put_in_force(&mut tx, app, release).await?);
    tx.commit().await?;
    platform.rollouts.tell(app.id);
    platform.clock.wake();
    metrics::counter!(RELEASES_TOTAL, "status" => ReleaseStatus::Succeeded.as_str()).increment(1);
    events::note(platform, &app.name, events::API, format!("Release v{} is live", release.version)).await;
    // The release is live whatever git says; the upkeep converges the branch too, perhaps at this moment.
    if let Err(error) = platform.converge_branch(app.id).await {
        warn!("The deploy branch could not be moved yet: {error:#}");
    }
    let Some(code) = &release.code else { return Ok(Rolled::Live) };
    transcript.detail(format!("Released v{}", release.version)).await;
    if let Some(url) = platform.url_of(app, code) {
        transcript.detail(format!("{url} deployed")).await;
    }
    for line in told {
        transcript.detail(line).await;
    }
    // The tag is for people; the digest is what runs. An image that lies elsewhere has no tag of ours.
    let repository = platform.image_repository(&app.name);
    if !code.image.strip_prefix(&repository).is_some_and(|tag| tag.starts_with([':', '@'])) {
        return Ok(Rolled::Live);
    }
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
    platform.rollouts.tell(release.app_id);
    Ok(Rolled::Failed(reason))
}

impl Release {
    pub(crate) fn kind(&self) -> Kind {
        if self.trigger == "config" { Kind::Config } else { Kind::Code }
    }
}
