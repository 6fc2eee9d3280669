//! The same pushes, on a cluster.

use slipway_tests::{Cluster, Door, LONG, until};

const PROCFILE: &str = "web: python3 -u server.py\nworker: python3 -uc 'import threading; print(42); threading.Event().wait()'\n";

#[test]
fn an_owned_app_moves_as_a_whole_goes_back_as_a_whole_and_rolls_back() {
    let Some(cluster) = Cluster::namespace("owned") else { return };
    let Some(platform) = cluster.platform().start() else { return };
    let app = platform.app("shop").answering("one");
    app.write("Procfile", PROCFILE);
    app.commit("two types");
    app.verb(&["config:set", "GREETING=a-secret-greeting"]).ok();
    app.push(Door::Ssh)
        .ok()
        .says("Process types -> web, worker")
        .says("Released v2")
        .says("worker is new: it runs 0 processes");
    app.verb(&["ps:scale", "worker=1"]).ok().says("now running worker at 1:standard");
    assert_eq!(cluster.browse("shop", "/"), "one");
    assert!(cluster.browse("shop", "/env").contains("a-secret-greeting"));
    assert!(cluster.image_of("shop-worker").contains("@sha256:"));
    app.verb(&["ps"]).ok().says("web").says("worker");

    app.answer("two");
    app.push(Door::Http).ok().says("Released v3");
    until("the new answer", LONG, || cluster.browse("shop", "/") == "two");
    let good = cluster.until_pods(2);

    // The worker is broken: the web process goes back with it.
    app.write("Procfile", "web: python3 -u server.py\nworker: sh -c 'echo out of oil; exit 5'\n");
    app.answer("three");
    app.push(Door::Ssh).refused("v4 is not live").says("out of oil");
    assert_eq!(cluster.until_pods(2), good);
    assert_eq!(cluster.browse("shop", "/"), "two");
    assert_ne!(app.remote_ref("refs/heads/main"), Some(app.head()));

    app.verb(&["rollback", "v2"]).ok();
    app.until_current(5);
    until("the old answer", LONG, || cluster.browse("shop", "/") == "one");
}

#[test]
fn an_adopted_deployment_gets_the_image_alone_and_its_config_is_its_owners() {
    let Some(cluster) = Cluster::namespace("adopted") else { return };
    let Some(platform) = cluster.platform().start() else { return };
    let found = cluster.base_image(&platform);
    cluster.apply_deployment("legacy", &found, "cat /app/answer 2>/dev/null; exec sleep 3600");
    let app = platform.app("adopter").answering("one");
    let adopt =
        ["apps:adopt", "--namespace", &cluster.namespace, "--deployment", "legacy", "--container", "main"];
    app.verb(&adopt).ok().says("legacy");
    app.verb(&["config:set", "A=b"]).refused("somebody else owns");

    // A first push that fails puts back what was found.
    app.write("Dockerfile", "FROM slipway/base\nRUN mv /bin/sh /bin/hush\n").commit("no shell");
    app.push(Door::Ssh).refused("v1 is not live");
    until("the image that was found", LONG, || cluster.image_of("legacy") == found);

    app.git(&["reset", "-q", "--hard", "HEAD~1"]).ok();
    app.push(Door::Ssh).ok().says("kubectl");
    assert!(cluster.image_of("legacy").contains("@sha256:"));
    let first = cluster.image_of("legacy");
    let command =
        cluster.kubectl(&["get", "deployment", "legacy", "-o", "jsonpath={..containers[0].command[2]}"]);
    assert!(command.contains("exec sleep 3600"), "{command}");
    app.answer("two");
    app.push(Door::Http).ok();
    assert_ne!(cluster.image_of("legacy"), first);
    app.verb(&["rollback"]).ok();
    app.until_current(4);
    assert_eq!(cluster.image_of("legacy"), first);
}

#[test]
fn with_an_unreachable_cluster_the_release_is_recorded_and_goes_live_later() {
    let Some(cluster) = Cluster::namespace("away") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let (proxy, kubeconfig) = cluster.proxied(folder.path());
    let Some(platform) = cluster.platform_over(&kubeconfig).start() else { return };
    let app = platform.app("patient").answering("one");
    proxy.cut();
    app.push(Door::Ssh)
        .ok()
        .says("main -> refs/builds/1")
        .says("v1 is recorded; its rollout goes on when the target is back");
    assert_eq!(app.release(1)["status"], "pending");
    assert_eq!(app.remote_ref("refs/heads/main"), None);
    proxy.mend();
    app.until_current(1);
    assert_eq!(cluster.browse("patient", "/"), "one");
    until("the branch to move", LONG, || app.remote_ref("refs/heads/main") == Some(app.head()));

    // Not there at start either.
    proxy.cut();
    platform.server().restart();
    app.answer("two");
    app.push(Door::Ssh).ok().says("main -> refs/builds/2");
    proxy.mend();
    app.until_current(2);
}

#[test]
fn a_registry_that_no_node_can_reach_is_refused_at_the_start_with_the_setting_that_mends_it() {
    let Some(cluster) = Cluster::namespace("loopback") else { return };
    let Some(platform) = cluster.platform().without("SLIPWAY_REGISTRY_PULL").later() else { return };
    platform.server().start();
    assert!(!platform.server().until_ended().success());
    let log = platform.server().log();
    assert!(log.contains("its nodes cannot pull from") && log.contains("SLIPWAY_REGISTRY_PULL"), "{log}");
}
