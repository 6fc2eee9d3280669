//! Rollouts that fail, or are not wanted any more: the old release serves on, and the reason is told.

use bollard::query_parameters::KillContainerOptionsBuilder;

use super::*;

/// v1 serves; the next release does what it does; v1 serves on and nothing else is left.
async fn failure_of(next: Process) -> Option<String> {
    let stage = stage().await?;
    stage.roll_out(&workload(1, vec![web("one")])).await.expect("v1 runs");
    let text = stage.failure(&workload(2, vec![next])).await;
    println!("{text}");
    stage.settled().await;
    assert_eq!(stage.containers().await, ["blog-web-1-v1"]);
    assert_eq!(stage.page().await, "one");
    Some(text)
}

fn impatient(line: &str) -> Process {
    process("web", line, Check::Tcp { timeout: Duration::from_millis(1200) })
}

#[tokio::test]
async fn a_crash_at_once_shows_its_status_and_the_tail_of_its_log() {
    let line = "for i in $(seq 40); do echo line $i; done; sleep 0.2; echo oh no >&2; exit 3";
    let Some(text) = failure_of(process("web", line, tcp())).await else { return };
    assert!(text.starts_with("web.1 ended with exit status 3"), "{text}");
    assert!(
        text.contains("    oh no") && text.contains("    line 40") && !text.contains("line 20"),
        "{text}"
    );
}

#[tokio::test]
async fn a_command_that_is_not_there_is_named() {
    let Some(text) =
        failure_of(Process { command: Command::Argv(vec!["/no/such/server".into()]), ..web("") }).await
    else {
        return;
    };
    assert!(text.contains("/no/such/server"), "{text}");
    assert!(text.contains("Check the command"), "{text}");
}

#[tokio::test]
async fn a_process_that_never_listens_is_told_so() {
    let Some(text) = failure_of(impatient("exec sleep 1000")).await else { return };
    assert!(text.contains("PORT=5000") && text.contains("listens on no port at all"), "{text}");
    assert!(text.contains("It wrote nothing"), "{text}");
}

#[tokio::test]
async fn the_wrong_port_is_named() {
    let Some(text) = failure_of(impatient("echo up; exec busybox httpd -f -p 8000 -h /tmp")).await else {
        return;
    };
    assert!(text.contains(":8000: read the port from the variable PORT"), "{text}");
}

#[tokio::test]
async fn listening_on_loopback_only_is_named() {
    let Some(text) = failure_of(impatient("exec busybox httpd -f -p 127.0.0.1:5000 -h /tmp")).await else {
        return;
    };
    assert!(text.contains("127.0.0.1:5000 only") && text.contains("listen on 0.0.0.0"), "{text}");
}

#[tokio::test]
async fn an_answer_that_is_no_success_is_shown() {
    let check = Check::Http { path: "/health".into(), timeout: Duration::from_secs(1) };
    let Some(text) = failure_of(Process { check, ..web("one and more") }).await else { return };
    assert!(text.contains("answers GET /health with 404 Not Found"), "{text}");
}

#[tokio::test]
async fn too_much_memory_is_named() {
    let mut hungry = process("web", "exec python3 -c 'x = bytearray(300 << 20); input()'", tcp());
    hungry.limits.memory = Some(32 << 20);
    let Some(text) = failure_of(hungry).await else { return };
    assert!(text.contains("used more memory than its limit of 32") && text.contains("OOMKilled"), "{text}");
    assert!(
        text.ends_with("Raise the memory limit of this process type, or let it use less, and push again."),
        "{text}"
    );
}

#[tokio::test]
async fn one_bad_type_keeps_all_types_on_the_old_release() {
    let Some(stage) = stage().await else { return };
    stage.roll_out(&workload(1, vec![web("one"), worker("exec sleep 1000")])).await.expect("v1 runs");
    let text = stage.failure(&workload(2, vec![web("two"), worker("exit 9")])).await;
    assert!(text.starts_with("worker.1 ended with exit status 9"), "{text}");
    stage.settled().await;
    assert_eq!(stage.containers().await, ["blog-web-1-v1", "blog-worker-1-v1"]);
    assert_eq!(stage.page().await, "one");
}

/// As an engine does that is restarted.
#[tokio::test]
async fn a_container_that_is_ended_from_outside_is_not_the_releases_fault() {
    let Some(stage) = stage().await else { return };
    stage.roll_out(&workload(1, vec![web("one")])).await.expect("v1 runs");
    for signal in ["SIGTERM", "SIGKILL"] {
        let slow =
            workload(2, vec![process("web", "trap 'exit 0' TERM; while :; do sleep 0.1; done", tcp())]);
        let stop = async {
            let on_trial = async {
                loop {
                    if let Some(id) = stage.running("blog-web-1-v2").await {
                        return id;
                    }
                }
            };
            let id = tokio::time::timeout(PATIENCE, on_trial).await.expect("v2 on trial");
            let how = KillContainerOptionsBuilder::default().signal(signal).build();
            stage.docker.kill_container(&id, Some(how)).await.expect("ended");
        };
        let (result, ()) = tokio::join!(stage.roll_out(&slow), stop);
        assert!(
            matches!(&result, Err(RolloutError::Unreachable(text)) if text.starts_with("web.1 was ended from outside")),
            "{signal}: {result:?}"
        );
        stage.settled().await;
        assert_eq!(stage.containers().await, ["blog-web-1-v1"]);
    }
    assert_eq!(stage.page().await, "one");
}

#[tokio::test]
async fn an_image_that_cannot_be_pulled_is_named() {
    let Some(stage) = stage().await else { return };
    let mut next = workload(1, vec![web("one")]);
    next.image = "127.0.0.1:1/no/such:image".to_owned();
    let text = stage.failure(&next).await;
    assert!(
        text.starts_with("web.1 gets no image: ") && text.contains("127.0.0.1:1/no/such:image"),
        "{text}"
    );
    assert!(text.contains("can reach the registry's pull address"), "{text}");
}

#[tokio::test]
async fn an_interrupted_rollout_lets_go_within_a_second_and_leaves_nothing() {
    let Some(stage) = stage().await else { return };
    stage.roll_out(&workload(1, vec![web("one")])).await.expect("v1 runs");
    let interrupt = CancellationToken::new();
    let slow = workload(2, vec![process("web", "exec sleep 1000", tcp())]);
    let rollout = stage.roll_out_until(&slow, &interrupt);
    let stop = async {
        let on_trial = async { while stage.containers().await.len() < 2 {} };
        tokio::time::timeout(PATIENCE, on_trial).await.expect("v2 on trial");
        // A reconciliation leaves the app alone meanwhile, whatever it believes.
        stage.target.reconcile(&[workload(1, vec![web("other")])]).await.expect("reconciles");
        interrupt.cancel();
        std::time::Instant::now()
    };
    let rollout = async { (rollout.await, std::time::Instant::now()) };
    let ((result, ended), asked) = tokio::join!(rollout, stop);
    println!("let go after {:?}", ended - asked);
    assert!(ended - asked < Duration::from_secs(1), "{:?}", ended - asked);
    assert!(matches!(result, Err(RolloutError::Interrupted)), "{result:?}");
    stage.settled().await;
    assert_eq!(stage.containers().await, ["blog-web-1-v1"]);
    assert_eq!(stage.page().await, "one");
}

#[tokio::test]
async fn an_engine_that_does_not_answer_is_nobodys_fault() {
    let router = Arc::new(router().await);
    let docker =
        Docker::connect_with_http("tcp://127.0.0.1:1", 5, bollard::API_DEFAULT_VERSION).expect("an address");
    let settings = Settings::new("none", Duration::from_secs(30));
    let target = DockerTarget::new(docker, router.control.clone(), settings, TaskTracker::new());
    let (transcript, _listener) = Transcript::channel();
    let next = workload(1, vec![web("one")]);
    let result = target.roll_out(&next, &transcript, &CancellationToken::new()).await;
    assert!(matches!(result, Err(RolloutError::Unreachable(_))), "{result:?}");
    assert!(target.health().await.is_err());
}

#[tokio::test]
async fn a_router_that_is_gone_leaves_old_and_new_for_the_next_attempt() {
    let Some(stage) = stage().await else { return };
    stage.roll_out(&workload(1, vec![web("one")])).await.expect("v1 runs");
    stage.router.control.stop().await.expect("stops");
    let next = workload(2, vec![web("two")]);
    let result = stage.roll_out(&next).await;
    assert!(matches!(result, Err(RolloutError::Unreachable(_))), "{result:?}");
    assert_eq!(stage.containers().await, ["blog-web-1-v1", "blog-web-1-v2"]);
    let before = stage.ids().await;
    let again = Stage::on(stage.docker.clone(), Arc::new(router().await), stage.platform.clone());
    again.roll_out(&next).await.expect("v2 runs");
    again.settled().await;
    assert_eq!(again.page().await, "two");
    assert_eq!(again.containers().await, ["blog-web-1-v2"]);
    assert!(again.ids().await.keys().all(|id| before.contains_key(id)), "v2 was made twice");
}
