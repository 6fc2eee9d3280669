//! Writes an app's objects, each only over a version that is not above the fence.

use std::fmt::Debug;

use futures::future::{join, join_all};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{DeleteParams, Preconditions, PropagationPolicy};
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::autoscaler;
use super::cluster::{Cluster, Fault, doing};
use super::fields::replicas_are_foreign;
use super::live::Live;
use super::manifest::{self, Blueprint};
use super::objects;
use super::rule::Pin;
use super::watch::Watched;
use crate::target::Process;

/// Times that one write is tried when the object changed between our look and our write (its status does all the time).
const ATTEMPTS: usize = 8;

/// Writes the workload's objects, all Deployments at once, and returns what to watch.
///
/// All writes are waited for even when one was refused: none may arrive after the way back has begun.
pub(super) async fn everything(
    cluster: &Cluster,
    live: &Live,
    blueprint: Blueprint<'_>,
    fence: i64,
) -> Result<Vec<Watched>, Fault> {
    // Pods need both from their first moment on.
    let (secrets, service) =
        join(secrets(cluster, blueprint), service(cluster, live, blueprint, fence)).await;
    secrets.and(service)?;
    let writes = blueprint.workload.processes.iter().map(|process| async {
        let name = objects::deployment_name(&blueprint.workload.app, &process.name);
        let autoscaled = live.autoscaled.contains(&name);
        let make =
            |found: Option<&Deployment>| blueprint.deployment(process, replicas(process, found, autoscaled));
        let found = live.owned.deployments.get(&name).cloned();
        let written = fenced(cluster, &name, found, fence, make).await?;
        Ok(watched(&blueprint, process, &written))
    });
    let watched = join_all(writes).await.into_iter().collect::<Result<_, _>>()?;
    autoscaler::everything(cluster, live, blueprint, fence).await?;
    Ok(watched)
}

async fn secrets(cluster: &Cluster, blueprint: Blueprint<'_>) -> Result<(), Fault> {
    let secrets: Vec<_> = blueprint.env_secret().into_iter().chain(blueprint.pull_secret()).collect();
    let writes = secrets.iter().map(|secret| async {
        let name = secret.name_any();
        cluster.apply(&name, secret).await.map(drop)
    });
    join_all(writes).await.into_iter().collect()
}

async fn service(cluster: &Cluster, live: &Live, blueprint: Blueprint<'_>, fence: i64) -> Result<(), Fault> {
    let mut processes = blueprint.workload.processes.iter();
    let Some(web) = processes.find(|process| process.name.is_web()) else { return Ok(()) };
    let service = blueprint.service(web);
    let name = service.name_any();
    let found = live.owned.services.get(&name).cloned();
    fenced(cluster, &name, found, fence, |_| service.clone()).await.map(drop)
}

/// Deletes the object unless its version is above the fence, and only in the state in which that was seen. Gone already
/// is fine.
pub(super) async fn delete<K>(cluster: &Cluster, seen: &K, fence: i64) -> Result<(), Fault>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    delete_by(cluster, seen, fence, PropagationPolicy::Background).await
}

/// The same, but what it has made stays.
pub(super) async fn delete_alone<K>(cluster: &Cluster, seen: &K, fence: i64) -> Result<(), Fault>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    delete_by(cluster, seen, fence, PropagationPolicy::Orphan).await
}

async fn delete_by<K>(
    cluster: &Cluster,
    seen: &K,
    fence: i64,
    propagation: PropagationPolicy,
) -> Result<(), Fault>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let name = seen.name_any();
    let api = cluster.api::<K>();
    let mut live = Some(seen.clone());
    let mut attempt = 1;
    while let Some(found) = live.filter(|found| objects::version_of(found.meta()) <= fence) {
        let params = DeleteParams {
            propagation_policy: Some(propagation.clone()),
            preconditions: Some(Preconditions {
                uid: found.uid(),
                resource_version: found.resource_version(),
            }),
            ..Default::default()
        };
        match cluster.call(&doing::<K>("deleting", &name), || api.delete(&name, &params)).await {
            Err(fault) if fault.is_conflict() && attempt < ATTEMPTS => live = cluster.get(&name).await?,
            Err(fault) if fault.is_missing() => break,
            other => return other.map(drop),
        }
        attempt += 1;
    }
    Ok(())
}

/// The number of replicas to write; `None` leaves it to whoever has set it.
///
/// The formation's quantity is written to what is new, and where somebody has asked for it since the last write. Else
/// the live number stays: an autoscaler or a person with kubectl has it on purpose. As long as the field is only ours,
/// leaving it out would reset it to 1, so the live number is written once more then.
fn replicas(process: &Process, found: Option<&Deployment>, autoscaled: bool) -> Option<i32> {
    let quantity = i32::try_from(process.quantity).unwrap_or(i32::MAX);
    let Some(found) = found else { return Some(quantity) };
    let asked = process.scale.asked > objects::asked_of(&found.metadata);
    if asked && (quantity == 0 || !autoscaled) {
        return Some(quantity);
    }
    if replicas_are_foreign(found) {
        return None;
    }
    found.spec.as_ref().and_then(|spec| spec.replicas).or(Some(quantity))
}

pub(super) fn watched(blueprint: &Blueprint<'_>, process: &Process, written: &Deployment) -> Watched {
    Watched {
        label: process.name.to_string(),
        deployment: written.name_any(),
        pin: Pin {
            version: blueprint.workload.version,
            generation: written.metadata.generation.unwrap_or(0),
            images: vec![(process.name.to_string(), blueprint.workload.image_of(process).to_owned())],
        },
        start_limit: manifest::start_limit(process),
        settle: std::time::Duration::ZERO,
    }
}

/// Applies over exactly what was seen, looking again whenever somebody was faster.
pub(super) async fn fenced<K>(
    cluster: &Cluster,
    name: &str,
    mut live: Option<K>,
    fence: i64,
    make: impl Fn(Option<&K>) -> K,
) -> Result<K, Fault>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + Serialize
        + Debug,
{
    let mut attempt = 1;
    loop {
        if live.as_ref().is_some_and(|live| objects::version_of(live.meta()) > fence) {
            return Err(Fault::Newer);
        }
        let mut object = make(live.as_ref());
        object.meta_mut().resource_version = live.as_ref().and_then(ResourceExt::resource_version);
        match cluster.apply(name, &object).await {
            Err(fault) if fault.is_conflict() && attempt < ATTEMPTS => live = cluster.get(name).await?,
            answer => return answer,
        }
        attempt += 1;
    }
}
