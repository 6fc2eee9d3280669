//! Releases of apps whose objects are ours: apply all, watch all, prune on success, go back as a whole on failure.

use std::collections::BTreeSet;

use k8s_openapi::api::batch::v1::Job;
use tokio::time::Instant;
use tracing::debug;

use super::KubernetesTarget;
use super::apply;
use super::cluster::Fault;
use super::cron;
use super::halt::{self, Halt};
use super::live::{Live, Owned};
use super::manifest::Blueprint;
use super::objects;
use super::watch::{self, Patience};
use crate::domain::names::AppName;
use crate::target::{RolloutError, Workload};
use crate::transcript::Transcript;

impl KubernetesTarget {
    pub(super) async fn roll_out_owned(
        &self,
        next: &Workload,
        previous: Option<&Workload>,
        transcript: &Transcript,
    ) -> Result<(), RolloutError> {
        let began = Instant::now();
        let live = Live::survey(&self.cluster, &self.platform, next, next.version).await?;
        debug!(ms = began.elapsed().as_millis(), "Looked at what is there");
        // Boxed, as are the ways on from here: a rollout is the deepest of all futures, and a thread's stack has an end.
        match Box::pin(self.put_in_place(next, &live, transcript)).await {
            Ok(()) => Ok(Box::pin(self.prune(next, previous, &live.owned)).await?),
            Err(Halt::Fault(fault @ (Fault::Newer | Fault::Unreachable { .. }))) => Err(fault.into()),
            Err(failure) => {
                halt::tell_failure(transcript, &failure).await;
                let went_back = Box::pin(self.go_back(next, previous, transcript)).await;
                Err(halt::after_going_back(&failure, went_back))
            }
        }
    }

    async fn put_in_place(&self, next: &Workload, live: &Live, transcript: &Transcript) -> Result<(), Halt> {
        let began = Instant::now();
        let watched =
            apply::everything(&self.cluster, live, self.blueprint(next, live), next.version).await?;
        debug!(ms = began.elapsed().as_millis(), "Wrote the objects");
        let began = Instant::now();
        watch::until_done(&self.cluster, &watched, &self.patience, transcript).await?;
        debug!(ms = began.elapsed().as_millis(), "All Deployments are done");
        Ok(Box::pin(cron::everything(&self.cluster, self.blueprint(next, live), next.version)).await?)
    }

    pub(super) fn blueprint<'a>(&'a self, workload: &'a Workload, live: &Live) -> Blueprint<'a> {
        Blueprint { platform: &self.platform, workload, run_as: live.run_as }
    }

    /// Puts `previous` back in place of `failed`, every process type of it, and says what runs now.
    async fn go_back(
        &self,
        failed: &Workload,
        previous: Option<&Workload>,
        transcript: &Transcript,
    ) -> Result<String, Halt> {
        let Some(previous) = previous else {
            self.delete_all(&failed.app, failed.version).await?;
            return Ok(format!("Nothing of {} runs now: there was no release before this one.", failed.app));
        };
        // The fence is the failed release's version: what it wrote is ours to take back, a newer one's is not.
        let live = Live::survey(&self.cluster, &self.platform, previous, failed.version).await?;
        let blueprint = self.blueprint(previous, &live);
        let watched = apply::everything(&self.cluster, &live, blueprint, failed.version).await?;
        Box::pin(cron::everything(&self.cluster, blueprint, failed.version)).await?;
        self.delete(&live.owned, &Keep::releases([Some(previous), None]), failed.version).await?;
        let patience = Patience { total: self.patience.going_back, ..self.patience.clone() };
        match watch::until_done(&self.cluster, &watched, &patience, transcript).await {
            Ok(()) => Ok(format!("v{} runs again, all process types of it.", previous.version)),
            Err(Halt::Fault(fault)) => Err(fault.into()),
            Err(Halt::Failed(why)) => {
                Ok(format!("v{} was put back, but is not healthy either:\n{why}", previous.version))
            }
        }
    }

    /// After success: process types that left the Procfile, and config that neither this release nor the one before uses.
    /// `found` was there before this release, which itself adds nothing that it does not keep.
    async fn prune(&self, next: &Workload, previous: Option<&Workload>, found: &Owned) -> Result<(), Fault> {
        let mut keep = Keep::releases([Some(next), previous]);
        // The release before keeps its config for a rollback, but not its process types.
        keep.deployments = Keep::releases([Some(next), None]).deployments;
        keep.cron = Keep::releases([Some(next), None]).cron;
        keep.service = next.processes.iter().any(|process| process.name.is_web());
        self.delete(found, &keep, next.version).await
    }

    /// Takes an app's owned objects away. Adopted Deployments stay as they are: they belong to somebody else.
    pub(crate) async fn remove(&self, app: &AppName) -> Result<(), RolloutError> {
        // First, so that they make no further Jobs.
        for cron_job in cron::of(&self.cluster, &self.platform, app).await? {
            apply::delete(&self.cluster, &cron_job, i64::MAX).await?;
        }
        for job in self.cluster.list::<Job>(&objects::owned_selector(&self.platform, app)).await? {
            apply::delete(&self.cluster, &job, i64::MAX).await?;
        }
        Ok(self.delete_all(app, i64::MAX).await?)
    }

    async fn delete_all(&self, app: &AppName, fence: i64) -> Result<(), Fault> {
        let (found, _) = Owned::list(&self.cluster, &self.platform, app).await?;
        self.delete(&found, &Keep::nothing(), fence).await
    }

    /// Deletes what is not to be kept, as far as its version is not above the fence.
    async fn delete(&self, found: &Owned, keep: &Keep, fence: i64) -> Result<(), Fault> {
        for (_, cron_job) in found.cron_jobs.iter().filter(|(name, _)| !keep.cron.contains(*name)) {
            // What it has started goes on to its end, as everywhere.
            apply::delete_alone(&self.cluster, cron_job, fence).await?;
        }
        for (_, autoscaler) in found.autoscalers.iter().filter(|(name, _)| !keep.deployments.contains(*name))
        {
            apply::delete(&self.cluster, autoscaler, fence).await?;
        }
        for (_, deployment) in found.deployments.iter().filter(|(name, _)| !keep.deployments.contains(*name))
        {
            apply::delete(&self.cluster, deployment, fence).await?;
        }
        for service in found.services.values().filter(|_| !keep.service) {
            apply::delete(&self.cluster, service, fence).await?;
        }
        for (_, secret) in found.secrets.iter().filter(|(name, _)| !keep.secrets.contains(*name)) {
            apply::delete(&self.cluster, secret, fence).await?;
        }
        Ok(())
    }
}

/// The names of what stays.
struct Keep {
    deployments: BTreeSet<String>,
    secrets: BTreeSet<String>,
    cron: BTreeSet<String>,
    service: bool,
}

impl Keep {
    fn nothing() -> Self {
        Self { deployments: BTreeSet::new(), secrets: BTreeSet::new(), cron: BTreeSet::new(), service: false }
    }

    /// All that these releases use.
    fn releases(releases: [Option<&Workload>; 2]) -> Self {
        let mut keep = Self::nothing();
        for workload in releases.into_iter().flatten() {
            let names = workload.processes.iter().map(|process| &process.name);
            keep.service |= names.clone().any(|name| name.is_web());
            keep.deployments.extend(names.map(|name| objects::deployment_name(&workload.app, name)));
            let cron = workload.cron.iter();
            keep.cron.extend(cron.map(|entry| objects::cron_job_name(&workload.app, &entry.name)));
            keep.secrets.extend(objects::env_secret_name(workload));
            keep.secrets.extend(workload.pull.as_ref().map(|_| objects::pull_secret_name(&workload.app)));
        }
        keep
    }
}
