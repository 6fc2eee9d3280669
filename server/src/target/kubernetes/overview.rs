//! What of all apps is in the cluster, in a few words of each object: a thousand apps are not asked for one by one.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::{Secret, Service};
use kube::ResourceExt;

use super::cluster::{Cluster, Fault};
use super::objects::{self, MANAGED_BY, MANAGER, PLATFORM};
use super::rule;
use crate::target::{Process, Workload};

/// See the module. All are names of what is ours.
pub(super) struct Overview {
    deployments: BTreeMap<String, Seen>,
    services: BTreeSet<String>,
    secrets: BTreeSet<String>,
    autoscalers: BTreeSet<String>,
    /// With the version that each is of.
    cron_jobs: BTreeMap<String, i64>,
}

/// What matters of a Deployment between releases.
#[derive(Debug)]
pub(super) struct Seen {
    asked: i64,
    /// Of each container, by its name.
    images: BTreeMap<String, String>,
}

impl Overview {
    pub(super) async fn look(cluster: &Cluster, platform: &str) -> Result<Self, Fault> {
        let selector = format!("{MANAGED_BY}={MANAGER},{PLATFORM}={platform}");
        let mut deployments = BTreeMap::new();
        let mut see = |found: Deployment| {
            deployments.insert(found.name_any(), Seen::of(&found));
        };
        cluster.visit(&selector, &mut see).await?;
        let autoscalers = match cluster.names::<HorizontalPodAutoscaler>(&selector).await {
            // As in a look at one app.
            Err(fault) if fault.is_forbidden() => BTreeSet::new(),
            other => other?,
        };
        let mut cron_jobs = BTreeMap::new();
        let mut see = |found: CronJob| {
            cron_jobs.insert(found.name_any(), objects::version_of(&found.metadata));
        };
        match cluster.visit(&selector, &mut see).await {
            Err(fault) if fault.is_forbidden() => {}
            other => other?,
        }
        Ok(Self {
            deployments,
            services: cluster.names::<Service>(&selector).await?,
            secrets: cluster.names::<Secret>(&selector).await?,
            autoscalers,
            cron_jobs,
        })
    }

    /// Whether something of the workload is not as it was released.
    pub(super) fn differs(&self, desired: &Workload) -> bool {
        let web = desired.processes.iter().any(|process| process.name.is_web());
        let missing = web && !self.services.contains(&objects::service_name(&desired.app))
            || objects::env_secret_name(desired).is_some_and(|name| !self.secrets.contains(&name));
        missing
            || cron_differences(desired, &self.cron_jobs).next().is_some()
            || desired.processes.iter().any(|process| self.difference(desired, process).is_some())
    }

    fn difference(&self, desired: &Workload, process: &Process) -> Option<String> {
        let name = objects::deployment_name(&desired.app, &process.name);
        difference(desired, process, self.deployments.get(&name), self.autoscalers.contains(&name))
    }
}

impl Seen {
    pub(super) fn of(deployment: &Deployment) -> Self {
        let image = |container: &k8s_openapi::api::core::v1::Container| {
            (container.name.clone(), container.image.clone().unwrap_or_default())
        };
        Self {
            asked: objects::asked_of(&deployment.metadata),
            images: rule::containers(deployment).map(image).collect(),
        }
    }
}

/// In what a Deployment is not as it was released, as the end of a sentence.
pub(super) fn difference(
    desired: &Workload,
    process: &Process,
    found: Option<&Seen>,
    autoscaled: bool,
) -> Option<String> {
    let name = objects::deployment_name(&desired.app, &process.name);
    let Some(found) = found else { return Some(format!("Deployment {name} is gone")) };
    if process.scale.asked > found.asked {
        return Some(format!("Deployment {name} has not the number that was asked for"));
    }
    if process.scale.autoscale.is_some() != autoscaled {
        return Some(format!("the autoscaler of {name} is not as it was set"));
    }
    let image = found.images.get(process.name.as_str()).map(String::as_str);
    (image != Some(desired.image_of(process)))
        .then(|| format!("Deployment {name} runs {}", image.unwrap_or("no such container")))
}

/// Which CronJobs are not as they were released, as ends of sentences; `found` has the version of each that is there.
pub(super) fn cron_differences(
    desired: &Workload,
    found: &BTreeMap<String, i64>,
) -> impl Iterator<Item = String> {
    let names = desired.cron.iter().map(|entry| objects::cron_job_name(&desired.app, &entry.name));
    let missing = names.filter(|name| found.get(name).is_none_or(|version| *version < desired.version));
    missing.map(|name| format!("CronJob {name} is gone, or of an earlier release"))
}
