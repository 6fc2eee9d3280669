//! `cron` of app.json: what a clock starts, on one machine (the platform's own) and on a cluster (CronJobs).

use std::time::Duration;

use serde_json::Value;
use slipway_tests::{App, Cluster, Door, LONG, Platform, SHORT, until, wait_for};

/// A clock ticks every minute, and then a pod has to start.
const A_MINUTE: Duration = Duration::from_secs(150);

const CRON: &str = r#"{ "cron": [
    { "command": "echo tick $GREETING with $(cat answer)", "schedule": "* * * * *", "name": "tick" },
    { "command": "sh -c 'echo begun; while [ ! -e /tmp/go ]; do sleep 0.1; done; echo gone; exit 3'",
      "schedule": "@yearly", "name": "rare", "timezone": "Europe/Berlin" }
] }"#;

fn with_cron(app: App) -> App {
    let app = app.answering("one");
    app.verb(&["config:set", "GREETING=hello"]).ok();
    app.write("app.json", CRON).commit("a clock");
    app.push(Door::Ssh).ok().says("Cron -> tick (* * * * *), rare (0 0 1 1 * Europe/Berlin)");
    app
}

fn history(app: &App, name: &str) -> Vec<Value> {
    app.get(&format!("/cron-runs?name={name}")).as_array().expect("a list").clone()
}

/// The newest run of an entry, once it has ended so.
fn until_ended(app: &App, name: &str, status: &str) -> Value {
    wait_for(&format!("a run of {name} to be {status}"), A_MINUTE, || {
        history(app, name).into_iter().next().filter(|run| run["status"] == status)
    })
}

/// What both targets do alike.
fn ticks(app: &App) {
    app.verb(&["cron"])
        .ok()
        .says("tick")
        .says("* * * * * Etc/UTC")
        .says("has not run yet")
        .says("0 0 1 1 * Europe/Berlin");
    let run = until_ended(app, "tick", "succeeded");
    assert_eq!((&run["exit_status"], &run["user"]), (&0.into(), &Value::Null), "{run}");
    assert!(run["due_at"].as_str().expect("a time").ends_with(":00Z"), "{run}");
    let logs = app.until_logged("slipway[cron.tick]: Process exited with status 0");
    assert!(logs.contains("app[cron.tick]: tick hello with one"), "{logs}");
    app.verb(&["cron:history", "tick"]).ok().says("succeeded, exit status 0").says("by schedule");

    // By hand, once at a time.
    app.verb(&["cron:run", "rare"]).ok().says("Running cron.rare on");
    app.until_logged("app[cron.rare]: begun");
    app.verb(&["cron:run", "rare"]).refused("cron.rare runs already, and an entry runs once at a time");
    app.verb(&["run:list"]).ok().says("cron.rare").says("root (detached)");
    app.verb(&["run:stop", "cron.rare"]).ok().says("Stopped cron.rare");
    let stopped = until_ended(app, "rare", "canceled");
    assert_eq!((&stopped["reason"], &stopped["user"]), (&"it was stopped by root".into(), &"root".into()));
    app.verb(&["cron:history"]).ok().says("canceled (it was stopped by root)").says("by root");
    app.verb(&["cron:run", "daily"]).refused("has no entry `daily` of cron: `cron` lists them");

    let viewer = app.platform().person(&format!("vic-{}", app.name), "viewer");
    viewer.verb(&["cron", "--app", &app.name]).ok().says("tick");
    viewer.verb(&["cron:run", "tick", "--app", &app.name]).refused("this takes a deployer");
    let noted = "SELECT count(*) FROM audit WHERE action = 'cron:run' AND actor_name = 'root'";
    assert_ne!(app.platform().sql(noted), "0");
}

/// Entries move with the releases.
fn moves(app: &App) {
    let one = r#"{ "cron": [{ "command": "./clean up", "schedule": "0 4 * * MON-FRI" }] }"#;
    app.write("app.json", one).commit("another");
    app.push(Door::Http).ok().says("Cron -> clean-up (0 4 * * MON-FRI)");
    app.verb(&["cron"]).ok().says("clean-up").says_not("tick");
    // One that fails takes nothing away.
    app.write("app.json", "{}").write("Procfile", "web: sh -c 'exit 5'\n").commit("broken");
    app.push(Door::Ssh).refused("is not live");
    app.verb(&["cron"]).ok().says("clean-up");
    app.write("app.json", r#"{ "cron": [{ "command": "./clean", "schedule": "at noon" }] }"#)
        .commit("no schedule");
    app.push(Door::Ssh)
        .refused("entry 1 of `cron` (./clean): the schedule `at noon` has 2 fields and not five");
    app.verb(&["rollback", "v2"]).ok();
    app.verb(&["cron"]).ok().says("tick").says("rare").says_not("clean-up");
}

#[test]
fn entries_run_when_they_are_due_once_at_a_time_and_move_with_the_releases_on_one_machine() {
    let Some(platform) = Platform::shared() else { return };
    let app = with_cron(platform.app("punctual"));
    ticks(&app);
    moves(&app);
    app.write("app.json", "{}").write("Procfile", "web: python3 -u server.py\n").commit("none");
    app.push(Door::Ssh).ok().says_not("Cron ->");
    app.verb(&["cron"]).ok().says("has no entries of cron");
    app.until_containers(1);
}

#[test]
fn on_a_cluster_entries_are_cron_jobs_that_run_and_move_with_the_releases() {
    let Some(cluster) = Cluster::namespace("cron") else { return };
    let Some(platform) = cluster.platform().start() else { return };
    let app = with_cron(platform.app("clock"));
    let of = |path: &str| {
        cluster.kubectl(&["get", "cronjob", "clock-cron-tick", "-o", &format!("jsonpath={path}")])
    };
    assert_eq!(of("{.spec.schedule} {.spec.timeZone} {.spec.concurrencyPolicy}"), "* * * * * Etc/UTC Forbid");
    let image = "{.spec.jobTemplate.spec.template.spec.containers[0].image}";
    assert_eq!(of(image), cluster.image_of("clock-web"));
    ticks(&app);
    // A run by hand has its place in the eyes of the cluster's clock, too.
    app.verb(&["cron:run", "rare"]).ok();
    until("the run by hand to have begun", LONG, || {
        app.logs(&["--ps", "cron.rare"]).matches("app[cron.rare]: begun").count() == 2
    });
    let active = ["get", "cronjob", "clock-cron-rare", "-o", "jsonpath={.status.active[*].name}"];
    assert_eq!(cluster.kubectl(&active), "clock-cron-rare-v2");
    app.verb(&["run:stop", "cron.rare"]).ok();
    until_ended(&app, "rare", "canceled");
    let names = || cluster.kubectl(&["get", "cronjobs", "-o", "name"]);
    moves(&app);
    assert_eq!(names(), "cronjob.batch/clock-cron-rare\ncronjob.batch/clock-cron-tick");

    // It is put back, and runs while the platform is down; what it wrote is told once it is up again.
    cluster.kubectl(&["delete", "cronjob", "clock-cron-tick"]);
    until("the CronJob to be back", LONG, || names().contains("clock-cron-tick"));
    platform.server().kill();
    let ended = "jsonpath={.items[*].status.conditions[?(@.type==\"Complete\")].status}";
    let jobs = ["get", "jobs", "-l", "slipway.dev/cron=tick", "-o", ended];
    let before = cluster.kubectl(&["get", "jobs", "-l", "slipway.dev/cron=tick", "-o", "name"]);
    let newest = wait_for("a Job of the cluster's own clock", A_MINUTE, || {
        let names = cluster.kubectl(&["get", "jobs", "-l", "slipway.dev/cron=tick", "-o", "name"]);
        let new = names.lines().find(|name| !before.contains(*name))?.to_owned();
        cluster.kubectl(&jobs).contains("True").then_some(new)
    });
    cluster.kubectl(&["wait", "--for=condition=Complete", "--timeout=60s", &newest]);
    let known = history_length(&app, || {
        platform.server().start();
        platform.server().until_ready();
    });
    until("its run to be known", LONG, || history(&app, "tick").len() > known);
    until_ended(&app, "tick", "succeeded");

    app.verb(&["apps:destroy", "--confirm", &app.name]).ok();
    until("the CronJobs and Jobs to be gone", LONG, || {
        cluster.kubectl(&["get", "cronjobs,jobs", "-o", "name"]).is_empty()
    });
    app.is_gone();
}

/// Runs of `tick` that are known before the server is back.
fn history_length(app: &App, start: impl FnOnce()) -> usize {
    let count = format!(
        "SELECT count(*) FROM batches WHERE kind = 'cron' AND name = 'tick' AND app_id = '{}'",
        app.id
    );
    let known = app.platform().sql(&count).parse().expect("a number");
    start();
    known
}

#[test]
fn a_server_that_was_killed_follows_what_runs_and_what_it_missed_is_run_once_or_told() {
    let Some(platform) = Platform::start() else { return };
    let app = platform.app("missed").answering("one");
    app.write(
        "app.json",
        r#"{ "cron": [
            { "command": "sh -c 'echo begun; while [ ! -e /tmp/go ]; do sleep 0.1; done; echo ended'", "schedule": "@yearly", "name": "long" },
            { "command": "echo caught up", "schedule": "@hourly", "name": "hourly" },
            { "command": "echo too late", "schedule": "@yearly", "name": "late" }
        ] }"#,
    );
    app.commit("a clock");
    app.push(Door::Ssh).ok();
    app.verb(&["cron:run", "long"]).ok();
    app.until_logged("app[cron.long]: begun");
    let container = |app: &App| {
        app.containers().into_iter().find(|id| {
            let words = ["inspect", "--format", "{{index .Config.Labels \"dev.slipway.batch\"}}", id];
            !platform.engine().docker(&words).expect("docker inspect").is_empty()
        })
    };
    let runs = container(&app).expect("a container");
    platform.server().kill();
    // As if it had been down over three hours; the newest of them is less than one ago.
    platform.sql("UPDATE cron_entries SET next_at = date_trunc('hour', now()) - interval '3 hours' WHERE name = 'hourly'");
    platform.sql("UPDATE cron_entries SET next_at = now() - interval '3 hours' WHERE name = 'late'");
    platform.server().start();
    platform.server().until_ready();

    let run = until_ended(&app, "hourly", "succeeded");
    assert_eq!(history(&app, "hourly").len(), 1, "{run}");
    app.until_logged("app[cron.hourly]: caught up");
    app.until_logged("slipway[cron.late]: Not run: it was due at");
    assert_eq!(history(&app, "late").len(), 0);

    assert_eq!(container(&app), Some(runs.clone()), "it was ended, or started again");
    app.verb(&["run:list"]).ok().says("cron.long");
    app.verb(&["cron:run", "long"]).refused("cron.long runs already");
    platform.engine().docker(&["exec", &runs, "touch", "/tmp/go"]).expect("docker exec");
    let run = until_ended(&app, "long", "succeeded");
    assert_eq!(run["exit_status"], 0, "{run}");
    let logs = app.until_logged("app[cron.long]: ended");
    assert_eq!(logs.matches("app[cron.long]: begun").count(), 1, "{logs}");
    until("the container to be gone", SHORT, || container(&app).is_none());
    app.until_containers(1);
}
