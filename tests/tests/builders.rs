//! Apps built by a Cloud Native Buildpacks builder: the real lifecycle, in containers of the engine.

use std::sync::{Arc, OnceLock};

use slipway_tests::{App, Door, Platform, Setting, skip};

/// A builder image whose run image lies in a registry of its own, as those of vendors do.
fn builder(platform: &Platform) -> Option<String> {
    static MADE: OnceLock<Option<String>> = OnceLock::new();
    let make = || {
        let Some(registry) = Setting::Registry.get() else {
            skip("SLIPWAY_TEST_REGISTRY names no registry for the builder's run image");
            return None;
        };
        let engine = platform.engine();
        let run = format!("{registry}/test-run:latest");
        engine.docker(&["tag", "slipway/test-run:latest", &run]).expect("tests/lifecycle/build makes it");
        engine.docker(&["push", &run]).expect("docker push");
        let metadata = format!(r#"{{"stack":{{"runImage":{{"image":"{run}"}}}}}}"#);
        let dockerfile = format!(
            "FROM slipway/test-builder:latest\nLABEL io.buildpacks.builder.metadata={}\n",
            serde_json::Value::from(metadata)
        );
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("Dockerfile"), dockerfile).expect("a file");
        let name = "slipway/story-builder:latest";
        engine.docker(&["build", "--tag", name, &folder.path().display().to_string()]).expect("docker build");
        Some(name.to_owned())
    };
    MADE.get_or_init(make).clone()
}

/// An app for the test builder, on a platform that trusts it or does not.
fn app(name: &str, trusted: bool) -> Option<(App, String)> {
    static TRUSTING: OnceLock<Option<Arc<Platform>>> = OnceLock::new();
    static CAREFUL: OnceLock<Option<Arc<Platform>>> = OnceLock::new();
    let platform = if trusted {
        TRUSTING.get_or_init(|| Platform::with("SLIPWAY_TRUSTED_BUILDERS", "slipway/story-builder").start())
    } else {
        CAREFUL.get_or_init(Platform::start)
    };
    let platform = platform.as_ref()?;
    let builder = builder(platform)?;
    let app = platform.app(name);
    app.write("app.sh", APP)
        .write("answer", name)
        .write("dependencies", "one\n")
        .commit("an app of a builder");
    Some((app, builder))
}

/// Answers with what the file says; as a worker it only stays.
const APP: &str = r#"
[ "$1" = serve ] || exec sleep 900
exec python3 -c '
import os
from http.server import BaseHTTPRequestHandler, HTTPServer
class Answers(BaseHTTPRequestHandler):
    def do_GET(self):
        text = open("answer").read() + " " + os.environ.get("COLOUR", "") + open("built").read()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())
HTTPServer(("", int(os.environ["PORT"])), Answers).serve_forever()
'
"#;

/// Builds twice: the second time with what the first one left, and the config vars of then.
fn builds_and_runs(name: &str, trusted: bool) {
    let Some((app, builder)) = app(name, trusted) else { return };
    let script = "printf %s \"built with $COLOUR\" >built\n\
                  if [ -d /cache ]; then echo all phases in one; else echo a phase of its own; fi\n";
    app.write("build.sh", script).commit("what the build sees");
    app.verb(&["config:set", "COLOUR=green"]).ok();
    app.verb(&["apps:set", &format!("builder={builder}")]).ok().says(&builder);
    app.push(Door::Ssh)
        .ok()
        .says(&format!("Builder: {builder}"))
        .says("Installing dependencies one")
        .says("worker: /bin/sh app.sh work")
        // Only the container that does everything has the cache at hand while buildpacks run.
        .says(if trusted { "all phases in one" } else { "a phase of its own" });
    assert_eq!(app.answer_now(), format!("{name} greenbuilt with green"));
    app.verb(&["ps:scale", "worker=1"]).ok();
    assert_eq!(app.until_containers(2).len(), 2, "web and worker");

    app.verb(&["config:set", "COLOUR=red"]).ok();
    app.write("answer", "changed").commit("a changed line");
    app.push(Door::Ssh).ok().says("Reusing dependencies one");
    assert_eq!(app.answer_now(), "changed redbuilt with red");

    app.commit("the same tree");
    app.push(Door::Ssh).ok().says("Nothing to build");
    app.verb(&["buildpacks:dockerfile"]).refused("which writes no Dockerfile");
}

#[test]
fn a_trusted_builder_builds_in_one_container() {
    builds_and_runs("trusted", true);
}

#[test]
fn a_builder_that_nobody_vouches_for_builds_phase_by_phase() {
    builds_and_runs("careful", false);
}

#[test]
fn the_tree_can_name_its_builder_and_the_procfile_adds_processes() {
    let Some((app, builder)) = app("named-by-tree", true) else { return };
    app.write("built", "").write("Procfile", "clock: exec sleep 900\n");
    app.write(
        "project.toml",
        &format!("[_]\nschema-version = \"0.2\"\n[io.buildpacks]\nbuilder = \"{builder}\"\n"),
    );
    app.commit("its own wish");
    app.push(Door::Ssh).ok().says(&format!("Builder: {builder}"));
    assert_eq!(app.answer_now(), "named-by-tree");
    app.verb(&["ps:scale", "worker=1", "clock=1"]).ok();
    assert_eq!(app.until_containers(3).len(), 3, "web, worker and clock");
}

#[test]
fn an_app_with_a_dockerfile_goes_over_to_a_builder_and_back() {
    let Some((app, builder)) = app("goes-over", false) else { return };
    app.add_app("by a Dockerfile").write("built", "").commit("two ways to build it");
    app.push(Door::Ssh).ok().says("Dockerfile found");
    assert_eq!(app.answer_now(), "by a Dockerfile");

    // Its image is the one whose layers the lifecycle is offered, and no lifecycle has made it.
    app.verb(&["apps:set", &format!("builder={builder}")]).ok();
    app.answer("by a builder");
    app.push(Door::Ssh).ok().says(&format!("Builder: {builder}")).says("Installing dependencies one");
    assert_eq!(app.answer_now(), "by a builder");

    app.verb(&["apps:set", "builder="]).ok();
    app.answer("by a Dockerfile again");
    app.push(Door::Ssh).ok().says("Dockerfile found");
    assert_eq!(app.answer_now(), "by a Dockerfile again");
    app.until_containers(1);
}

#[test]
fn what_a_builder_cannot_build_is_told_with_the_next_step() {
    let Some((app, builder)) = app("refused-by-builder", false) else { return };
    app.verb(&["apps:set", &format!("builder={builder}")]).ok();
    app.write("build.sh", "echo out of patience; exit 3\n").commit("broken");
    app.push(Door::Ssh).refused("failed to build the app").says("out of patience");
    app.remove("app.sh").commit("nothing");
    app.push(Door::Ssh).refused("knows this app");
    app.verb(&["apps:set", "builder=slipway/no-such-builder"]).ok();
    app.push(Door::Ssh).refused("slipway/no-such-builder");
    assert_eq!(app.remote_ref("refs/heads/main"), None);
}

#[test]
fn a_destroyed_app_leaves_no_cache_of_its_buildpacks() {
    let Some((app, builder)) = app("leaves-nothing", true) else { return };
    app.write("built", "").commit("built already");
    app.verb(&["apps:set", &format!("builder={builder}")]).ok();
    app.push(Door::Ssh).ok();
    let words = ["volume", "ls", "--format", "{{.Name}} {{.Labels}}"];
    let volumes = || app.platform().engine().docker(&words).expect("docker volume ls");
    let of_app = |listed: &str| listed.lines().filter(|line| line.contains(&app.id)).count();
    assert!(of_app(&volumes()) > 0, "{}", volumes());
    app.verb(&["apps:destroy", "--confirm", &app.name]).ok();
    assert_eq!(of_app(&volumes()), 0, "{}", volumes());
    app.is_gone();
}
