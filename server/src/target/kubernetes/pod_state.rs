//! What a pod's status tells of its process, and the lines that say so. Pure.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, ContainerStatus, Pod};

use super::pod_spec::unescape;

/// What is worth knowing of a pod, without the pod.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct PodState {
    /// The container whose lines are read.
    pub(super) container: String,
    pub(super) command: String,
    pub(super) restarts: i32,
    /// When its present run began.
    started: Option<Timestamp>,
    ready: Option<(bool, Timestamp)>,
    /// How its last run ended.
    ended: Option<Ending>,
    /// When it was told to end.
    stopping: Option<Timestamp>,
    /// It will not run again.
    pub(super) over: bool,
}

#[derive(Debug, Clone, PartialEq)]
struct Ending {
    at: Timestamp,
    status: i32,
    out_of_memory: bool,
}

/// Lines of one moment.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Said {
    pub(super) at: Timestamp,
    pub(super) texts: Vec<String>,
}

impl PodState {
    pub(super) fn of(pod: &Pod) -> Self {
        let container = pod.spec.as_ref().and_then(|spec| spec.containers.first());
        let name = container.map(|container| container.name.clone()).unwrap_or_default();
        let command = container.and_then(|container| container.command.as_deref()).unwrap_or_default();
        let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_deref());
        let status = statuses.unwrap_or_default().iter().find(|status| status.name == name);
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        let deleted = pod.metadata.deletion_timestamp.as_ref().map(|time| time.0);
        let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or(0);
        Self {
            command: command.iter().map(|word| unescape(word)).collect::<Vec<_>>().join(" "),
            restarts: status.map_or(0, |status| status.restart_count),
            started: status
                .and_then(|status| Some(status.state.as_ref()?.running.as_ref()?.started_at.as_ref()?.0)),
            ready: ready(pod),
            ended: status.and_then(ending),
            stopping: deleted.map(|at| at.saturating_sub(SignedDuration::from_secs(grace)).unwrap_or(at)),
            over: matches!(phase, Some("Succeeded" | "Failed")),
            container: name,
        }
    }

    /// Whether there is something to read: a container that runs, or did.
    pub(super) fn has_run(&self) -> bool {
        self.started.is_some() || self.ended.is_some()
    }

    /// What has happened since `before`, in order of time. Told again for the same state it bears the same times, by which
    /// the log knows it. Kubernetes tells whole seconds, so each kind has a fraction of its own.
    pub(super) fn news(&self, before: &Self) -> Vec<Said> {
        let mut news = Vec::new();
        if let Some(ending) = self.ended.as_ref().filter(|_| self.ended != before.ended) {
            news.push(self.exit(ending));
        }
        if let Some(at) = self.started.filter(|_| self.started != before.started) {
            news.push(Said { at, texts: vec![format!("Starting process with command `{}`", self.command)] });
        }
        if let Some(at) = self.stopping.filter(|_| self.stopping != before.stopping) {
            let at = at.saturating_add(SignedDuration::from_millis(250)).unwrap_or(at);
            news.push(Said { at, texts: vec!["Stopping process with SIGTERM".to_owned()] });
        }
        news.extend(self.readiness(before));
        news.sort_by_key(|said| said.at);
        news
    }

    fn exit(&self, ending: &Ending) -> Said {
        let mut texts = Vec::new();
        if ending.out_of_memory {
            texts.push(
                "Error R15 (Memory quota vastly exceeded): the process was killed at its limit".to_owned(),
            );
        }
        texts.push(format!("Process exited with status {}", ending.status));
        if self.stopping.is_none() {
            texts.push("State changed from up to crashed".to_owned());
        }
        // The kubelet tells whole seconds: behind the lines of the last.
        let at = ending.at.saturating_add(SignedDuration::from_millis(999)).unwrap_or(ending.at);
        Said { at, texts }
    }

    fn readiness(&self, before: &Self) -> Option<Said> {
        let ((ready, at), was) = (self.ready?, before.ready);
        let running = self.started.is_some() && self.stopping.is_none();
        let text = match (ready, was) {
            (true, was) if was.is_none_or(|(was, _)| !was) => "State changed from starting to up",
            (false, Some((true, _))) if running => {
                "State changed from up to starting: it does not pass its readiness check, and gets no requests"
            }
            _ => return None,
        };
        // Behind the start, which may bear the same second.
        let at = at.saturating_add(SignedDuration::from_millis(500)).unwrap_or(at);
        Some(Said { at, texts: vec![text.to_owned()] })
    }
}

fn ready(pod: &Pod) -> Option<(bool, Timestamp)> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let ready = conditions.iter().find(|condition| condition.type_ == "Ready")?;
    Some((ready.status == "True", ready.last_transition_time.as_ref()?.0))
}

fn ending(status: &ContainerStatus) -> Option<Ending> {
    let terminated = |state: &Option<ContainerState>| state.as_ref()?.terminated.clone();
    let found: ContainerStateTerminated =
        terminated(&status.state).or_else(|| terminated(&status.last_state))?;
    let out_of_memory = found.reason.as_deref() == Some("OOMKilled");
    Some(Ending { at: found.finished_at.as_ref()?.0, status: found.exit_code, out_of_memory })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(ready: &str, container: Value, deleted: Value) -> PodState {
        let mut status = json!({ "name": "web", "image": "i", "imageID": "", "ready": ready == "True" });
        status.as_object_mut().expect("an object").extend(container.as_object().expect("an object").clone());
        let pod = json!({
            "metadata": { "deletionTimestamp": deleted, "deletionGracePeriodSeconds": 30 },
            "spec": { "containers": [{ "name": "web", "command": ["bin/web", "$(PORT)"] }] },
            "status": { "containerStatuses": [status], "conditions": [
                { "type": "Ready", "status": ready, "lastTransitionTime": "2026-11-26T10:00:02Z" } ] }
        });
        PodState::of(&serde_json::from_value(pod).expect("a pod"))
    }

    fn running() -> Value {
        json!({ "restartCount": 0, "state": { "running": { "startedAt": "2026-11-26T10:00:01Z" } } })
    }

    fn told(now: &PodState, before: &PodState) -> Vec<String> {
        now.news(before).into_iter().flat_map(|said| said.texts).collect()
    }

    #[test]
    fn start_readiness_and_its_loss_are_told_once() {
        let (fresh, up, lost) = (
            pod("False", running(), Value::Null),
            pod("True", running(), Value::Null),
            pod("False", running(), Value::Null),
        );
        let start = told(&fresh, &PodState::default());
        assert!(
            start.len() == 1 && start[0].starts_with("Starting process with command `bin/web"),
            "{start:?}"
        );
        assert_eq!(told(&up, &fresh), ["State changed from starting to up"]);
        assert_eq!(told(&up, &up), Vec::<String>::new());
        assert!(told(&lost, &up)[0].contains("readiness check"));
    }

    #[test]
    fn a_crash_for_want_of_memory_and_an_end_on_purpose_are_told_apart() {
        let ended = |reason: &str, code: i32| {
            json!({ "restartCount": 1, "state": { "waiting": { "reason": "CrashLoopBackOff" } }, "lastState": {
                "terminated": { "exitCode": code, "reason": reason, "finishedAt": "2026-11-26T10:00:05Z" } } })
        };
        let up = pod("True", running(), Value::Null);
        let said = pod("False", ended("OOMKilled", 137), Value::Null).news(&up);
        assert_eq!(said[0].at.to_string(), "2026-11-26T10:00:05.999Z");
        assert!(said[0].texts[0].starts_with("Error R15"), "{said:?}");
        assert_eq!(
            said[0].texts[1..],
            ["Process exited with status 137", "State changed from up to crashed"]
        );
        let said = told(&pod("False", ended("Error", 143), json!("2026-11-26T10:00:34Z")), &up);
        assert_eq!(said, ["Stopping process with SIGTERM", "Process exited with status 143"]);
    }
}
