//! `run` and `ps:exec`, with a terminal and with pipes, on one machine and on a cluster.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;

use slipway_tests::{App, Attached, Cluster, Door, LONG, Platform, Said, Server, until};

/// An app that runs, on the target of this story.
fn app(platform: &Arc<Platform>, name: &str) -> App {
    let app = platform.app(name).answering("one");
    app.verb(&["config:set", "GREETING=hello"]).ok();
    app.push(Door::Ssh).ok();
    app
}

fn on_a_cluster(name: &str, story: impl FnOnce(&App)) {
    let Some(cluster) = Cluster::namespace(name) else { return };
    let Some(platform) = cluster.platform().start() else { return };
    let app = app(&platform, name);
    story(&app);
    until("no pod of a run to be left", LONG, || {
        cluster.kubectl(&["get", "pods", "-l", "slipway.dev/run", "-o", "name"]).is_empty()
    });
}

fn on_one_machine(name: &str, story: impl FnOnce(&App)) {
    let Some(platform) = Platform::shared() else { return };
    let app = app(&platform, name);
    story(&app);
    app.until_containers(1);
}

/// `<verb> -a <app> <words>`: what follows a command is the command's.
fn words<'a>(app: &'a App, words: &[&'a str]) -> Vec<&'a str> {
    let (verb, rest) = words.split_first().expect("a verb");
    [&[*verb, "-a", &app.name], rest].concat()
}

fn verb(app: &App, line: &[&str]) -> Said {
    app.platform().admin().verb(&words(app, line))
}

fn ssh(app: &App, options: &[&str], line: &[&str]) -> Command {
    app.platform().admin().ssh_with(options, &words(app, line))
}

fn cli(app: &App, line: &[&str]) -> Command {
    app.platform().admin().command_line(&words(app, line))
}

fn with_input(mut command: Command, input: &[u8]) -> Said {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("a client");
    let mut keys = child.stdin.take().expect("a pipe");
    let input = input.to_vec();
    let typing = std::thread::spawn(move || keys.write_all(&input));
    let ended = child.wait_with_output().expect("its end");
    typing.join().expect("no panic").expect("all was read");
    Said::of(&ended)
}

/// Whether the process' two outputs stay apart from its first word on.
#[derive(PartialEq)]
enum Outputs {
    Apart,
    /// What a pod writes before anybody can be attached is read from its log, which has them as one.
    AsOne,
}

fn pipes(app: &App, outputs: Outputs) {
    // The release's code and config, the words as they are, and the status.
    assert_eq!(verb(app, &["run", "cat", "/app/answer"]).ok().out.trim(), "one");
    assert_eq!(verb(app, &["run", "printenv GREETING"]).ok().out, "hello\n");
    assert_eq!(verb(app, &["run", "-e", "GREETING=bye", "printenv", "GREETING"]).ok().out, "bye\n");
    assert_eq!(verb(app, &["run", "'exit 42'"]).status, 42);
    let both = verb(app, &["run", "'echo out; echo err >&2'"]);
    match outputs {
        Outputs::Apart => assert_eq!((both.ok().out.as_str(), both.err.as_str()), ("out\n", "err\n")),
        Outputs::AsOne => {
            both.ok().says("out").says("err");
        }
    }
    verb(app, &["run", "--size", "colossal", "true"]).refused("colossal");
    verb(app, &["run", "--size", "small", "true"]).ok();
    verb(app, &["run", "no-such-program"]).refused("no-such-program");

    // More than waits anywhere on the way, by both doors, and back again.
    let long = vec![b'x'; 3_000_000];
    assert_eq!(with_input(ssh(app, &[], &["run", "wc", "-c"]), &long).ok().out.trim(), "3000000");
    let back = with_input(cli(app, &["run", "cat"]), &long);
    assert_eq!(back.ok().out.len(), 3_000_000);
    assert_eq!(with_input(cli(app, &["run", "exit 7"]), b"").status, 7);
}

fn terminal(app: &App) {
    for command in [cli(app, &["run", "sh"]), ssh(app, &["-tt"], &["run", "sh"])] {
        let mut shell = Attached::in_terminal(&command, 31, 97);
        // A cluster may set the size a moment after the first key.
        shell.types("until stty size | grep '31 97'; do :; done; echo GREE''TING=$GREETING\n");
        shell.until_says("GREETING=hello");
        shell.resize(33, 111);
        shell.types("until stty size | grep '33 111'; do :; done; echo grown''up\n");
        shell.until_says("grownup");
        shell.types("echo sle''eping; sleep 1000\n");
        shell.until_says("sleeping");
        shell.types("\u{3}");
        shell.types("echo stat''us $?\n");
        shell.until_says("status 130");
        shell.types("exit 9\n");
        assert_eq!(shell.status(), 9, "{}", shell.said());
    }
    // Without one although there is one.
    let mut shell =
        Attached::in_terminal(&cli(app, &["run", "--no-tty", "test -t 0 || echo no ter''minal"]), 24, 80);
    shell.until_says("no terminal");
    assert_eq!(shell.status(), 0);
}

fn ends(app: &App) {
    let names = || {
        let listed = app.get("/runs");
        let listed = listed.as_array().expect("a list").clone();
        listed.into_iter().map(|run| run["name"].as_str().expect("a name").to_owned()).collect::<Vec<_>>()
    };
    verb(app, &["run:list"]).ok().says("No one-off processes");
    let mut stopped = Attached::in_pipes(cli(app, &["run", "echo begun; sleep 1000"]));
    stopped.until_says("begun");
    let name = names().first().expect("one that runs").clone();
    verb(app, &["run:list"]).ok().says(&name).says("sleep 1000").says("root");
    verb(app, &["run:stop", &name]).ok().says(&name);
    assert_eq!(stopped.status(), 1);
    until("the stopped one to be gone", LONG, || names().is_empty());
    verb(app, &["run:stop", &name]).refused("`run:list` lists");

    // The client vanishes, and its process with it.
    let mut left = Attached::in_pipes(cli(app, &["run", "echo begun; sleep 1000"]));
    left.until_says("begun");
    left.vanish();
    until("the process of a client that has vanished to be gone", LONG, || names().is_empty());

    verb(app, &["run", "--time-limit", "2s", "sleep", "1000"]).refused("its time limit");
}

/// Waits for the name that a line of `run:detached` tells.
fn detached(app: &App, line: &[&str]) -> String {
    let said = verb(app, &[&["run:detached"], line].concat());
    let name = said.ok().out.split_whitespace().find(|word| word.starts_with("run."));
    name.expect("a name").to_owned()
}

fn left(app: &App) {
    let name = detached(
        app,
        &["-e", "WHO=ada", "'echo begun for $WHO: $GREETING; while sleep 1; do echo still here; done'"],
    );
    app.until_logged(&format!("app[{name}]: begun for ada: hello"));
    verb(app, &["run:list"]).ok().says(&name).says("while sleep 1").says("root (detached)");
    // Whoever may not run anything does not read the words of others.
    let viewer = app.platform().person(&format!("vera-{}", app.name), "viewer");
    let words = ["run:list", "--app", &app.name];
    viewer.verb(&words).ok().says(&name).says_not("while sleep 1");
    let as_viewer = app.platform().ask("GET", &format!("/apps/{}/runs", app.name), &viewer.token, None);
    assert_eq!((as_viewer.status, &as_viewer.json()[0]["command"]), (200, &serde_json::Value::Null));
    viewer.verb(&["run:detached", "--app", &app.name, "true"]).refused("this takes a deployer");

    // It survives the servers that have attended to it, which go on reading what it writes, and nothing twice.
    let lines = || app.logs(&["-n", "1500"]).matches("still here").count();
    let at_once: fn(&mut Server) = Server::kill;
    let in_good_time = |server: &mut Server| {
        server.stop();
    };
    for end in [at_once, in_good_time] {
        end(&mut app.platform().server());
        app.platform().server().start();
        app.platform().server().until_ready();
        verb(app, &["run:list"]).ok().says(&name);
        let so_far = lines();
        until("it to be heard of again", LONG, || lines() > so_far + 2);
    }
    verb(app, &["run:stop", &name]).ok().says(&format!("Stopped {name}"));
    let logs = app.until_logged(&format!("slipway[{name}]: Process ended: it was stopped by root"));
    assert_eq!(logs.matches("begun for ada").count(), 1, "{logs}");
    assert!(!logs.contains("while sleep 1"), "the words of a run stand in the log");
    until("it to be gone", LONG, || app.get("/runs").as_array().is_some_and(Vec::is_empty));
    verb(app, &["run:stop", &name]).refused("`run:list` lists");

    let name = detached(app, &["'echo one; exit 3'"]);
    let logs = app.until_logged(&format!("slipway[{name}]: Process ended with exit status 3"));
    assert!(logs.contains(&format!("app[{name}]: one")), "{logs}");
    let name = detached(app, &["--time-limit", "3s", "--size", "small", "sleep", "1000"]);
    app.until_logged(&format!("slipway[{name}]: Process did not end within 3s, and was stopped"));
    let name = detached(app, &["no-such-program"]);
    app.until_logged(&format!("slipway[{name}]: Process "));
    verb(app, &["run:detached", "--size", "colossal", "true"]).refused("there is no size `colossal`");
    let noted =
        "SELECT count(*) FROM audit WHERE action = 'run:detached' AND detail ->> 'command' LIKE '%sleep%'";
    assert_ne!(app.platform().sql(noted), "0");
}

fn inside(app: &App) {
    assert_eq!(verb(app, &["ps:exec", "cat", "/app/answer"]).ok().out.trim(), "one");
    assert_eq!(verb(app, &["ps:exec", "'exit 3'"]).status, 3);
    verb(app, &["ps:exec", "--ps", "worker", "true"]).refused("no process `worker`");
    let mut shell = Attached::in_terminal(&cli(app, &["ps:exec"]), 30, 90);
    shell.types("until stty size | grep '30 90'; do :; done; tr '\\0' ' ' </proc/1/cmdline; exit 4\n");
    shell.until_says("server.py");
    assert_eq!(shell.status(), 4);
}

#[test]
fn a_command_runs_with_pipes_on_one_machine() {
    on_one_machine("run-pipes", |app| pipes(app, Outputs::Apart));
}

#[test]
fn a_command_runs_with_pipes_on_a_cluster() {
    on_a_cluster("run-pipes", |app| pipes(app, Outputs::AsOne));
}

#[test]
fn a_shell_has_a_real_terminal_on_one_machine() {
    on_one_machine("run-terminal", terminal);
}

#[test]
fn a_shell_has_a_real_terminal_on_a_cluster() {
    on_a_cluster("run-terminal", terminal);
}

#[test]
fn a_run_ends_when_it_is_stopped_or_left_or_late_on_one_machine() {
    on_one_machine("run-ends", ends);
}

#[test]
fn a_run_ends_when_it_is_stopped_or_left_or_late_on_a_cluster() {
    on_a_cluster("run-ends", ends);
}

#[test]
fn a_run_that_is_left_goes_on_without_client_and_server_on_one_machine() {
    let Some(platform) = Platform::with("SLIPWAY_SIZES", "small=0.1:96MiB").start() else { return };
    let app = app(&platform, "run-left");
    left(&app);
    app.until_containers(1);
}

#[test]
fn a_run_that_is_left_goes_on_without_client_and_server_on_a_cluster() {
    let Some(cluster) = Cluster::namespace("run-left") else { return };
    let Some(platform) = cluster.platform().with("SLIPWAY_SIZES", "small=0.1:96MiB").start() else { return };
    let app = app(&platform, "run-left");
    left(&app);
    until("no Job to be left", LONG, || cluster.kubectl(&["get", "jobs", "-o", "name"]).is_empty());
    cluster.until_pods(1);
}

#[test]
fn a_command_runs_inside_a_process_on_one_machine() {
    on_one_machine("run-inside", inside);
}

#[test]
fn a_command_runs_inside_a_process_on_a_cluster() {
    on_a_cluster("run-inside", inside);
}
