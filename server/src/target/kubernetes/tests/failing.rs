//! Releases that do not become healthy: the reason is told, and everything goes back.

use super::*;

/// v1 runs, v2 is `change`d to fail; returns what is told.
async fn second_release_fails(stage: &Stage, change: impl FnOnce(&mut Workload)) -> String {
    let first = healthy(1).await;
    stage.succeeds(&first, None).await;
    let before = stage.pods().await;
    let mut next = changed(2).await;
    change(&mut next);
    let why = stage.fails(&next, Some(&first)).await;
    println!("{why}\n");
    assert!(why.contains("v1 runs again"), "{why}");
    for name in ["blog-web", "blog-worker"] {
        let live = stage.deployment(name).await.expect("it is there");
        assert_eq!(objects::version_of(&live.metadata), 1, "{name}");
    }
    // Pods of the failed release may be on their way out; those of the first one that were not replaced stay.
    let running = stage.target.processes(&first.app, None).await.expect("an answer");
    let up = running.iter().filter(|process| process.state != "down");
    assert!(up.clone().all(|process| process.version == 1), "{running:?}");
    assert_eq!(up.count(), before.len());
    why
}

macro_rules! fails {
    ($name:ident, $change:expr, [$($words:expr),+ $(,)?]) => {
        #[tokio::test]
        async fn $name() {
            let Some(stage) = Stage::set_up(&[]).await else { return };
            let why = second_release_fails(&stage, $change).await;
            for words in [$($words),+] {
                assert!(why.contains(words), "`{words}` is not in:\n{why}");
            }
            stage.tear_down().await;
        }
    };
}

fails!(
    a_crash_at_once_is_told_with_its_log,
    |next| next.processes[0].command = shell("echo no database; exit 3"),
    ["web ended with exit status 3", "no database", "BackOff", "push again"]
);
fails!(
    a_crash_after_3_seconds_is_no_success_and_puts_all_types_back,
    |next| next.processes[1].command = shell("echo working; sleep 3; echo gone; exit 4"),
    ["worker ended with exit status 4 after ", "gone"]
);
fails!(
    a_web_process_that_crashes_after_3_seconds_is_no_success,
    |next| next.processes[0].command = shell("busybox nc -ll -p $PORT -e busybox true & sleep 3; exit 7"),
    ["web ended with exit status 7 after "]
);
fails!(
    an_end_without_an_error_is_no_success_either,
    |next| next.processes[1].command = shell("true"),
    ["ended with exit status 0", "has to stay up"]
);
fails!(
    running_out_of_memory_is_named,
    |next| next.processes[1].command = shell("exec python3 -c 'x = bytearray(500000000); input()'"),
    ["memory", "OOMKilled", "Raise the memory limit"]
);
fails!(
    a_wrong_port_is_never_ready,
    |next| next.processes[0].command = shell("echo on 9999; exec busybox nc -ll -p 9999 -e busybox true"),
    ["without answering its check", "on 9999", "connection refused", "$PORT"]
);
fails!(
    an_image_that_is_not_there_is_named,
    |next| next.image = next.image.replace(":one", ":nosuch"),
    ["gets no image", "nosuch"]
);
fails!(
    a_command_that_is_not_there_is_named,
    |next| next.processes[0].command = Command::Argv(vec!["/nosuch".to_owned()]),
    ["cannot be started", "/nosuch", "Check the command"]
);
fails!(
    a_pod_that_fits_on_no_node_is_told,
    |next| next.processes[1].limits.memory = Some(1 << 50),
    ["finds no node", "Insufficient memory"]
);

#[tokio::test]
async fn a_failed_first_release_leaves_nothing_running() {
    let Some(stage) = Stage::set_up(&[]).await else { return };
    let mut first = healthy(1).await;
    first.processes[1].command = shell("exit 1");
    let why = stage.fails(&first, None).await;
    assert!(why.contains("Nothing of blog runs now"), "{why}");
    assert_eq!(stage.deployment("blog-web").await, None);
    assert_eq!(stage.deployment("blog-worker").await, None);
    stage.tear_down().await;
}

#[tokio::test]
async fn a_failed_release_takes_its_new_process_type_away() {
    let Some(stage) = Stage::set_up(&[]).await else { return };
    second_release_fails(&stage, |next| next.processes.push(process("cron", "exit 1"))).await;
    assert_eq!(stage.deployment("blog-cron").await, None);
    stage.tear_down().await;
}
