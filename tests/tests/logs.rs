//! What apps write, what the platform says of them, and where it goes.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;
use slipway_tests::{App, Cluster, Door, LONG, Platform, Sink, Speaks, until};

/// Counts aloud, as fast as once a millisecond.
const COUNTER: &str = "import itertools, sys, time\nname, pause = sys.argv[1], float(sys.argv[2])\nfor i in itertools.count():\n    print(name, i, flush=True)\n    time.sleep(pause)\n";

impl Counted {
    /// A web process, and a worker that counts.
    fn push(platform: &Arc<Platform>, app: &str, pause: &str) -> App {
        let app = platform.app(app).answering("hello");
        app.write("count.py", COUNTER);
        Self::name(&app, "one", pause);
        app.push(Door::Ssh).ok();
        app.verb(&["ps:scale", "worker=1"]).ok();
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
    assert!(app.logs(&["--since", "10m", "-n", "1500"]).lines().count() > 20);
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
    app.verb(&["ps:scale", "worker=1"]).ok();
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

#[test]
fn requests_stand_between_the_lines_also_those_of_a_server_that_was_down() {
    let Some(platform) = Platform::start() else { return };
    let app = platform.app("asked").answering("hello");
    app.push(Door::Ssh).ok();
    app.browse("/?page=2");
    let line =
        app.until_logged("slipway[router]: at=info method=GET path=\"/?page=2\" host=asked.localhost:");
    let line = line.lines().find(|line| line.contains("page=2")).expect("a line");
    assert!(line.contains("fwd=\"127.0.0.1\" dyno=web.1 connect="), "{line}");
    assert!(line.contains("status=200 bytes=") && line.contains("request_id="), "{line}");

    platform.server().kill();
    for _ in 0..3 {
        app.browse("/?while=away");
    }
    platform.server().start();
    platform.server().until_ready();
    app.browse("/?after=all");
    let logs = app.until_logged("after=all");
    assert_eq!(logs.matches("while=away").count(), 3, "{logs}");
    assert_eq!(logs.matches("page=2").count(), 1, "{logs}");
    let routed = app.logs(&["--ps", "router", "-n", "1"]);
    assert!(routed.lines().count() == 1 && routed.contains("after=all"), "{routed}");
}

#[test]
fn a_log_session_is_read_by_its_address_alone_and_goes_on_behind_the_last_event() {
    let Some(platform) = Platform::shared() else { return };
    let app = Counted::push(&platform, "session", "0.1");
    app.until_logged("one 10");
    let wish = json!({ "dyno": "worker", "source": "app", "lines": 5, "tail": false });
    let made = app.ask("POST", "/log-sessions", Some(wish));
    assert_eq!(made.status, 201, "{made:?}");
    let url = made.json()["logplex_url"].as_str().expect("an address").to_owned();
    let path = &url[url.find("/log-sessions/").expect("a path")..];
    let text = platform.open(path, &[]).body;
    assert_eq!(text.lines().filter(|line| line.contains("app[worker.1]: one ")).count(), 5, "{text}");

    let events = [("Accept", "text/event-stream")];
    let first = platform.open(path, &events);
    assert!(first.head.contains("content-type: text/event-stream"), "{first:?}");
    let last = first.body.lines().filter_map(|line| line.strip_prefix("id: ")).next_back().expect("an id");
    until("more lines", LONG, || {
        let more = platform.open(path, &[events[0], ("Last-Event-ID", last)]).body;
        Counted::of(&more.replace("data: ", "")).values().any(|numbers| numbers.len() >= 2)
    });
    let more = platform.open(path, &[events[0], ("Last-Event-ID", last)]).body;
    Counted::once_each(&format!("{}{more}", first.body).replace("data: ", ""));
    assert_eq!(platform.open("/log-sessions/0000", &[]).status, 404);
}

#[test]
fn drains_send_every_line_over_tls_and_what_a_stalled_one_lost_is_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Sink::certificate(folder.path());
    let start = Platform::with("SLIPWAY_BUILD_EXTRA_CA", authority.display().to_string())
        .with("SLIPWAY_LOG_DRAIN_NETWORKS", "127.0.0.0/8,::1/128")
        .with("SLIPWAY_MAX_APP_LOG", "1MiB");
    let Some(platform) = start.start() else { return };
    let app = Counted::push(&platform, "drained", "0.02");
    let sinks = [Speaks::Syslog, Speaks::Https].map(|speaks| Sink::listen(folder.path(), speaks));
    app.verb(&["drains:add", "http://localhost/"]).refused("https:// in place of http://");
    app.verb(&["drains:add", "https://10.1.2.3/"]).refused("SLIPWAY_LOG_DRAIN_NETWORKS");
    for sink in &sinks {
        app.verb(&["drains:add", &sink.url()]).ok().says("Successfully added drain");
    }
    app.verb(&["drains:add", &sinks[0].url()]).refused("already");
    app.verb(&["drains"]).ok().says(&sinks[0].url()).says(" d.");
    app.browse("/?drained=1");
    let numbers = |sink: &Sink, name: &str| -> Vec<u64> {
        let words = format!(" app worker.1 - - {name} ");
        let got = sink.got();
        got.iter().filter_map(|message| message.split_once(&words)?.1.trim().parse().ok()).collect()
    };
    let consecutive =
        |sink: &Sink, name: &str| numbers(sink, name).windows(2).all(|pair| pair[1] == pair[0] + 1);
    for sink in &sinks {
        until("lines and a request to be drained", LONG, || {
            numbers(sink, "one").len() > 50 && sink.got().iter().any(|got| got.contains("drained=1"))
        });
    }
    let request = sinks[0].got().into_iter().find(|got| got.contains("drained=1")).expect("it came");
    assert!(request.starts_with("<158>1 20") && request.contains(" slipway router - - at=info"), "{request}");
    let head = sinks[1].heads().into_iter().next().expect("a request");
    for words in [
        "post /in?from=blog http/1.1",
        "content-type: application/logplex-1",
        "logplex-msg-count: ",
        "authorization: basic ",
    ] {
        assert!(head.contains(words), "{head}");
    }
    // What was delivered is known after a restart.
    platform.server().restart();
    for sink in &sinks {
        let before = numbers(sink, "one").len();
        until("lines after the restart", LONG, || numbers(sink, "one").len() > before + 50);
        assert!(consecutive(sink, "one"), "{:?}", numbers(sink, "one"));
    }

    // One drain stalls, and the app writes more than is kept.
    sinks[1].refuse(true);
    let told = |words: &str| app.logs(&["--source", "slipway", "-n", "1500"]).contains(words);
    until("the drain to be told of", LONG, || told("slipway[logs]: Error L14 (Drain unreachable)"));
    let burst = "import time\nfor i in range(40000): print('burst', i, flush=i % 100 == 0)\nprint('burst over', flush=True)\ntime.sleep(1000)\n";
    app.write("burst.py", burst);
    app.write("Procfile", "web: python3 -u server.py\nworker: python3 burst.py\n");
    app.commit("burst");
    app.push(Door::Ssh).ok();
    app.until_logged("burst over");
    sinks[1].refuse(false);
    until("the rest to be drained", LONG, || sinks[1].got().iter().any(|got| got.contains("burst over")));
    until("the loss to be told", LONG, || told("slipway[logs]: Error L10 (Output buffer overflow) -> d."));
    let logs = app.logs(&["--source", "slipway", "-n", "1500"]);
    let lost = logs.lines().filter_map(|line| line.split_once(" missed ")?.1.strip_suffix(" lines"));
    let lost: u64 = lost.filter_map(|count| count.parse::<u64>().ok()).sum();
    let came = numbers(&sinks[1], "burst");
    assert!(came.is_sorted() && came.len() < 40_000, "{}", came.len());
    assert!(came.len() as u64 + lost >= 40_000, "{} came, {lost} were counted as lost", came.len());

    app.verb(&["drains:remove", &sinks[0].url()]).ok();
    app.verb(&["drains"]).ok().says_not("syslog+tls");
}
