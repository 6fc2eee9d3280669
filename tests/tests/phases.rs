//! What runs once with a release, beside its processes: the release phase and postdeploy.

use slipway_tests::{App, Cluster, Door, LONG, Platform, SHORT, until, wait_for};

const PROCFILE: &str = "web: python3 -u server.py\nrelease: sh migrate\n";
/// Goes on when the story says so.
const WAITS: &str =
    "echo begun with $(cat answer); while [ ! -e /tmp/go ]; do sleep 0.1; done; echo migrated\n";

/// With a release phase that does `script`, committed.
fn phased(app: App, script: &str) -> App {
    app.write("Procfile", PROCFILE).write("migrate", script);
    app.commit("a release phase");
    app
}

/// The container of the app's batch that runs.
fn batch_of(app: &App) -> String {
    let label = format!("label=dev.slipway.app={}", app.name);
    let platform = format!("label=dev.slipway.platform={}", app.platform().id());
    let words = [
        "ps",
        "--quiet",
        "--no-trunc",
        "--filter",
        &label,
        "--filter",
        &platform,
        "--filter",
        "label=dev.slipway.batch",
    ];
    wait_for("a batch to run", SHORT, || {
        let found = app.platform().engine().docker(&words).expect("docker ps");
        found.lines().next().map(str::to_owned)
    })
}

fn let_go(app: &App, batch: &str) {
    app.platform().engine().docker(&["exec", batch, "touch", "/tmp/go"]).expect("docker exec");
}

#[test]
fn the_release_phase_runs_with_the_new_image_and_config_before_any_process_moves() {
    let Some(platform) = Platform::shared() else { return };
    let app = phased(platform.app("phased").answering("one"), "echo greets: $GREETING with $(cat answer)\n");
    app.verb(&["config:set", "GREETING=hello"]).ok();
    app.push(Door::Ssh)
        .ok()
        .says("Process types -> web")
        .says("Release phase: sh migrate")
        .says("greets: hello with one");
    let serving = app.until_containers(1);

    app.write("migrate", WAITS);
    app.answer("two");
    let mut push = app.start_push(Door::Http, &["main"]);
    push.until_says("begun with two");
    let batch = batch_of(&app);
    let mut both = [serving[0].clone(), batch.clone()];
    both.sort();
    assert_eq!(app.containers(), both, "something moved");
    assert_eq!((app.answer_now().as_str(), app.current()), ("one", 2));
    // What it has written can be read by others while it runs.
    let so_far = app.ask("GET", "/releases/v3/output", None);
    assert_eq!((so_far.status, so_far.body.as_str()), (200, "begun with two\n"));
    let_go(&app, &batch);
    push.end().ok().says("migrated").says("Release phase done").says("Released v3");
    assert_eq!(app.answer_now(), "two");
    app.until_containers(1);

    app.verb(&["releases:output", "v3"]).ok().says("begun with two\nmigrated");
    app.verb(&["releases:output", "v3", "--offset", "15"]).ok().says_not("begun").says("migrated");
    app.verb(&["releases:info", "v3"])
        .ok()
        .says("Release phase:")
        .says("succeeded, exit status 0 (sh migrate)");
    app.verb(&["releases:output", "v1"]).refused("v1 ran no release phase");
}

#[test]
fn a_release_phase_that_fails_refuses_the_push_and_moves_nothing() {
    let Some(platform) = Platform::shared() else { return };
    let app = phased(platform.app("phase-fails").answering("good"), "echo migrated\n");
    app.push(Door::Ssh).ok();
    let serving = app.until_containers(1);
    app.write("migrate", "echo no such table >&2; exit 3\n");
    app.answer("bad");
    let push = app.push(Door::Ssh);
    push.refused("[remote rejected] main -> main (v2 is not live: the release phase (sh migrate) ended with exit status 3")
        .says("no such table")
        .says("No process was moved");
    assert_eq!(app.until_containers(1), serving);
    assert_eq!((app.current(), app.answer_now().as_str()), (1, "good"));
    assert_ne!(app.remote_ref("refs/heads/main"), Some(app.head()));
    app.verb(&["releases:output"])
        .refused("release of v2 (sh migrate) ended with exit status 3")
        .says("no such table");
    // The same commit can be pushed again.
    app.push(Door::Http).refused("v3 is not live");
    app.write("migrate", "exec ./no-such-program\n");
    app.commit("worse");
    app.push(Door::Ssh).refused("v4 is not live: the release phase (sh migrate) ended with exit status 127: its command was not found");
    app.until_containers(1);
}

#[test]
fn config_changes_and_rollbacks_run_the_release_phase_too() {
    let Some(platform) = Platform::shared() else { return };
    let app =
        phased(platform.app("phase-config").answering("one"), "echo mode: $MODE; test \"$MODE\" != bad\n");
    app.push(Door::Ssh).ok().says("mode:");
    let set = app.verb(&["config:set", "MODE=good"]);
    set.ok().says("running its release phase").says("mode: good").says("done, v2");
    assert!(app.browse("/env").contains("good"));
    app.verb(&["config:set", "MODE=bad"])
        .refused("v3 failed: v3 is not live: the release phase (sh migrate) ended with exit status 1")
        .says("The new values stay set");
    assert!(app.browse("/env").contains("good"));
    app.verb(&["rollback", "v2"]).ok().says("mode: good").says("done, v4");
    // What it writes is the app's, not the server's.
    assert!(!platform.server().log().contains("mode: good"));
    app.until_containers(1);
}

#[test]
fn a_release_phase_that_takes_too_long_is_ended() {
    let Some(platform) = Platform::with("SLIPWAY_RELEASE_PHASE_DEADLINE", "2s").start() else { return };
    let app = phased(platform.app("phase-late").answering("one"), "echo begun; sleep 600\n");
    app.push(Door::Ssh)
        .refused("v1 is not live: the release phase (sh migrate) did not end within 2s, and was stopped")
        .says("SLIPWAY_RELEASE_PHASE_DEADLINE")
        .says("begun");
    app.until_containers(0);
}

#[test]
fn a_rollback_ends_the_release_phase_that_runs() {
    let Some(platform) = Platform::shared() else { return };
    let app = phased(platform.app("phase-overtaken").answering("one"), "echo migrated\n");
    app.push(Door::Ssh).ok();
    app.write("migrate", WAITS);
    app.answer("two");
    let mut push = app.start_push(Door::Ssh, &["main"]);
    push.until_says("begun with two");
    app.verb(&["rollback", "v1"]).ok().says("done, v3");
    push.end().refused("v3 took over");
    assert_eq!(app.get("/releases/v2")["phases"][0]["status"], "canceled");
    assert_eq!((app.current(), app.answer_now().as_str()), (3, "one"));
    app.until_containers(1);
}

/// `builds:cancel`, and the push after it that takes its place; `serving` says what runs.
fn cancels<T: PartialEq + std::fmt::Debug>(app: &App, serving: impl Fn() -> T) {
    app.push(Door::Ssh).ok();
    let before = serving();
    app.write("migrate", WAITS);
    app.answer("two");
    let mut push = app.start_push(Door::Ssh, &["main"]);
    push.until_says("begun with two");
    app.verb(&["builds:cancel"]).ok().says("Canceling build #2... done");
    push.end().refused("v2 is not live: canceled by root in its release phase").says("No process was moved");
    assert_eq!(app.release(2)["phases"][0]["status"], "canceled");
    assert_eq!(app.current(), 1);
    assert_ne!(app.remote_ref("refs/heads/main"), Some(app.head()));
    until("what ran before to be all that runs", LONG, || serving() == before);
    app.verb(&["builds:cancel", "2"]).refused("cannot be canceled any more");
    app.verb(&["builds:cancel"]).refused("there is nothing to cancel");

    let mut push = app.start_push(Door::Http, &["main"]);
    push.until_says("begun with two");
    app.write("migrate", "echo migrated\n");
    app.answer("three");
    app.push_with(Door::Ssh, &["--push-option=cancel-running", "main"]).ok().says("Canceled build 3");
    push.end().refused("v3 is not live: canceled by root in its release phase");
    assert_eq!(app.current(), 4);
}

#[test]
fn a_release_phase_that_is_canceled_is_ended_and_moves_nothing() {
    let Some(platform) = Platform::shared() else { return };
    let app = phased(platform.app("phase-canceled").answering("one"), "echo migrated\n");
    cancels(&app, || app.containers());
    assert_eq!(app.answer_now(), "three");
    app.until_containers(1);
}

#[test]
fn on_a_cluster_a_release_phase_that_is_canceled_is_ended_and_moves_nothing() {
    let Some(cluster) = Cluster::namespace("canceled") else { return };
    let Some(platform) = cluster.platform().start() else { return };
    let app = phased(platform.app("halted").answering("one"), "echo migrated\n");
    cancels(&app, || cluster.pods());
    until("the new answer", LONG, || cluster.browse("halted", "/") == "three");
    until("the Jobs to be gone", SHORT, || cluster.kubectl(&["get", "jobs", "-o", "name"]).is_empty());
}

#[test]
fn a_release_phase_whose_server_was_killed_goes_on_and_runs_once() {
    let Some(platform) = Platform::start() else { return };
    let app = phased(platform.app("phase-killed").answering("one"), WAITS);
    let mut push = app.start_push(Door::Ssh, &["main"]);
    push.until_says("begun with one");
    let batch = batch_of(&app);
    until("the first line to be stored", SHORT, || {
        app.ask("GET", "/releases/v1/output", None).body == "begun with one\n"
    });
    platform.server().kill();
    drop(push);
    platform.server().start();
    platform.server().until_ready();
    assert_eq!(batch_of(&app), batch);
    let_go(&app, &batch);
    app.until_current(1);
    assert_eq!(app.answer_now(), "one");
    assert_eq!(app.ask("GET", "/releases/v1/output", None).body, "begun with one\nmigrated\n");
    assert_eq!(app.remote_ref("refs/heads/main"), Some(app.head()));
    app.until_containers(1);

    // What a server leaves that dies between the end and the clean-up goes by itself.
    let stray = platform.engine().docker(&[
        "run",
        "--detach",
        "--label",
        &format!("dev.slipway.platform={}", platform.id()),
        "--label",
        &format!("dev.slipway.app={}", app.name),
        "--label",
        "dev.slipway.batch=0190a3b4-0000-7000-8000-000000000000",
        "slipway/base",
        "sleep",
        "600",
    ]);
    let stray = stray.expect("docker run");
    until("the stray to be gone", LONG, || !app.containers().contains(&stray));
}

#[test]
fn postdeploy_runs_once_after_the_first_release_that_succeeds() {
    let Some(platform) = Platform::shared() else { return };
    let app = platform.app("postdeployed").answering("one");
    app.write("Procfile", "web: python3 -u server.py\nrelease: sh -c 'exit $FAILS'\n");
    app.write("app.json", r#"{ "name": "x", "scripts": { "postdeploy": "echo seeding $(cat answer)" } }"#);
    app.commit("seeds");
    app.verb(&["config:set", "FAILS=4"]).ok();
    app.push(Door::Ssh).refused("v2 is not live").says_not("seeding");
    app.verb(&["config:set", "FAILS=0"]).ok();
    app.answer("two");
    app.push(Door::Ssh)
        .ok()
        .says("Released v4")
        .says("Postdeploy: echo")
        .says("seeding two")
        .says("Postdeploy done");
    app.verb(&["releases:output", "v4"]).ok().says("seeding two");
    app.answer("three");
    app.push(Door::Ssh).ok().says_not("seeding");
    app.until_containers(1);
}

#[test]
fn a_postdeploy_that_fails_is_told_and_the_release_stays() {
    let Some(platform) = Platform::shared() else { return };
    let app = platform.app("postdeploy-fails").answering("one");
    app.write(
        "app.json",
        r#"{ "scripts": { "postdeploy": { "command": "sh -c 'echo no seed; exit 5'" } } }"#,
    );
    app.commit("seeds");
    app.push(Door::Ssh).ok().says("no seed").says("ended with exit status 5").says("v1 is live all the same");
    assert_eq!((app.current(), app.answer_now().as_str()), (1, "one"));
    app.write("app.json", "{ \"scripts\": 7 }");
    app.commit("broken");
    app.push(Door::Ssh).refused("app.json");
    app.until_containers(1);
}

#[test]
fn on_a_cluster_the_phases_are_jobs() {
    let Some(cluster) = Cluster::namespace("phases") else { return };
    let Some(platform) = cluster.platform().start() else { return };
    let app = phased(platform.app("shop").answering("one"), "echo greets: $GREETING; exit $FAILS\n");
    app.write("app.json", r#"{ "scripts": { "postdeploy": "echo seeding $GREETING" } }"#);
    app.commit("seeds");
    app.verb(&["config:set", "GREETING=hello", "FAILS=0"]).ok();
    app.push(Door::Ssh)
        .ok()
        .says("greets: hello")
        .says("Released v2")
        .says("seeding hello")
        .says("Postdeploy done");
    assert_eq!(cluster.browse("shop", "/"), "one");
    let serving = cluster.until_pods(1);
    app.verb(&["releases:output", "v2"]).ok().says("greets: hello\nseeding hello");

    // A failure moves nothing.
    app.verb(&["config:set", "FAILS=3"])
        .refused("v3 failed: v3 is not live: the release phase (sh migrate) ended with exit status 3");
    assert_eq!(cluster.until_pods(1), serving);
    app.verb(&["rollback", "v2"]).ok().says("greets: hello").says("done, v4");

    // One in whose midst the server is killed is found again.
    app.write("migrate", WAITS);
    app.answer("two");
    let mut push = app.start_push(Door::Ssh, &["main"]);
    push.until_says("begun with two");
    let pods = cluster.until_pods(2);
    until("the first line to be stored", SHORT, || {
        app.ask("GET", "/releases/v5/output", None).body == "begun with two\n"
    });
    platform.server().kill();
    drop(push);
    platform.server().start();
    platform.server().until_ready();
    assert_eq!(cluster.pods(), pods);
    cluster.kubectl(&["exec", "job/shop-release-v5", "--", "touch", "/tmp/go"]);
    app.until_current(5);
    assert_eq!(app.ask("GET", "/releases/v5/output", None).body, "begun with two\nmigrated\n");
    until("the new answer", LONG, || cluster.browse("shop", "/") == "two");
    until("the Jobs to be gone", SHORT, || cluster.kubectl(&["get", "jobs", "-o", "name"]).is_empty());
}
