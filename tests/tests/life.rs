//! What operators and scripts look at.

use slipway_tests::{Door, Platform, SHORT, Said, until};

#[test]
fn probes_answer_without_a_token_and_metrics_count_builds() {
    let Some(platform) = Platform::shared() else { return };
    let app = platform.app("measured").answering("hello");
    app.push(Door::Ssh).ok();
    for path in ["/healthz", "/readyz"] {
        assert_eq!(platform.ask("GET", path, "", None).status, 200, "{path}");
    }
    // No other story of this file has a build that fails.
    app.step("RUN exit 4");
    app.push(Door::Ssh).refused("build failed");
    let metrics = platform.ask("GET", "/metrics", "", None).body;
    assert!(metrics.contains("slipway_builds_total{outcome=\"succeeded\"} "), "{metrics}");
    assert!(metrics.contains("slipway_builds_total{outcome=\"failed\"} 1\n"), "{metrics}");
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

    // Copied as it says, with nothing of our own but the key, it leads there; to another host key it does not.
    let folder = tempfile::tempdir().expect("a folder");
    let (config, known_hosts) = (folder.path().join("config"), folder.path().join("known_hosts"));
    let (_, block) = printed.out.split_once("# Into ~/.ssh/config:").expect("a block");
    let block = block.replace("~/.ssh/known_hosts", &known_hosts.display().to_string());
    std::fs::write(&config, block).expect("a file");
    let whoami = |known: &str| {
        std::fs::write(&known_hosts, known).expect("a file");
        let mut ssh = std::process::Command::new("ssh");
        ssh.arg("-F").arg(&config).arg("-i").arg(platform.home().join("people/root/id"));
        ssh.args(["-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "platform", "whoami"]);
        Said::of(&ssh.stdin(std::process::Stdio::null()).output().expect("ssh"))
    };
    whoami(&format!("{known}\n")).ok().says("root");
    let (host, _) = known.split_once(' ').expect("host and key");
    let another = std::fs::read_to_string(platform.home().join("people/root/id.pub")).expect("a key");
    whoami(&format!("{host} {another}")).refused("Host key verification failed");
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
