//! Batches: what runs beside the processes to its end.

use bytes::Bytes;
use tokio::sync::mpsc;

use super::*;
use crate::domain::ids::BatchId;
use crate::target::batch::{Batch, Ended, Take};

fn batch(line: &str) -> Batch {
    Batch {
        id: BatchId::new(),
        name: "release".to_owned(),
        dyno: "release.1".to_owned(),
        of: workload(7, Vec::new()),
        command: Command::Argv(["/bin/sh", "-c", line].map(str::to_owned).to_vec()),
        environment: Default::default(),
        take: Take::StartOrFollow,
        limits: Limits::default(),
        deadline: PATIENCE,
    }
}

/// Runs it to its end: how it ended, and what it wrote.
async fn run(target: &DockerTarget, batch: &Batch) -> (Result<Ended, RolloutError>, String) {
    let (output, listener) = mpsc::channel(64);
    let stop = CancellationToken::new();
    let running = async {
        let ended = target.run_batch(batch, &output, &stop).await;
        drop(output);
        ended
    };
    tokio::time::timeout(PATIENCE, async { tokio::join!(running, text(listener)) }).await.expect("in time")
}

async fn text(mut listener: mpsc::Receiver<Bytes>) -> String {
    let mut text = Vec::new();
    while let Some(chunk) = listener.recv().await {
        text.extend_from_slice(&chunk);
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// The chunk with these words has come.
async fn until_says(listener: &mut mpsc::Receiver<Bytes>, words: &str) {
    let heard = async {
        let mut text = String::new();
        while !text.contains(words) {
            text.push_str(&String::from_utf8_lossy(&listener.recv().await.expect("more output")));
        }
    };
    tokio::time::timeout(PATIENCE, heard).await.expect("in time");
}

async fn remove(stage: &Stage) {
    for leftover in stage.target.batches(None).await.expect("a list") {
        stage.target.end_batch(&leftover.object).await;
    }
}

#[tokio::test]
async fn a_batch_tells_its_output_and_its_exit_status_as_long_as_it_is_there() {
    let Some(stage) = stage().await else { return };
    let mut batch = batch("echo $GREETING from $DYNO; echo wrong >&2; exit 3");
    batch.of.config.insert("GREETING".parse().expect("a key"), "hello".to_owned().into());
    let (ended, text) = run(&stage.target, &batch).await;
    assert_eq!(ended.expect("runs"), Ended::Exited(3));
    assert!(text.contains("hello from release.1\n") && text.contains("wrong\n"), "{text}");
    // As after a crash before the end was stored.
    let again = run(&stage.restarted().target, &batch).await;
    assert_eq!((again.0.expect("ran"), again.1), (Ended::Exited(3), text));
    assert_eq!(stage.containers().await.len(), 1);
    remove(&stage).await;
    assert_eq!(stage.containers().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_server_that_starts_again_follows_the_container_that_runs() {
    let Some(stage) = stage().await else { return };
    let batch = batch("echo begun; while [ ! -e /tmp/go ]; do sleep 0.1; done; echo done");
    let (output, mut listener) = mpsc::channel(64);
    let (target, own, stop) = (stage.target.clone(), batch.clone(), CancellationToken::new());
    let running = tokio::spawn(async move { target.run_batch(&own, &output, &stop).await });
    until_says(&mut listener, "begun").await;
    running.abort();

    let server = stage.restarted();
    let id = server.ids().await.into_keys().next().expect("a container");
    let touch =
        bollard::exec::CreateExecOptions { cmd: Some(vec!["touch", "/tmp/go"]), ..Default::default() };
    let touch = stage.docker.create_exec(&id, touch).await.expect("an exec");
    stage.docker.start_exec(&touch.id, None).await.expect("touches");
    let (ended, text) = run(&server.target, &batch).await;
    assert_eq!((ended.expect("ran"), text.as_str()), (Ended::Exited(0), "begun\ndone\n"));
    assert_eq!(server.ids().await.into_keys().collect::<Vec<_>>(), [id]);
}

#[tokio::test]
async fn at_its_deadline_it_is_ended_with_its_last_words() {
    let Some(stage) = stage().await else { return };
    let mut batch = batch("trap 'echo farewell; exit 9' TERM; echo begun; while true; do sleep 0.1; done");
    batch.deadline = Duration::from_secs(1);
    let (ended, text) = run(&stage.target, &batch).await;
    assert_eq!(ended.expect("ends"), Ended::TimedOut);
    assert_eq!(text, "begun\nfarewell\n");
}

#[tokio::test]
async fn one_that_is_stopped_leaves_nothing() {
    let Some(stage) = stage().await else { return };
    let (output, mut listener) = mpsc::channel(64);
    let (target, stop) = (stage.target.clone(), CancellationToken::new());
    let (own, own_stop) = (batch("echo begun; sleep 600"), stop.clone());
    let running = tokio::spawn(async move { target.run_batch(&own, &output, &own_stop).await });
    until_says(&mut listener, "begun").await;
    stop.cancel();
    let ended = tokio::time::timeout(PATIENCE, running).await.expect("in time").expect("no panic");
    assert!(matches!(ended, Err(RolloutError::Interrupted)), "{ended:?}");
    assert_eq!(stage.containers().await, Vec::<String>::new());
}

#[tokio::test]
async fn one_that_is_only_followed_is_not_started() {
    let Some(stage) = stage().await else { return };
    let gone = Batch { take: Take::Follow, ..batch("true") };
    let (ended, _) = run(&stage.target, &gone).await;
    let Err(RolloutError::Failed(text)) = ended else { panic!("{ended:?}") };
    assert!(text.contains("it was not found any more"), "{text}");
    assert_eq!(stage.containers().await, Vec::<String>::new());
}

#[tokio::test]
async fn what_cannot_be_run_is_told_and_leaves_nothing() {
    let Some(stage) = stage().await else { return };
    let mut gone = batch("true");
    gone.of.image = "127.0.0.1:1/no/such:image".to_owned();
    let (ended, _) = run(&stage.target, &gone).await;
    let Err(RolloutError::Failed(text)) = ended else { panic!("{ended:?}") };
    assert!(text.contains("release could not be started") && text.contains("could not be pulled"), "{text}");
    assert_eq!(stage.containers().await, Vec::<String>::new());

    // The engine refuses a program that is not there, unless its init is what it starts.
    let missing = Batch { command: Command::Argv(vec!["./no-such-program".to_owned()]), ..batch("") };
    match run(&stage.target, &missing).await {
        (Ok(ended), text) => {
            assert!(ended == Ended::Exited(127) && text.contains("no-such-program"), "{text}")
        }
        (Err(RolloutError::Failed(text)), _) => assert!(text.contains("no-such-program"), "{text}"),
        (other, _) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_batch_is_no_process_and_goes_with_its_app() {
    let Some(stage) = stage().await else { return };
    let desired = [workload(7, vec![web("one")])];
    stage.roll_out(&desired[0]).await.expect("runs");
    let (output, mut listener) = mpsc::channel(64);
    let (target, own) = (stage.target.clone(), batch("echo begun; sleep 600"));
    let running =
        tokio::spawn(async move { target.run_batch(&own, &output, &CancellationToken::new()).await });
    until_says(&mut listener, "begun").await;
    stage.target.reconcile(&desired).await.expect("reconciles");
    stage.settled().await;
    assert_eq!(stage.containers().await, ["blog-batch.release-v7", "blog-web-1-v7"]);
    let blog: AppName = "blog".parse().expect("a name");
    assert_eq!(stage.target.processes(&blog).await.expect("processes").len(), 1);
    stage.target.remove(&blog).await.expect("removes");
    assert_eq!(stage.containers().await, Vec::<String>::new());
    let ended = tokio::time::timeout(PATIENCE, running).await.expect("in time").expect("no panic");
    assert!(matches!(ended, Err(RolloutError::Failed(_)) | Ok(Ended::Exited(_))), "{ended:?}");
}
