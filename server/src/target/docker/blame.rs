//! Whose doing it is that a container on trial has not passed: its own, or that of who ended it.
//!
//! An engine that is stopped or restarted ends its containers, and what is then seen of one looks like a crash. The
//! engine's own events tell them apart: a process that ended by itself has died without a signal from the engine, and
//! an engine that was started since then knows of no death.

use std::collections::HashMap;
use std::time::Duration;

use bollard::query_parameters::EventsOptionsBuilder;
use futures::StreamExt;
use jiff::Timestamp;

use super::create::Started;
use super::{DockerTarget, TargetError, rollout};
use crate::target::RolloutError;

/// For the engine to hand over what it remembers of one container.
const EVENTS_WAIT: Duration = Duration::from_secs(5);

/// What became of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// It runs: what it did not pass is its check.
    None,
    ByItself,
    /// By a signal from the engine, or together with it.
    FromOutside,
}

impl DockerTarget {
    /// What a rollout ends with after `reason` was found about its container.
    pub(super) async fn verdict_on(&self, started: &Started, reason: String) -> RolloutError {
        match self.end_of(&started.id).await {
            Ok(End::None | End::ByItself) => RolloutError::Failed(reason),
            Ok(End::FromOutside) => RolloutError::Unreachable(format!(
                "{} was ended from outside before it had passed its check: the Docker engine was restarted, or somebody \
                 stopped the container",
                started.slot
            )),
            Err(error) => rollout::unreachable(error),
        }
    }

    /// Looks at the container first: the engine answers when it has noted the end among its events.
    async fn end_of(&self, id: &str) -> Result<End, TargetError> {
        match self.member(id).await? {
            Some(member) if member.is_running() => return Ok(End::None),
            Some(_) => {}
            None => return Ok(End::FromOutside),
        }
        let events = self.events_of(id).await?;
        let has = |action: &str| events.iter().any(|event| event == action);
        Ok(if has("die") && !has("kill") { End::ByItself } else { End::FromOutside })
    }

    async fn events_of(&self, id: &str) -> Result<Vec<String>, TargetError> {
        let filters = HashMap::from([("container", vec![id]), ("event", vec!["die", "kill"])]);
        let now = Timestamp::now();
        let until = format!("{}.{:09}", now.as_second(), now.subsec_nanosecond());
        let options = EventsOptionsBuilder::default().filters(&filters).since("1").until(&until).build();
        // An engine whose clock is behind would wait for that moment: what has come by then is all there is.
        let late = Box::pin(tokio::time::sleep(EVENTS_WAIT));
        let told = self.docker.events(Some(options)).take_until(late).collect::<Vec<_>>().await;
        let told: Result<Vec<_>, _> = told.into_iter().collect();
        let actions = told.map_err(super::engine("tell what became of a container"))?;
        Ok(actions.into_iter().filter_map(|event| event.action).collect())
    }
}
