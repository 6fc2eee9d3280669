//! The platform as a GitHub App: apps connected without any key or token of their own.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use slipway_tests::{App, Door, Hub, HubApp, LONG, Platform, Sink, until, wait_for};

/// A pretended GitHub with an App, and a platform that is this App.
struct Scene {
    platform: Arc<Platform>,
    hub: Hub,
    github_app: HubApp,
    /// The private key as the platform has it.
    key: PathBuf,
    _folder: tempfile::TempDir,
}

impl Scene {
    fn start() -> Option<Self> {
        Self::open_to("admins")
    }

    /// Where admins connect by the App, or owners of apps too.
    fn open_to(who: &str) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let authority = Sink::certificate(folder.path());
        let (hub, github_app) = Hub::with_app(folder.path())?;
        let key = folder.path().join("platform.pem");
        fs::copy(github_app.key(), &key).expect("copies");
        let platform = Platform::with("SLIPWAY_HOOK_CA", authority.display().to_string())
            .with("SLIPWAY_HOOK_NETWORKS", "127.0.0.0/8,::1/128")
            .with("SLIPWAY_HOOK_SEARCH", "1h")
            .with("SLIPWAY_GITHUB_APP_ID", github_app.id())
            .with("SLIPWAY_GITHUB_APP_KEY", key.display().to_string())
            .with("SLIPWAY_GITHUB_APP_FOR", who)
            .with("SLIPWAY_GITHUB_APP_HOST", format!("localhost:{}", hub.port))
            .start()?;
        Some(Self { platform, hub, github_app, key, _folder: folder })
    }

    fn connect(&self, app: &App) -> slipway_tests::Said {
        app.verb(&["hooks:connect", &self.hub.url(), "--provider", "github", "--github-app"])
    }

    /// Waits until the hub was told that the head's deployment has ended well.
    fn until_reported(&self, app: &App) {
        let head = app.head();
        until("the deployment to be reported", LONG, || {
            let mut made = self.hub.deployments().into_iter();
            made.any(|made| made.wish["ref"] == head && made.states().last() == Some(&"success"))
        });
    }
}

/// Tells of a push to main, as GitHub does.
fn deliver(app: &App, secret: &str, id: &str) {
    let body = json!({ "ref": "refs/heads/main", "sender": { "login": "ada" } }).to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key");
    mac.update(body.as_bytes());
    let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
    let headers =
        [("X-GitHub-Event", "push"), ("X-GitHub-Delivery", id), ("X-Hub-Signature-256", &*signature)];
    let answer = app.platform().post(&format!("/hooks/github/{}", app.name), &headers, &body);
    assert_eq!(answer.expect("an answer").status, 202);
}

#[test]
fn the_platform_as_a_github_app_fetches_builds_and_reports_by_tokens_for_one_repository() {
    let Some(scene) = Scene::start() else { return };
    let Scene { platform, hub, github_app, .. } = &scene;
    let app = platform.app("by-app").answering("one");
    hub.push(&app.checkout, &["main"]);

    // This host lets nobody in by a token of theirs.
    let wish = json!({ "url": hub.url(), "provider": "github", "token": "ghp_of_somebody" });
    assert_eq!(app.ask("POST", "/connection", Some(wish)).status, 201);
    app.verb(&["hooks:check"]).refused("hooks:set --token-stdin");
    app.verb(&["hooks:disconnect"]).ok();
    scene.connect(&app).ok().says("no key and no token are needed").says_not("deploy keys");
    app.verb(&["hooks:info"]).ok().says("the platform's GitHub App").says_not("Deploy key");
    app.verb(&["hooks:checks", "on"]).ok();
    app.verb(&["hooks:checks", "off"]).ok();
    app.verb(&["hooks:check"]).ok().says("is build 1");
    app.until_current(1);
    scene.until_reported(&app);
    assert_eq!(app.answer_now(), "one");
    let asked = json!({ "repositories": ["blog"], "permissions": { "contents": "read", "deployments": "write",
        "checks": "read", "statuses": "read", "pull_requests": "read" } });
    assert_eq!(github_app.asked(), [asked], "fetched and reported by one token");

    // Revoked before its time: before the fetch, and again before the report.
    let secret = app.ask("POST", "/connection/secret", Some(json!({}))).json()["secret"].clone();
    github_app.revoke();
    app.answer("two");
    app.step("RUN sleep 3");
    hub.push(&app.checkout, &["main"]);
    deliver(&app, secret.as_str().expect("a secret"), "1");
    wait_for("the delivery to be judged", LONG, || {
        let newest = app.get("/hook-deliveries").get(0)?.clone();
        assert_ne!(newest["verdict"], "failed", "{newest}");
        (newest["verdict"] == "deployed").then_some(())
    });
    github_app.revoke();
    app.until_current(2);
    scene.until_reported(&app);
    assert_eq!(app.answer_now(), "two");
    assert_eq!(github_app.asked().len(), 3, "one for the fetch and one for the report");
    app.verb(&["hooks:info"]).ok().says_not("Not reported").says_not("Trouble");

    // One that is about to expire is not relied on.
    github_app.revoke();
    github_app.life(120);
    for _ in 0..2 {
        app.verb(&["hooks:check"]).ok().says("Nothing to do");
    }
    assert_eq!(github_app.asked().len(), 5);
    github_app.life(3600);
    for _ in 0..2 {
        app.verb(&["hooks:check"]).ok().says("Nothing to do");
    }
    assert_eq!(github_app.asked().len(), 6);

    // A push to the platform itself is reported by it too.
    app.answer("three");
    app.push(Door::Ssh).ok();
    scene.until_reported(&app);
    let log = platform.server().log();
    for secret in ["ghs_", "eyJ", "PRIVATE KEY"] {
        assert!(!log.contains(secret), "{secret} is in the server's log");
    }
    assert_eq!(hub.faults(), Vec::<String>::new(), "GitHub's description of its API takes all of it");
}

#[test]
fn what_keeps_the_github_app_out_is_told_with_what_to_do() {
    let Some(scene) = Scene::start() else { return };
    let Scene { platform, hub, github_app, key, .. } = &scene;
    let app = platform.app("kept-out").answering("one");
    hub.push(&app.checkout, &["main"]);

    github_app.install(false);
    scene
        .connect(&app)
        .refused("not installed on ada/blog")
        .says("https://localhost/apps/slipway/installations/new");
    github_app.install(true);
    github_app.suspend(true);
    scene.connect(&app).refused("on ada/blog is suspended");
    github_app.suspend(false);
    github_app.permit(json!({ "metadata": "read", "deployments": "write" }));
    scene.connect(&app).refused("Contents, read");
    github_app.permit(json!({ "metadata": "read", "contents": "read" }));
    github_app.clock(7200);
    scene.connect(&app).refused("clock").says("an admin sets it right");
    github_app.clock(-7200);
    scene.connect(&app).refused("clock");
    github_app.clock(0);
    fs::remove_file(key).expect("removes");
    scene.connect(&app).refused("SLIPWAY_GITHUB_APP_KEY");
    fs::copy(github_app.key(), key).expect("copies");
    github_app.new_key();
    scene.connect(&app).refused("does not know the platform's GitHub App");
    fs::copy(github_app.key(), key).expect("copies");

    // What the key signs is for one host, and who may connect by it is said by an admin.
    let elsewhere = format!("https://127.0.0.1:{}/ada/blog", hub.port);
    for (url, provider, words) in [
        (elsewhere.as_str(), "github", "is an App at localhost"),
        ("ssh://git@localhost/ada/blog", "github", "over https alone"),
        (&hub.url(), "gitea", "--provider github"),
    ] {
        app.verb(&["hooks:connect", url, "--provider", provider, "--github-app"]).refused(words);
    }
    let both = json!({ "url": hub.url(), "provider": "github", "access": "github-app", "token": "ghp_x" });
    let both = app.ask("POST", "/connection", Some(both));
    assert!(both.status == 422 && both.body.contains("leave one of them out"), "{both:?}");
    let owner = platform.person("owner", "owner");
    let by_owner = ["hooks:connect", &hub.url(), "--provider", "github", "--github-app", "--app", &app.name];
    owner.verb(&by_owner).refused("takes an admin of the platform");

    // Without the rights that reports take it deploys all the same, and says what is missing.
    scene.connect(&app).ok();
    app.verb(&["hooks:check"]).ok().says("is build 1");
    app.until_current(1);
    until("the missing permission to be told", LONG, || {
        app.verb(&["hooks:info"]).out.contains("Deployments (read and write)")
    });
    github_app.permit(json!({ "metadata": "read", "contents": "read", "deployments": "write" }));
    scene.until_reported(&app);

    // A token of one's own takes its place, and it the token's.
    assert_eq!(app.ask("PATCH", "/connection", Some(json!({ "token": "ghp_x" }))).json()["access"], "own");
    app.verb(&["hooks:check"]).refused("hooks:set --token-stdin");
    app.verb(&["hooks:set", "--github-app"]).ok().says("let in by the platform's GitHub App");
    let now = app.get("/connection");
    assert_eq!((&now["access"], &now["has_token"]), (&json!("github-app"), &Value::Bool(false)));
    app.verb(&["hooks:check"]).ok().says("Nothing to do");

    // Uninstalled later: the ledger and the connection say so, and installed again it goes on.
    github_app.install(false);
    app.answer("two");
    hub.push(&app.checkout, &["main"]);
    app.verb(&["hooks:check"]).refused("not installed on ada/blog");
    app.verb(&["hooks:info"]).ok().says("not installed on ada/blog");
    github_app.install(true);
    app.verb(&["hooks:check"]).ok().says("is build 2");
    app.until_current(2);
    assert_eq!(hub.faults(), Vec::<String>::new(), "GitHub's description of its API takes all of it");
}

#[test]
fn owners_connect_by_the_github_app_where_an_admin_lets_them() {
    let Some(scene) = Scene::open_to("owners") else { return };
    let app = scene.platform.app("of-owners").answering("one");
    scene.hub.push(&app.checkout, &["main"]);
    let connect =
        ["hooks:connect", &scene.hub.url(), "--provider", "github", "--github-app", "--app", &app.name];
    scene.platform.person("deployer", "deployer").verb(&connect).refused("this takes an owner");
    scene.platform.person("owner", "owner").verb(&connect).ok();
    app.verb(&["hooks:check"]).ok().says("is build 1");
    app.until_current(1);
}
