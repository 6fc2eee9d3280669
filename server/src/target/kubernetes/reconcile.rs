//! Puts back what went missing while nobody deployed.

use super::KubernetesTarget;
use super::apply;
use super::live::Live;
use super::objects;
use super::rule;
use crate::target::{Process, RolloutError, Workload};

use k8s_openapi::api::core::v1::Secret;

/// What a look at an app's objects led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reconciled {
    /// All is as released; nothing was written.
    Unchanged,
    /// The current release was applied again; the reasons, for the log.
    Applied(Vec<String>),
}

impl KubernetesTarget {
    /// Applies the current release again where one of its owned objects is gone or runs another image. It does not wait
    /// for the pods. Adopted Deployments are their owners' business between releases.
    pub(crate) async fn reconcile(&self, desired: &Workload) -> Result<Reconciled, RolloutError> {
        if desired.adopted.is_some() {
            return Ok(Reconciled::Unchanged);
        }
        let live = Live::survey(&self.cluster, &self.platform, desired, desired.version).await?;
        let mut reasons: Vec<_> =
            desired.processes.iter().filter_map(|process| difference(desired, process, &live)).collect();
        let web = desired.processes.iter().any(|process| process.name.is_web());
        if web && live.service.is_none() {
            reasons.push(format!("Service {} is gone", objects::service_name(&desired.app)));
        }
        if let Some(name) = objects::env_secret_name(desired)
            && self.cluster.get::<Secret>(&name).await?.is_none()
        {
            reasons.push(format!("Secret {name} is gone"));
        }
        if reasons.is_empty() {
            return Ok(Reconciled::Unchanged);
        }
        let blueprint = self.blueprint(desired, &live);
        apply::everything(&self.cluster, &live, blueprint, desired.version).await?;
        Ok(Reconciled::Applied(reasons))
    }
}

fn difference(desired: &Workload, process: &Process, live: &Live) -> Option<String> {
    let name = objects::deployment_name(&desired.app, &process.name);
    let Some(found) = live.deployments.get(&name) else {
        return Some(format!("Deployment {name} is gone"));
    };
    if process.scale.asked > objects::asked_of(&found.metadata) {
        return Some(format!("Deployment {name} has not the number that was asked for"));
    }
    if process.scale.autoscale.is_some() != live.autoscalers.contains_key(&name) {
        return Some(format!("the autoscaler of {name} is not as it was set"));
    }
    let container = rule::containers(found).find(|container| container.name == process.name.as_str());
    let image = container.and_then(|container| container.image.as_deref());
    (image != Some(desired.image_of(process)))
        .then(|| format!("Deployment {name} runs {}", image.unwrap_or("no such container")))
}
