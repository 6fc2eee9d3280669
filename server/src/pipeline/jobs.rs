//! The jobs of the pipeline: a build with its rollout, and a rollout alone.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use backon::{ConstantBuilder, Retryable};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error, info, info_span, warn};

use super::deploy::{Rolled, roll_out};
use super::log::{LogSettings, open};
use super::mask::Mask;
use super::{Again, Line, Stop, run, workload};
use crate::db::apps::{self, App};
use crate::db::builds::{self, Build};
use crate::db::jobs::{Fenced, Job, NewJob};
use crate::db::releases;
use crate::domain::build::BuildStatus;
use crate::domain::ids::{AppId, BuildId, ChangeId, ReleaseId};
use crate::events;
use crate::platform::Platform;
use crate::queue::JobError;
use crate::telemetry::metrics::{BUILDS_RUNNING, BUILDS_TOTAL};
use crate::transcript::Transcript;

/// The kind of job that takes a build down the line.
pub(crate) const BUILD: &str = "build";
/// The kind of job that rolls a recorded release out.
pub(crate) const ROLLOUT: &str = "rollout";
/// The kind of job that scales, restarts or stops processes.
pub(crate) const FORMATION: &str = "formation";

/// A build is tried this often when the fault is ours: one retry, then the pusher is told.
const BUILD_ATTEMPTS: i32 = 2;
/// Before a build is tried again.
const BUILD_RETRY: Duration = Duration::from_secs(1);
/// Between two tries to write down how a build ended, and how many are made.
const RECORD_PAUSE: Duration = Duration::from_millis(500);
const RECORD_TRIES: usize = 10;
/// Between two tries to reach a target that is away.
const ROLLOUT_RETRY: Duration = Duration::from_secs(5);

/// A job with its lane, owned until it is enqueued.
pub(crate) struct Planned {
    kind: &'static str,
    lane: String,
    payload: Value,
}

impl Planned {
    pub(crate) fn as_new(&self) -> NewJob<'_> {
        NewJob { kind: self.kind, lane: &self.lane, payload: self.payload.clone() }
    }
}

/// Builds of one app run one after another.
pub(crate) fn build_job(app: AppId, build: BuildId) -> Planned {
    Planned { kind: BUILD, lane: format!("build:{app}"), payload: json!({ "build": build }) }
}

/// A rollout has a lane of its own: a rollback overtakes, it never queues.
pub(crate) fn rollout_job(app: &App, release: ReleaseId) -> Planned {
    Planned {
        kind: ROLLOUT,
        lane: format!("rollout:{}:{release}", app.id),
        payload: json!({ "release": release }),
    }
}

/// Changes of an app's formation are made in the order in which they were asked for.
pub(crate) fn formation_job(app: AppId, change: ChangeId) -> Planned {
    Planned { kind: FORMATION, lane: format!("formation:{app}"), payload: json!({ "change": change }) }
}

/// Handles a [`BUILD`] job.
pub(crate) async fn build(
    platform: Arc<Platform>,
    job: Job,
    lost: CancellationToken,
) -> Result<(), JobError> {
    let id: BuildId = serde_json::from_value(job.payload["build"].clone())
        .map_err(|error| JobError::Fail(anyhow::Error::from(error).context("the job names no build")))?;
    let begun = begin(&platform, id, job.attempt).await;
    // Nothing has been done yet: a database that is away must not cost the build its tries.
    let begun = begun.map_err(|error| JobError::NotBegun { after: BUILD_RETRY, error: error.into() })?;
    let Some((app, build)) = begun else { return Ok(()) };
    if build.status.is_over_without_release() {
        // An earlier try ended the build and could not close its log.
        return close(&platform, &build).await.map_err(retry);
    }
    let span = info_span!("build", app = %app.name, build.id = %build.id, build.number = build.number);
    drive(platform, app, build, (job.tries, lost)).instrument(span).await
}

/// Takes the build for this attempt; `None` if there is nothing to do any more.
async fn begin(platform: &Platform, id: BuildId, attempt: i32) -> sqlx::Result<Option<(App, Build)>> {
    let mut conn = platform.pool.acquire().await?;
    if builds::begin(&mut conn, id, attempt).await? == Fenced::Lost {
        return Ok(None);
    }
    // Who follows sees the state too.
    platform.logs.wake(id);
    let Some(build) = builds::by_id(&mut conn, id).await? else { return Ok(None) };
    Ok(apps::by_id(&mut conn, build.app_id).await?.map(|app| (app, build)))
}

async fn drive(
    platform: Arc<Platform>,
    app: App,
    build: Build,
    (tries, lost): (i32, CancellationToken),
) -> Result<(), JobError> {
    let secrets = workload::config_vars(&platform, &app, &app.config).await;
    let (secrets, unreadable) = match secrets {
        Ok(secrets) => (secrets, None),
        Err(error) => (BTreeMap::new(), Some(error.context("reading the config vars"))),
    };
    let settings = LogSettings {
        pool: platform.pool.clone(),
        hub: platform.logs.clone(),
        mask: Mask::new(secrets.values()),
        longest: usize::try_from(platform.settings.build.log_bytes).unwrap_or(usize::MAX),
    };
    let (transcript, written) = open(settings, build.id);
    let _running = Running::begin();
    let cancel = platform.cancels.register(build.id);
    let token = cancel.token().clone();
    let line = Line { platform: Arc::clone(&platform), app, build, tries, transcript, cancel: token };
    line.transcript.step(format!("Build {} of {}", line.build.number, short(&line.build.commit))).await;
    if tries == 1 {
        let started = format!("started by {}", line.build.actor_name);
        tell(&line, &started).await;
    }
    let outcome = match unreadable {
        Some(error) => Err(Stop::ours(error)),
        None => tokio::select! {
            outcome = try_once(&line) => outcome,
            () = lost.cancelled() => Err(Stop::LeaseLost),
        },
    };
    let ended = end(&line, outcome).await;
    let Line { build, transcript, .. } = line;
    drop(transcript);
    // The last text must be stored before followers are told that there is no more.
    if let Err(error) = written.await {
        error!("The log's writer died: {error}");
    }
    drop(cancel);
    if ended.is_ok() {
        close(&platform, &build).await.map_err(retry)?;
    }
    ended
}

async fn try_once(line: &Line) -> Result<(), Stop> {
    if line.tries > BUILD_ATTEMPTS {
        return Err(Stop::Errored {
            sentence: format!(
                "the build was started {BUILD_ATTEMPTS} times and its worker was lost each time"
            ),
            error: anyhow::anyhow!("worker lost"),
            again: Again::No,
        });
    }
    if line.tries > 1 {
        line.transcript.warn(format!("Trying again ({} of {BUILD_ATTEMPTS})", line.tries)).await;
    }
    run(line).await
}

/// Counts a build as running while it lives.
struct Running;

impl Running {
    fn begin() -> Self {
        metrics::gauge!(BUILDS_RUNNING).increment(1.0);
        Self
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        metrics::gauge!(BUILDS_RUNNING).decrement(1.0);
    }
}

fn count(outcome: BuildStatus) {
    metrics::counter!(BUILDS_TOTAL, "outcome" => outcome.as_str()).increment(1);
}

/// Says in the log how the line ended, and records it. An error means that the line will be tried again.
async fn end(line: &Line, outcome: Result<(), Stop>) -> Result<(), JobError> {
    let (status, reason) = match outcome {
        Ok(()) => {
            info!("The build is live");
            count(BuildStatus::Succeeded);
            tell(line, "succeeded").await;
            return Ok(());
        }
        Err(Stop::ReleaseFailed(reason) | Stop::Waiting(reason)) => {
            info!("The build is released, not live: {reason}");
            count(BuildStatus::Succeeded);
            tell(line, "succeeded").await;
            return Ok(());
        }
        Err(Stop::LeaseLost) => {
            return Err(JobError::Retry { after: BUILD_RETRY, error: anyhow::anyhow!("the lease was lost") });
        }
        Err(Stop::Errored { sentence, error, again: Again::Yes }) if line.tries < BUILD_ATTEMPTS => {
            warn!("The build will be tried again: {error:#}");
            line.transcript.warn(format!("{sentence}; it will be tried once more")).await;
            return Err(JobError::Retry { after: BUILD_RETRY, error });
        }
        Err(Stop::Errored { sentence, error, .. }) => {
            error!("The build failed by our fault: {error:#}");
            if patiently(|| super::release::recorded(line)).await.map_err(retry)?.is_some() {
                // The upkeep finds the release without a job.
                line.transcript
                    .warn(format!("{sentence}; the release is recorded, its rollout goes on by itself"))
                    .await;
                count(BuildStatus::Succeeded);
                return Ok(());
            }
            (BuildStatus::Errored, format!("{sentence} (not your code's fault; build id {})", line.build.id))
        }
        Err(Stop::Failed(reason)) => (BuildStatus::Failed, reason),
        Err(Stop::Superseded(reason)) => (BuildStatus::Superseded, reason),
        Err(Stop::Canceled) => (BuildStatus::Canceled, who_canceled(line).await),
    };
    info!(status = status.as_str(), "The build ended: {reason}");
    count(status);
    tell(line, &format!("{}: {}", status.as_str(), reason.lines().next().unwrap_or_default())).await;
    line.transcript.warn(&reason).await;
    let record = || async {
        let mut conn = line.platform.pool.acquire().await?;
        builds::end(&mut conn, &line.build, status, Some(&reason)).await
    };
    // `Lost` if the app was destroyed, or if another worker has the build now: closing the log is fenced too.
    patiently(record).await.map(drop).map_err(retry)
}

/// `slipway[api]: Build 12 …`.
async fn tell(line: &Line, what: &str) {
    let text = format!("Build {} {what}", line.build.number);
    events::note(&line.platform, &line.app.name, events::API, text).await;
}

/// Asks a database that is away again for a while: what a build came to must not be lost, nor made once more.
async fn patiently<T, F: Future<Output = sqlx::Result<T>>>(ask: impl FnMut() -> F) -> anyhow::Result<T> {
    let patience = ConstantBuilder::new().with_delay(RECORD_PAUSE).with_max_times(RECORD_TRIES);
    Ok(ask.retry(patience).await?)
}

/// `canceled by ada`, as the one who asked has written it since the build began.
async fn who_canceled(line: &Line) -> String {
    let look = || async {
        let mut conn = line.platform.pool.acquire().await?;
        builds::by_id(&mut conn, line.build.id).await
    };
    let reason = patiently(look).await.ok().flatten().and_then(|build| build.reason);
    reason.unwrap_or_else(|| "canceled".to_owned())
}

async fn close(platform: &Platform, build: &Build) -> anyhow::Result<()> {
    let mut conn = platform.pool.acquire().await?;
    let _another_worker_closes_it_if_lost = builds::close_log(&mut conn, build).await?;
    platform.logs.wake(build.id);
    Ok(())
}

/// Handles a [`ROLLOUT`] job.
pub(crate) async fn rollout(platform: Arc<Platform>, job: Job) -> Result<(), JobError> {
    let id: ReleaseId = serde_json::from_value(job.payload["release"].clone())
        .map_err(|error| JobError::Fail(anyhow::Error::from(error).context("the job names no release")))?;
    let Some((app, version)) = release_and_app(&platform, id).await.map_err(retry)? else { return Ok(()) };
    let span = info_span!("rollout", app = %app.name, version);
    async {
        let (transcript, spoken) = Transcript::channel();
        let listener = tokio::spawn(log_aside(spoken));
        let outcome = roll_out(&platform, &app, id, &transcript).await;
        drop(transcript);
        drop(listener.await);
        match outcome.map_err(|error| JobError::Retry { after: patience(job.tries), error })? {
            Rolled::Live => info!("Live"),
            Rolled::Failed(reason) => info!("Not live: {reason}"),
            Rolled::Waiting(reason) => {
                return Err(JobError::Retry { after: ROLLOUT_RETRY, error: anyhow::anyhow!(reason) });
            }
        }
        platform.changed(id).await;
        Ok(())
    }
    .instrument(span)
    .await
}

/// Ever longer, up to a minute: what fails by our own fault may fail until somebody mends it.
fn patience(tries: i32) -> Duration {
    BUILD_RETRY * 2u32.pow(tries.clamp(0, 6).unsigned_abs())
}

async fn release_and_app(platform: &Platform, id: ReleaseId) -> anyhow::Result<Option<(App, i64)>> {
    let mut conn = platform.pool.acquire().await?;
    let Some(release) = releases::by_id(&mut conn, id).await? else { return Ok(None) };
    Ok(apps::by_id(&mut conn, release.app_id).await?.map(|app| (app, release.version)))
}

/// What a rollout without a pusher says goes to the server's log; what a release phase writes has a log of its own.
pub(super) async fn log_aside(mut spoken: tokio::sync::mpsc::Receiver<bytes::Bytes>) {
    while let Some(text) = spoken.recv().await {
        let text = String::from_utf8_lossy(&text);
        for line in text.lines().filter(|line| ours(line)) {
            info!("{}", line.trim());
        }
    }
}

/// Whether a line has the beginning of what the platform says by itself.
fn ours(line: &str) -> bool {
    ["-----> ", "       ", " !     "].iter().any(|beginning| line.starts_with(beginning))
}

fn retry(error: anyhow::Error) -> JobError {
    JobError::Retry { after: BUILD_RETRY, error }
}

fn short(commit: &str) -> &str {
    commit.get(..7).unwrap_or(commit)
}
