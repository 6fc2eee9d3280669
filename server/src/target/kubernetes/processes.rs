//! What runs, for `ps`.

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::ResourceExt;

use super::KubernetesTarget;
use super::adopted_set;
use super::cluster::{Cluster, Fault};
use super::fields::selector_text;
use super::halt::Halt;
use super::objects::{self, COMPONENT};
use super::pod_spec::unescape;
use crate::domain::names::{AppName, ProcessType};
use crate::target::{Adoption, ProcessStatus, RolloutError};

/// The longest name of a process type; an adopted Deployment's name may be longer.
const LONGEST_TYPE: usize = 30;

/// A pod of an app, and what it is to the app.
pub(super) struct AppPod {
    pub(super) pod: Pod,
    pub(super) process_type: ProcessType,
    version: i64,
}

impl KubernetesTarget {
    /// All pods of the app, sorted by name; those on their way out too.
    pub(crate) async fn processes(
        &self,
        app: &AppName,
        adopted: Option<&Adoption>,
    ) -> Result<Vec<ProcessStatus>, RolloutError> {
        let (_, pods) = self.pods(app, adopted).await?;
        Ok(pods.iter().map(status).collect())
    }

    /// The app's pods and the cluster handle (with its namespace) in which they are.
    pub(super) async fn pods(
        &self,
        app: &AppName,
        adopted: Option<&Adoption>,
    ) -> Result<(Cluster, Vec<AppPod>), Halt> {
        let (cluster, mut pods) = match adopted {
            None => (self.cluster.clone(), self.owned_pods(app).await?),
            Some(adoption) => {
                let cluster = self.cluster.in_namespace(&adoption.namespace);
                let mut pods = Vec::new();
                for deployment in adopted_set::find(&cluster, &adoption.deployments).await? {
                    pods.extend(adopted_pods(&cluster, &deployment).await?);
                }
                (cluster, pods)
            }
        };
        pods.sort_by_key(|found| found.pod.name_any());
        Ok((cluster, pods))
    }

    async fn owned_pods(&self, app: &AppName) -> Result<Vec<AppPod>, Fault> {
        let selector = objects::owned_selector(&self.platform, app);
        let (sets, pods) = tokio::try_join!(
            self.cluster.list::<ReplicaSet>(&selector),
            self.cluster.list::<Pod>(&selector)
        )?;
        let of = |pod: Pod| {
            let process_type = objects::label(&pod.metadata, COMPONENT)?.parse().ok()?;
            let version = version_in(&sets, &pod);
            Some(AppPod { pod, process_type, version })
        };
        Ok(pods.into_iter().filter_map(of).collect())
    }
}

async fn adopted_pods(cluster: &Cluster, deployment: &Deployment) -> Result<Vec<AppPod>, Fault> {
    let selector = selector_text(deployment);
    let (sets, pods) =
        tokio::try_join!(cluster.list::<ReplicaSet>(&selector), cluster.list::<Pod>(&selector))?;
    let process_type = type_named_like(&deployment.name_any());
    let of = |pod: Pod| AppPod { version: version_in(&sets, &pod), process_type: process_type.clone(), pod };
    Ok(pods.into_iter().map(of).collect())
}

/// Deployments hand their annotations on to their current ReplicaSet, so an old pod's says the old version.
fn version_in(sets: &[ReplicaSet], pod: &Pod) -> i64 {
    let owned_by = |set: &&ReplicaSet| {
        pod.owner_references().iter().any(|owner| Some(&owner.uid) == set.metadata.uid.as_ref())
    };
    sets.iter().find(owned_by).map_or(0, |set| objects::version_of(&set.metadata))
}

/// An adopted Deployment's name as a process type, cut and cleaned where it has to be.
fn type_named_like(deployment: &str) -> ProcessType {
    let text: String = deployment
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(LONGEST_TYPE)
        .collect();
    let text = text.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    text.parse().unwrap_or_else(|_| ProcessType::web())
}

pub(super) fn status(found: &AppPod) -> ProcessStatus {
    let pod = &found.pod;
    let statuses =
        || pod.status.as_ref().and_then(|status| status.container_statuses.as_deref()).unwrap_or_default();
    let restarts: i32 = statuses().iter().map(|container| container.restart_count).sum();
    ProcessStatus {
        name: pod.name_any(),
        process_type: found.process_type.clone(),
        state: state(pod, statuses()).to_owned(),
        version: found.version,
        restarts: u32::try_from(restarts).unwrap_or(0),
        since: since(pod, statuses()),
        command: command(pod),
    }
}

fn state(pod: &Pod, containers: &[ContainerStatus]) -> &'static str {
    let failing = |container: &ContainerStatus| {
        let state = container.state.as_ref();
        let waits =
            state.and_then(|state| state.waiting.as_ref()).and_then(|waiting| waiting.reason.as_deref());
        waits == Some("CrashLoopBackOff") || state.is_some_and(|state| state.terminated.is_some())
    };
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    if pod.metadata.deletion_timestamp.is_some() || phase == Some("Succeeded") {
        "down"
    } else if phase == Some("Failed") || containers.iter().any(failing) {
        "crashed"
    } else if !containers.is_empty() && containers.iter().all(|container| container.ready) {
        "up"
    } else {
        "starting"
    }
}

/// When the process last began; before it ever did, when its pod was made.
fn since(pod: &Pod, containers: &[ContainerStatus]) -> jiff::Timestamp {
    let started = containers.iter().filter_map(|container| {
        container.state.as_ref()?.running.as_ref()?.started_at.as_ref().map(|time| time.0)
    });
    let created = pod.creation_timestamp().map(|time| time.0);
    started.max().or(created).unwrap_or_else(jiff::Timestamp::now)
}

fn command(pod: &Pod) -> String {
    let containers = pod.spec.as_ref().map(|spec| spec.containers.as_slice()).unwrap_or_default();
    let words = containers.first().and_then(|container| container.command.as_deref()).unwrap_or_default();
    words.iter().map(|word| unescape(word)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn state_of(status: Value) -> &'static str {
        let pod: Pod = serde_json::from_value(json!({ "metadata": {}, "status": status })).expect("a pod");
        let containers = pod.status.as_ref().and_then(|status| status.container_statuses.clone());
        state(&pod, &containers.unwrap_or_default())
    }

    fn container(ready: bool, state: Value) -> Value {
        json!({ "phase": "Running", "containerStatuses": [
            { "name": "web", "image": "i", "imageID": "", "restartCount": 0, "ready": ready, "state": state }
        ] })
    }

    #[test]
    fn states_are_told_in_herokus_words() {
        assert_eq!(state_of(json!({ "phase": "Pending" })), "starting");
        assert_eq!(state_of(container(false, json!({ "running": {} }))), "starting");
        assert_eq!(state_of(container(true, json!({ "running": {} }))), "up");
        assert_eq!(
            state_of(container(false, json!({ "waiting": { "reason": "CrashLoopBackOff" } }))),
            "crashed"
        );
        assert_eq!(state_of(container(false, json!({ "terminated": { "exitCode": 1 } }))), "crashed");
    }

    #[test]
    fn an_adopted_deployments_name_becomes_a_process_type() {
        assert_eq!(type_named_like("shop-api").as_str(), "shop-api");
        assert_eq!(type_named_like(&format!("{}-x", "a".repeat(29))).as_str(), "a".repeat(29));
        assert_eq!(type_named_like("shop.api").as_str(), "shop-api");
    }
}
