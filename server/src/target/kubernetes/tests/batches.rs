//! Batches as Jobs with real pods.

use bytes::Bytes;
use k8s_openapi::api::batch::v1::Job;
use tokio::sync::mpsc;

use super::*;
use crate::domain::ids::BatchId;
use crate::target::batch::{Batch, Ended, Take};

async fn batch(line: &str) -> Batch {
    Batch {
        id: BatchId::new(),
        name: "release".to_owned(),
        dyno: "release.1".to_owned(),
        of: workload(7, Vec::new()).await,
        command: shell(line),
        environment: Default::default(),
        take: Take::StartOrFollow,
        limits: Limits { memory: Some(64 << 20), millicpu: None },
        deadline: LIMIT,
    }
}

/// Runs it to its end: how it ended, and what it wrote.
async fn run(target: &KubernetesTarget, batch: &Batch) -> (Result<Ended, RolloutError>, String) {
    let (output, listener) = mpsc::channel(64);
    let stop = CancellationToken::new();
    let running = async {
        let ended = target.run_batch(batch, &output, &stop).await;
        drop(output);
        ended
    };
    tokio::time::timeout(LIMIT, async { tokio::join!(running, text(listener)) }).await.expect("in time")
}

async fn text(mut listener: mpsc::Receiver<Bytes>) -> String {
    let mut text = Vec::new();
    while let Some(chunk) = listener.recv().await {
        text.extend_from_slice(&chunk);
    }
    String::from_utf8_lossy(&text).into_owned()
}

async fn until_says(listener: &mut mpsc::Receiver<Bytes>, words: &str) {
    let heard = async {
        let mut text = String::new();
        while !text.contains(words) {
            text.push_str(&String::from_utf8_lossy(&listener.recv().await.expect("more output")));
        }
    };
    tokio::time::timeout(LIMIT, heard).await.expect("in time");
}

async fn failure(stage: &Stage, batch: &Batch) -> String {
    match run(&stage.target, batch).await {
        (Err(RolloutError::Failed(text)), _) => text,
        other => panic!("expected a failure, got {other:?}"),
    }
}

#[tokio::test]
async fn a_job_tells_its_output_and_its_exit_status_and_is_made_once() {
    let Some(stage) = Stage::set_up(&[]).await else { return };
    let failing = batch("echo $GREETING from the job; exit 3").await;
    let (ended, text) = run(&stage.target, &failing).await;
    assert_eq!((ended.expect("runs"), text.as_str()), (Ended::Exited(3), "hello from the job\n"));
    // As after a crash before the end was stored.
    let (again, text) = run(&stage.target, &failing).await;
    assert_eq!((again.expect("ran"), text.as_str()), (Ended::Exited(3), "hello from the job\n"));
    assert_eq!(stage.pods().await.len(), 1);

    // Another batch of the same name and version: the app was destroyed and made again.
    let (ended, text) = run(&stage.target, &batch("echo anew").await).await;
    assert_eq!((ended.expect("runs"), text.as_str()), (Ended::Exited(0), "anew\n"));
    let left = stage.target.batches().await.expect("an answer");
    assert_eq!(left.len(), 1);
    stage.target.end_batch(&left[0].object).await.expect("it ends");
    assert_eq!(stage.target.batches().await.expect("an answer").len(), 0);
    assert_eq!(stage.pods().await, Vec::<String>::new());
    stage.tear_down().await;
}

#[tokio::test]
async fn a_job_that_runs_is_followed_on_and_one_that_is_stopped_leaves_no_pod() {
    let Some(stage) = Stage::set_up(&[]).await else { return };
    let slow = batch("echo begun; sleep 600").await;
    let (output, mut listener) = mpsc::channel(64);
    let (target, own) = (stage.target.clone(), slow.clone());
    let running =
        tokio::spawn(async move { target.run_batch(&own, &output, &CancellationToken::new()).await });
    until_says(&mut listener, "begun").await;
    // The server is killed and starts again.
    running.abort();
    let pods = stage.pods().await;
    let (output, mut listener) = mpsc::channel(64);
    let (target, stop) = (stage.target.clone(), CancellationToken::new());
    let own_stop = stop.clone();
    let running = tokio::spawn(async move { target.run_batch(&slow, &output, &own_stop).await });
    until_says(&mut listener, "begun").await;
    assert_eq!(stage.pods().await, pods);
    stop.cancel();
    let ended = tokio::time::timeout(LIMIT, running).await.expect("in time").expect("no panic");
    assert!(matches!(ended, Err(RolloutError::Interrupted)), "{ended:?}");
    assert_eq!(stage.target.cluster.list::<Job>("").await.expect("an answer"), []);
    assert_eq!(stage.pods().await, Vec::<String>::new());
    stage.tear_down().await;
}

#[tokio::test]
async fn at_its_deadline_a_job_is_ended() {
    let Some(stage) = Stage::set_up(&[]).await else { return };
    let slow = Batch { deadline: Duration::from_secs(3), ..batch("echo begun; sleep 600").await };
    let (ended, text) = run(&stage.target, &slow).await;
    assert_eq!((ended.expect("ends"), text.as_str()), (Ended::TimedOut, "begun\n"));
    stage.tear_down().await;
}

#[tokio::test]
async fn a_job_that_cannot_run_is_told_with_its_cause() {
    let Some(stage) = Stage::set_up(&[]).await else { return };
    let missing = Batch { command: Command::Argv(vec!["/no-such-program".to_owned()]), ..batch("").await };
    let text = failure(&stage, &missing).await;
    assert!(text.contains("cannot be started") && text.contains("no-such-program"), "{text}");
    let mut gone = batch("true").await;
    gone.of.image = format!("{}-gone", gone.of.image);
    let text = failure(&stage, &gone).await;
    assert!(text.contains("gets no image"), "{text}");
    let hungry = batch("exec python3 -c 'x = bytearray(200 << 20)'").await;
    assert_eq!(run(&stage.target, &hungry).await.0.expect("ends"), Ended::OutOfMemory);
    stage.tear_down().await;
}

#[tokio::test]
async fn a_job_that_gets_no_pod_is_told_why() {
    let Some(stage) = Stage::set_up(&[("pod-security.kubernetes.io/enforce", "restricted")]).await else {
        return;
    };
    // Allowed there; what the quota then forbids is found in the events of the Job.
    stage
        .create::<k8s_openapi::api::core::v1::ResourceQuota>(serde_json::json!({
            "metadata": { "name": "none" }, "spec": { "hard": { "pods": "0" } }
        }))
        .await;
    let text = failure(&stage, &batch("true").await).await;
    assert!(text.contains("exceeded quota") && text.contains("ResourceQuota"), "{text}");
    stage.tear_down().await;
}
