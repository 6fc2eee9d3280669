//! When a rollout is over: kubectl's rule with what experience added to it. Pure.
//!
//! Against kubectl: the generation that our own write made is pinned (a status of the generation before it said
//! "complete" within milliseconds of every write); a missed deadline counts only when it names the ReplicaSet of the
//! current revision (after an undo the old one's stands there for a moment); a foreign write, a newer release and a
//! pause end the watch with their own answers.

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{Container, PodSpec, PodTemplateSpec};

use super::objects;

/// Kubernetes' own count of a Deployment's templates, on Deployment and ReplicaSet alike.
const REVISION: &str = "deployment.kubernetes.io/revision";

/// What we wrote and hold the live object against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pin {
    pub(super) version: i64,
    /// The generation that our write returned.
    pub(super) generation: i64,
    /// The images that we set: container (or init container) and image.
    pub(super) images: Vec<(String, String)>,
}

/// How far a rollout is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) desired: i32,
    pub(super) updated: i32,
    pub(super) total: i32,
    pub(super) available: i32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Kubernetes has not looked at our write yet.
    Unobserved,
    Waiting(Progress),
    Done(Progress),
    /// Kubernetes gave up; its sentence.
    DeadlineExceeded(String),
    Paused,
    /// Somebody else set another image: container and the image that stands there now.
    Overwritten {
        container: String,
        image: String,
    },
    /// A newer release of ours was written over it.
    Newer,
}

pub(super) fn judge(live: &Deployment, replica_set: Option<&str>, pin: &Pin) -> Verdict {
    if objects::version_of(&live.metadata) > pin.version {
        return Verdict::Newer;
    }
    let generation = live.metadata.generation.unwrap_or(0);
    if generation < pin.generation {
        return Verdict::Unobserved;
    }
    if let Some((container, image)) = foreign_image(live, pin) {
        return Verdict::Overwritten { container, image };
    }
    let Some(spec) = &live.spec else { return Verdict::Unobserved };
    if spec.paused == Some(true) {
        return Verdict::Paused;
    }
    let status = live.status.clone().unwrap_or_default();
    // A foreign write that left our images (an autoscaler's, say) raises the generation: then that one counts.
    if status.observed_generation.unwrap_or(0) < generation {
        return Verdict::Unobserved;
    }
    if let Some(sentence) = missed_deadline(live, replica_set) {
        return Verdict::DeadlineExceeded(sentence);
    }
    let progress = Progress {
        desired: spec.replicas.unwrap_or(1),
        updated: status.updated_replicas.unwrap_or(0),
        total: status.replicas.unwrap_or(0),
        available: status.available_replicas.unwrap_or(0),
    };
    let waits = progress.updated < progress.desired
        || progress.total > progress.updated
        || progress.available < progress.updated;
    if waits { Verdict::Waiting(progress) } else { Verdict::Done(progress) }
}

/// The ReplicaSet of the Deployment's current revision, among those that it owns.
///
/// The revision alone is not enough: when replicas change together with the template, the controller scales first and
/// says "observed" while the revision is still the old one. So the template has to be the same too.
pub(super) fn current_replica_set<'a>(
    live: &Deployment,
    replica_sets: &'a [ReplicaSet],
) -> Option<&'a ReplicaSet> {
    let uid = live.metadata.uid.as_deref()?;
    let revision = objects::annotation(&live.metadata, REVISION)?;
    replica_sets.iter().find(|set| {
        let owners = set.metadata.owner_references.as_deref().unwrap_or_default();
        owners.iter().any(|owner| owner.uid == uid)
            && objects::annotation(&set.metadata, REVISION) == Some(revision)
            && pod_spec(set.spec.as_ref().and_then(|spec| spec.template.as_ref()))
                == pod_spec(live.spec.as_ref().map(|spec| &spec.template))
    })
}

/// All containers of a Deployment's template, init containers first.
pub(super) fn containers(live: &Deployment) -> impl Iterator<Item = &Container> {
    let spec = live.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    spec.into_iter().flat_map(|spec| spec.init_containers.iter().flatten().chain(&spec.containers))
}

fn pod_spec(template: Option<&PodTemplateSpec>) -> Option<&PodSpec> {
    template?.spec.as_ref()
}

fn foreign_image(live: &Deployment, pin: &Pin) -> Option<(String, String)> {
    pin.images.iter().find_map(|(name, ours)| {
        let image = containers(live).find(|container| container.name == *name)?.image.as_deref()?;
        (image != ours).then(|| (name.clone(), image.to_owned()))
    })
}

fn missed_deadline(live: &Deployment, replica_set: Option<&str>) -> Option<String> {
    let name = format!("\"{}\"", replica_set?);
    let conditions = live.status.as_ref()?.conditions.as_ref()?;
    conditions
        .iter()
        .filter(|condition| condition.type_ == "Progressing")
        .filter(|condition| condition.reason.as_deref() == Some("ProgressDeadlineExceeded"))
        .filter_map(|condition| condition.message.clone())
        .find(|message| message.contains(&name))
}

#[cfg(test)]
#[path = "rule_tests.rs"]
mod tests;
