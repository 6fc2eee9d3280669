//! What runs is made what shall run: after a restart of the server, the engine or the machine, and now and then.
//!
//! A process that does not become healthy here is not taken away: nothing better could run in its place. An app whose
//! lock is taken is left alone, and so is one of which a newer release was put in force since `desired` was read.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use bollard::errors::Error;
use bollard::query_parameters::StartContainerOptions;
use futures::{StreamExt, stream};
use tokio_util::sync::CancellationToken;

use super::create::Started;
use super::member::{Member, Standing};
use super::plan::Plan;
use super::spec::Slot;
use super::{DockerTarget, TargetError};
use crate::domain::names::AppName;
use crate::local::router::Route;
use crate::target::{Process, Workload};

/// For processes that were started here to listen, before the route is set without them.
const SETTLE: Duration = Duration::from_secs(5);

/// Pause between two looks at them.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Apps that are looked after at a time.
const APPS_AT_ONCE: usize = 4;

impl DockerTarget {
    /// Converges every app to its workload, and ends what belongs to none: `desired` has to name every app that is to
    /// run, also one of which a rollout waits to be resumed (then its release before that). One app's trouble is
    /// logged and does not keep the others waiting; the error is for what concerns them all.
    pub(crate) async fn reconcile(&self, desired: &[Workload]) -> Result<(), TargetError> {
        let members = self.members(None).await?;
        let routes = self.router.routes().await?;
        let known: BTreeSet<AppName> =
            members.into_iter().map(|member| member.app).chain(routes.into_keys()).collect();
        stream::iter(desired)
            .for_each_concurrent(APPS_AT_ONCE, |workload| async move {
                if let Err(error) = self.reconcile_app(workload).await {
                    let source = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::error!(app = %workload.app, error = %error, source, "An app could not be brought back");
                }
            })
            .await;
        let wanted: BTreeSet<&AppName> = desired.iter().map(|workload| &workload.app).collect();
        for app in known.iter().filter(|app| !wanted.contains(app)) {
            self.reconcile_stranger(app).await?;
        }
        Ok(())
    }

    async fn reconcile_app(&self, workload: &Workload) -> Result<(), TargetError> {
        let lock = self.lock_of(&workload.app);
        let Ok(highest) = lock.try_lock() else { return Ok(()) };
        if *highest > workload.version {
            return Ok(());
        }
        let members = self.members(Some(&workload.app)).await?;
        let mut plan = Plan::new(workload, members, may_stay);
        let mut web = Vec::new();
        for member in plan.kept {
            if self.revive(&member).await? {
                web.extend(web_backend(&member.slot, &member.id, member.address));
            } else {
                let process = workload.processes.iter().find(|process| process.name == member.slot.process);
                plan.missing.extend(process.map(|process| (member.slot, process)));
            }
        }
        for (slot, process) in &plan.missing {
            if let Some(started) = self.bring_back(workload, process, slot).await? {
                web.extend(web_backend(slot, &started.id, started.address));
            }
        }
        self.route_what_listens(workload, web).await?;
        let (leave, end): (Vec<_>, Vec<_>) = plan
            .superfluous
            .into_iter()
            .partition(|member| member.version > workload.version && self.is_young(member));
        if !leave.is_empty() {
            tracing::info!(app = %workload.app, containers = leave.len(), "Left containers of a newer release alone");
        }
        self.retire(end);
        Ok(())
    }

    /// Without a workload: its containers are ended once they are old enough, its route goes with the last of them.
    async fn reconcile_stranger(&self, app: &AppName) -> Result<(), TargetError> {
        let lock = self.lock_of(app);
        let Ok(highest) = lock.try_lock() else { return Ok(()) };
        let members = self.members(Some(app)).await?;
        if *highest > 0 || members.iter().any(|member| self.is_young(member)) {
            return Ok(());
        }
        tracing::info!(%app, containers = members.len(), "Ending an app that is not there any more");
        self.router.remove_route(app).await?;
        self.retire(members);
        Ok(())
    }

    /// Starts a container again that somebody ended; one that the engine restarts is the engine's. `false` if it
    /// cannot be started any more (its port was taken meanwhile): it was removed, its place is empty.
    async fn revive(&self, member: &Member) -> Result<bool, TargetError> {
        if !member.is_running() && !member.is_restarting() {
            tracing::info!(app = %member.app, process = %member.slot, "Starting a process again");
            match self.docker.start_container(&member.id, None::<StartContainerOptions>).await {
                Ok(()) => {}
                Err(Error::DockerResponseServerError { message, .. }) => {
                    tracing::warn!(app = %member.app, process = %member.slot, message, "Making a process anew");
                    self.discard(&member.id).await;
                    return Ok(false);
                }
                Err(source) => return Err(TargetError::Engine { doing: "start a container again", source }),
            }
        }
        if member.standing == Standing::OnTrial {
            self.release(&member.id).await?;
        }
        Ok(true)
    }

    /// A container in an empty place. What keeps it from starting is logged, not the end.
    async fn bring_back(
        &self,
        workload: &Workload,
        process: &Process,
        slot: &Slot,
    ) -> Result<Option<Started>, TargetError> {
        tracing::info!(app = %workload.app, process = %slot, "A process is missing: starting it");
        match self.start(workload, process, slot, &CancellationToken::new()).await {
            Ok(started) => {
                self.release(&started.id).await?;
                Ok(Some(started))
            }
            Err(error) => {
                tracing::error!(app = %workload.app, process = %slot, error = %error, "A process could not be started");
                Ok(None)
            }
        }
    }

    /// The route gets those that listen; if none does within `SETTLE`, all of them, for when they do.
    async fn route_what_listens(
        &self,
        workload: &Workload,
        web: Vec<(String, SocketAddr)>,
    ) -> Result<(), TargetError> {
        let port = workload.processes.iter().find(|process| process.name.is_web()).and_then(|web| web.port);
        let deadline = tokio::time::Instant::now() + SETTLE;
        let mut listening = Vec::new();
        for (id, address) in &web {
            while !self.listens(id, *address, port.unwrap_or_default()).await {
                if tokio::time::Instant::now() >= deadline {
                    break;
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            if self.listens(id, *address, port.unwrap_or_default()).await {
                listening.push(*address);
            }
        }
        let all = || web.iter().map(|(_, address)| *address).collect();
        let backends = if listening.is_empty() { all() } else { listening };
        let route = Route { version: workload.version, backends };
        if self.router.routes().await?.get(&workload.app) != Some(&route) {
            self.router.set_route(&workload.app, &route).await?;
        }
        Ok(())
    }

    fn is_young(&self, member: &Member) -> bool {
        let age = jiff::Timestamp::now().duration_since(member.created);
        age < jiff::SignedDuration::try_from(self.settings.strangers_after)
            .unwrap_or(jiff::SignedDuration::MAX)
    }
}

/// One that was released may be started again. One on trial stays only if it runs: else it has failed.
fn may_stay(member: &Member) -> bool {
    member.is_running() || member.is_restarting() || member.standing == Standing::Released
}

fn web_backend(slot: &Slot, id: &str, address: Option<SocketAddr>) -> Option<(String, SocketAddr)> {
    address.filter(|_| slot.process.is_web()).map(|address| (id.to_owned(), address))
}
