//! What happens to running processes: crashes, restarts, reconciliation.

use bollard::query_parameters::{KillContainerOptions, StopContainerOptions};

use super::*;

fn blog() -> AppName {
    "blog".parse().expect("a name")
}

#[tokio::test]
async fn what_was_killed_or_removed_comes_back() {
    let Some(stage) = stage().await else { return };
    let desired = [workload(4, vec![Process { quantity: 3, ..web("one") }])];
    stage.roll_out(&desired[0]).await.expect("runs");
    let ids: HashMap<String, String> = stage.ids().await.into_iter().map(|(id, name)| (name, id)).collect();
    stage.docker.kill_container(&ids["blog-web-1-v4"], None::<KillContainerOptions>).await.expect("killed");
    stage.docker.stop_container(&ids["blog-web-2-v4"], None::<StopContainerOptions>).await.expect("stopped");
    stage.target.discard(&ids["blog-web-3-v4"]).await;
    stage.router.control.remove_route(&blog()).await.expect("lost");

    let server = stage.restarted();
    server.target.reconcile(&desired).await.expect("reconciles");
    assert_eq!(server.containers().await, ["blog-web-1-v4", "blog-web-2-v4", "blog-web-3-v4"]);
    assert_eq!(server.router.control.routes().await.expect("routes")[&blog()].backends.len(), 3);
    for _ in 0..6 {
        assert_eq!(server.page().await, "one");
    }
    let before = server.ids().await;
    server.target.reconcile(&desired).await.expect("again");
    server.settled().await;
    assert_eq!(server.ids().await, before, "the second reconciliation moved something");
}

#[tokio::test]
async fn a_container_whose_port_was_taken_is_made_anew() {
    let Some(stage) = stage().await else { return };
    let desired = [workload(1, vec![web("one")])];
    stage.roll_out(&desired[0]).await.expect("runs");
    let id = stage.ids().await.into_keys().next().expect("a container");
    let address =
        stage.target.member(&id).await.expect("described").expect("ours").address.expect("published");
    stage.docker.kill_container(&id, None::<KillContainerOptions>).await.expect("killed");
    let taken = tokio::net::TcpListener::bind(address).await.expect("the port is free now");
    stage.target.reconcile(&desired).await.expect("reconciles");
    assert_eq!(stage.page().await, "one");
    assert_eq!(stage.containers().await, ["blog-web-1-v1"]);
    drop(taken);
}

#[tokio::test]
async fn what_a_dead_server_left_behind_is_cleaned_up() {
    let Some(stage) = stage().await else { return };
    stage.roll_out(&workload(1, vec![web("one")])).await.expect("v1 runs");
    // The server dies after the switch and before the old container has ended.
    let old = stage.target.members(Some(&blog())).await.expect("members");
    locked(&stage.target.shared.retiring).extend(old.into_iter().map(|member| member.id));
    stage.roll_out(&workload(2, vec![web("two")])).await.expect("v2 runs");
    // And while the next release is on trial.
    let half_done = workload(3, vec![web("three")]);
    let stop = CancellationToken::new();
    let slot = spec::Slot { process: half_done.processes[0].name.clone(), number: 1 };
    stage.target.start(&half_done, &half_done.processes[0], &slot, &stop).await.expect("starts");
    assert_eq!(stage.containers().await, ["blog-web-1-v1", "blog-web-1-v2", "blog-web-1-v3"]);

    let server = stage.restarted();
    server.target.reconcile(&[workload(2, vec![web("two")])]).await.expect("reconciles");
    server.settled().await;
    // The newer one is too young to be called a stranger: its rollout may be resumed, and is.
    assert_eq!(server.containers().await, ["blog-web-1-v2", "blog-web-1-v3"]);
    assert_eq!(server.page().await, "two");
    server.roll_out(&half_done).await.expect("v3 runs");
    server.settled().await;
    assert_eq!(server.containers().await, ["blog-web-1-v3"]);
    assert_eq!(server.page().await, "three");
    // Somebody read the database before that.
    server.target.reconcile(&[workload(2, vec![web("two")])]).await.expect("reconciles");
    server.settled().await;
    assert_eq!(server.page().await, "three");
}

#[tokio::test]
async fn a_crash_later_is_restarted_and_counted() {
    let Some(stage) = stage().await else { return };
    let line = "while [ ! -e /tmp/fall ]; do sleep 0.1; done; rm /tmp/fall; echo fallen; exit 1";
    stage.roll_out(&workload(1, vec![worker(line), web("one")])).await.expect("runs");
    let ids = stage.ids().await;
    let (worker, _) = ids.iter().find(|(_, name)| name.starts_with("blog-worker")).expect("a worker");
    let exec =
        bollard::exec::CreateExecOptions { cmd: Some(vec!["touch", "/tmp/fall"]), ..Default::default() };
    let exec = stage.docker.create_exec(worker, exec).await.expect("an exec");
    stage.docker.start_exec(&exec.id, None).await.expect("touches");
    let restarted = async {
        loop {
            let processes = stage.target.processes(&blog()).await.expect("processes");
            let worker = processes.iter().find(|process| process.name == "worker.1").expect("a worker");
            if worker.restarts == 1 && worker.state == "up" {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, restarted).await.expect("comes back");
}

#[tokio::test]
async fn a_removed_app_leaves_nothing() {
    let Some(stage) = stage().await else { return };
    stage.roll_out(&workload(1, vec![web("one"), worker("exec sleep 1000")])).await.expect("runs");
    stage.target.remove(&blog()).await.expect("removes");
    assert_eq!(stage.containers().await, Vec::<String>::new());
    let (status, _) = stage.router.get("blog.localhost", "/").await;
    assert_eq!(status, 404);
    stage.target.health().await.expect("healthy");
    stage.roll_out(&workload(1, vec![web("anew")])).await.expect("a new app of that name");
    assert_eq!(stage.page().await, "anew");
}

#[tokio::test]
async fn strangers_are_ended_when_they_are_old_enough() {
    let Some(mut stage) = stage().await else { return };
    stage.roll_out(&workload(2, vec![web("two")])).await.expect("runs");
    let one = [workload(1, vec![web("one")])];
    // The database says v1, and v2 was never resumed.
    let mut server = stage.restarted();
    server.target.reconcile(&one).await.expect("reconciles");
    assert_eq!(server.page().await, "one");
    assert_eq!(server.containers().await, ["blog-web-1-v1", "blog-web-1-v2"]);
    server.target.settings.strangers_after = Duration::ZERO;
    server.target.reconcile(&one).await.expect("reconciles");
    server.settled().await;
    assert_eq!(server.containers().await, ["blog-web-1-v1"]);
    // An app that is there no more.
    stage.target.settings.strangers_after = Duration::ZERO;
    stage.target = DockerTarget { shared: Arc::default(), ..stage.target.clone() };
    stage.target.reconcile(&[]).await.expect("reconciles");
    stage.settled().await;
    assert_eq!(stage.containers().await, Vec::<String>::new());
    assert!(stage.router.control.routes().await.expect("routes").is_empty());
}
