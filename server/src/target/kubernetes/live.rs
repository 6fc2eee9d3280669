//! What of an app is in the cluster, looked at before anything is written.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::{Namespace, Secret, Service};
use kube::ResourceExt;
use kube::api::Api;

use super::cluster::{Cluster, Fault, doing};
use super::cron;
use super::halt::Halt;
use super::objects;
use super::pod_spec::RunAs;
use super::watch;
use crate::domain::names::AppName;
use crate::target::Workload;

/// The label by which a namespace demands a level of pod security.
const ENFORCED_LEVEL: &str = "pod-security.kubernetes.io/enforce";

/// An app's live objects, and what else a release has to know.
pub(super) struct Live {
    pub(super) owned: Owned,
    /// Deployments whose replicas an autoscaler sets, whoever has made it.
    pub(super) autoscaled: BTreeSet<String>,
    pub(super) run_as: RunAs,
}

/// All objects of an app that are ours, by their names: those of process types, config and entries of cron that it no
/// longer has included.
pub(super) struct Owned {
    pub(super) deployments: BTreeMap<String, Deployment>,
    /// Named as the Deployments are.
    pub(super) autoscalers: BTreeMap<String, HorizontalPodAutoscaler>,
    pub(super) services: BTreeMap<String, Service>,
    /// Without what is in them.
    pub(super) secrets: BTreeMap<String, Secret>,
    pub(super) cron_jobs: BTreeMap<String, CronJob>,
}

impl Owned {
    /// Reads them all, with the autoscalers of the whole namespace.
    pub(super) async fn list(
        cluster: &Cluster,
        platform: &str,
        app: &AppName,
    ) -> Result<(Self, Vec<HorizontalPodAutoscaler>), Fault> {
        let selector = objects::owned_selector(platform, app);
        let (deployments, services, mut secrets, autoscalers, cron_jobs) = tokio::try_join!(
            cluster.list::<Deployment>(&selector),
            cluster.list::<Service>(&selector),
            cluster.list::<Secret>(&selector),
            autoscalers(cluster),
            cron::of(cluster, platform, app),
        )?;
        secrets.iter_mut().for_each(|secret| secret.data = None);
        let ours = autoscalers.iter().filter(|found| objects::is_ours(&found.metadata, platform, app));
        let owned = Self {
            deployments: by_name(deployments),
            autoscalers: by_name(ours.cloned()),
            services: by_name(services),
            secrets: by_name(secrets),
            cron_jobs: by_name(cron_jobs),
        };
        Ok((owned, autoscalers))
    }
}

fn by_name<K: ResourceExt>(objects: impl IntoIterator<Item = K>) -> BTreeMap<String, K> {
    objects.into_iter().map(|found| (found.name_any(), found)).collect()
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
        let ((owned, autoscalers), run_as) =
            tokio::try_join!(Owned::list(cluster, platform, &workload.app), run_as(cluster))?;
        let autoscaled = autoscalers.iter().filter_map(scaled_deployment).collect();
        let live = Self { owned, autoscaled, run_as };
        live.check_fence(fence)?;
        live.check_strangers(cluster, workload).await?;
        Ok(live)
    }

    fn check_fence(&self, fence: i64) -> Result<(), Fault> {
        let highest = self.owned.deployments.values().map(|found| objects::version_of(&found.metadata)).max();
        if highest.is_some_and(|version| version > fence) { Err(Fault::Newer) } else { Ok(()) }
    }

    async fn check_strangers(&self, cluster: &Cluster, workload: &Workload) -> Result<(), Halt> {
        for process in &workload.processes {
            let name = objects::deployment_name(&workload.app, &process.name);
            match self.owned.deployments.get(&name) {
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
        let service = objects::service_name(&workload.app);
        let has_web = workload.processes.iter().any(|process| process.name.is_web());
        if has_web
            && !self.owned.services.contains_key(&service)
            && cluster.get::<Service>(&service).await?.is_some()
        {
            return Err(stranger("Service", &service, cluster));
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
