//! From one release to the next: start, prove, switch, retire.

use bollard::models::{ContainerUpdateBody, RestartPolicy, RestartPolicyNameEnum};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};
use tokio_util::sync::CancellationToken;

use super::create::{CreateError, Started};
use super::plan::{self, Plan};
use super::spec::Slot;
use super::{DockerTarget, TargetError};
use crate::domain::formation::Which;
use crate::local::router::Route;
use crate::target::failure::Kind;
use crate::target::{Process, RolloutError, Workload};
use crate::transcript::Transcript;

/// Containers of one release that are started at a time.
const STARTED_AT_ONCE: usize = 8;

impl DockerTarget {
    /// Brings the app to `next`. Until all its processes are healthy nothing that runs is touched; then the router
    /// switches, and the old processes drain while the caller goes on. Interrupted, it lets go within about a second.
    pub(crate) async fn roll_out(
        &self,
        next: &Workload,
        transcript: &Transcript,
        interrupt: &CancellationToken,
    ) -> Result<(), RolloutError> {
        self.converge(next, None, transcript, interrupt).await
    }

    /// The same, with fresh processes in the places of those that are named.
    pub(crate) async fn replace(
        &self,
        next: &Workload,
        which: &Which,
        transcript: &Transcript,
        interrupt: &CancellationToken,
    ) -> Result<(), RolloutError> {
        self.converge(next, Some(which), transcript, interrupt).await
    }

    async fn converge(
        &self,
        next: &Workload,
        replaced: Option<&Which>,
        transcript: &Transcript,
        interrupt: &CancellationToken,
    ) -> Result<(), RolloutError> {
        let lock = self.lock_of(&next.app);
        let mut highest = tokio::select! {
            guard = lock.lock() => guard,
            () = interrupt.cancelled() => return Err(RolloutError::Interrupted),
        };
        let members = self.members(Some(&next.app)).await.map_err(unreachable)?;
        let fence = plan::highest_released(&members).max(*highest);
        if fence > next.version {
            tracing::warn!(app = %next.app, version = next.version, fence, "An older release came late: left alone");
            return Err(RolloutError::Interrupted);
        }
        let plan = Plan::of_rollout(next, members, replaced);
        let started = self.bring_up(next, &plan, transcript, interrupt).await?;
        self.put_in_force(next, &plan, &started).await?;
        *highest = next.version;
        if plan.missing.is_empty() && plan.superfluous.is_empty() {
            transcript.detail("Nothing to change: the same processes go on").await;
        }
        self.retire(plan.superfluous);
        Ok(())
    }

    /// Starts what is missing and waits until all of it is healthy; else none of it stays.
    async fn bring_up(
        &self,
        next: &Workload,
        plan: &Plan<'_>,
        transcript: &Transcript,
        interrupt: &CancellationToken,
    ) -> Result<Vec<Started>, RolloutError> {
        // Cancelled by the first that fails too: the others need not be waited for.
        let stop = interrupt.child_token();
        // Boxed: a stream that borrows in its closure is not `Send` for every lifetime, which a task needs.
        let trials: Vec<BoxFuture<'_, _>> = plan
            .missing
            .iter()
            .map(|(slot, process)| self.prove(next, process, slot, &stop).boxed())
            .collect();
        let mut results = stream::iter(trials).buffer_unordered(STARTED_AT_ONCE);
        let (mut healthy, mut failure) = (Vec::new(), None);
        while let Some(result) = results.next().await {
            match result {
                Ok(started) => {
                    let seconds = started.at.elapsed().as_secs_f64();
                    transcript.detail(format!("{} is up ({seconds:.1} s)", started.slot)).await;
                    healthy.push(started);
                }
                Err(error) => {
                    failure.get_or_insert(error);
                    stop.cancel();
                }
            }
        }
        drop(results);
        let failure = if interrupt.is_cancelled() { Some(RolloutError::Interrupted) } else { failure };
        match failure {
            None => Ok(healthy),
            Some(failure) => {
                self.discard_later(healthy.into_iter().map(|started| started.id).collect());
                Err(failure)
            }
        }
    }

    /// One container through its health gate; removed again if it does not pass or is not wanted any more.
    async fn prove(
        &self,
        next: &Workload,
        process: &Process,
        slot: &Slot,
        stop: &CancellationToken,
    ) -> Result<Started, RolloutError> {
        if stop.is_cancelled() {
            return Err(RolloutError::Interrupted);
        }
        let started = self.start_or_leave(next, process, slot, stop).await?;
        let verdict = tokio::select! {
            verdict = self.trial(next, &started) => verdict,
            () = stop.cancelled() => Err(RolloutError::Interrupted),
        };
        if verdict.is_err() {
            self.discard_later(vec![started.id.clone()]);
        }
        verdict.map(|()| started)
    }

    async fn trial(&self, next: &Workload, started: &Started) -> Result<(), RolloutError> {
        match self.gate(&next.app, started).await {
            Ok(()) => Ok(()),
            Err(reason) => Err(self.verdict_on(started, reason).await),
        }
    }

    /// A start is never cut half-way: the engine would make a container that nobody knows of. Who does not want to
    /// wait leaves it to a task that removes what comes of it.
    async fn start_or_leave(
        &self,
        next: &Workload,
        process: &Process,
        slot: &Slot,
        stop: &CancellationToken,
    ) -> Result<Started, RolloutError> {
        let target = self.clone();
        let (next, process, own_slot, own_stop) = (next.clone(), process.clone(), slot.clone(), stop.clone());
        let mut starting =
            self.tasks.spawn(async move { target.start(&next, &process, &own_slot, &own_stop).await });
        tokio::select! {
            started = &mut starting => {
                let started = started.map_err(|panic| RolloutError::Unreachable(panic.to_string()))?;
                return started.map_err(|error| failed(slot, error));
            }
            () = stop.cancelled() => {}
        }
        let target = self.clone();
        self.tasks.spawn(async move {
            if let Ok(Ok(started)) = starting.await {
                target.discard(&started.id).await;
            }
        });
        Err(RolloutError::Interrupted)
    }

    /// The point of no return: what is healthy is released and gets the requests. If the router does not confirm the
    /// switch, old and new stay: it may have switched, and the next attempt finds both.
    async fn put_in_force(
        &self,
        next: &Workload,
        plan: &Plan<'_>,
        started: &[Started],
    ) -> Result<(), RolloutError> {
        let released = match self.release_all(started).await {
            Ok(()) => self.all_still_up(started).await,
            Err(error) => Err(unreachable(error)),
        };
        if let Err(error) = released {
            self.discard_later(started.iter().map(|started| started.id.clone()).collect());
            return Err(error);
        }
        self.switch(next, plan, started).await.map_err(unreachable)
    }

    /// From now on the engine restarts them, with back-off, and after a reboot of the machine too.
    pub(super) async fn release_all(&self, started: &[Started]) -> Result<(), TargetError> {
        let updates = started.iter().map(|started| self.release(&started.id));
        futures::future::try_join_all(updates).await.map(drop)
    }

    pub(super) async fn release(&self, id: &str) -> Result<(), TargetError> {
        let policy =
            RestartPolicy { name: Some(RestartPolicyNameEnum::UNLESS_STOPPED), maximum_retry_count: None };
        let update = ContainerUpdateBody { restart_policy: Some(policy), ..Default::default() };
        self.docker.update_container(id, update).await.map_err(super::engine("keep a container running"))
    }

    /// One that was healthy first may have crashed while the others were waited for.
    async fn all_still_up(&self, started: &[Started]) -> Result<(), RolloutError> {
        let [_, _, ..] = started else { return Ok(()) };
        let looks = started.iter().map(async |one| match self.still_up(one).await {
            Ok(()) => Ok(()),
            Err(reason) => Err(self.verdict_on(one, reason).await),
        });
        futures::future::try_join_all(looks).await.map(drop)
    }

    async fn switch(&self, next: &Workload, plan: &Plan<'_>, started: &[Started]) -> Result<(), TargetError> {
        let kept = plan.kept.iter().map(|member| (&member.slot, member.address));
        let fresh = started.iter().map(|started| (&started.slot, started.address));
        let mut web: Vec<_> = kept
            .chain(fresh)
            .filter(|(slot, _)| slot.process.is_web())
            .filter_map(|(slot, address)| Some((slot, address?)))
            .collect();
        web.sort();
        let backends = web.into_iter().map(|(_, address)| address).collect();
        Ok(self.router.set_route(&next.app, &Route { version: next.version, backends }).await?)
    }
}

fn failed(slot: &Slot, error: CreateError) -> RolloutError {
    match &error {
        CreateError::Stopped => RolloutError::Interrupted,
        CreateError::Unreachable(_) => RolloutError::Unreachable(error.to_string()),
        CreateError::Pull { reason, .. } => {
            let step = Kind::of_pull(reason).next_step();
            RolloutError::Failed(format!("{slot} gets no image: {error}.\n{step}."))
        }
        CreateError::Refused(_) => {
            RolloutError::Failed(format!("{slot} cannot be started: {error}.\n{}.", Kind::Start.next_step()))
        }
        CreateError::NoPort { .. } => RolloutError::Failed(format!("{slot} cannot be started: {error}.")),
    }
}

/// With the cause: who reads it has no log of ours.
pub(super) fn unreachable(error: TargetError) -> RolloutError {
    let cause = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
    RolloutError::Unreachable(format!("{error}{cause}"))
}
