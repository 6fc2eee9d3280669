//! Batches as containers of this machine's engine.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bollard::errors::Error;
use bollard::models::{ContainerCreateBody, ContainerState, ContainerStateStatusEnum};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, ListContainersOptionsBuilder, LogsOptionsBuilder, StartContainerOptions,
    StopContainerOptionsBuilder,
};
use bytes::Bytes;
use futures::StreamExt;
use jiff::{SignedDuration, Timestamp};
use secrecy::ExposeSecret;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::create::{ATTEMPTS, CreateError, is_missing_image};
use super::rollout::unreachable;
use super::{DockerTarget, TargetError, engine, spec};
use crate::domain::ids::BatchId;
use crate::domain::names::AppName;
use crate::target::RolloutError;
use crate::target::batch::{Batch, Ended, GRACE, Leftover, NOT_FOUND, Take};

/// Between two looks at a container whose stream of output broke while it runs.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// How long a container that is killed may take to be known as ended.
const END_WAIT: Duration = Duration::from_secs(10);

/// Why a batch is ended from outside.
#[derive(Debug, Clone, Copy)]
enum Cut {
    Stopped,
    TimedOut,
}

impl DockerTarget {
    pub(crate) async fn run_batch(
        &self,
        batch: &Batch,
        output: &mpsc::Sender<Bytes>,
        stop: &CancellationToken,
    ) -> Result<Ended, RolloutError> {
        let (id, left) = match self.running_batch(batch).await? {
            Some(found) => found,
            None if batch.take != Take::StartOrFollow => {
                return Err(RolloutError::Failed(NOT_FOUND.to_owned()));
            }
            None => {
                let made = self.make_batch(batch, stop).await.map_err(|error| failed(batch, error))?;
                (made, batch.deadline)
            }
        };
        let following = self.follow_batch(&id, output);
        tokio::pin!(following);
        let cut = tokio::select! {
            state = &mut following => return state.map(|state| ended(&state)),
            () = stop.cancelled() => Cut::Stopped,
            () = tokio::time::sleep(left) => Cut::TimedOut,
        };
        let (_, last_words) = tokio::join!(self.stop_batch(&id), tokio::time::timeout(END_WAIT, following));
        match cut {
            Cut::TimedOut => last_words.map_or(Ok(Ended::TimedOut), |state| state.map(|_| Ended::TimedOut)),
            Cut::Stopped => {
                self.discard(&id).await;
                Err(RolloutError::Interrupted)
            }
        }
    }

    /// All containers of batches, of one app or of all.
    pub(crate) async fn batches(&self, app: Option<&AppName>) -> Result<Vec<Leftover>, TargetError> {
        let mut labels =
            vec![format!("{}={}", spec::PLATFORM, self.settings.platform), spec::BATCH.to_owned()];
        labels.extend(app.map(|app| format!("{}={app}", spec::APP)));
        let filters = HashMap::from([("label".to_owned(), labels)]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let listed = self.docker.list_containers(Some(options)).await.map_err(engine("list batches"))?;
        let leftovers = listed.into_iter().filter_map(|container| {
            let id = container.labels.as_ref()?.get(spec::BATCH)?.parse().ok()?;
            Some(Leftover { id: BatchId(id), object: container.id? })
        });
        Ok(leftovers.collect())
    }

    pub(crate) async fn end_batch(&self, container: &str) {
        self.stop_batch(container).await;
        self.discard(container).await;
    }

    pub(super) async fn remove_batches_of(&self, app: &AppName) -> Result<(), TargetError> {
        let leftovers = self.batches(Some(app)).await?;
        let ends = leftovers.iter().map(|leftover| self.end_batch(&leftover.object));
        futures::future::join_all(ends).await;
        Ok(())
    }

    /// The batch's container, and how long it may run still. One that was never started is made anew.
    async fn running_batch(&self, batch: &Batch) -> Result<Option<(String, Duration)>, RolloutError> {
        let found = self.batches(Some(&batch.of.app)).await.map_err(unreachable)?;
        let Some(found) = found.into_iter().find(|leftover| leftover.id == batch.id) else { return Ok(None) };
        let state = self.state_of(&found.object).await?;
        if state.status == Some(ContainerStateStatusEnum::CREATED) {
            self.discard(&found.object).await;
            return Ok(None);
        }
        let started = state.started_at.as_deref().and_then(|at| at.parse::<Timestamp>().ok());
        let ran = started.map_or(SignedDuration::ZERO, |at| Timestamp::now().duration_since(at));
        Ok(Some((found.object, batch.deadline.saturating_sub(ran.unsigned_abs()))))
    }

    async fn make_batch(&self, batch: &Batch, stop: &CancellationToken) -> Result<String, CreateError> {
        let name = container_name(&self.settings.platform, batch);
        let mut obstacle = CreateError::Refused("the container could not be created".to_owned());
        for _ in 0..ATTEMPTS {
            match self.start_batch(batch, &name).await {
                Ok(id) => return Ok(id),
                Err(error) if is_missing_image(&error) => {
                    self.pull(&batch.of.image, batch.of.pull.as_ref(), stop).await?;
                }
                Err(error) => obstacle = self.overcome(&name, error).await?,
            }
        }
        Err(obstacle)
    }

    async fn start_batch(&self, batch: &Batch, name: &str) -> Result<String, Error> {
        let options = CreateContainerOptionsBuilder::default().name(name).build();
        let body = container(&self.settings.platform, batch, self.init());
        let id = self.docker.create_container(Some(options), body).await?.id;
        if let Err(error) = self.docker.start_container(&id, None::<StartContainerOptions>).await {
            self.discard(&id).await;
            return Err(error);
        }
        Ok(id)
    }

    /// Sends what the container writes until it has ended.
    async fn follow_batch(
        &self,
        id: &str,
        output: &mpsc::Sender<Bytes>,
    ) -> Result<ContainerState, RolloutError> {
        let mut sent = 0;
        loop {
            sent = self.copy_output(id, sent, output).await;
            let state = self.state_of(id).await?;
            if state.running != Some(true) {
                return Ok(state);
            }
            // The stream ends a moment before the container is known to have ended, or it broke.
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Sends the output after its first `sent` bytes, until the stream ends; how many were sent by then.
    async fn copy_output(&self, id: &str, mut sent: usize, output: &mpsc::Sender<Bytes>) -> usize {
        let options = LogsOptionsBuilder::default().stdout(true).stderr(true).follow(true).build();
        let mut chunks = self.docker.logs(id, Some(options));
        let mut at = 0;
        while let Some(Ok(chunk)) = chunks.next().await {
            let bytes = chunk.into_bytes();
            let news = bytes.slice(sent.saturating_sub(at).min(bytes.len())..);
            at += bytes.len();
            if !news.is_empty() {
                sent = at;
                // Nobody listens any more: the output is not wanted, the end still is.
                drop(output.send(news).await);
            }
        }
        sent
    }

    async fn state_of(&self, id: &str) -> Result<ContainerState, RolloutError> {
        match self.docker.inspect_container(id, None).await {
            Ok(found) => Ok(found.state.unwrap_or_default()),
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => Err(RolloutError::Failed(
                "its container was removed while it ran: somebody did that by hand, or the app was destroyed"
                    .to_owned(),
            )),
            Err(source) => Err(unreachable(TargetError::Engine { doing: "describe a container", source })),
        }
    }

    async fn stop_batch(&self, id: &str) {
        let grace = i32::try_from(GRACE.as_secs()).unwrap_or(i32::MAX);
        let options = StopContainerOptionsBuilder::default().t(grace).build();
        if let Err(error) = self.docker.stop_container(id, Some(options)).await {
            tracing::debug!(container = id, error = %error, "A batch did not stop in time");
        }
    }
}

fn failed(batch: &Batch, error: CreateError) -> RolloutError {
    match error {
        CreateError::Stopped => RolloutError::Interrupted,
        CreateError::Unreachable(_) => RolloutError::Unreachable(error.to_string()),
        _ => RolloutError::Failed(format!("{} could not be started: {error}", batch.name)),
    }
}

fn ended(state: &ContainerState) -> Ended {
    if state.oom_killed == Some(true) {
        return Ended::OutOfMemory;
    }
    Ended::Exited(state.exit_code.unwrap_or_default())
}

/// A dot is in no process type, so that a process' container never has this name.
fn container_name(platform: &str, batch: &Batch) -> String {
    format!("slipway-{}-batch.{}-v{}-{platform}", batch.of.app, batch.name, batch.of.version)
}

fn container(platform: &str, batch: &Batch, init: spec::Init) -> ContainerCreateBody {
    let (entrypoint, cmd) = spec::words(&batch.command);
    let labels = [
        (spec::PLATFORM, platform.to_owned()),
        (spec::APP, batch.of.app.to_string()),
        (spec::VERSION, batch.of.version.to_string()),
        (spec::BATCH, batch.id.to_string()),
    ];
    ContainerCreateBody {
        image: Some(batch.of.image.clone()),
        entrypoint,
        cmd,
        env: Some(environment(batch)),
        labels: Some(labels.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
        stop_timeout: i64::try_from(GRACE.as_secs()).ok(),
        host_config: Some(spec::host_config(&batch.limits, None, init)),
        ..Default::default()
    }
}

/// The app's config, and on top of it what the platform tells.
fn environment(batch: &Batch) -> Vec<String> {
    let config = batch.of.config.iter().chain(&batch.environment);
    let mut variables: BTreeMap<&str, String> =
        config.map(|(key, value)| (key.as_str(), value.expose_secret().to_owned())).collect();
    variables.insert("DYNO", batch.dyno.clone());
    variables.insert("SLIPWAY_APP", batch.of.app.to_string());
    variables.into_iter().map(|(key, value)| format!("{key}={value}")).collect()
}
