//! Puts back what went missing while nobody deployed.

use super::KubernetesTarget;
use super::apply;
use super::cron;
use super::live::Live;
use super::objects;
use super::overview::{Overview, Seen, cron_differences, difference};
use crate::target::{Process, RolloutError, Workload};

/// What a look at an app's objects led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reconciled {
    /// All is as released; nothing was written.
    Unchanged,
    /// The current release was applied again; the reasons, for the log.
    Applied(Vec<String>),
}

impl KubernetesTarget {
    /// The workloads of which something is not as it was released, by one look at all of them together. Adopted
    /// Deployments are their owners' business between releases.
    pub(crate) async fn adrift<'a>(
        &self,
        desired: &'a [Workload],
    ) -> Result<Vec<&'a Workload>, RolloutError> {
        let overview = Overview::look(&self.cluster, &self.platform).await?;
        let owned = desired.iter().filter(|workload| workload.adopted.is_none());
        Ok(owned.filter(|workload| overview.differs(workload)).collect())
    }

    /// Applies the current release again where one of its owned objects is gone or runs another image. It does not wait
    /// for the pods.
    pub(crate) async fn reconcile(&self, desired: &Workload) -> Result<Reconciled, RolloutError> {
        if desired.adopted.is_some() {
            return Ok(Reconciled::Unchanged);
        }
        let live = Live::survey(&self.cluster, &self.platform, desired, desired.version).await?;
        let differs = |process: &Process| {
            let name = objects::deployment_name(&desired.app, &process.name);
            let found = live.owned.deployments.get(&name).map(Seen::of);
            difference(desired, process, found.as_ref(), live.owned.autoscalers.contains_key(&name))
        };
        let mut reasons: Vec<_> = desired.processes.iter().filter_map(differs).collect();
        let service = objects::service_name(&desired.app);
        let web = desired.processes.iter().any(|process| process.name.is_web());
        if web && !live.owned.services.contains_key(&service) {
            reasons.push(format!("Service {service} is gone"));
        }
        if let Some(name) = objects::env_secret_name(desired)
            && !live.owned.secrets.contains_key(&name)
        {
            reasons.push(format!("Secret {name} is gone"));
        }
        let cron_jobs = live.owned.cron_jobs.iter();
        let versions = cron_jobs.map(|(name, found)| (name.clone(), objects::version_of(&found.metadata)));
        reasons.extend(cron_differences(desired, &versions.collect()));
        if reasons.is_empty() {
            return Ok(Reconciled::Unchanged);
        }
        let blueprint = self.blueprint(desired, &live);
        apply::everything(&self.cluster, &live, blueprint, desired.version).await?;
        Box::pin(cron::everything(&self.cluster, blueprint, desired.version)).await?;
        Ok(Reconciled::Applied(reasons))
    }
}
