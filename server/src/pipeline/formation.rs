//! Scaling, restarting and stopping: changes of what runs within the current release.
//!
//! Invariant: the formation is stored when it is in force, not when it is asked for. A wish that fails (the processes do
//! not become healthy) leaves the formation and what runs as they were; one whose server died is taken up again. It
//! takes the app's turn as a rollout does. A release goes first and takes the formation as it is; the wish comes after.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use sqlx::PgConnection;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, info, info_span};

use super::rollouts::Turn;
use super::workload;
use crate::db::app_lock::{self, LockedApp};
use crate::db::apps::{self, App};
use crate::db::formation::{self, Change};
use crate::db::jobs::{Fenced, Job};
use crate::db::releases::{self, Release};
use crate::domain::formation::{Autoscale, ChangeStatus, Formation, USUAL_SIZE, Wish, scaling_of};
use crate::domain::ids::ChangeId;
use crate::domain::names::ProcessType;
use crate::events;
use crate::platform::Platform;
use crate::queue::JobError;
use crate::target::{RolloutError, Workload};
use crate::transcript::Transcript;

/// Before a wish is tried again that could not be done yet: a release is on its way, or the target does not answer.
const RETRY: Duration = Duration::from_secs(1);

/// How a wish ended.
enum Outcome {
    Done,
    /// A text for the user.
    Failed(String),
    /// A release goes first, or the target does not answer.
    NotNow(String),
}

/// Handles a job of the kind `formation`.
pub(crate) async fn change(platform: Arc<Platform>, job: Job) -> Result<(), JobError> {
    let id: ChangeId = serde_json::from_value(job.payload["change"].clone())
        .map_err(|error| JobError::Fail(anyhow::Error::from(error).context("the job names no change")))?;
    let Some((app, change)) = pending(&platform, id).await.map_err(later)? else { return Ok(()) };
    let span = info_span!("formation", app = %app.name);
    async {
        let outcome = carry_out(&platform, &app, &change).await.map_err(later)?;
        let (status, reason) = match outcome {
            Outcome::NotNow(reason) => return Err(later(anyhow::anyhow!(reason))),
            Outcome::Done => (ChangeStatus::Succeeded, None),
            Outcome::Failed(reason) => (ChangeStatus::Failed, Some(reason)),
        };
        info!(status = status.as_str(), "{:?} by {} ended", change.wish, change.actor_name);
        let mut conn = platform.pool.acquire().await.map_err(|error| later(error.into()))?;
        let ended = formation::end_change(&mut conn, id, status, reason.as_deref()).await;
        // `Lost` if the app was destroyed meanwhile.
        ended.map(|_gone_if_lost: Fenced| ()).map_err(|error| later(error.into()))
    }
    .instrument(span)
    .await
}

/// The types that a release that is live names for the first time; what its pusher is told of them.
pub(super) async fn introduce(
    conn: &mut PgConnection,
    app: &App,
    locked: &LockedApp,
    release: &Release,
) -> anyhow::Result<Vec<String>> {
    let Some(code) = release.code.as_ref().filter(|_| app.adoption.is_none()) else { return Ok(Vec::new()) };
    let types = workload::blueprint_of(code)?.processes;
    let new = formation::introduce(conn, locked, types.keys()).await?;
    let stopped = new.iter().filter(|name| !name.is_web());
    let mut told: Vec<String> = stopped
        .map(|name| format!("{name} is new: it runs 0 processes; `ps:scale {name}=1` starts it"))
        .collect();
    if !told.is_empty() {
        let formation = formation::of(conn, app.id).await?;
        told.push(format!("Formation -> {}", in_words(&formation, types.keys())));
    }
    Ok(told)
}

/// `web=3:standard worker=0:standard`, as Heroku writes it.
fn in_words<'a>(formation: &Formation, types: impl Iterator<Item = &'a ProcessType>) -> String {
    let one = |name: &ProcessType| {
        let scaling = scaling_of(formation, name);
        format!("{name}={}:{}", scaling.quantity, scaling.size.as_deref().unwrap_or(USUAL_SIZE))
    };
    types.map(one).collect::<Vec<_>>().join(" ")
}

async fn pending(platform: &Platform, id: ChangeId) -> anyhow::Result<Option<(App, Change)>> {
    let mut conn = platform.pool.acquire().await?;
    let change = formation::change(&mut conn, id).await?;
    let Some(change) = change.filter(|change| change.status == ChangeStatus::Pending) else {
        return Ok(None);
    };
    Ok(apps::by_id(&mut conn, change.app_id).await?.map(|app| (app, change)))
}

async fn carry_out(platform: &Platform, app: &App, change: &Change) -> anyhow::Result<Outcome> {
    let turn = platform.rollouts.enter_beside(app.id).await;
    let mut conn = platform.pool.acquire().await?;
    // After the turn was taken: what is announced from now on overtakes it, and what was before stands here.
    if let Some(release) = releases::newest_pending_of(&mut conn, app.id).await? {
        return Ok(Outcome::NotNow(format!("v{} is on its way", release.version)));
    }
    let current = releases::current_of(&mut conn, app.id).await?;
    let before = formation::of(&mut conn, app.id).await?;
    drop(conn);
    let now = jiff::Timestamp::now().as_millisecond();
    let after = change.wish.apply(&before, now);
    let Some((next, previous)) = workloads(platform, app, current.as_ref(), (&after, &before)).await? else {
        return Ok(Outcome::Failed(format!("nothing of {} runs yet: push first", app.name)));
    };
    if let Some(unknown) = unknown_type(&change.wish, &next) {
        return Ok(Outcome::Failed(format!(
            "v{} has no process type `{unknown}`: `ps:scale` lists them",
            next.version
        )));
    }
    let outcome = move_unless_overtaken(platform, &change.wish, &turn, (&next, &previous)).await;
    match outcome {
        Ok(()) => in_force(platform, app, change, &after).await,
        Err(RolloutError::Failed(reason)) => {
            Ok(Outcome::Failed(as_before(&change.wish, &reason, &before, &next)))
        }
        Err(RolloutError::Unreachable(reason)) => Ok(Outcome::NotNow(reason)),
        Err(RolloutError::Interrupted) => Ok(Outcome::NotNow("a newer release goes first".to_owned())),
    }
}

/// The current release in both formations. Going back is a request of its own to a cluster, later than the one that
/// failed.
async fn workloads(
    platform: &Platform,
    app: &App,
    current: Option<&Release>,
    (after, before): (&Formation, &Formation),
) -> anyhow::Result<Option<(Workload, Workload)>> {
    let Some(current) = current else { return Ok(None) };
    let next = workload::in_formation(platform, app, current, after).await?;
    let previous = workload::in_formation(platform, app, current, before).await?;
    let Some((next, mut previous)) = next.zip(previous) else { return Ok(None) };
    for process in &mut previous.processes {
        let asked = next.processes.iter().find(|one| one.name == process.name).map(|one| one.scale.asked);
        if let Some(asked) = asked.filter(|asked| *asked > process.scale.asked) {
            process.scale.asked = asked + 1;
        }
    }
    Ok(Some((next, previous)))
}

/// What the target says of it goes to the server's log.
async fn move_unless_overtaken(
    platform: &Platform,
    wish: &Wish,
    turn: &Turn,
    workloads: (&Workload, &Workload),
) -> Result<(), RolloutError> {
    let (transcript, spoken) = Transcript::channel();
    let listener = tokio::spawn(super::jobs::log_aside(spoken));
    let interrupt = CancellationToken::new();
    let outcome = {
        let mut moving = Box::pin(move_processes(platform, wish, workloads, (&transcript, &interrupt)));
        tokio::select! {
            outcome = &mut moving => outcome,
            version = turn.overtaken() => {
                info!("Interrupted by v{version}");
                interrupt.cancel();
                moving.await
            }
        }
    };
    drop(transcript);
    drop(listener.await);
    outcome
}

async fn move_processes(
    platform: &Platform,
    wish: &Wish,
    (next, previous): (&Workload, &Workload),
    (transcript, interrupt): (&Transcript, &CancellationToken),
) -> Result<(), RolloutError> {
    let target = &platform.target;
    match wish {
        Wish::Scale(_) | Wish::Autoscale { .. } | Wish::StopAutoscaling { .. } => {
            target.roll_out(next, Some(previous), transcript, interrupt).await
        }
        Wish::Restart(which) => target.restart(next, which, transcript, interrupt).await,
        Wish::Stop { name, .. } => target.stop((next, previous), name, transcript, interrupt).await,
    }
}

async fn in_force(
    platform: &Platform,
    app: &App,
    change: &Change,
    formation: &Formation,
) -> anyhow::Result<Outcome> {
    let mut tx = platform.pool.begin().await?;
    let locked = app_lock::lock(&mut tx, app.id).await?.context("the app was destroyed")?;
    formation::store(&mut tx, &locked, formation).await?;
    tx.commit().await?;
    let text = format!("{} by user {}", done(&change.wish, formation), change.actor_name);
    events::note(platform, &app.name, events::API, text).await;
    Ok(Outcome::Done)
}

/// What was done, for the app's log: `Scaled to web@3:standard`.
fn done(wish: &Wish, formation: &Formation) -> String {
    let scaled = |types: &mut dyn Iterator<Item = &ProcessType>| {
        let one = |name: &ProcessType| {
            let scaling = scaling_of(formation, name);
            format!("{name}@{}:{}", scaling.quantity, scaling.size.as_deref().unwrap_or(USUAL_SIZE))
        };
        format!("Scaled to {}", types.map(one).collect::<Vec<_>>().join(" "))
    };
    match wish {
        Wish::Scale(types) => scaled(&mut types.keys()),
        Wish::StopAutoscaling { process_type, .. } => scaled(&mut std::iter::once(process_type)),
        Wish::Autoscale { process_type, autoscale } => {
            let Autoscale { min, max, cpu } = autoscale;
            format!("Autoscaling {process_type}@{min}-{max} at {cpu} % of its CPUs")
        }
        Wish::Restart(which) => format!("Restarted {which}"),
        Wish::Stop { name, .. } => format!("Stopped {name}"),
    }
}

/// A type that left the Procfile after it was asked for.
fn unknown_type(wish: &Wish, next: &Workload) -> Option<ProcessType> {
    let named: Vec<&ProcessType> = match wish {
        Wish::Scale(types) => types.keys().collect(),
        Wish::Autoscale { process_type, .. } => vec![process_type],
        Wish::StopAutoscaling { .. } | Wish::Restart(_) | Wish::Stop { .. } => Vec::new(),
    };
    named.into_iter().find(|name| next.processes.iter().all(|process| process.name != **name)).cloned()
}

fn as_before(wish: &Wish, reason: &str, before: &Formation, next: &Workload) -> String {
    match wish {
        Wish::Restart(_) => reason.to_owned(),
        _ => {
            let types = next.processes.iter().map(|process| &process.name);
            format!("{reason}\nThe formation stays {}.", in_words(before, types))
        }
    }
}

fn later(error: anyhow::Error) -> JobError {
    JobError::NotBegun { after: RETRY, error }
}
