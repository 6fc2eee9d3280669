//! What becomes of releases that do not run, and of what runs while they do not.

use std::time::{Duration, Instant};

use slipway_tests::{App, Cluster, Door, LONG, OwnEngine, Platform, SHORT, SecondServer, until, wait_for};

/// An app whose v1 is live and whose next commit behaves badly.
fn misbehaving(name: &str, behaviour: &str) -> Option<App> {
    let app = Platform::shared()?.app(name).answering("good");
    app.push(Door::Ssh).ok();
    app.write("behaviour", behaviour);
    app.answer("bad");
    Some(app)
}

/// The push is refused, v2 has failed, v1 serves on, and nothing of v2 is left.
fn goes_back(app: &App, words: &[&str]) {
    let serving = app.until_containers(1);
    let traffic = app.traffic();
    let push = app.push(Door::Ssh);
    push.refused("[remote rejected] main -> main (v2 is not live");
    for words in words {
        push.says(words);
    }
    assert_eq!(traffic.stop().failures, Vec::<String>::new());
    assert_eq!(app.until_containers(1), serving);
    assert_eq!(app.answer_now(), "good");
    assert_eq!((app.current(), &app.release(2)["status"]), (1, &"failed".into()));
    assert_ne!(app.remote_ref("refs/heads/main"), Some(app.head()));
}

#[test]
fn a_process_that_exits_at_once_is_refused_with_its_last_words() {
    let Some(app) = misbehaving("exits", "exits") else { return };
    goes_back(&app, &["web.1 ended with exit status 3", "cannot find the flux capacitor"]);
    // The same commit can be pushed again.
    app.push(Door::Http).refused("v3 is not live");
}

#[test]
fn a_process_that_never_listens_is_refused() {
    let Some(app) = misbehaving("deaf", "deaf") else { return };
    goes_back(&app, &["PORT", "deaf on 8080"]);
}

#[test]
fn a_process_that_listens_on_the_wrong_port_is_told_which() {
    let Some(app) = misbehaving("wrong-port", "wrong-port") else { return };
    goes_back(&app, &["4321", "PORT"]);
}

#[test]
fn a_process_whose_health_check_fails_is_refused_with_the_answer() {
    let Some(app) = misbehaving("sick", "sick") else { return };
    app.verb(&["apps:set", "health=/healthz"]).ok();
    goes_back(&app, &["/healthz", "500"]);
}

#[test]
fn a_process_may_take_its_time_to_start() {
    let Some(app) = misbehaving("slow-start", "slow") else { return };
    app.push(Door::Ssh).ok();
    assert_eq!(app.answer_now(), "bad");
}

#[test]
fn who_waits_for_a_release_is_answered_when_it_has_ended() {
    let Some(app) = misbehaving("awaited", "slow") else { return };
    let mut push = app.start_push(Door::Ssh, &["main"]);
    push.until_says("Launching v2");
    assert_eq!(app.release(2)["status"], "pending");
    assert_eq!(app.get("/releases/2?wait=30")["status"], "succeeded");
    push.end().ok();
}

#[test]
fn all_process_types_move_or_none() {
    let Some(platform) = Platform::shared() else { return };
    let app = platform.app("all-or-none").answering("good");
    app.write("Procfile", "web: python3 -u server.py\nworker: python3 -c 'import time; time.sleep(900)'\n");
    app.commit("two types");
    app.push(Door::Ssh).ok().says("Process types -> web, worker");
    app.verb(&["ps:scale", "worker=1"]).ok();
    let serving = app.until_containers(2);
    app.write("Procfile", "web: python3 -u server.py\nworker: sh -c 'echo out of oil; exit 5'\n");
    app.answer("bad");
    app.push(Door::Ssh).refused("v2 is not live").says("out of oil").says("worker");
    assert_eq!(app.until_containers(2), serving);
    assert_eq!(app.answer_now(), "good");
}

#[test]
fn a_rollback_interrupts_a_rollout_in_flight_within_two_seconds() {
    let Some(app) = misbehaving("interrupted", "deaf") else { return };
    let mut push = app.start_push(Door::Ssh, &["main"]);
    push.until_says("Launching v2");
    let asked = Instant::now();
    app.verb(&["rollback", "v1"]).ok();
    let reason = wait_for("v2 to be given up", SHORT, || {
        let release = app.release(2);
        (release["status"] == "failed").then(|| release["reason"].as_str().unwrap_or_default().to_owned())
    });
    let took = asked.elapsed();
    assert!(took < Duration::from_secs(2), "it took {took:?}");
    assert!(reason.contains("v3 took over: Rollback to v1 by root"), "{reason}");
    push.end().refused("v3 took over");
    app.until_current(3);
    assert_eq!(app.answer_now(), "good");
    app.until_containers(1);
}

#[test]
fn a_config_change_is_a_release_whose_values_reach_processes_and_no_log() {
    let Some(platform) = Platform::shared() else { return };
    let app = platform.app("configured").answering("good");
    app.verb(&["config:set", "GREETING=before-the-first-push"]).ok();
    app.push(Door::Ssh).ok();
    assert!(app.browse("/env").contains("before-the-first-push"));
    let set = app.verb(&["config:set", "GREETING=a-secret-greeting", "OTHER=x"]);
    set.ok();
    assert!(!format!("{}{}", set.out, set.err).contains("a-secret-greeting"), "{set:?}");
    app.until_current(3);
    assert!(app.browse("/env").contains("a-secret-greeting"));
    assert_eq!(app.release(3)["description"], "Set GREETING, OTHER config vars");
    app.verb(&["config:unset", "OTHER"]).ok();
    app.until_current(4);
    assert!(!app.browse("/env").contains("OTHER"));
    assert!(!platform.server().log().contains("a-secret-greeting"));
    // At rest it is sealed.
    assert_eq!(
        platform.sql("SELECT count(*) FROM config_values WHERE position('greeting'::bytea in sealed) > 0"),
        "0"
    );
    app.verb(&["config:set", "not-a-name=1"]).refused("`not-a-name` is not a config var name");
    app.until_containers(1);
}

#[test]
fn a_config_change_that_fails_stays_set_and_says_so_with_the_way_back() {
    let Some(platform) = Platform::shared() else { return };
    let app = platform.app("config-fails").answering("good");
    app.write("Procfile", "web: sh -c 'test -z \"$BROKEN\" && exec python3 -u server.py'\n");
    app.commit("minds its config");
    app.push(Door::Ssh).ok();
    let way_back = "To go back to those that run: ssh platform rollback v1 --app config-fails";
    app.verb(&["config:set", "BROKEN=yes"])
        .refused("v2 failed")
        .says("The new values stay set, and the next release takes them along")
        .says(way_back);
    assert_eq!((app.current(), app.answer_now()), (1, "good".to_owned()));
    assert_eq!(app.get("/config-vars")["BROKEN"], "yes");

    // The next release does take it, and fails of it too.
    app.answer("better");
    app.push(Door::Ssh).refused("v3 is not live");
    app.verb(&["rollback", "v1"]).ok();
    assert_eq!(app.get("/config-vars"), serde_json::json!({}));
    app.push(Door::Ssh).ok();
    assert_eq!(app.answer_now(), "better");
    app.until_containers(1);
}

#[test]
fn a_secret_that_the_build_prints_is_masked_and_mounted_not_baked_in() {
    let Some(platform) = Platform::shared() else { return };
    let app = platform.app("masked").answering("good");
    app.verb(&["config:set", "API_TOKEN=correct-horse-battery"]).ok();
    app.step(
        "RUN --mount=type=secret,id=API_TOKEN \
         echo it is $(cat /run/secrets/API_TOKEN), or $(base64 /run/secrets/API_TOKEN)",
    );
    let push = app.push(Door::Ssh);
    push.ok()
        .says("it is ********")
        .says_not("correct-horse-battery")
        .says_not("Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5");
    assert!(!app.output(1, "offset=0").contains("correct-horse"));
}

#[test]
fn terminal_escapes_in_build_output_are_stripped() {
    let Some(platform) = Platform::shared() else { return };
    let app = platform.app("escapes").answering("good");
    app.step(r"RUN printf 'before\033]0;a new title\007\033[2J\033[1;1H\033[31mred\033[0m after\n'");
    let push = app.push(Door::Ssh);
    push.ok().says("before").says("red").says_not("\u{1b}]0").says_not("\u{1b}[2J").says_not("\u{7}");
    assert!(!app.output(1, "offset=0").contains("\u{1b}[2J"));
}

#[test]
fn a_process_that_crashes_later_is_started_again_and_counted() {
    let Some(platform) = Platform::shared() else { return };
    let app = platform.app("crashes").answering("good");
    app.push(Door::Ssh).ok();
    app.browse("/crash");
    until("the restart to be counted", LONG, || app.get("/dynos")[0]["restarts"].as_u64() >= Some(1));
    until("the app to answer again", LONG, || app.answer_now() == "good");
    app.verb(&["ps"]).ok().says("web.1").says("restarted once").says("v1");
    app.verb(&["logs"]).ok().says("crashing as asked");
}

#[test]
fn an_engine_that_restarts_in_mid_rollout_fails_no_release() {
    let Some(own) = OwnEngine::start() else { return };
    let Some(platform) = Platform::with("SLIPWAY_HEALTH_DEADLINE", "60s").on(own.engine.clone()).start()
    else {
        return;
    };
    let app = platform.app("engine-restarted").answering("one");
    app.push(Door::Ssh).ok();
    app.write("behaviour", "slow");
    app.answer("two");
    let mut push = app.start_push(Door::Ssh, &["main"]);
    push.until_says("Launching v2");
    app.until_containers(2);
    own.restart();
    push.end()
        .ok()
        .says("v2 is recorded; its rollout goes on when the target is back")
        .says("main -> refs/builds/2");
    app.until_current(2);
    until("the new answer", LONG, || app.answer_now() == "two");
    until("the branch to move", LONG, || app.remote_ref("refs/heads/main") == Some(app.head()));
    app.until_containers(1);
    assert_eq!((app.releases().len(), app.builds().len()), (2, 2));
    assert_eq!(app.build(2)["state"], "succeeded");
}

#[test]
fn an_api_server_that_restarts_in_mid_rollout_fails_no_release_and_costs_no_request() {
    let Some(cluster) = Cluster::namespace("api-restarted") else { return };
    let Some(server) = SecondServer::start() else { return };
    let Some(platform) = cluster.platform_over(&server.kubeconfig()).start() else { return };
    let app = platform.app("steady").answering("one");
    app.push(Door::Ssh).ok();
    let traffic = cluster.traffic("steady");
    traffic.until_answers("one", 5);
    app.write("behaviour", "slow");
    app.answer("two");
    let mut push = app.start_push(Door::Ssh, &["main"]);
    push.until_says("web: 1 of 1 updated");
    server.kill();
    push.end()
        .ok()
        .says("the Kubernetes API server did not answer")
        .says("v2 is recorded; its rollout goes on when the target is back")
        .says("main -> refs/builds/2");
    server.start_again();
    app.until_current(2);
    traffic.until_answers("two", 5);
    assert_eq!(traffic.stop().failures, Vec::<String>::new());
    until("the branch to move", LONG, || app.remote_ref("refs/heads/main") == Some(app.head()));
    cluster.until_pods(1);
    assert_eq!((app.releases().len(), app.builds().len()), (2, 2));

    // One that is back soon is waited for.
    app.answer("three");
    let mut push = app.start_push(Door::Http, &["main"]);
    push.until_says("Launching v3");
    server.kill();
    server.start_again();
    push.end().ok();
    app.until_current(3);
    until("the newest answer", LONG, || cluster.browse("steady", "/") == "three");
}
