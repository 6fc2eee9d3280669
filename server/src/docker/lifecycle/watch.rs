//! One container from its start to its end, with what it says.

use std::time::Duration;

use bollard::container::AttachContainerResults;
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, InspectContainerOptions, StartContainerOptions, WaitContainerOptions,
};
use futures::{StreamExt, TryStreamExt};
use tokio::time::timeout;

use super::ending::{Ear, Ending};
use super::phase::Phase;
use super::{Job, LifecycleError};

/// From the last word of a container to its end.
const END_TIMEOUT: Duration = Duration::from_secs(60);

impl Job<'_> {
    /// Starts a container and follows it to its good end.
    pub(super) async fn watch(&self, phase: Phase, container: &str) -> Result<(), LifecycleError> {
        let mut ear = Ear::new(phase);
        self.follow(phase, container, &mut ear).await?;
        let ending = timeout(END_TIMEOUT, self.ending(container))
            .await
            .map_err(|late| LifecycleError::EngineLost(late.into()))??;
        ear.judge(&ending, &self.request.builder, self.request.limits.memory)
    }

    async fn follow(&self, phase: Phase, container: &str, ear: &mut Ear) -> Result<(), LifecycleError> {
        let docker = self.engine.api();
        let options = AttachContainerOptionsBuilder::default().stdout(true).stderr(true).stream(true).build();
        let attached = docker.attach_container(container, Some(options)).await;
        let AttachContainerResults { mut output, .. } = attached.map_err(|error| self.lost(error))?;
        let started = docker.start_container(container, None::<StartContainerOptions>).await;
        started.map_err(|error| self.not_started(phase, error))?;
        let idle = self.request.limits.idle_deadline;
        loop {
            let next = timeout(idle, output.try_next()).await;
            match next.map_err(|_| LifecycleError::NoProgress(idle))? {
                Ok(Some(said)) => {
                    let said = said.into_bytes();
                    ear.hear(&said);
                    self.transcript.output(said).await;
                }
                Ok(None) => return Ok(()),
                Err(error) => return Err(self.lost(error)),
            }
        }
    }

    /// How it ended; it says nothing any more.
    async fn ending(&self, container: &str) -> Result<Ending, LifecycleError> {
        let docker = self.engine.api();
        // An exit code above zero comes as an error; the inspection tells it, too.
        drop(docker.wait_container(container, None::<WaitContainerOptions>).next().await);
        let described = docker.inspect_container(container, None::<InspectContainerOptions>).await;
        let state = described.map_err(|error| self.lost(error))?.state.unwrap_or_default();
        if state.running.unwrap_or(false) {
            return Err(LifecycleError::EngineLost("the container says nothing and has not ended".into()));
        }
        Ok(Ending { code: state.exit_code.unwrap_or(-1), out_of_memory: state.oom_killed.unwrap_or(false) })
    }

    fn not_started(&self, phase: Phase, error: bollard::errors::Error) -> LifecycleError {
        match error {
            bollard::errors::Error::DockerResponseServerError { message, .. }
                if message.contains("no such file or directory") =>
            {
                LifecycleError::NotABuilder { builder: self.request.builder.clone(), lack: phase.program() }
            }
            other => self.lost(other),
        }
    }

    fn lost(&self, error: bollard::errors::Error) -> LifecycleError {
        self.engine.explain(error).into()
    }
}
