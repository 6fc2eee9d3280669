//! Which Deployments an app adopts, found and checked before the first of them is patched.

use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt;

use super::adopted_patch;
use super::cluster::{Cluster, Fault};
use super::halt::Halt;
use super::objects::{self, ADOPTED_BY, VERSION};
use super::watch;
use crate::target::{AdoptedSet, Adoption, Workload};

/// The adopted Deployments, all of them or a refusal.
pub(super) async fn find(cluster: &Cluster, set: &AdoptedSet) -> Result<Vec<Deployment>, Halt> {
    let namespace = cluster.namespace();
    match set {
        AdoptedSet::Selector(selector) => {
            let found = cluster.list::<Deployment>(selector).await?;
            if found.is_empty() {
                return Err(Halt::Failed(format!(
                    "No Deployment in namespace {namespace} matches {selector}. {}",
                    existing(cluster).await?
                )));
            }
            Ok(found)
        }
        AdoptedSet::Names(names) => {
            let mut found = Vec::new();
            for name in names {
                match cluster.get::<Deployment>(name).await? {
                    Some(deployment) => found.push(deployment),
                    None => {
                        return Err(Halt::Failed(format!(
                            "There is no Deployment {name} in namespace {namespace}. {}",
                            existing(cluster).await?
                        )));
                    }
                }
            }
            Ok(found)
        }
    }
}

async fn existing(cluster: &Cluster) -> Result<String, Fault> {
    let names: Vec<_> = cluster.list::<Deployment>("").await?.iter().map(ResourceExt::name_any).collect();
    Ok(if names.is_empty() {
        "There are none at all there; check the namespace.".to_owned()
    } else {
        format!("There are: {}.", names.join(", "))
    })
}

/// All that can be refused before the first patch.
pub(super) fn check(
    cluster: &Cluster,
    found: &[Deployment],
    next: &Workload,
    adoption: &Adoption,
) -> Result<(), Halt> {
    for deployment in found {
        let name = deployment.name_any();
        if adopted_patch::images(deployment, &adoption.containers).is_empty() {
            let has: Vec<_> =
                super::rule::containers(deployment).map(|container| container.name.as_str()).collect();
            return Err(Halt::Failed(format!(
                "Deployment {name} has no container named {}; it has {}. Nothing was changed. Name one of these and push \
                 again.",
                adoption.containers.join(" or "),
                has.join(", ")
            )));
        }
        let app = objects::annotation(&deployment.metadata, ADOPTED_BY);
        if app.is_some_and(|app| app != next.app.as_str()) {
            return Err(Halt::Failed(format!(
                "Deployment {name} is moved by the app {} already. Nothing was changed. Take it out of one of the two; if \
                 that app is no more: `kubectl annotate deployment {name} -n {} {ADOPTED_BY}- {VERSION}-`.",
                app.unwrap_or_default(),
                cluster.namespace()
            )));
        }
        if deployment.spec.as_ref().is_some_and(|spec| spec.paused == Some(true)) {
            return Err(Halt::Failed(watch::paused(cluster, &name)));
        }
        if objects::version_of(&deployment.metadata) > next.version {
            return Err(Fault::Newer.into());
        }
    }
    Ok(())
}
