//! Connected apps that wait until a commit's checks are good, and GitLab, on hosts over TLS.

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use slipway_tests::{App, Gitea, Hub, LONG, Lab, Platform, until, wait_for};

/// Connects with a token and has the app wait; the secret of its hooks.
fn connect(app: &App, url: &str, provider: &str, token: &str) -> String {
    let wish = json!({ "url": url, "provider": provider });
    let made = app.ask("POST", "/connection", Some(wish)).json();
    app.verb(&["hooks:checks", "on"]).refused("--token-stdin");
    assert_eq!(app.ask("PATCH", "/connection", Some(json!({ "token": token }))).status, 200);
    app.verb(&["hooks:checks", "on"]).ok().says("when the checks of a commit are good");
    app.verb(&["hooks:info"]).ok().says("waited for");
    made["secret"].as_str().expect("a secret").to_owned()
}

/// Tells of a push to main, as GitHub and Gitea do.
fn deliver(app: &App, provider: &str, secret: &str, id: &str) {
    let body =
        json!({ "ref": "refs/heads/main", "after": app.head(), "sender": { "login": "ada" } }).to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key");
    mac.update(body.as_bytes());
    let signature = hex::encode(mac.finalize().into_bytes());
    let hub = format!("sha256={signature}");
    let headers = match provider {
        "github" => [("X-GitHub-Event", "push"), ("X-GitHub-Delivery", id), ("X-Hub-Signature-256", &*hub)],
        "gitea" => [("X-Gitea-Event", "push"), ("X-Gitea-Delivery", id), ("X-Gitea-Signature", &*signature)],
        _ => [("X-Gitlab-Event", "Push Hook"), ("X-Gitlab-Event-UUID", id), ("X-Gitlab-Token", secret)],
    };
    let answer = app.platform().post(&format!("/hooks/{provider}/{}", app.name), &headers, &body);
    assert_eq!(answer.expect("an answer").status, 202);
}

/// Waits until the newest delivery stands like this, with these words in its reason.
fn until_newest(app: &App, verdict: Value, words: &str) {
    wait_for(&format!("a delivery that is {verdict}: {words}"), LONG, || {
        let ledger = app.get("/hook-deliveries");
        let newest = ledger.get(0)?;
        let reason = newest["reason"].as_str().unwrap_or_default();
        (newest["verdict"] == verdict && reason.contains(words)).then_some(())
    });
}

#[test]
fn github_is_waited_for_until_all_checks_are_good_but_ours() {
    let Some((folder, platform)) = Platform::trusting() else { return };
    let Some(hub) = Hub::listen(folder.path(), "ghp_stories") else { return };
    let app = platform.app("careful").answering("one");
    hub.push(&app.checkout, &["main"]);
    let secret = connect(&app, &hub.url(), "github", "ghp_stories");
    hub.checks(&[("ci/build", "pending"), ("slipway/careful", "failure")], &[("lint", None)]);
    deliver(&app, "github", &secret, "1");
    until_newest(&app, Value::Null, "waits for checks: ci/build, lint");
    app.verb(&["hooks"]).ok().says("waiting").says("ci/build, lint");
    assert_eq!(app.builds().len(), 0);
    hub.checks(&[("ci/build", "success"), ("slipway/careful", "failure")], &[("lint", Some("neutral"))]);
    app.until_current(1);
    until_newest(&app, json!("deployed"), "");

    // One that fails ends the waiting, though another still runs.
    app.answer("two");
    hub.push(&app.checkout, &["main"]);
    hub.checks(&[("ci/build", "failure")], &[("lint", None)]);
    deliver(&app, "github", &secret, "2");
    until_newest(&app, json!("ignored"), "have failed: ci/build; `hooks:check` deploys");
    assert_eq!((app.builds().len(), app.answer_now()), (1, "one".to_owned()));
    app.verb(&["hooks:check"]).ok().says("is build 2");
    app.until_current(2);
    assert_eq!(hub.faults(), Vec::<String>::new(), "GitHub's description of its API takes all of it");
}

#[test]
fn gitlab_is_waited_for_and_told_of_builds_as_its_documentation_has_it() {
    let Some((folder, platform)) = Platform::trusting() else { return };
    let lab = Lab::listen(folder.path(), "glpat-stories");
    let app = platform.app("lab").answering("one");
    lab.push(&app.checkout, &["main"]);
    let secret = connect(&app, &lab.url(), "gitlab", "glpat-stories");
    let job = |name: &str, status: &str, allow: bool| json!({ "name": name, "status": status, "allow_failure": allow });
    lab.jobs(json!([job("test", "running", false), job("slipway/lab", "failed", false)]));
    deliver(&app, "gitlab", &secret, "1");
    until_newest(&app, Value::Null, "waits for checks: test");
    lab.jobs(json!([
        job("test", "success", false),
        job("style", "failed", true),
        job("deploy", "manual", false)
    ]));
    app.until_current(1);
    let told = |commit: &str, state: &str| {
        wait_for(&format!("{commit} to be told as {state}"), LONG, || {
            let mut told = lab.told().into_iter();
            told.find(|told| told.commit == commit && told.status["state"] == state).map(|told| told.status)
        })
    };
    let status = told(&app.head(), "success");
    assert_eq!(
        (&status["name"], &status["description"]),
        (&json!("slipway/lab"), &json!("v1 is live")),
        "{status}"
    );
    assert!(status["target_url"].as_str().is_some_and(|url| url.contains("lab.localhost")), "{status}");

    app.step("RUN echo no good; sleep 5; exit 3");
    lab.push(&app.checkout, &["main"]);
    deliver(&app, "gitlab", &secret, "2");
    let status = told(&app.head(), "failed");
    assert!(status["description"].as_str().is_some_and(|text| text.starts_with("Build 2: ")), "{status}");
    assert!(status["target_url"].as_str().is_some_and(|url| url.ends_with("/builds/2")), "{status}");
    told(&app.head(), "running");
    assert_eq!(lab.faults(), Vec::<String>::new());
    until("nothing to be in the way", LONG, || !app.verb(&["hooks:info"]).out.contains("Not reported"));
}

#[test]
fn a_real_giteas_commit_statuses_are_waited_for() {
    let Some((platform, gitea)) = Gitea::beside(Platform::with("SLIPWAY_HOOK_SEARCH", "1h")) else { return };
    let hosted = gitea.repository("checked");
    let app = platform.app("checked").answering("one");
    hosted.push(&app.checkout, &["main"]);
    let status = |state: &str| {
        let body = json!({ "context": "ci/test", "state": state });
        hosted.ask("POST", &format!("/statuses/{}", app.head()), Some(body));
    };
    status("pending");
    let secret = connect(&app, &hosted.user_url(), "gitea", hosted.password());
    // A password is none for its API; a token is.
    let token = json!({ "token": gitea.token("slipway") });
    assert_eq!(app.ask("PATCH", "/connection", Some(token)).status, 200);
    deliver(&app, "gitea", &secret, "1");
    until_newest(&app, Value::Null, "waits for checks: ci/test");
    status("success");
    app.until_current(1);
    app.answer("two");
    hosted.push(&app.checkout, &["main"]);
    status("failure");
    deliver(&app, "gitea", &secret, "2");
    until_newest(&app, json!("ignored"), "have failed: ci/test");
    // Our own status of the first commit is there by now, and kept nobody waiting.
    assert_eq!(app.builds().len(), 1);
}
