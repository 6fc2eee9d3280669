//! What is wrong with a pod, read off its status. Pure: how long a trouble is borne is `watch`'s business.

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod};

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

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// Ended by itself, again and again.
    Crash,
    OutOfMemory,
    /// The container could not be started: no such command, say.
    Start,
    /// A Secret, a key or a user that the container needs is not there.
    Config,
    /// Runs as root where that is forbidden.
    Root,
    NoSuchImage,
    PullDenied,
    /// The registry cannot be asked at the moment.
    PullStalled,
    Unschedulable,
    /// Runs, and does not answer its check.
    NotReady,
    PodSecurity,
    Quota,
    /// The apiserver refuses the pods for another reason.
    Refused,
}

impl Kind {
    /// What the user can do about it.
    pub(super) fn next_step(self) -> &'static str {
        match self {
            Self::Crash => "Find the cause in the log above, correct it and push again",
            Self::OutOfMemory => {
                "Raise the memory limit of this process type, or let it use less, and push again"
            }
            Self::Start => "Check the command: the Procfile's line, or the Dockerfile's ENTRYPOINT and CMD",
            Self::Config => "Make what is missing available in the namespace and push again",
            Self::Root => {
                "This namespace forbids root: end the Dockerfile with a numeric user, such as `USER 1000`"
            }
            Self::NoSuchImage => {
                "Check that the nodes pull from the registry that the platform pushes to, and push again"
            }
            Self::PullDenied => "Give the platform the registry's credentials for pulling and push again",
            Self::PullStalled => "Check that the nodes can reach the registry's pull address, and push again",
            Self::Unschedulable => "Lower the limits or the quantity of this process type, or add nodes",
            Self::NotReady => {
                "Let it listen on 0.0.0.0 and on the port in $PORT (not on one of its own), and answer in time"
            }
            Self::PodSecurity => {
                "Change the pod template to fit the namespace's pod security level, or the level (label pod-security.kubernetes.io/enforce)"
            }
            Self::Quota => {
                "Raise the namespace's ResourceQuota, or lower the limits or the quantity of this process type"
            }
            Self::Refused => "Correct what the sentence above names, or ask who runs the cluster",
        }
    }
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
        "ErrImagePull" | "ImagePullBackOff" => (pull(&message), format!("gets no image: {message}")),
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
        _ => (Kind::Crash, format!("{}, {times} times so far", exit(ended))),
    }
}

fn exit(ended: &ContainerStateTerminated) -> String {
    let after = match (&ended.started_at, &ended.finished_at) {
        (Some(start), Some(end)) => match end.0.as_second() - start.0.as_second() {
            ..=0 => " at once".to_owned(),
            seconds => format!(" after {seconds} s"),
        },
        _ => String::new(),
    };
    match ended.exit_code {
        0 => format!("ended by itself{after} with exit code 0 (a process type has to keep running)"),
        // A shell reports the signal that ended its child as 128 and its number.
        code @ 129..=159 => format!("was ended by signal {}{after} (exit code {code})", code - 128),
        code => format!("exited with code {code}{after}"),
    }
}

/// Registries answer in their own words; these are the ones that no waiting helps.
fn pull(message: &str) -> Kind {
    let message = message.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if says(&["unauthorized", "denied", "authentication required", "forbidden", "401", "403"]) {
        Kind::PullDenied
    } else if says(&["not found", "manifest unknown", "does not exist", "invalid reference"]) {
        Kind::NoSuchImage
    } else {
        Kind::PullStalled
    }
}

#[cfg(test)]
#[path = "trouble_tests.rs"]
mod tests;
