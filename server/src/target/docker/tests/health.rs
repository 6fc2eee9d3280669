//! Checks of app.json on a real engine.

use super::*;
use crate::domain::health::{Ask, Checks, Probe};

fn probe(ask: Ask) -> Probe {
    Probe { ask, attempts: 2, timeout: 2, wait: 1, initial_delay: 0 }
}

fn command(line: &str) -> Ask {
    Ask::Command(["/bin/sh", "-c", line].map(str::to_owned).to_vec())
}

fn http(path: &str) -> Ask {
    Ask::Http { path: path.to_owned(), port: None }
}

#[tokio::test]
async fn a_startup_check_that_fails_keeps_the_old_release_and_says_what_came_instead() {
    let Some(stage) = stage().await else { return };
    stage.roll_out(&workload(1, vec![web("one")])).await.expect("v1 runs");
    let checks = Checks { startup: Some(probe(http("/nothing"))), ..Checks::default() };
    let text = stage.failure(&workload(2, vec![Process { checks, ..web("two") }])).await;
    assert!(
        text.starts_with("web.1 runs, and its startup check (GET /nothing) failed 2 times: it answered 404"),
        "{text}"
    );
    let checks = Checks { readiness: Some(probe(command("echo not yet; exit 3"))), ..Checks::default() };
    let text = stage.failure(&workload(3, vec![Process { checks, ..web("two") }])).await;
    assert!(
        text.contains("readiness check") && text.contains("it ended with exit status 3: not yet"),
        "{text}"
    );
    stage.settled().await;
    assert_eq!(
        (stage.page().await.as_str(), stage.containers().await),
        ("one", vec!["blog-web-1-v1".to_owned()])
    );
}

#[tokio::test]
async fn checks_of_all_kinds_let_a_healthy_release_through_and_make_no_new_container() {
    let Some(stage) = stage().await else { return };
    let checks = |startup: Ask, readiness: Ask| Checks {
        startup: Some(probe(startup)),
        readiness: Some(probe(readiness)),
        liveness: None,
    };
    // A port beside the published one, which only the container's own address has.
    let line = "mkdir -p /tmp/www; echo one > /tmp/www/index.html; busybox httpd -p 9000 -h /tmp/www; \
                exec busybox httpd -f -p $PORT -h /tmp/www";
    let both = process("web", line, tcp());
    let first = checks(http("/"), Ask::Http { path: "/index.html".into(), port: Some(9000) });
    stage.roll_out(&workload(1, vec![Process { checks: first, ..both.clone() }])).await.expect("runs");
    let before = stage.ids().await;
    let second = checks(Ask::Uptime(1), Ask::Listening { port: Some(9000) });
    stage.roll_out(&workload(2, vec![Process { checks: second, ..both }])).await.expect("runs");
    assert_eq!(stage.ids().await, before, "what is asked before a release makes no other container");
}

#[tokio::test]
async fn a_process_whose_liveness_check_fails_is_started_again() {
    let Some(stage) = stage().await else { return };
    let checks = Checks { liveness: Some(probe(command("test -e /tmp/alive"))), ..Checks::default() };
    let forgets = worker("touch /tmp/alive; sleep 2; rm /tmp/alive; exec sleep 1000");
    stage.roll_out(&workload(1, vec![Process { checks, ..forgets }])).await.expect("runs");
    let started =
        async || stage.target.processes(&"blog".parse().expect("a name")).await.expect("a list")[0].since;
    let first = started().await;
    let soft = CancellationToken::new();
    let (target, watched) = (stage.target.clone(), soft.clone());
    let watch = tokio::spawn(async move { target.watch_liveness(watched).await });
    let again = async { while started().await == first {} };
    tokio::time::timeout(PATIENCE, again).await.expect("it is started again");
    assert_eq!(stage.containers().await, ["blog-worker-1-v1"]);
    soft.cancel();
    watch.await.expect("ends with the shutdown");
}
