//! The pod of a batch: where it stands, what it writes.

use bytes::Bytes;
use futures::AsyncReadExt;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, Pod};
use kube::api::LogParams;
use tokio::sync::mpsc;

use super::cluster::Cluster;
use super::evidence;
use crate::target::batch::Ended;

/// Bytes of output that are read at a time.
const CHUNK: usize = 16 * 1024;

/// Where a pod's one container stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stage {
    /// For a node, its image, its start.
    Waits,
    Runs,
    /// The error is a text for the user: it never ran.
    Ended(Result<Ended, String>),
}

pub(super) fn stage(pod: &Pod) -> Stage {
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_deref());
    let state = statuses.and_then(|statuses| statuses.first()?.state.as_ref());
    match state {
        Some(state) if state.running.is_some() => Stage::Runs,
        Some(state) => state.terminated.as_ref().map_or(Stage::Waits, |ended| Stage::Ended(end_of(ended))),
        None => Stage::Waits,
    }
}

fn end_of(ended: &ContainerStateTerminated) -> Result<Ended, String> {
    match ended.reason.as_deref() {
        Some("OOMKilled") => Ok(Ended::OutOfMemory),
        Some("StartError" | "ContainerCannotRun") => {
            Err(format!("it cannot be started: {}", ended.message.as_deref().unwrap_or_default().trim()))
        }
        _ => Ok(Ended::Exited(ended.exit_code.into())),
    }
}

/// How the Job has ended by its own account; the error is a text for the user.
pub(super) fn end_of_job(job: &Job) -> Option<Result<Ended, String>> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    let holds = |type_: &str| conditions.iter().find(|found| found.type_ == type_ && found.status == "True");
    if holds("Complete").is_some() {
        return Some(Ok(Ended::Exited(0)));
    }
    let failed = holds("Failed")?;
    if failed.reason.as_deref() == Some("DeadlineExceeded") {
        return Some(Ok(Ended::TimedOut));
    }
    let message = failed.message.as_deref().unwrap_or_default();
    Some(Err(format!("its pod was removed while it ran (a node that went, or somebody by hand): {message}")))
}

/// Sends the log after its first `sent` bytes, until the container has ended or the stream breaks; how many bytes were
/// sent by then.
pub(super) async fn copy_log(
    cluster: &Cluster,
    pod: &str,
    mut sent: usize,
    output: &mpsc::Sender<Bytes>,
) -> usize {
    let params = LogParams { follow: true, ..Default::default() };
    // No log yet: the next look asks again.
    let Ok(log) = cluster.api::<Pod>().log_stream(pod, &params).await else { return sent };
    let mut log = std::pin::pin!(log);
    let (mut at, mut chunk) = (0, vec![0; CHUNK]);
    while let Ok(read @ 1..) = log.read(&mut chunk).await {
        if at == 0 && evidence::is_gone(&chunk[..read]) {
            break;
        }
        let news = &chunk[sent.saturating_sub(at).min(read)..read];
        at += read;
        if !news.is_empty() {
            sent = at;
            // Nobody listens any more: the output is not wanted, the end still is.
            drop(output.send(Bytes::copy_from_slice(news)).await);
        }
    }
    sent
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn stage_of(state: Value) -> Stage {
        let pod = json!({ "metadata": {}, "status": { "containerStatuses": [
            { "name": "release", "image": "i", "imageID": "", "restartCount": 0, "ready": false, "state": state }
        ] } });
        stage(&serde_json::from_value(pod).expect("a pod"))
    }

    fn end(condition: Value) -> Option<Result<Ended, String>> {
        let job = json!({ "metadata": {}, "status": { "conditions": [condition] } });
        end_of_job(&serde_json::from_value(job).expect("a Job"))
    }

    #[test]
    fn an_exit_is_told_from_a_lack_of_memory_and_from_a_command_that_is_not_there() {
        assert_eq!(stage_of(json!({ "waiting": { "reason": "ContainerCreating" } })), Stage::Waits);
        assert_eq!(stage_of(json!({ "running": {} })), Stage::Runs);
        let ended = |exit: i32, reason: &str| {
            stage_of(
                json!({ "terminated": { "exitCode": exit, "reason": reason, "message": "no such file" } }),
            )
        };
        assert_eq!(ended(3, "Error"), Stage::Ended(Ok(Ended::Exited(3))));
        assert_eq!(ended(137, "OOMKilled"), Stage::Ended(Ok(Ended::OutOfMemory)));
        let text = "it cannot be started: no such file".to_owned();
        assert_eq!(ended(128, "StartError"), Stage::Ended(Err(text)));
    }

    #[test]
    fn a_job_that_is_about_to_fail_has_not_failed() {
        assert_eq!(end(json!({ "type": "FailureTarget", "status": "True" })), None);
        assert_eq!(end(json!({ "type": "Complete", "status": "True" })), Some(Ok(Ended::Exited(0))));
        let late = json!({ "type": "Failed", "status": "True", "reason": "DeadlineExceeded" });
        assert_eq!(end(late), Some(Ok(Ended::TimedOut)));
        assert!(matches!(end(json!({ "type": "Failed", "status": "True" })), Some(Err(_))));
    }
}
