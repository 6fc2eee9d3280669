//! Checks of app.json on a real cluster.

use super::*;
use crate::domain::health::{Ask, Checks, Probe};

fn probe(ask: Ask) -> Probe {
    Probe { ask, attempts: 2, timeout: 2, wait: 1, initial_delay: 0 }
}

fn command(line: &str) -> Ask {
    Ask::Command(["/bin/sh", "-c", line].map(str::to_owned).to_vec())
}

#[tokio::test]
async fn checks_become_probes_and_a_liveness_check_that_fails_starts_the_process_again() {
    let Some(stage) = Stage::set_up(&[]).await else { return };
    let mut next = healthy(1).await;
    next.processes[0].checks = Checks {
        startup: Some(probe(Ask::Listening { port: None })),
        readiness: Some(Probe { attempts: 4, ..probe(Ask::Listening { port: None }) }),
        liveness: None,
    };
    next.processes[1].command = shell("touch /tmp/alive; sleep 7; rm /tmp/alive; exec sleep 1000");
    next.processes[1].checks =
        Checks { liveness: Some(probe(command("test -e /tmp/alive"))), ..Checks::default() };
    stage.succeeds(&next, None).await;
    let web = stage.deployment("blog-web").await.expect("it is there");
    let container = rule::containers(&web).next().expect("one");
    let startup = container.startup_probe.as_ref().expect("a startup probe");
    assert_eq!((startup.failure_threshold, startup.period_seconds), (Some(2), Some(1)));
    assert_eq!(container.readiness_probe.as_ref().and_then(|probe| probe.failure_threshold), Some(4));
    assert!(startup.tcp_socket.is_some() && container.liveness_probe.is_none());
    wait_until(async || {
        let running = stage.target.processes(&next.app, None).await.expect("an answer");
        running.iter().any(|process| process.process_type.as_str() == "worker" && process.restarts > 0)
    })
    .await;
    stage.tear_down().await;
}

#[tokio::test]
async fn a_startup_check_that_fails_is_told_and_everything_goes_back() {
    let Some(stage) = Stage::set_up(&[]).await else { return };
    let first = healthy(1).await;
    stage.succeeds(&first, None).await;
    let mut next = changed(2).await;
    next.processes[1].checks =
        Checks { startup: Some(probe(command("echo not yet; exit 3"))), ..Checks::default() };
    let why = stage.fails(&next, Some(&first)).await;
    println!("{why}\n");
    for words in ["worker ", "Startup probe failed: not yet", "v1 runs again"] {
        assert!(why.contains(words), "`{words}` is not in:\n{why}");
    }
    stage.tear_down().await;
}

#[tokio::test]
async fn startup_uptime_is_how_long_a_pod_has_to_stay_ready() {
    let Some(stage) = Stage::set_up(&[]).await else { return };
    let mut next = healthy(1).await;
    next.processes[1].checks = Checks { startup: Some(probe(Ask::Uptime(7))), ..Checks::default() };
    stage.succeeds(&next, None).await;
    let worker = stage.deployment("blog-worker").await.expect("it is there");
    assert_eq!(worker.spec.and_then(|spec| spec.min_ready_seconds), Some(7));
    stage.tear_down().await;
}
