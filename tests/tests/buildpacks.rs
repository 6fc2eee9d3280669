//! Apps without a Dockerfile: real package managers, real registries, and what runs in the end.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;
use slipway_tests::{App, Door, Platform, Said, Service, Setting, skip, slipway};

/// A platform for all stories of this file, with the memory that Java wants.
fn app(name: &str) -> Option<App> {
    use std::sync::{Arc, OnceLock};
    static SHARED: OnceLock<Option<Arc<Platform>>> = OnceLock::new();
    let start = || Platform::with("SLIPWAY_HEALTH_DEADLINE", "60s").start();
    Some(SHARED.get_or_init(start).as_ref()?.app(name))
}

/// Pushes an app of tests/apps: it is detected as told, it answers with its name, and no process of it is root.
fn runs(name: &str, detected: &str) -> Option<App> {
    let app = app(name)?;
    app.bring(name);
    app.push(Door::Ssh).ok().says(detected).says("Released v1");
    let answer = app.answer_now();
    assert!(answer.contains(&format!("Hello from {name}")), "{answer}");
    let containers = app.containers();
    assert!(!containers.is_empty());
    for container in containers {
        assert_eq!(app.platform().engine().user(&container), "10001:10001");
    }
    Some(app)
}

macro_rules! apps {
    ($($story:ident: $name:literal, $detected:literal;)*) => {
        $(#[test]
        fn $story() {
            runs($name, $detected);
        })*
    };
}

apps! {
    a_procfile_with_a_script: "shell", "Shell app: Procfile";
    node_with_npm: "node-npm", "Node.js app: package.json";
    node_with_yarn_1: "node-yarn", "Dependencies by yarn";
    node_with_yarn_berry: "node-berry", "Dependencies by yarn";
    node_with_yarn_plug_n_play: "node-pnp", "Dependencies by yarn";
    node_with_pnpm: "node-pnpm", "Dependencies by pnpm";
    node_with_bun: "node-bun", "Dependencies by bun";
    node_with_next: "node-next", "Node.js app: package.json";
    node_with_a_single_page_build: "node-vite", "Node.js app: package.json";
    node_with_workspaces_of_npm: "node-workspaces", "Node.js app: package.json";
    node_with_workspaces_of_yarn: "node-yarn-workspaces", "Dependencies by yarn";
    node_with_workspaces_of_pnpm: "node-pnpm-workspaces", "Dependencies by pnpm";
    static_files: "static-site", "index.html is in the root";
    python_with_pip: "python-pip", "Python app: requirements.txt";
    python_with_poetry: "python-poetry", "Dependencies by poetry";
    python_with_pipenv: "python-pipenv", "Dependencies by pipenv";
    python_with_pdm: "python-pdm", "Dependencies by pdm";
    python_with_uv: "python-uv", "Dependencies by uv";
    python_with_django: "python-django", "Python app";
    go_with_modules: "go-modules", "Go app: go.mod";
    go_with_a_workspace: "go-workspace", "Go app: go.work";
    go_vendored: "go-vendored", "Go app: go.mod";
    rust_with_cargo: "rust-cargo", "Rust app: Cargo.toml";
    rust_with_a_workspace: "rust-workspace", "Rust app: Cargo.toml";
    java_with_maven: "java-maven", "Java app: pom.xml";
    java_with_spring: "java-spring", "Java app: pom.xml";
    php_plain: "php-plain", "PHP app: index.php";
    php_with_composer: "php-composer", "PHP app: composer.json";
    php_with_assets_by_node: "php-node", "PHP app";
    ruby_with_rack: "ruby-rack", "Ruby app: Gemfile";
    ruby_vendored: "ruby-vendored", "Ruby app: Gemfile";
    ruby_with_assets_by_node: "ruby-node", "Ruby app: Gemfile";
}

/// What the wrapper downloads comes from a folder with the layout of its usual place, over the machine's loopback.
#[test]
fn java_with_gradles_wrapper() {
    let Some(folder) = Setting::Gradle.get() else {
        return skip("SLIPWAY_TEST_GRADLE names no folder with a distribution of Gradle");
    };
    let served = Service::files(std::path::Path::new(&folder));
    let Some(platform) = Platform::with("SLIPWAY_BUILD_NETWORK", "host").start() else { return };
    let app = platform.app("java-gradle");
    let config = json!({
        "GRADLE_DISTRIBUTIONS_URL": format!("http://127.0.0.1:{}", served.proxy.port),
        // So old a Gradle on so new a Java.
        "GRADLE_OPTS": "--add-opens=java.base/java.lang=ALL-UNNAMED",
    });
    assert_eq!(app.ask("PATCH", "/config-vars", Some(config)).status, 200);
    app.bring("java-gradle");
    app.push(Door::Ssh).ok().says("Java app: build.gradle");
    assert!(app.answer_now().contains("Hello from java-gradle"), "{}", app.answer_now());
}

/// A tree that builds a file from the config var GREETING, and answers with it.
fn greeter(app: &App) {
    app.write(
        "package.json",
        r#"{"name": "greeter", "scripts": {"build": "node build.js", "start": "node server.js"}}"#,
    )
    .write("build.js", "require('fs').writeFileSync('greeting.txt', process.env.GREETING || 'nothing')\n")
    .write(
        "server.js",
        "const text = require('fs').readFileSync('greeting.txt')\n\
             require('http').createServer((_, answer) => answer.end(text)).listen(process.env.PORT)\n",
    )
    .commit("a greeter");
}

#[test]
fn config_vars_are_seen_by_the_build_and_a_changed_one_builds_again() {
    let Some(app) = app("build-config") else { return };
    greeter(&app);
    let greeting = json!({ "GREETING": "good morning, it's \"early\"" });
    assert_eq!(app.ask("PATCH", "/config-vars", Some(greeting)).status, 200);
    app.push(Door::Ssh).ok();
    assert_eq!(app.answer_now(), "good morning, it's \"early\"");
    let digest = app.build(1)["digest"].clone();

    // Not in the image: neither its history nor its settings tell the value.
    for container in app.until_containers(1) {
        let image = app.platform().engine().image_of(&container);
        let told = app.platform().engine().all_about_image(&image);
        assert!(!told.contains("good morning"), "{told}");
    }

    app.verb(&["config:set", "GREETING=goodnight"]).ok();
    app.commit("the same tree");
    app.push(Door::Ssh).ok();
    assert_eq!(app.answer_now(), "goodnight");
    app.commit("the same tree, the same config");
    app.push(Door::Ssh).ok().says("Nothing to build: build 2 made an image of just the same");
    assert_ne!(app.build(2)["digest"], digest);

    // Another app with the same tree, whose var has as many versions: no cache gives it what is somebody else's.
    let Some(other) = self::app("build-config-too") else { return };
    greeter(&other);
    other.verb(&["config:set", "GREETING=hello"]).ok();
    other.push(Door::Ssh).ok();
    assert_eq!(other.answer_now(), "hello");
}

#[test]
fn a_changed_line_installs_nothing_again_and_a_changed_dependency_does() {
    let Some(app) = app("changed-line") else { return };
    app.bring("python-pip");
    app.push(Door::Ssh).ok();
    app.edit("app.py", "Hello from", "Good day from").commit("a changed line");
    app.push(Door::Ssh).ok().says("CACHED").says("Released v2").says_not("Collecting");
    assert!(app.answer_now().contains("Good day from"), "{}", app.answer_now());

    let requirements = std::fs::read_to_string(app.path().join("requirements.txt")).expect("a file");
    app.write("requirements.txt", &format!("{requirements}humanize==4.9.0\n")).commit("a dependency");
    app.push(Door::Ssh).ok().says("Collecting humanize");
}

#[test]
fn debian_packages_are_there_when_it_builds_and_when_it_runs() {
    let Some(app) = app("packages") else { return };
    let version = "require('child_process').execSync('jq --version').toString().trim()";
    app.write(
        "package.json",
        r#"{"name": "packages", "scripts": {"build": "node build.js", "start": "node server.js"}}"#,
    )
    .write("build.js", &format!("require('fs').writeFileSync('built.txt', {version})\n"))
    .write(
        "server.js",
        &format!(
            "const text = require('fs').readFileSync('built.txt') + ' and ' + {version}\n\
             require('http').createServer((_, answer) => answer.end(text)).listen(process.env.PORT)\n"
        ),
    )
    .write("Aptfile", "jq\n")
    .commit("asks for a package");
    app.push(Door::Ssh).ok();
    let answer = app.answer_now();
    let (built, runs) = answer.split_once(" and ").expect("both versions");
    assert!(built.starts_with("jq-") && built == runs, "{answer}");
}

#[test]
fn a_folder_of_a_monorepo_is_built_by_its_file_and_by_the_apps_setting() {
    let Some(app) = app("monorepo") else { return };
    app.write("web/Procfile", "web: ./serve\n").write("api/Procfile", "web: ./serve\n");
    for folder in ["web", "api"] {
        let serve = format!("#!/bin/sh\nexec perl -e '{}'\n", server_in_perl(&format!("this is {folder}")));
        app.write(&format!("{folder}/serve"), &serve);
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(app.path().join(folder).join("serve"), mode).expect("its mode");
    }
    app.write("project.toml", "[slipway]\nfolder = \"web\"\n").commit("a monorepo");
    app.push(Door::Ssh).ok().says("Building the folder web").says("Shell app");
    assert_eq!(app.answer_now(), "this is web");

    app.verb(&["apps:set", "folder=api"]).ok().says("api");
    app.commit("again");
    app.push(Door::Ssh).ok().says("Building the folder api");
    assert_eq!(app.answer_now(), "this is api");

    app.verb(&["apps:set", "folder=gone"]).ok();
    app.commit("once more");
    app.push(Door::Ssh).refused("gone is not a folder of the tree");
    assert_eq!(app.answer_now(), "this is api");
}

/// Every Debian has this much Perl.
fn server_in_perl(answer: &str) -> String {
    format!(
        "use IO::Socket::INET; $s = IO::Socket::INET->new(LocalPort => $ENV{{PORT}}, Listen => 16, ReuseAddr => 1) or die; \
         while ($c = $s->accept) {{ while (<$c>) {{ last if /^\\r?$/ }} \
         print $c \"HTTP/1.1 200 OK\\r\\nContent-Length: {}\\r\\nConnection: close\\r\\n\\r\\n{answer}\"; close $c }}",
        answer.len()
    )
}

#[test]
fn the_printed_dockerfile_builds_the_same_when_it_is_committed() {
    let Some(app) = app("owned") else { return };
    app.verb(&["buildpacks:dockerfile"]).refused("nothing was pushed to owned yet");
    greeter(&app);
    app.verb(&["config:set", "GREETING=built"]).ok();
    app.push(Door::Ssh).ok();
    let printed = app.verb(&["buildpacks:dockerfile"]).ok().out.clone();
    assert!(printed.contains("git add Dockerfile") && printed.contains("FROM "), "{printed}");
    app.write("Dockerfile", &printed).commit("we own it now");
    app.push(Door::Ssh).ok().says("Dockerfile found: Dockerfile");
    assert_eq!(app.answer_now(), "built");
    app.verb(&["buildpacks:dockerfile"]).refused("the app brings its own Dockerfile");
}

/// With official base images: the checkout knows of no platform's.
#[test]
fn the_command_line_prints_what_a_checkout_would_be_built_with_and_asks_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = |program: &std::path::Path, words: &[&str]| {
        let mut command = std::process::Command::new(program);
        command.current_dir(folder.path()).args(words).env("HOME", folder.path());
        Said::of(&command.output().expect("a program"))
    };
    let print = || run(&slipway(), &["buildpacks:dockerfile"]);
    let git = |words: &[&str]| {
        let who = ["-c", "user.name=ada", "-c", "user.email=ada@example.org"];
        run(std::path::Path::new("git"), &[&who[..], words].concat())
    };
    print().refused("no git checkout with a commit");
    git(&["init", "-q"]).ok();
    std::fs::write(folder.path().join("go.mod"), "module example.org/x\n\ngo 1.24\n").expect("a file");
    std::fs::write(folder.path().join("main.go"), "package main\n\nfunc main() {}\n").expect("a file");
    print().refused("no git checkout with a commit");
    git(&["add", "-A"]).ok();
    git(&["commit", "-qm", "a program"]).ok();
    print().ok().says("FROM golang:").says("git add Dockerfile");
    std::fs::write(folder.path().join("Dockerfile"), "FROM scratch\n").expect("a file");
    git(&["add", "-A"]).ok();
    git(&["commit", "-qm", "its own"]).ok();
    print().refused("the app brings its own Dockerfile");
}

#[test]
fn a_misspelt_file_gets_help_and_so_does_a_tree_that_nobody_knows() {
    let Some(app) = app("misspelt") else { return };
    app.write("requirments.txt", "flask\n").write("app.py", "\n").commit("a typing error");
    app.push(Door::Ssh).refused("requirments.txt").says("git mv requirments.txt requirements.txt");
    app.remove("requirments.txt").remove("app.py").write("notes.md", "\n").commit("nothing");
    app.push(Door::Ssh).refused("says how to build it").says("requirements.txt").says("package.json");
    assert_eq!(app.remote_ref("refs/heads/main"), None);
}

#[test]
fn a_buildpack_can_be_chosen_and_one_that_is_not_there_is_refused_at_once() {
    let Some(app) = app("chosen") else { return };
    app.verb(&["apps:set", "buildpack=cobol"]).refused("there is no buildpack `cobol`");
    app.verb(&["apps:set", "buildpack=heroku/procfile"]).ok().says("heroku/procfile");
    app.verb(&["apps:set", "dockerfile=Dockerfile"]).refused("unset the others");
    app.bring("shell").write("Dockerfile", "FROM scratch\n").commit("a Dockerfile that is not meant");
    app.push_with(Door::Ssh, &["--push-option=dry-run", "main"])
        .refused("dry run")
        .says("the buildpack shell");
    app.push(Door::Ssh).ok().says("Shell app: the app's setting asks for it");
}
