//! What apps write, what the platform says of them, and where it goes.

use std::collections::BTreeMap;
use std::sync::Arc;

use slipway_tests::{App, Cluster, Door, LONG, Platform, until};

/// Counts aloud, as fast as once a millisecond.
const COUNTER: &str = "import itertools, sys, time\nname, pause = sys.argv[1], float(sys.argv[2])\nfor i in itertools.count():\n    print(name, i, flush=True)\n    time.sleep(pause)\n";

impl Counted {
    /// A web process, and a worker that counts.
    fn push(platform: &Arc<Platform>, app: &str, pause: &str) -> App {
        let app = platform.app(app).answering("hello");
        app.write("count.py", COUNTER);
        Self::name(&app, "one", pause);
        app.push(Door::Ssh).ok();
        app
    }

    fn name(app: &App, name: &str, pause: &str) {
        app.write(
            "Procfile",
            &format!("web: python3 -u server.py\nworker: python3 count.py {name} {pause}\n"),
        );
        app.commit(name);
    }

    /// The numbers that each process has counted, in the order of their lines.
    fn of(text: &str) -> BTreeMap<String, Vec<u64>> {
        let mut numbers = BTreeMap::<String, Vec<u64>>::new();
        for line in text.lines().filter(|line| line.contains(" app[")) {
            let Some((_, said)) = line.split_once("]: ") else { continue };
            let Some((name, number)) = said.split_once(' ') else { continue };
            if let (Some(source), Ok(number)) = (line.split(' ').nth(1), number.parse()) {
                numbers.entry(format!("{source} {name}")).or_default().push(number);
            }
        }
        numbers
    }

    /// Fails unless each process' numbers follow one another.
    #[track_caller]
    fn once_each(text: &str) -> BTreeMap<String, Vec<u64>> {
        let all = Self::of(text);
        for (name, numbers) in &all {
            for pair in numbers.windows(2) {
                assert_eq!(pair[1], pair[0] + 1, "{name}, of {} lines", numbers.len());
            }
        }
        all
    }
}

struct Counted;

#[test]
fn a_thousand_lines_a_second_are_followed_once_each_over_a_restart_a_kill_and_a_rollout() {
    let Some(platform) = Platform::start() else { return };
    let app = Counted::push(&platform, "counted", "0.001");
    let mut logs = app.start_logs(&["--ps", "worker", "-n", "1500"]);
    logs.until_says("app[worker.1]: one 2000");
    platform.server().restart();
    let after = |logs: &slipway_tests::Pushing, more: usize| {
        let now = logs.so_far().lines().count() + more;
        until("more lines to come", LONG, || logs.so_far().lines().count() > now);
    };
    after(&logs, 1000);
    platform.server().kill();
    platform.server().start();
    platform.server().until_ready();
    after(&logs, 1000);
    Counted::name(&app, "two", "0.001");
    app.push(Door::Http).ok();
    logs.until_says("app[worker.1]: two 1000");
    let text = logs.so_far();
    logs.vanish();
    let numbers = Counted::once_each(&text);
    assert_eq!(numbers.len(), 2, "{:?}", numbers.keys());
    assert_eq!(numbers["app[worker.1]: two"][0], 0);
    assert!(numbers["app[worker.1]: one"].len() > 3000);
    assert!(!text.contains("L11"), "lines were lost");
    assert!(
        text.contains("slipway[worker.1]: Starting process with command `python3 count.py two"),
        "no start"
    );
    app.until_containers(2);
}

#[test]
fn lines_are_chosen_by_process_source_and_age_and_events_stand_between_them() {
    let Some(platform) = Platform::shared() else { return };
    let app = Counted::push(&platform, "chosen", "0.2");
    app.verb(&["config:set", "GREETING=hello"]).ok();
    let all = app.until_logged("Release v2 is live");
    for words in [
        "slipway[api]: Build 1 started by root",
        "slipway[api]: Release v1 created by root",
        "slipway[web.1]: Starting process with command `python3 -u server.py`",
        "slipway[web.1]: State changed from starting to up",
        "slipway[api]: Release v1 is live",
        "slipway[api]: Build 1 succeeded",
        "app[worker.1]: one 0",
        "slipway[api]: Set GREETING config vars by root",
    ] {
        assert!(all.contains(words), "no {words:?} in:\n{all}");
    }
    let times: Vec<&str> = all.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(times.is_sorted(), "{all}");
    assert!(times[0].ends_with("+00:00") && times[0].len() == "2026-11-26T15:00:00.000000+00:00".len());

    let worker = app.logs(&["--ps", "worker.1", "--source", "app", "-n", "5"]);
    assert_eq!(worker.lines().count(), 5, "{worker}");
    assert!(worker.lines().all(|line| line.contains(" app[worker.1]: ")), "{worker}");
    let platforms = app.logs(&["--ps", "web", "--source", "slipway"]);
    assert!(platforms.lines().all(|line| line.contains(" slipway[web.1]: ")), "{platforms}");
    let since = times[times.len() - 3];
    let recent = app.logs(&["--since", since]);
    assert!(recent.lines().all(|line| line >= since) && !recent.contains("Build 1 started"), "{recent}");
    assert_eq!(app.logs(&["--since", "10m", "-n", "1500"]).lines().count() > 20, true);
    app.verb(&["logs", "--since", "yesterday"]).refused("it is a span such as `10m`");
}

#[test]
fn the_last_lines_of_processes_that_are_gone_are_still_there() {
    let Some(platform) = Platform::shared() else { return };
    let app = Counted::push(&platform, "gone", "0.001");
    app.until_logged("one 1600");
    // Never healthy: its containers are removed at once.
    app.write("Procfile", "web: python3 -u server.py\nworker: sh -c 'echo out of oil; exit 9'\n");
    app.commit("broken");
    app.push(Door::Ssh).refused("out of oil");
    app.until_logged("app[worker.1]: out of oil");
    app.until_logged("slipway[worker.1]: Process exited with status 9");
    app.until_logged("slipway[api]: Release v2 failed");

    app.write("Procfile", "web: python3 -u server.py\n");
    app.commit("without a worker");
    app.push(Door::Ssh).ok();
    app.until_containers(1);
    let kept = app.logs(&["--ps", "worker", "--source", "app", "-n", "1500"]);
    let kept = Counted::of(&kept);
    let lines: usize = kept.values().map(Vec::len).sum();
    assert!(lines >= 1490, "{lines}");
    Counted::once_each(&app.logs(&["--ps", "worker", "-n", "1500"]));
}

#[test]
fn a_crash_later_and_its_restarts_are_told_to_who_follows() {
    let Some(platform) = Platform::shared() else { return };
    let app = platform.app("crashing").answering("hello");
    let line = "worker: sh -c 'echo begins; sleep 4; echo ends; exit 3'\n";
    app.write("Procfile", &format!("web: python3 -u server.py\n{line}"));
    app.commit("a worker that crashes");
    app.push(Door::Ssh).ok();
    let mut logs = app.start_logs(&["--ps", "worker"]);
    logs.until_says("slipway[worker.1]: Process exited with status 3")
        .until_says("slipway[worker.1]: State changed from up to crashed")
        .until_says("slipway[worker.1]: State changed from crashed to starting");
    until("the second run to end", LONG, || logs.so_far().matches("app[worker.1]: ends").count() >= 2);
    let text = logs.so_far();
    let said: Vec<&str> = text.lines().filter_map(|line| line.split_once(": ")?.1.into()).collect();
    let ends = said.iter().position(|line| *line == "ends").expect("it ended");
    assert_eq!(said[ends + 1], "Process exited with status 3", "{text}");
    assert_eq!(said.iter().filter(|line| **line == "begins").count(), 2, "{text}");
    logs.vanish();
}

#[test]
fn pods_are_followed_once_each_over_a_restart_of_the_server_and_a_rollout() {
    let Some(cluster) = Cluster::namespace("logs") else { return };
    let Some(platform) = cluster.platform().start() else { return };
    let app = Counted::push(&platform, "podded", "0.01");
    let mut logs = app.start_logs(&["--ps", "worker", "-n", "1500"]);
    logs.until_says("one 500");
    platform.server().kill();
    platform.server().start();
    platform.server().until_ready();
    Counted::name(&app, "two", "0.01");
    app.push(Door::Http).ok();
    logs.until_says(": two 100");
    let text = logs.so_far();
    logs.vanish();
    let numbers = Counted::once_each(&text);
    assert_eq!(numbers.len(), 2, "{:?}", numbers.keys());
    assert!(numbers.keys().all(|name| name.starts_with("app[podded-worker-")), "{:?}", numbers.keys());
    let all = app.until_logged("slipway[api]: Release v2 is live");
    for words in [
        "Starting process with command `python3 count.py two",
        "State changed from starting to up",
        "Stopping process with SIGTERM",
    ] {
        assert!(all.contains(words), "no {words:?} in:\n{all}");
    }
    // The pod of the first release is gone, and what it wrote is not.
    until("the old pods to be gone", LONG, || cluster.pods().len() == 2);
    let old = app.logs(&["--ps", "worker", "--source", "app", "-n", "1500"]);
    assert!(old.contains(": one "), "{old}");
}
