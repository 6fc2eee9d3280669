//! `cron` of app.json: what is in force, what is due, and what a cluster's own clock has started.
//!
//! Invariant: an entry runs once at a time, and once for a time at which it was due. The row of a run and the step of its
//! entry's clock are written in one transaction, and a run that has not ended holds the entry's place.
//!
//! What was due while the platform was down, or while the run before went on, is run once, late, by no more than
//! `CronEntry::CATCH_UP`; what is later is passed over, and the app's log says so. A CronJob does the same.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;
use sqlx::PgConnection;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::unattended::{self, process_of};
use super::workload;
use crate::db::apps::{self, App};
use crate::db::cron::{self, Entry};
use crate::db::jobs::Fenced;
use crate::db::releases::{self, Release};
use crate::db::unattended::{self as rows, NewUnattended};
use crate::domain::batch::BatchKind;
use crate::domain::cron::Schedule;
use crate::domain::ids::BatchId;
use crate::domain::procfile;
use crate::events;
use crate::platform::Platform;
use crate::target::Command;
use crate::target::batch::{Batch, CronEntry, CronRun, Take};

/// Between two looks at the table at most, and at least.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
const SHORTEST_PAUSE: Duration = Duration::from_millis(500);
/// Before a database that does not answer is asked again.
const RETRY: Duration = Duration::from_secs(5);
/// Runs of a cluster's clock that wait to be taken up.
const BACKLOG: usize = 64;

/// What wakes the clock: an entry came into force, or a run has ended. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Clock {
    changed: Arc<Notify>,
}

impl Clock {
    pub(crate) fn wake(&self) {
        self.changed.notify_one();
    }
}

/// Starts what is due until the shutdown; on a cluster, hears of what its clock starts.
pub(crate) async fn keep_time(platform: Platform, soft: CancellationToken) {
    if platform.target.keeps_time() {
        return hear(&platform, &soft).await;
    }
    loop {
        let pause = match start_due(&platform).await {
            Ok(pause) => pause,
            Err(error) => {
                warn!("It could not be looked up which entries of cron are due: {error:#}");
                RETRY
            }
        };
        tokio::select! {
            () = soft.cancelled() => return,
            () = platform.clock.changed.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Puts the entries of a release that is live in force; what its pusher is told of them.
pub(super) async fn put_in_force(
    conn: &mut PgConnection,
    app: &App,
    release: &Release,
) -> anyhow::Result<Vec<String>> {
    let entries = match &release.code {
        Some(code) => workload::blueprint_of(code)?.cron,
        None => Vec::new(),
    };
    if app.adoption.is_some() {
        cron::keep(conn, app.id, &[]).await?;
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        return Ok(vec![
            "`cron` of app.json is not used: this app moves Deployments that somebody else owns, and their config is not \
             known here. A CronJob beside them does it"
                .to_owned(),
        ]);
    }
    let now = Timestamp::now();
    for entry in &entries {
        let schedule = entry.parsed().map_err(anyhow::Error::msg)?;
        let row = Entry {
            app_id: app.id,
            name: entry.name.clone(),
            release_id: release.id,
            command: entry.command.clone(),
            schedule: entry.schedule.clone(),
            timezone: entry.timezone.clone(),
            next_at: schedule.next_after(now).context("an entry of cron is never due")?,
        };
        cron::put(conn, &row).await?;
    }
    let names: Vec<String> = entries.iter().map(|entry| entry.name.clone()).collect();
    cron::keep(conn, app.id, &names).await?;
    let words: Vec<String> = entries.iter().map(ToString::to_string).collect();
    Ok(if words.is_empty() { Vec::new() } else { vec![format!("Cron -> {}", words.join(", "))] })
}

/// Starts what is due; how long nothing else will be.
async fn start_due(platform: &Platform) -> anyhow::Result<Duration> {
    let now = Timestamp::now();
    let mut conn = platform.pool.acquire().await?;
    let due = cron::due(&mut conn, now).await?;
    drop(conn);
    for entry in due {
        if let Err(error) = settle(platform, &entry, now).await {
            warn!(entry = entry.name, "An entry of cron could not be started: {error:#}");
        }
    }
    let mut conn = platform.pool.acquire().await?;
    // What is due and waits for the run before is looked at when that has ended.
    let next = cron::earliest(&mut conn, now).await?;
    let pause = next.map_or(LONGEST_PAUSE, |next| {
        Duration::try_from(next.duration_since(Timestamp::now())).unwrap_or_default()
    });
    Ok(pause.clamp(SHORTEST_PAUSE, LONGEST_PAUSE))
}

async fn settle(platform: &Platform, entry: &Entry, now: Timestamp) -> anyhow::Result<()> {
    let schedule = Schedule::parse(&entry.schedule, &entry.timezone).map_err(anyhow::Error::msg)?;
    let next = schedule.next_after(now).context("an entry of cron is never due again")?;
    let mut tx = platform.pool.begin().await?;
    let Some(app) = apps::by_id(&mut tx, entry.app_id).await? else { return Ok(()) };
    if app.adoption.is_some() {
        // It has begun to adopt Deployments since its last release.
        cron::keep(&mut tx, app.id, &[]).await?;
        return Ok(tx.commit().await?);
    }
    let oldest = now.checked_sub(CronEntry::CATCH_UP).unwrap_or(entry.next_at).max(entry.next_at);
    let Some(due) = schedule.last_due(oldest, now) else {
        if cron::settle(&mut tx, entry, next).await? == Fenced::Done {
            tx.commit().await?;
            pass_over(platform, &app, entry, next).await;
        }
        return Ok(());
    };
    let started = Started { due_at: Some(due), by: None };
    let id = BatchId::new();
    let Some(place) = platform.attendants.enter(id) else { return Ok(()) };
    let inserted = insert(platform, &mut tx, entry, (id, &started)).await?;
    // One that runs still has its place: this one waits for its end.
    if !inserted || cron::settle(&mut tx, entry, next).await? == Fenced::Lost {
        return Ok(());
    }
    tx.commit().await?;
    start(platform, place, &app, (id, entry)).await
}

async fn pass_over(platform: &Platform, app: &App, entry: &Entry, next: Timestamp) {
    let text = format!(
        "Not run: it was due at {}, which is more than an hour ago. It is due again at {next}",
        entry.next_at
    );
    events::note(platform, &app.name, &process_of(BatchKind::Cron, &entry.name), text).await;
}

/// Why a run begins.
pub(crate) struct Started<'a> {
    pub(crate) due_at: Option<Timestamp>,
    pub(crate) by: Option<&'a str>,
}

/// Adds a run of an entry; false if one goes on.
pub(crate) async fn insert(
    platform: &Platform,
    conn: &mut PgConnection,
    entry: &Entry,
    (id, started): (BatchId, &Started<'_>),
) -> sqlx::Result<bool> {
    let new = NewUnattended {
        id,
        app: entry.app_id,
        release: entry.release_id,
        kind: BatchKind::Cron,
        name: &entry.name,
        command: &entry.command,
        actor_name: started.by,
        time_limit: platform.settings.processes.run_time_limit,
        due_at: started.due_at,
        job: None,
    };
    rows::insert(conn, &new).await
}

/// Starts what was added.
pub(crate) async fn start(
    platform: &Platform,
    place: unattended::Place,
    app: &App,
    (id, entry): (BatchId, &Entry),
) -> anyhow::Result<()> {
    let mut conn = platform.pool.acquire().await?;
    let release = releases::by_id(&mut conn, entry.release_id).await?;
    drop(conn);
    let Some(release) = release else { return Ok(()) };
    let Some(mut of) = workload::of(platform, app, &release).await? else { return Ok(()) };
    let released = of.cron.iter().find(|released| released.name == entry.name);
    if let Some(image) = released.and_then(|released| released.image.clone()) {
        of.image = image;
    }
    let dyno = process_of(BatchKind::Cron, &entry.name);
    let batch = Batch {
        id,
        name: dyno.replace('.', "-"),
        dyno,
        of,
        command: Command::Argv(procfile::argv(&entry.command)),
        environment: Default::default(),
        limits: platform.settings.processes.usual().limits,
        deadline: platform.settings.processes.run_time_limit,
        take: Take::StartOrFollow,
    };
    unattended::attend(platform, place, app.clone(), batch, true);
    Ok(())
}

/// Takes up the runs that a cluster's own clock has started, those of a time when the platform was down included.
async fn hear(platform: &Platform, soft: &CancellationToken) {
    let (told, mut heard) = mpsc::channel(BACKLOG);
    let watching = platform.target.watch_cron(told, soft);
    let taking = async {
        while let Some(run) = heard.recv().await {
            while let Err(error) = take_up(platform, &run).await {
                warn!(app = %run.app, "A run of cron could not be taken up yet: {error:#}");
                tokio::time::sleep(RETRY).await;
            }
        }
    };
    tokio::select! {
        () = watching => {}
        () = taking => {}
        () = soft.cancelled() => {}
    }
}

async fn take_up(platform: &Platform, run: &CronRun) -> anyhow::Result<()> {
    let mut conn = platform.pool.acquire().await?;
    let Some(app) = apps::named(&mut conn, run.app.as_str()).await? else { return Ok(()) };
    let Some(release) = releases::by_version(&mut conn, app.id, run.version).await? else {
        debug!(app = %app.name, "A run of cron is of no release that is known: {run:?}");
        return Ok(());
    };
    let entries = match &release.code {
        Some(code) => workload::blueprint_of(code)?.cron,
        None => Vec::new(),
    };
    let command = entries.into_iter().find(|entry| entry.name == run.entry).map(|entry| entry.command);
    let Some(place) = platform.attendants.enter(run.id) else { return Ok(()) };
    let new = NewUnattended {
        id: run.id,
        app: app.id,
        release: release.id,
        kind: BatchKind::Cron,
        name: &run.entry,
        command: command.as_deref().unwrap_or_default(),
        actor_name: None,
        time_limit: platform.settings.processes.run_time_limit,
        due_at: run.due_at,
        job: Some(&run.job),
    };
    let _known_if_false = rows::insert(&mut conn, &new).await?;
    let Some(row) = rows::by_id(&mut conn, run.id).await? else { return Ok(()) };
    drop(conn);
    unattended::follow(platform, place, row).await
}
