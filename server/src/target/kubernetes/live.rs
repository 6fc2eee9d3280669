//! What of an app is in the cluster, looked at before anything is written.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{Namespace, Service};
use kube::ResourceExt;
use kube::api::Api;

use super::cluster::{Cluster, Fault, doing};
use super::halt::Halt;
use super::objects;
use super::pod_spec::RunAs;
use super::watch;
use crate::target::Workload;

/// The label by which a namespace demands a level of pod security.
const ENFORCED_LEVEL: &str = "pod-security.kubernetes.io/enforce";

/// An app's live objects.
pub(super) struct Live {
    /// All Deployments of the app, those of process types that it no longer has included.
    pub(super) deployments: BTreeMap<String, Deployment>,
    pub(super) service: Option<Service>,
    /// Deployments whose replicas an autoscaler sets, whoever has made it.
    pub(super) autoscaled: BTreeSet<String>,
    /// The app's own autoscalers, named as the Deployments are.
    pub(super) autoscalers: BTreeMap<String, HorizontalPodAutoscaler>,
    pub(super) run_as: RunAs,
}

impl Live {
    /// Reads it all, and refuses where an object of our name is somebody else's, is paused, or is of a version above
    /// `fence`. Nothing has been written by then.
    pub(super) async fn survey(
        cluster: &Cluster,
        platform: &str,
        workload: &Workload,
        fence: i64,
    ) -> Result<Self, Halt> {
        let selector = objects::owned_selector(platform, &workload.app);
        let service_name = objects::service_name(&workload.app);
        let (deployments, service, autoscalers, run_as) = tokio::try_join!(
            cluster.list::<Deployment>(&selector),
            cluster.get::<Service>(&service_name),
            autoscalers(cluster),
            run_as(cluster),
        )?;
        let deployments = deployments.into_iter().map(|found| (found.name_any(), found)).collect();
        let autoscaled = autoscalers.iter().filter_map(scaled_deployment).collect();
        let ours = autoscalers.into_iter();
        let ours = ours.filter(|found| objects::is_ours(&found.metadata, platform, &workload.app));
        let autoscalers = ours.map(|found| (found.name_any(), found)).collect();
        let live = Self { deployments, service, autoscaled, autoscalers, run_as };
        live.check_fence(fence)?;
        live.check_strangers(cluster, platform, workload).await?;
        Ok(live)
    }

    fn check_fence(&self, fence: i64) -> Result<(), Fault> {
        let highest = self.deployments.values().map(|found| objects::version_of(&found.metadata)).max();
        if highest.is_some_and(|version| version > fence) { Err(Fault::Newer) } else { Ok(()) }
    }

    async fn check_strangers(
        &self,
        cluster: &Cluster,
        platform: &str,
        workload: &Workload,
    ) -> Result<(), Halt> {
        for process in &workload.processes {
            let name = objects::deployment_name(&workload.app, &process.name);
            match self.deployments.get(&name) {
                Some(ours) if ours.spec.as_ref().is_some_and(|spec| spec.paused == Some(true)) => {
                    return Err(Halt::Failed(watch::paused(cluster, &name)));
                }
                Some(_) => {}
                None if cluster.get::<Deployment>(&name).await?.is_some() => {
                    return Err(stranger("Deployment", &name, cluster));
                }
                None => {}
            }
        }
        let foreign = |service: &Service| !objects::is_ours(&service.metadata, platform, &workload.app);
        let has_web = workload.processes.iter().any(|process| process.name.is_web());
        if has_web && self.service.as_ref().is_some_and(foreign) {
            return Err(stranger("Service", &objects::service_name(&workload.app), cluster));
        }
        Ok(())
    }
}

pub(super) fn stranger(kind: &str, name: &str, cluster: &Cluster) -> Halt {
    Halt::Failed(format!(
        "{kind} {name} in namespace {} was not made for this app by this platform, and is left alone. Rename or delete \
         it, or let the app adopt that Deployment.",
        cluster.namespace()
    ))
}

/// All of the namespace.
pub(super) async fn autoscalers(cluster: &Cluster) -> Result<Vec<HorizontalPodAutoscaler>, Fault> {
    match cluster.list::<HorizontalPodAutoscaler>("").await {
        // Who may not see autoscalers is told by `health`; here it is as if there were none.
        Err(fault) if fault.is_forbidden() => Ok(Vec::new()),
        other => other,
    }
}

fn scaled_deployment(scaler: &HorizontalPodAutoscaler) -> Option<String> {
    let target = &scaler.spec.as_ref()?.scale_target_ref;
    (target.kind == "Deployment").then(|| target.name.clone())
}

pub(super) async fn run_as(cluster: &Cluster) -> Result<RunAs, Fault> {
    let namespaces: Api<Namespace> = Api::all(cluster.client().clone());
    let name = cluster.namespace();
    let namespace =
        match cluster.call(&doing::<Namespace>("reading", name), || namespaces.get_opt(name)).await {
            Err(fault) if fault.is_forbidden() => None,
            other => other?,
        };
    let level = namespace.and_then(|found| found.labels().get(ENFORCED_LEVEL).cloned());
    Ok(if level.as_deref() == Some("restricted") { RunAs::NonRoot } else { RunAs::AsTheImageSays })
}
