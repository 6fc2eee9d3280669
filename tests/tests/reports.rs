//! The hosts of connected repositories are told how each build stands here.

use serde_json::{Value, json};
use slipway_tests::{Door, Gitea, Hub, LONG, Platform, Sink, until, wait_for};

#[test]
fn a_real_gitea_shows_the_status_of_each_commit() {
    let Some((platform, gitea)) = Gitea::beside(Platform::with("SLIPWAY_HOOK_SEARCH", "1h")) else { return };
    let hosted = gitea.repository("told");
    let app = platform.app("told").answering("one");
    let wish = json!({ "url": hosted.user_url(), "provider": "gitea", "token": gitea.token("slipway") });
    assert_eq!(app.ask("POST", "/connection", Some(wish)).status, 201);
    let until_told = |commit: &str, state: &str| -> Value {
        wait_for(&format!("{commit} to be told as {state}"), LONG, || {
            let statuses = hosted.ask("GET", &format!("/commits/{commit}/statuses"), None);
            let mut statuses = statuses.as_array().cloned().unwrap_or_default().into_iter();
            statuses.find(|status| status["status"] == state)
        })
    };
    hosted.push(&app.checkout, &["main"]);
    app.verb(&["hooks:check"]).ok().says("is build 1");
    let told = until_told(&app.head(), "success");
    assert_eq!((&told["context"], &told["description"]), (&json!("slipway/told"), &json!("v1 is live")));
    assert!(told["target_url"].as_str().is_some_and(|url| url.contains("told.localhost")), "{told}");

    // A build that fails, and one that came by a push to the platform itself.
    app.step("RUN echo no good; exit 3");
    hosted.push(&app.checkout, &["main"]);
    app.verb(&["hooks:check"]).ok().says("is build 2");
    let told = until_told(&app.head(), "failure");
    assert!(told["description"].as_str().is_some_and(|text| text.starts_with("Build 2: ")), "{told}");
    app.git(&["reset", "-q", "--hard", "HEAD~1"]).ok();
    app.answer("two");
    hosted.push(&app.checkout, &["--force", "main"]);
    app.push(Door::Ssh).ok();
    until_told(&app.head(), "success");
    app.verb(&["hooks:info"]).ok().says_not("Not reported");
}

#[test]
fn github_is_told_of_a_deployment_from_queued_to_its_end_and_holds_up_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Sink::certificate(folder.path());
    let Some(hub) = Hub::listen(folder.path(), "ghp_stories") else { return };
    let start = Platform::with("SLIPWAY_HOOK_CA", authority.display().to_string())
        .with("SLIPWAY_HOOK_NETWORKS", "127.0.0.0/8,::1/128")
        .with("SLIPWAY_HOOK_SEARCH", "1h");
    let Some(platform) = start.start() else { return };
    let app = platform.app("hub").answering("one");
    let url = format!("https://localhost:{}/ada/blog.git", hub.port);
    let wish = json!({ "url": url, "provider": "github", "token": "ghp_wrong" });
    assert_eq!(app.ask("POST", "/connection", Some(wish)).status, 201);

    // Whether or not the host listens, a push here is released.
    app.push(Door::Ssh).ok();
    until("the token to be found wanting", LONG, || {
        app.verb(&["hooks:info"]).out.contains("the right to write deployments")
    });
    hub.away(true);
    assert_eq!(app.ask("PATCH", "/connection", Some(json!({ "token": "ghp_stories" }))).status, 200);
    app.step("RUN sleep 5");
    app.push(Door::Http).ok();
    hub.away(false);
    let ended = |commit: &str, last: &str| {
        wait_for(&format!("a deployment of {commit} to end with {last}"), LONG, || {
            let made = hub.deployments();
            made.into_iter().find(|made| made.wish["ref"] == commit && made.states().last() == Some(&last))
        })
    };
    let made = ended(&app.head(), "success");
    assert_eq!((&made.wish["environment"], &made.wish["required_contexts"]), (&json!("hub"), &json!([])));
    let last = made.statuses.last().expect("a status");
    assert!(last["environment_url"].as_str().is_some_and(|url| url.contains("hub.localhost")), "{last}");
    assert!(last["log_url"].as_str().is_some_and(|url| url.ends_with("/ui/apps/hub/builds/2")), "{last}");

    // One that is watched all the way, and fails.
    app.step("RUN sleep 6; exit 3");
    app.push(Door::Ssh).refused("build failed");
    let made = ended(&app.head(), "failure");
    assert_eq!(made.states().iter().filter(|state| **state == "in_progress").count(), 1, "{made:?}");
    let commits = hub.deployments();
    let of_head = commits.iter().filter(|made| made.wish["ref"] == *app.head()).count();
    assert_eq!(of_head, 1, "a build is one deployment");
    assert_eq!(hub.faults(), Vec::<String>::new(), "GitHub's description of its API takes all of it");
}
