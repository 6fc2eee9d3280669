//! The straight line from a commit to running processes.
//!
//! Invariants: what a stage made is stored before the next one begins, so that a crash resumes after it; the pusher only
//! follows the log; every write of a worker carries its fence.

mod batch;
mod build;
mod builder;
pub(crate) mod cancels;
pub(crate) mod cron;
mod deploy;
mod detached;
pub(crate) mod detect;
pub(crate) mod formation;
pub(crate) mod jobs;
mod kept;
pub(crate) mod log;
pub(crate) mod mask;
pub(crate) mod metering;
mod phases;
mod push;
mod release;
mod reuse;
pub(crate) mod rollouts;
pub(crate) mod runs;
mod sanitise;
pub(crate) mod source;

mod turn;
pub(crate) mod unattended;
pub(crate) mod upkeep;
pub(crate) mod workload;

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use tokio_util::sync::CancellationToken;
use tracing::{Instrument, info_span, warn};

use crate::db::apps::App;
use crate::db::builds::{self, Build};
use crate::db::jobs::Fenced;
use crate::platform::Platform;
use crate::telemetry::metrics::STAGE_SECONDS;
use crate::transcript::Transcript;

/// One build on its way, with all that its stages share.
pub(crate) struct Line {
    pub(crate) platform: Arc<Platform>,
    pub(crate) app: App,
    pub(crate) build: Build,
    /// 1 on the first try; a shutdown's interruptions do not count.
    pub(crate) tries: i32,
    pub(crate) transcript: Transcript,
    /// Somebody canceled the build, or its lease was lost.
    pub(crate) cancel: CancellationToken,
}

/// Why a line ended before the app was live.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The user's to mend.
    Failed(String),
    /// Ours: tried again if that can help. The sentence is for the user, the error for our log.
    Errored { sentence: String, error: anyhow::Error, again: Again },
    /// Somebody asked for it.
    Canceled,
    /// Another build or a rollback made this one pointless.
    Superseded(String),
    /// The release is recorded and its rollout goes on by itself: the target does not answer.
    Waiting(String),
    /// The release was made and is not live; what ran before runs again.
    ReleaseFailed(String),
    /// Another worker has this build now.
    LeaseLost,
}

/// Whether trying again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    Yes,
    No,
}

/// Takes a build from its commit to running processes.
pub(crate) async fn run(line: &Line) -> Result<(), Stop> {
    if let Some(release) = release::recorded(line).await? {
        return line.stage("deploy", deploy::of_build(line, release)).await;
    }
    turn::still_wanted(line).await?;
    let source = line.stage("snapshot", source::take(line)).await?;
    let plan = line.stage("detect", detect::choose(line, &source)).await?;
    let image = line.stage("build", build::image(line, &source, &plan)).await?;
    let pushed = line.stage("push", push::to_registry(line, image)).await?;
    let release = line.stage("release", release::record(line, pushed)).await?;
    line.stage("deploy", deploy::of_build(line, release)).await
}

impl Line {
    /// Runs a stage in a span of its own, and records how long it took.
    async fn stage<T>(
        &self,
        name: &'static str,
        stage: impl Future<Output = Result<T, Stop>>,
    ) -> Result<T, Stop> {
        let mut conn = self.platform.pool.acquire().await?;
        builds::stage_began(&mut conn, self.build.id, name).await?;
        drop(conn);
        // On the heap: the stages' states together would be deeper than a thread's stack in a debug build.
        let began = Instant::now();
        let outcome = Box::pin(stage.instrument(info_span!("stage", name))).await;
        metrics::histogram!(STAGE_SECONDS, "stage" => name).record(began.elapsed());
        let ended = async {
            let mut conn = self.platform.pool.acquire().await?;
            builds::stage_ended(&mut conn, self.build.id, name).await
        };
        // What the stage came to counts more than how long it took.
        if let Err(error) = ended.await {
            warn!("Could not record the end of a stage: {error}");
        }
        outcome
    }
}

/// The database failed under a stage: what is stored stays, the rest is done again.
impl From<sqlx::Error> for Stop {
    fn from(error: sqlx::Error) -> Self {
        Self::Errored {
            sentence: "the platform's database does not answer".to_owned(),
            error: error.into(),
            again: Again::Yes,
        }
    }
}

impl Fenced {
    /// Goes on only if the write counted.
    fn or_stop(self) -> Result<(), Stop> {
        match self {
            Self::Done => Ok(()),
            Self::Lost => Err(Stop::LeaseLost),
        }
    }
}

#[cfg(test)]
mod tests;
