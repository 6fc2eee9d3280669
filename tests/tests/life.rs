//! What operators and scripts look at.

use slipway_tests::{Door, Platform, SHORT, until};

#[test]
fn probes_answer_without_a_token_and_metrics_count_builds() {
    let Some(platform) = Platform::shared() else { return };
    let app = platform.app("measured").answering("hello");
    app.push(Door::Ssh).ok();
    for path in ["/healthz", "/readyz"] {
        assert_eq!(platform.ask("GET", path, "", None).status, 200, "{path}");
    }
    let metrics = platform.ask("GET", "/metrics", "", None).body;
    assert!(metrics.contains("slipway_"), "{metrics}");
    assert_eq!(platform.ask("GET", "/apps", "", None).status, 401);
    assert_eq!(platform.ask("GET", "/apps", "slp_nonsense", None).status, 401);
}

#[test]
fn the_printed_ssh_block_makes_the_platform_a_host_with_its_key_pinned() {
    let Some(platform) = Platform::shared() else { return };
    let printed = platform.admin().verb(&["login"]);
    printed.ok().says("Host platform").says("StrictHostKeyChecking yes");
    let known = printed.out.lines().find(|line| line.contains("ssh-ed25519")).expect("a host key");
    let pinned = std::fs::read_to_string(platform.home().join("people/known_hosts")).expect("known_hosts");
    assert_eq!(known.trim(), pinned.trim());
    platform.admin().verb(&["whoami"]).ok().says("root");
    platform.admin().verb(&["relases"]).refused("did you mean `releases`?");
}

#[test]
fn a_second_server_on_the_same_folder_is_refused_and_the_first_goes_on() {
    let Some(platform) = Platform::shared() else { return };
    let said = platform.server().second();
    said.refused("is in use by the slipway process");
    assert_eq!(platform.readiness(), 200);
}

#[test]
fn an_app_that_is_destroyed_leaves_nothing_running() {
    let Some(platform) = Platform::shared() else { return };
    let app = platform.app("destroyed").answering("hello");
    app.push(Door::Ssh).ok();
    app.verb(&["apps:destroy", "destroyed"]).refused("--confirm destroyed");
    let said = platform.admin().verb(&["apps:destroy", "destroyed", "--confirm", "destroyed"]);
    said.ok();
    until("its containers to be gone", SHORT, || app.containers().is_empty());
    app.push(Door::Ssh).refused("there is no app `destroyed`");
    assert_ne!(app.answer_now(), "hello");
    app.is_gone();
}
