//! What is wrong with a pod, read off its status. Pure: how long a trouble is borne is `watch`'s business.

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod};

use crate::target::failure;
pub(super) use crate::target::failure::Kind;

/// One trouble of one pod, or of the ReplicaSet that cannot make its pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) kind: Kind,
    /// The pod and its container; both empty where no pod could be made.
    pub(super) pod: String,
    pub(super) container: String,
    /// What happened, as the end of a sentence that begins with the process type.
    pub(super) what: String,
}

/// The pod's trouble; `None` while it starts or runs as it should.
pub(super) fn of_pod(pod: &Pod) -> Option<Trouble> {
    let status = pod.status.as_ref()?;
    let name = pod.metadata.name.clone().unwrap_or_default();
    let mut inits = status.init_container_statuses.iter().flatten().filter(|init| !has_done_its_work(init));
    let mut containers = status.container_statuses.iter().flatten();
    let trouble = inits.find_map(of_container).or_else(|| containers.find_map(of_container));
    if let Some((kind, container, what)) = trouble {
        return Some(Trouble { kind, pod: name, container, what });
    }
    let condition =
        |type_: &str| status.conditions.iter().flatten().find(|condition| condition.type_ == type_);
    if let Some(scheduled) = condition("PodScheduled").filter(|condition| condition.status == "False") {
        let why = scheduled.message.clone().unwrap_or_default();
        let what = format!("finds no node to run on: {why}");
        return Some(Trouble { kind: Kind::Unschedulable, pod: name, container: String::new(), what });
    }
    let idle = status
        .container_statuses
        .iter()
        .flatten()
        .find(|container| is_running(container) && !container.ready)?;
    let what = "runs, but is not ready".to_owned();
    Some(Trouble { kind: Kind::NotReady, pod: name, container: idle.name.clone(), what })
}

/// Why the ReplicaSet cannot make its pods; it says so itself.
pub(super) fn of_replica_set(set: &ReplicaSet) -> Option<Trouble> {
    let conditions = set.status.as_ref()?.conditions.as_ref()?;
    let failure = conditions
        .iter()
        .find(|condition| condition.type_ == "ReplicaFailure" && condition.status == "True")?;
    Some(of_refusal(failure.message.as_deref().unwrap_or_default()))
}

/// The apiserver refuses the pods, with this message.
pub(super) fn of_refusal(message: &str) -> Trouble {
    let kind = if message.contains("violates PodSecurity") {
        Kind::PodSecurity
    } else if message.contains("exceeded quota") || message.contains("failed quota") {
        Kind::Quota
    } else {
        Kind::Refused
    };
    let what = format!("gets no pod: {message}");
    Trouble { kind, pod: String::new(), container: String::new(), what }
}

fn is_running(container: &ContainerStatus) -> bool {
    container.state.as_ref().is_some_and(|state| state.running.is_some())
}

fn has_done_its_work(init: &ContainerStatus) -> bool {
    let ended = init.state.as_ref().and_then(|state| state.terminated.as_ref());
    ended.is_some_and(|ended| ended.exit_code == 0)
}

fn of_container(container: &ContainerStatus) -> Option<(Kind, String, String)> {
    let state = container.state.as_ref()?;
    // A kubelet does not always come to say CrashLoopBackOff: seen were four restarts with the container "terminated"
    // in between. One restart is borne, as it may have been a race with what the process needs.
    if state.terminated.is_some() && container.restart_count > 0 {
        let (kind, what) = crash(container);
        return Some((kind, container.name.clone(), what));
    }
    let waiting = state.waiting.as_ref()?;
    let message = waiting.message.clone().unwrap_or_default();
    let (kind, what) = match waiting.reason.as_deref()? {
        "CrashLoopBackOff" => crash(container),
        "RunContainerError" => (Kind::Start, format!("cannot be started: {message}")),
        "CreateContainerConfigError" if message.contains("runAsNonRoot") => {
            (Kind::Root, format!("is not started: {message}"))
        }
        "CreateContainerConfigError" | "CreateContainerError" => {
            (Kind::Config, format!("is not started: {message}"))
        }
        "InvalidImageName" | "ErrImageNeverPull" => (Kind::NoSuchImage, format!("gets no image: {message}")),
        "ErrImagePull" | "ImagePullBackOff" => (Kind::of_pull(&message), format!("gets no image: {message}")),
        _ => return None,
    };
    Some((kind, container.name.clone(), what))
}

fn crash(container: &ContainerStatus) -> (Kind, String) {
    let ended = [&container.state, &container.last_state]
        .into_iter()
        .find_map(|state| state.as_ref().and_then(|state| state.terminated.as_ref()));
    let Some(ended) = ended else {
        return (Kind::Crash, format!("ended again and again ({} restarts)", container.restart_count));
    };
    let times = container.restart_count + 1;
    match ended.reason.as_deref() {
        Some("OOMKilled") => (
            Kind::OutOfMemory,
            format!(
                "was killed because it used more memory than its limit (OOMKilled), {times} times so far"
            ),
        ),
        Some("StartError" | "ContainerCannotRun") => {
            (Kind::Start, format!("cannot be started: {}", ended.message.clone().unwrap_or_default()))
        }
        _ => {
            let code = i64::from(ended.exit_code);
            let how = failure::ended(code, &after(ended));
            (Kind::of_exit(code), format!("{how}, {times} times so far"))
        }
    }
}

fn after(ended: &ContainerStateTerminated) -> String {
    match (&ended.started_at, &ended.finished_at) {
        (Some(start), Some(end)) => match end.0.as_second() - start.0.as_second() {
            ..=0 => " at once".to_owned(),
            seconds => format!(" after {seconds} s"),
        },
        _ => String::new(),
    }
}

#[cfg(test)]
#[path = "trouble_tests.rs"]
mod tests;
