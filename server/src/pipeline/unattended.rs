//! Takes batches that nobody waits for to their ends: `run:detached`, and the runs of cron.
//!
//! Invariant: at most one task of the server attends to each, and every one that has not ended gets one: the upkeep looks
//! for those that have none. A task that leaves with its server leaves alone what runs; the next server finds it again.
//! What a server has not started before it died is not started by another: whether it may run twice is not ours to say.
//!
//! Output goes to the app's log (`super::kept`).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, info, info_span, warn};

use super::batch::{self, Outcome};
use super::{kept, workload};
use crate::db::apps::{self, App};
use crate::db::unattended::{self, Unattended};
use crate::db::{batches, releases};
use crate::domain::batch::BatchKind;
use crate::domain::ids::BatchId;
use crate::domain::procfile;
use crate::events;
use crate::platform::Platform;
use crate::target::Command;
use crate::target::batch::{Batch, Take};

/// Chunks of output that may wait for the log.
const BACKLOG: usize = 64;
/// Before a target, or a database, that does not answer is asked again.
const RETRY: Duration = Duration::from_secs(5);

/// Who attends to what. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Attendants {
    attended: Arc<Mutex<HashMap<BatchId, Attended>>>,
    tasks: TaskTracker,
    /// Has all tasks leave, and what they attend to go on.
    leave: CancellationToken,
}

#[derive(Debug, Clone, Default)]
struct Attended {
    stop: CancellationToken,
    /// Who has stopped it.
    by: Arc<OnceLock<String>>,
}

/// The right to attend to a batch, until it is dropped.
pub(crate) struct Place {
    attendants: Attendants,
    id: BatchId,
    attended: Attended,
}

impl Attendants {
    /// `None` if somebody attends to it already.
    pub(crate) fn enter(&self, id: BatchId) -> Option<Place> {
        let attended = Attended::default();
        let mut all = self.locked();
        if all.contains_key(&id) {
            return None;
        }
        all.insert(id, attended.clone());
        Some(Place { attendants: self.clone(), id, attended })
    }

    /// Ends a batch; false if nobody attends to it.
    pub(super) fn stop(&self, id: BatchId, by: &str) -> bool {
        let Some(attended) = self.locked().get(&id).cloned() else { return false };
        // The first who asks is told of.
        drop(attended.by.set(by.to_owned()));
        attended.stop.cancel();
        true
    }

    /// At a shutdown nothing is ended: all leave.
    pub(crate) async fn finish(self, soft: CancellationToken) {
        soft.cancelled().await;
        self.leave.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<BatchId, Attended>> {
        self.attended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.attendants.locked().remove(&self.id);
    }
}

/// `run.4821`, `cron.clean`: its name in the app's log.
pub(super) fn process_of(kind: BatchKind, name: &str) -> String {
    match kind {
        BatchKind::Cron => format!("cron.{name}"),
        _ => name.to_owned(),
    }
}

/// Attends to it in the background, to its end or until the shutdown.
pub(super) fn attend(platform: &Platform, place: Place, app: App, batch: Batch, first: bool) {
    let platform = platform.clone();
    let attendants = place.attendants.clone();
    let span = info_span!("unattended", app = %app.name, batch = batch.dyno);
    let attending = async move {
        let leave = place.attendants.leave.clone();
        let work = Box::pin(to_its_end(&platform, &place, &app, &batch, first));
        let _left_if_none = leave.run_until_cancelled(work).await;
        drop(place);
        // What was due meanwhile has waited for this end.
        platform.clock.wake();
    };
    attendants.tasks.spawn(attending.instrument(span));
}

async fn to_its_end(platform: &Platform, place: &Place, app: &App, batch: &Batch, first: bool) {
    if first {
        events::note(platform, &app.name, &batch.dyno, format!("Starting with v{}", batch.of.version)).await;
    }
    loop {
        match Box::pin(once(platform, place, app, batch)).await {
            Ok(Outcome::Unreachable(why)) => info!("It is followed again later: {why}"),
            Ok(outcome) => return told(platform, app, &batch.dyno, &by(place), outcome).await,
            Err(error) => warn!("What becomes of it cannot be stored yet: {error:#}"),
        }
        tokio::time::sleep(RETRY).await;
    }
}

async fn once(platform: &Platform, place: &Place, app: &App, batch: &Batch) -> anyhow::Result<Outcome> {
    let mut conn = platform.pool.acquire().await?;
    let _over_already_if_lost = batches::begin(&mut conn, batch.id).await?;
    drop(conn);
    let (output, chunks) = mpsc::channel(BACKLOG);
    let journal = platform.journals.app(&app.name);
    let running = async {
        let ended = platform.target.run_batch(batch, &output, &place.attended.stop).await;
        drop(output);
        ended
    };
    let (ended, ()) = tokio::join!(running, kept::keep(&journal, batch, chunks));
    batch::conclude(platform, batch, ended, &by(place)).await
}

fn by(place: &Place) -> String {
    match place.attended.by.get() {
        Some(name) => format!("it was stopped by {name}"),
        None => "it was stopped".to_owned(),
    }
}

async fn told(platform: &Platform, app: &App, process: &str, stopped: &str, outcome: Outcome) {
    let text = match outcome {
        Outcome::Succeeded => "Process exited with status 0".to_owned(),
        Outcome::Failed(why) => format!("Process {why}"),
        Outcome::Stopped => format!("Process ended: {stopped}"),
        Outcome::Unreachable(_) => return,
    };
    info!("{text}");
    events::note(platform, &app.name, process, text).await;
}

/// Gives all that have not ended somebody who attends to them: after a restart of the server, say.
pub(super) async fn take_up(platform: &Platform) -> sqlx::Result<()> {
    let mut conn = platform.pool.acquire().await?;
    let alive = unattended::alive(&mut conn).await?;
    drop(conn);
    for row in alive {
        let Some(place) = platform.attendants.enter(row.id) else { continue };
        let batch = row.id;
        if let Err(error) = follow(platform, place, row).await {
            warn!(%batch, "What runs without anybody could not be taken up: {error:#}");
        }
    }
    Ok(())
}

/// Follows one that runs already, or has run.
pub(super) async fn follow(platform: &Platform, place: Place, row: Unattended) -> anyhow::Result<()> {
    let mut conn = platform.pool.acquire().await?;
    let app = apps::by_id(&mut conn, row.app_id).await?;
    let release = releases::by_id(&mut conn, row.release_id).await?;
    // It may have ended since the row was read.
    let row = unattended::by_id(&mut conn, row.id).await?.filter(|row| row.finished_at.is_none());
    drop(conn);
    let (Some(app), Some(release), Some(row)) = (app, release, row) else { return Ok(()) };
    let Some(of) = workload::of(platform, &app, &release).await? else { return Ok(()) };
    let dyno = process_of(row.kind, &row.name);
    let processes = &platform.settings.processes;
    let batch = Batch {
        id: row.id,
        name: dyno.replace('.', "-"),
        dyno,
        of,
        command: Command::Argv(procfile::argv(&row.command)),
        environment: Default::default(),
        limits: processes.usual().limits,
        deadline: row.time_limit().unwrap_or(processes.run_time_limit),
        take: row.job.clone().map_or(Take::Follow, Take::FollowJob),
    };
    let first = row.started_at.is_none();
    attend(platform, place, app, batch, first);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_attends_at_a_time_and_the_first_who_stops_it_is_named() {
        let (attendants, id) = (Attendants::default(), BatchId::new());
        let place = attendants.enter(id).expect("free");
        assert!(attendants.enter(id).is_none());
        assert!(attendants.stop(id, "ada") && attendants.stop(id, "eve"));
        assert!(place.attended.stop.is_cancelled());
        assert_eq!(by(&place), "it was stopped by ada");
        drop(place);
        assert!(!attendants.stop(id, "ada") && attendants.enter(id).is_some());
    }
}
