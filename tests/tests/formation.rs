//! How many processes run: scaling, restarting, stopping and waiting, on one machine and on a cluster alike.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use slipway_tests::{App, Cluster, Door, LONG, Platform, until};

const PROCFILE: &str = "web: python3 -u server.py\nworker: python3 -uc 'import threading; print(42); threading.Event().wait()'\n";

/// `web=1 worker=0`, live as v1.
fn two_types(app: App) -> App {
    let app = app.answering("one");
    app.write("Procfile", PROCFILE).commit("two types");
    app.push(Door::Ssh)
        .ok()
        .says("worker is new: it runs 0 processes; `ps:scale worker=1` starts it")
        .says("Formation -> web=1:standard worker=0:standard");
    app
}

/// Names of what runs of a type, those on their way out left out.
fn running(app: &App, process_type: &str) -> BTreeSet<String> {
    let dynos = app.get("/dynos");
    let of_type = |dyno: &&Value| dyno["type"] == process_type && dyno["state"] != "down";
    let all = dynos.as_array().expect("a list").iter().filter(of_type);
    all.map(|dyno| dyno["name"].as_str().expect("a name").to_owned()).collect()
}

fn until_running(app: &App, process_type: &str, count: usize) -> BTreeSet<String> {
    until(&format!("{count} of {process_type}"), LONG, || running(app, process_type).len() == count);
    running(app, process_type)
}

/// What both targets do alike; `one` is v1 of an app with both types.
fn scales_and_survives(app: &App) {
    app.verb(&["ps:scale"]).ok().says("web=1:standard worker=0:standard");
    assert_eq!(running(app, "worker").len(), 0, "a new type starts at 0");
    app.verb(&["ps:scale", "web=3", "worker=1"])
        .ok()
        .says("done, now running web at 3:standard, worker at 1:standard");
    assert_eq!(until_running(app, "web", 3).len() + until_running(app, "worker", 1).len(), 4);
    assert_eq!(app.current(), 1, "scaling made a release");
    app.until_logged("slipway[api]: Scaled to web@3:standard worker@1:standard by user root");
    app.verb(&["ps:wait"]).ok().says("v1 runs on 4 processes");
    app.verb(&["ps"]).ok().says("=== web (standard)").says("=== worker (standard)");

    app.answer("two");
    app.push(Door::Http).ok().says("Released v2").says_not("is new");
    until_running(app, "web", 3);
    app.verb(&["ps:scale"]).ok().says("web=3:standard worker=1:standard");
    app.verb(&["ps:scale", "web=1", "worker=0"]).ok();
    until_running(app, "web", 1);
    until_running(app, "worker", 0);
    app.verb(&["rollback", "v1"]).ok();
    app.verb(&["ps:scale"]).ok().says("web=1:standard worker=0:standard");
    until_running(app, "web", 1);
}

fn refuses(app: &App) {
    app.verb(&["ps:scale", "clock=1"]).refused("has no process type `clock`: its Procfile names web, worker");
    app.verb(&["ps:scale", "web=many"]).refused("is no `type=quantity`");
    app.verb(&["ps:scale", "web=2:huge"]).refused("there is no size `huge`: this platform has standard (");
    app.verb(&["ps:scale", "web=1001"]).refused("one type has 1000 processes at most");
    app.verb(&["ps:restart", "web.77"]).refused("no process and no process type `web.77`");
    app.verb(&["ps:stop", "clock"]).refused("no process and no process type `clock`");
    let viewer = app.platform().person(&format!("vera-{}", app.name), "viewer");
    viewer.verb(&["ps:scale", "--app", &app.name]).ok().says("web=");
    for words in [["ps:scale", "web=2"], ["ps:restart", "web"], ["ps:stop", "web"]] {
        viewer.verb(&[&words, ["--app", &app.name].as_slice()].concat()).refused("this takes a deployer");
    }
    let noted = "SELECT count(*) FROM audit WHERE action = 'ps:scale' AND actor_name = 'root'";
    assert_ne!(app.platform().sql(noted), "0");
}

#[test]
fn scaling_makes_no_release_and_survives_the_next_ones() {
    let Some(platform) = Platform::shared() else { return };
    let app = two_types(platform.app("scaled"));
    scales_and_survives(&app);
    refuses(&app);
    app.until_containers(1);
}

#[test]
fn scaling_up_and_down_costs_no_request() {
    let Some(platform) = Platform::shared() else { return };
    let app = platform.app("scaled-busy").answering("one");
    app.push(Door::Ssh).ok();
    let traffic = app.traffic();
    traffic.until_answers("one", 5);
    let slow = app.slow_traffic();
    for round in 0..2 {
        app.verb(&["ps:scale", "web=3"]).ok();
        app.until_containers(3);
        traffic.until_answers("one", 20 + 40 * round);
        app.verb(&["ps:scale", "web=1"]).ok();
        traffic.until_answers("one", 40 + 40 * round);
    }
    for traffic in slow {
        assert_eq!(traffic.stop().failures, Vec::<String>::new());
    }
    assert_eq!(traffic.stop().failures, Vec::<String>::new());
    app.until_containers(1);
}

#[test]
fn a_restart_replaces_the_processes_and_costs_no_request() {
    let Some(platform) = Platform::shared() else { return };
    let app = two_types(platform.app("restarted"));
    app.verb(&["ps:scale", "web=2", "worker=1"]).ok();
    let before = app.until_containers(3);
    let traffic = app.traffic();
    traffic.until_answers("one", 5);
    app.verb(&["ps:restart", "web"]).ok().says("Restarting web of restarted... done");
    app.until_logged("slipway[api]: Restarted web by user root");
    let after = app.until_containers(3);
    assert_eq!(after.iter().filter(|id| before.contains(id)).count(), 1, "the worker alone stayed");
    app.verb(&["ps:restart", "web.2"]).ok();
    let one_more = app.until_containers(3);
    assert_eq!(one_more.iter().filter(|id| after.contains(id)).count(), 2);
    app.verb(&["ps:restart"]).ok();
    let all = app.until_containers(3);
    assert_eq!(all.iter().filter(|id| one_more.contains(id)).count(), 0);
    traffic.until_answers("one", 40);
    assert_eq!(traffic.stop().failures, Vec::<String>::new());
    assert_eq!(running(&app, "web"), BTreeSet::from(["web.1".to_owned(), "web.2".to_owned()]));
    assert_eq!(app.current(), 1);
}

#[test]
fn what_is_stopped_stays_so_until_it_is_scaled() {
    let Some(platform) = Platform::shared() else { return };
    let app = two_types(platform.app("stopped"));
    app.verb(&["ps:scale", "web=3", "worker=1"]).ok();
    let traffic = app.traffic();
    traffic.until_answers("one", 5);
    app.verb(&["ps:stop", "web.2"]).ok().says("Stopping web.2 of stopped... done");
    assert_eq!(running(&app, "web"), BTreeSet::from(["web.1".to_owned(), "web.3".to_owned()]));
    app.verb(&["ps:stop", "worker"]).ok();
    assert_eq!(traffic.stop().failures, Vec::<String>::new());
    app.verb(&["ps:scale"]).ok().says("web=2:standard worker=0:standard");
    app.until_containers(2);
    app.verb(&["ps:scale", "web=3"]).ok();
    until_running(&app, "web", 3);
    app.until_containers(3);
}

#[test]
fn a_size_is_the_limit_of_the_containers() {
    let Some(platform) = Platform::with("SLIPWAY_SIZES", "large=0.75:300MiB").start() else { return };
    let app = platform.app("sized").answering("one");
    app.push(Door::Ssh).ok();
    app.verb(&["ps:scale", "web=2:large"]).ok().says("now running web at 2:large");
    let limits: BTreeSet<String> = app
        .until_containers(2)
        .iter()
        .map(|id| {
            let words = ["inspect", "--format", "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}}", id];
            platform.engine().docker(&words).expect("docker inspect")
        })
        .collect();
    assert_eq!(limits, BTreeSet::from(["314572800 750000000".to_owned()]));
    app.verb(&["ps"]).ok().says("=== web (large)");
    // A release keeps the size.
    app.answer("two");
    app.push(Door::Ssh).ok();
    app.verb(&["ps:scale"]).ok().says("web=2:large");
    app.until_containers(2);
}

#[test]
fn a_scaling_that_fails_leaves_everything_as_it_was() {
    let Some(platform) = Platform::shared() else { return };
    let app = platform.app("unscalable").answering("one");
    app.write("Procfile", "web: python3 -u server.py\nworker: sh -c 'echo out of oil; exit 5'\n");
    app.commit("a worker that does not work");
    app.push(Door::Ssh).ok();
    let serving = app.until_containers(1);
    app.verb(&["ps:scale", "web=2", "worker=1"])
        .refused("out of oil")
        .says("worker.1 ended with exit status 5")
        .says("The formation stays web=1:standard worker=0:standard");
    app.verb(&["ps:scale"]).ok().says("web=1:standard worker=0:standard");
    assert_eq!(app.until_containers(1), serving);
    assert_eq!(app.answer_now(), "one");
    app.verb(&["ps:autoscale", "web", "--min", "1", "--max", "3"])
        .refused("there is no autoscaling on one machine");
}

#[test]
fn the_api_speaks_of_the_formation_as_herokus_does() {
    let Some(platform) = Platform::shared() else { return };
    let app = two_types(platform.app("by-api"));
    let updates = json!({ "updates": [{ "type": "web", "quantity": 2, "size": "standard" }] });
    let asked = app.ask("PATCH", "/formation", Some(updates));
    assert_eq!(asked.status, 200, "{asked:?}");
    assert_eq!((&asked.json()[0]["type"], &asked.json()[0]["quantity"]), (&"web".into(), &2.into()));
    until("web=2", LONG, || app.get("/formation/web")["quantity"] == 2);
    let one = app.ask("PATCH", "/formation/worker", Some(json!({ "quantity": 1 })));
    assert_eq!(one.json()["quantity"], 1, "{one:?}");
    app.verb(&["ps:wait", "--type", "worker"]).ok();
    until_running(&app, "worker", 1);
    let restarted = app.ask("DELETE", "/dynos/worker.1", None);
    assert_eq!((restarted.status, &restarted.json()["status"]), (202, &"pending".into()));
    let stopped = app.ask("POST", "/dynos/worker/actions/stop", None);
    assert_eq!(stopped.status, 202, "{stopped:?}");
    until_running(&app, "worker", 0);
    assert_eq!(app.ask("PATCH", "/formation/clock", Some(json!({ "quantity": 1 }))).status, 404);
    app.until_containers(2);
}

#[test]
fn on_a_cluster_scaling_makes_no_release_and_survives_the_next_ones() {
    let Some(cluster) = Cluster::namespace("scaled") else { return };
    let Some(platform) = cluster.platform().start() else { return };
    let app = two_types(platform.app("fleet"));
    scales_and_survives(&app);
    refuses(&app);
}

#[test]
fn on_a_cluster_a_number_set_with_kubectl_stays_until_somebody_scales() {
    let Some(cluster) = Cluster::namespace("by-hand") else { return };
    let Some(platform) = cluster.platform().start() else { return };
    let app = platform.app("by-hand").answering("one");
    app.push(Door::Ssh).ok();
    cluster.kubectl(&["scale", "deployment/by-hand-web", "--replicas=2"]);
    cluster.until_pods(2);
    app.answer("two");
    app.push(Door::Ssh).ok();
    assert_eq!(cluster.replicas("by-hand-web"), "2", "a release took it back");
    // Something else is put back, the number is not.
    cluster.kubectl(&["delete", "service", "by-hand"]);
    until("the Service to be back", LONG, || {
        cluster.kubectl(&["get", "services", "-o", "name"]).contains("by-hand")
    });
    assert_eq!(cluster.replicas("by-hand-web"), "2", "the upkeep took it back");
    app.verb(&["ps:scale", "web=1"]).ok();
    assert_eq!(cluster.replicas("by-hand-web"), "1");
    cluster.until_pods(1);
}

#[test]
fn on_a_cluster_web_is_autoscaled_by_its_cpus() {
    let Some(cluster) = Cluster::namespace("autoscaled") else { return };
    let Some(platform) = cluster.platform().start() else { return };
    let app = platform.app("elastic").answering("one");
    app.push(Door::Ssh).ok();
    app.verb(&["ps:autoscale", "web", "--min", "2", "--max", "3", "--cpu", "70"])
        .ok()
        .says("done, now running web at 2 to 3, by 70 % of their CPUs");
    let goal =
        "jsonpath={.spec.minReplicas} {.spec.maxReplicas} {.spec.metrics[0].resource.target.averageValue}";
    assert_eq!(cluster.kubectl(&["get", "hpa", "elastic-web", "-o", goal]), "2 3 140m");
    cluster.until_pods(2);
    app.verb(&["ps:scale", "web=1"]).refused("web is autoscaled, from 2 to 3 processes");
    app.answer("two");
    app.push(Door::Ssh).ok();
    assert_eq!(cluster.replicas("elastic-web"), "2", "the release took the number back");
    app.verb(&["ps:autoscale", "web", "--off"]).ok().says("now running web at 2:standard");
    assert_eq!(cluster.kubectl(&["get", "hpa", "-o", "name"]), "");
    assert_eq!(cluster.replicas("elastic-web"), "2");
    app.verb(&["ps:scale", "web=1"]).ok();
    cluster.until_pods(1);
}

#[test]
fn on_a_cluster_processes_are_restarted_stopped_and_sized() {
    let Some(cluster) = Cluster::namespace("restarted") else { return };
    let Some(platform) = cluster.platform().with("SLIPWAY_SIZES", "small=0.1:96MiB/0.05:64MiB").start()
    else {
        return;
    };
    let app = two_types(platform.app("fresh"));
    app.verb(&["ps:scale", "web=2:small", "worker=1"])
        .ok()
        .says("now running web at 2:small, worker at 1:standard");
    let resources =
        "jsonpath={..containers[0].resources.requests.memory} {..containers[0].resources.limits.cpu}";
    assert_eq!(cluster.kubectl(&["get", "deployment", "fresh-web", "-o", resources]), "67108864 100m");
    let (web, worker) = (until_running(&app, "web", 2), until_running(&app, "worker", 1));

    app.verb(&["ps:restart", "web"]).ok();
    let fresh = until_running(&app, "web", 2);
    assert!(fresh.is_disjoint(&web), "{fresh:?}");
    assert_eq!(until_running(&app, "worker", 1), worker);
    // A release that fails after it goes back to these very pods.
    app.write("Procfile", "web: python3 -u server.py\nworker: sh -c 'exit 5'\n").commit("a bad worker");
    app.push(Door::Ssh).refused("v2 is not live");
    assert_eq!(until_running(&app, "web", 2), fresh);

    let name = fresh.first().expect("two").clone();
    app.verb(&["ps:restart", &name]).ok();
    let now = until_running(&app, "web", 2);
    assert!(!now.contains(&name) && now.intersection(&fresh).count() == 1, "{now:?}");
    let name = now.last().expect("two").clone();
    app.verb(&["ps:stop", &name]).ok();
    assert!(!until_running(&app, "web", 1).contains(&name));
    app.verb(&["ps:stop", "worker"]).ok();
    app.verb(&["ps:scale"]).ok().says("web=1:small worker=0:standard");
    cluster.until_pods(1);
}
