//! Pushes to a real Gitea are built and released here.

use std::sync::{Arc, OnceLock};

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use slipway_tests::{
    Answer, App, Behind, Browser, Gitea, Hosted, LONG, Platform, Proxy, SHORT, Service, Start, until,
    wait_for,
};

/// One platform and one Gitea for all stories that do not break them.
struct Scene {
    // In the platform's folder, so it ends first.
    gitea: Gitea,
    platform: Arc<Platform>,
}

fn scene() -> Option<&'static Scene> {
    static SCENE: OnceLock<Option<Scene>> = OnceLock::new();
    SCENE.get_or_init(|| start(searching("1h").with("SLIPWAY_HOOK_BYTES", "64KiB"))).as_ref()
}

fn searching(every: &str) -> Start {
    Platform::with("SLIPWAY_HOOK_SEARCH", every)
}

fn start(settings: Start) -> Option<Scene> {
    Gitea::beside(settings).map(|(platform, gitea)| Scene { platform, gitea })
}

/// An app that follows a repository.
struct Followed<'a> {
    app: App,
    hosted: Hosted<'a>,
    hook_url: String,
    secret: String,
}

impl<'a> Followed<'a> {
    /// Connected over SSH, with the deploy key in its place and no hook at the host.
    fn new(scene: &'a Scene, name: &str) -> Self {
        let hosted = scene.gitea.repository(name);
        let url = hosted.ssh_url();
        let followed = Self::connect(&scene.platform, name, hosted, &url);
        let key = followed.connection()["deploy_key"].as_str().expect("a key").to_owned();
        followed.hosted.add_deploy_key(&key);
        followed
    }

    fn connect(platform: &Arc<Platform>, name: &str, hosted: Hosted<'a>, url: &str) -> Self {
        let app = platform.app(name).answering("one");
        let made = app.verb(&["hooks:connect", url, "--provider", "gitea", "--json"]).ok().json();
        let text = |field: &str| made[field].as_str().expect(field).to_owned();
        let (hook_url, secret) = (text("hook_url"), text("secret"));
        Self { app, hosted, hook_url, secret }
    }

    fn connection(&self) -> Value {
        self.app.get("/connection")
    }

    fn push(&self) -> &Self {
        self.hosted.push(&self.app.checkout, &["main"]);
        self
    }

    /// A hook as Gitea sends it, signed with `secret`.
    fn deliver_signed(&self, secret: &str, id: &str, body: &str) -> std::io::Result<Answer> {
        let signature = hex::encode(mac(secret, body));
        let headers =
            [("X-Gitea-Event", "push"), ("X-Gitea-Delivery", id), ("X-Gitea-Signature", &signature)];
        self.app.platform().post(&format!("/hooks/gitea/{}", self.app.name), &headers, body)
    }

    /// Tells of a push to main that led to `after`.
    fn deliver(&self, id: &str, after: &str) -> Answer {
        let body = json!({ "ref": "refs/heads/main", "after": after, "sender": { "login": "grace" } });
        self.deliver_signed(&self.secret, id, &body.to_string()).expect("an answer")
    }

    /// The ledger, the newest first.
    fn ledger(&self) -> Vec<Value> {
        self.app.get("/hook-deliveries").as_array().cloned().unwrap_or_default()
    }

    /// Waits until this many deliveries have come and all of them have been judged; the newest.
    fn judged(&self, count: usize) -> Value {
        wait_for(&format!("{count} judged deliveries of {}", self.app.name), LONG, || {
            let ledger = self.ledger();
            let all = ledger.len() == count && ledger.iter().all(|delivery| !delivery["verdict"].is_null());
            all.then(|| ledger[0].clone())
        })
    }
}

fn mac(secret: &str, body: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key");
    mac.update(body.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

#[test]
fn a_push_to_gitea_is_built_and_released_here_by_its_signed_hook() {
    let Some(scene) = scene() else { return };
    let hosted = scene.gitea.repository("followed");
    let url = hosted.ssh_url();
    let followed = Followed::connect(&scene.platform, "followed", hosted, &url);
    let (app, hosted) = (&followed.app, &followed.hosted);
    hosted.add_hook(&followed.hook_url, &followed.secret);

    // The hook comes before the deploy key is in its place: the ledger says so, and it can be worked on again.
    followed.push();
    let failed = followed.judged(1);
    assert_eq!(failed["verdict"], "failed", "{failed}");
    assert!(failed["reason"].as_str().is_some_and(|reason| reason.contains("deploy keys")), "{failed}");
    let key = followed.connection()["deploy_key"].as_str().expect("a key").to_owned();
    hosted.add_deploy_key(&key);
    app.verb(&["hooks:redeliver", failed["id"].as_str().expect("an id")]).ok().says("is build 1");
    app.until_current(1);
    assert_eq!(app.answer_now(), "one");
    let build = app.build(1);
    assert_eq!((&build["trigger"], &build["commit"]), (&json!("hook"), &json!(app.head())), "{build}");
    assert_eq!(build["user"]["email"], "ada (Gitea)", "{build}");
    app.verb(&["builds:output", "1"]).ok().says("Released v1");
    app.verb(&["releases"]).ok().says("ada (Gitea)");
    app.verb(&["hooks"]).ok().says("deployed").says("build #1");
    app.verb(&["hooks:info"]).ok().says("Host key:").says_not("Trouble");

    // The next push needs nobody.
    app.answer("two");
    followed.push();
    app.until_current(2);
    assert_eq!(app.answer_now(), "two");
    assert_eq!(followed.judged(2)["verdict"], "deployed");

    // Taken back there by force, it goes back here.
    app.git(&["reset", "--hard", "-q", "HEAD~1"]).ok();
    hosted.push(&app.checkout, &["--force", "main"]);
    app.until_current(3);
    assert_eq!((app.answer_now(), app.build(3)["commit"].clone()), ("one".to_owned(), json!(app.head())));
    followed.judged(3);
}

#[test]
fn what_is_not_to_be_deployed_is_told_in_the_ledger() {
    let Some(scene) = scene() else { return };
    let followed = Followed::new(scene, "choosy");
    let (app, hosted) = (&followed.app, &followed.hosted);
    hosted.add_hook(&followed.hook_url, &followed.secret);
    let ignored = |count: usize, words: &str| {
        let judged = followed.judged(count);
        assert_eq!(judged["verdict"], "ignored", "{judged}");
        assert!(judged["reason"].as_str().is_some_and(|reason| reason.contains(words)), "{words}: {judged}");
    };
    hosted.push(&app.checkout, &["main:feature"]);
    ignored(1, "only main is deployed");
    app.verb(&["hooks:automatic", "off"]).ok();
    followed.push();
    ignored(2, "hooks:automatic on");
    app.verb(&["hooks:check"]).ok().says("is build 1");
    app.until_current(1);
    app.verb(&["hooks:check"]).ok().says("is build 1 already");
    app.verb(&["hooks:automatic", "on"]).ok();
    app.write("notes", "x").commit("Notes [skip ci]");
    followed.push();
    ignored(5, "message asks");
    app.verb(&["hooks:watch", "../outside"]).refused("is not a path to watch");
    app.verb(&["hooks:watch", "answer", "lib/*"]).ok();
    app.write("docs/a", "x").commit("Docs");
    followed.push();
    ignored(6, "watched paths (answer, lib/*)");
    app.answer("two");
    followed.push();
    app.until_current(2);
    assert_eq!(followed.judged(7)["verdict"], "deployed");
    followed.deliver("gone", &"0".repeat(40));
    ignored(8, "main was deleted");
    hosted.push(&app.checkout, &["main:other"]);
    ignored(9, "refs/heads/other");
    // The ledger comes in pages by key.
    let listed = |words: &[&str]| app.verb(&[&["hooks", "--json"], words].concat()).ok().json();
    let first = listed(&["-n", "4"]);
    let last = first[3]["id"].as_str().expect("an id");
    app.verb(&["hooks", "-n", "4"]).ok().says(&format!("hooks --before {last}"));
    let second = listed(&["--before", last]);
    let ids = |rows: &Value| -> Vec<Value> {
        rows.as_array().expect("rows").iter().map(|row| row["id"].clone()).collect()
    };
    let all: Vec<Value> = followed.ledger().iter().map(|row| row["id"].clone()).collect();
    assert_eq!([ids(&first), ids(&second)].concat(), all);
    assert_eq!(app.builds().len(), 2);
    app.verb(&["hooks:disconnect"]).ok().says("Disconnected choosy");
    assert_eq!(followed.deliver("after-the-end", &app.head()).status, 401);
}

#[test]
fn the_page_of_web_hooks_leads_from_the_deploy_key_to_the_build() {
    let Some(scene) = scene() else { return };
    let hosted = scene.gitea.repository("paged");
    let url = hosted.ssh_url();
    let followed = Followed::connect(&scene.platform, "paged", hosted, &url);
    let (app, hosted) = (&followed.app, &followed.hosted);
    hosted.add_hook(&followed.hook_url, &followed.secret);
    followed.push();
    assert_eq!(followed.judged(1)["verdict"], "failed");
    let Some(browser) = Browser::start(&scene.platform) else { return };
    browser.open(&scene.platform.sign_in_link("hedy")).press("Sign in").shows("You are signed in");
    browser.open("/ui/apps/paged").press("Web hooks").shows("not reached").shows("deploy keys");
    let value = |id: &str| {
        let found = browser.script(&format!("return document.getElementById('{id}').value"));
        found.as_str().expect("a value").to_owned()
    };
    assert_eq!(value("hook-url"), followed.hook_url);
    hosted.add_deploy_key(&value("deploy-key"));
    browser.press("Redeliver").shows("once more?").press("No, go back").shows("failed");
    browser.press("Redeliver").press("Redeliver").shows("The web hook is worked on once more");
    assert_eq!(followed.judged(1)["verdict"], "deployed");
    app.until_current(1);
    browser.open("/ui/apps/paged/hooks").shows("follows").shows_not(&followed.secret).is_accessible("hooks");
    browser.press("build 1").shows("hook by ada (Gitea)");
}

#[test]
fn forged_replayed_oversized_and_garbled_deliveries_build_nothing() {
    let Some(scene) = scene() else { return };
    let followed = Followed::new(scene, "forged");
    let app = &followed.app;
    let body = json!({ "ref": "refs/heads/main", "after": app.head() }).to_string();
    let forged = followed.deliver_signed("another secret", "1", &body).expect("an answer");
    let path = format!("/hooks/gitea/{}", app.name);
    let unsigned = app.platform().post(&path, &[("X-Gitea-Event", "push")], &body).expect("an answer");
    let nobody = app.platform().post("/hooks/gitea/nobody-at-all", &[], &body).expect("an answer");
    let elsewhere = app.platform().post("/hooks/github/forged", &[], &body).expect("an answer");
    for answer in [&forged, &unsigned, &nobody, &elsewhere] {
        assert_eq!((answer.status, &answer.body), (401, &forged.body), "{answer:?}");
    }
    assert_eq!(app.platform().post("/hooks/sourceforge/forged", &[], &body).expect("an answer").status, 404);
    app.verb(&["hooks:info"]).ok().says("Turned away:").says("signature");
    let large = format!("{{\"ref\":\"{}\"}}", "x".repeat(70_000));
    let large = followed.deliver_signed(&followed.secret, "2", &large).expect("an answer");
    assert_eq!((large.status, large.body.contains("SLIPWAY_HOOK_BYTES")), (413, true), "{large:?}");
    for garbled in ["{\"ref\":", "\u{fffd}", "[]"] {
        let answer = followed.deliver_signed(&followed.secret, "3", garbled).expect("an answer");
        assert_eq!(answer.status, 422, "{answer:?}");
    }
    assert_eq!(followed.ledger(), Vec::<Value>::new());

    // The real one, and the same once more.
    followed.push();
    assert_eq!(followed.deliver("4", &app.head()).status, 202);
    app.until_current(1);
    let replayed = followed.deliver("4", &app.head());
    assert_eq!((replayed.status, &replayed.json()["status"]), (200, &json!("known")));
    // Under another name it is a delivery, and leads to nothing new.
    assert_eq!(followed.deliver("5", &app.head()).status, 202);
    assert_eq!(followed.judged(2)["verdict"], "current");
    assert_eq!(app.builds().len(), 1);

    // Two secrets count while one is being replaced.
    let rotated = app.verb(&["hooks:secret:rotate", "--json"]).ok().json();
    let newer = rotated["secret"].as_str().expect("a secret").to_owned();
    let signed =
        |secret: &str, id: &str| followed.deliver_signed(secret, id, &body).expect("an answer").status;
    assert_eq!((signed(&newer, "6"), signed(&followed.secret, "7")), (202, 202));
    app.verb(&["hooks:secret:rotate"]).ok();
    assert_eq!((signed(&newer, "8"), signed(&followed.secret, "9")), (202, 401));
    followed.judged(5);
}

#[test]
fn over_https_a_token_lets_us_in_and_an_address_that_points_inside_is_refused() {
    let Some(scene) = scene() else { return };
    let hosted = scene.gitea.repository("by-token");
    let url = hosted.user_url();
    let followed = Followed::connect(&scene.platform, "by-token", hosted, &url);
    let app = &followed.app;
    followed.push();
    app.verb(&["hooks:check"]).refused("--token-stdin");
    let token = json!({ "token": followed.hosted.password() });
    assert_eq!(app.ask("PATCH", "/connection", Some(token)).status, 200);
    app.verb(&["hooks:check"]).ok().says("is build 1");
    app.until_current(1);
    app.verb(&["hooks:info"]).ok().says("Token:").says_not(followed.hosted.password());
    let repository = app.platform().repository(&app.id);
    let config = std::fs::read_to_string(repository.join("config")).expect("config");
    assert!(!config.contains("localhost") && !repository.join("FETCH_HEAD").exists(), "{config}");

    let other = scene.platform.app("inside");
    for (url, words) in [
        ("https://169.254.169.254/latest/meta-data", "SLIPWAY_HOOK_NETWORKS"),
        ("ssh://git@10.0.0.1/ada/blog.git", "SLIPWAY_HOOK_NETWORKS"),
        ("https://[fd00::1]/ada/blog.git", "SLIPWAY_HOOK_NETWORKS"),
        ("http://127.0.0.1/ada/blog.git", "https:// and ssh:// only"),
        ("file:///etc", "https:// and ssh:// only"),
        ("https://ada:secret@example.com/x", "--token-stdin"),
    ] {
        other.verb(&["hooks:connect", url]).refused(words);
    }
    other.verb(&["hooks:info"]).refused("hooks:connect");
}

/// Of the burst: apps, and deliveries to each.
const APPS: usize = 50;
const EACH: usize = 20;

#[test]
fn a_thousand_deliveries_over_fifty_apps_end_in_the_newest_head_and_none_is_lost() {
    let Some(scene) = scene() else { return };
    let hosted = scene.gitea.repository("burst");
    let url = hosted.user_url();
    let first = Followed::connect(&scene.platform, "burst-0", hosted, &url);
    first.push();
    let older = first.app.head();
    let others = (1..APPS).map(|number| {
        let hosted = Hosted::of(&scene.gitea, "burst");
        Followed::connect(&scene.platform, &format!("burst-{number}"), hosted, &url)
    });
    let mut apps: Vec<Followed<'_>> = others.collect();
    apps.push(first);
    for followed in &apps {
        let token = json!({ "token": followed.hosted.password() });
        assert_eq!(followed.app.ask("PATCH", "/connection", Some(token)).status, 200);
    }
    // Half of it comes before the newest push, the rest after it; what tells of the older one comes last, and everything
    // comes twice.
    burst(scene, &apps, 0..EACH / 2, &older);
    let first = apps.last().expect("an app");
    first.app.answer("newest");
    first.push();
    let newest = first.app.head();
    burst(scene, &apps, EACH / 2..EACH * 3 / 4, &newest);
    burst(scene, &apps, EACH * 3 / 4..EACH, &older);

    // Whenever one looks, an app has one build that runs and one that waits at most.
    let most = "SELECT coalesce(max(running), 0) || ' ' || coalesce(max(waiting), 0) FROM (
        SELECT count(*) FILTER (WHERE b.status IN ('building', 'pushing')) AS running,
               count(*) FILTER (WHERE b.status = 'queued') AS waiting
        FROM builds b JOIN apps a ON a.id = b.app_id WHERE a.name LIKE 'burst-%' GROUP BY a.id) each";
    let open = "SELECT count(*) FROM deliveries d JOIN apps a ON a.id = d.app_id
        WHERE a.name LIKE 'burst-%' AND d.verdict IS NULL";
    wait_for("all deliveries to be judged", LONG, || {
        let at_once = scene.platform.sql(most);
        assert!(["0 0", "0 1", "1 0", "1 1"].contains(&at_once.as_str()), "running and waiting: {at_once}");
        (scene.platform.sql(open) == "0").then_some(())
    });
    for followed in &apps {
        assert_eq!(followed.ledger().len(), EACH / 2, "{}", followed.app.name);
        let builds = followed.app.builds();
        let last = builds.last().map(|build| build["commit"].clone());
        assert!(builds.len() <= 2 && last == Some(json!(newest)), "{}: {builds:?}", followed.app.name);
        followed.app.until_build(i64::try_from(builds.len()).expect("a number"), &["succeeded"]);
    }
    let first = apps.last().expect("an app");
    wait_for("the newest to answer", LONG, || (first.app.answer_now() == "newest").then_some(()));
}

/// Deliveries of these numbers to all apps at once, each twice in a row under one name.
fn burst(scene: &Scene, apps: &[Followed<'_>], numbers: std::ops::Range<usize>, after: &str) {
    std::thread::scope(|scope| {
        for Followed { hook_url, secret, .. } in apps {
            let numbers = numbers.clone();
            scope.spawn(move || {
                let (_, path) = hook_url.split_once("/hooks/").expect("a path");
                for number in numbers {
                    let body = json!({ "ref": "refs/heads/main", "after": after }).to_string();
                    let (id, signature) = ((number / 2).to_string(), hex::encode(mac(secret, &body)));
                    let headers = [
                        ("X-Gitea-Event", "push"),
                        ("X-Gitea-Delivery", &*id),
                        ("X-Gitea-Signature", &*signature),
                    ];
                    let answer = scene.platform.post(&format!("/hooks/{path}"), &headers, &body);
                    let answer = answer.expect("an answer");
                    assert!(answer.status == 202 || answer.status == 200, "{answer:?}");
                }
            });
        }
    });
}

#[test]
fn a_kill_between_inbox_and_build_costs_nothing_and_a_missed_push_is_found() {
    let Some(scene) = start(searching("3s")) else { return };
    let hosted = scene.gitea.repository("survivor");
    let proxy = Proxy::to(Behind::Tcp(hosted.ssh_address()));
    let url = format!("ssh://git@127.0.0.1:{}/ada/survivor.git", proxy.port);
    let followed = Followed::connect(&scene.platform, "survivor", hosted, &url);
    let app = &followed.app;
    let key = followed.connection()["deploy_key"].as_str().expect("a key").to_owned();
    followed.hosted.add_deploy_key(&key);
    // The host cannot be reached, so the delivery stays in the inbox.
    proxy.cut();
    followed.push();
    assert_eq!(followed.deliver("1", &app.head()).status, 202);
    scene.platform.server().kill();
    proxy.mend();
    scene.platform.server().start();
    scene.platform.server().until_ready();
    app.until_current(1);
    let ledger = followed.ledger();
    let told = ledger.iter().find(|delivery| delivery["delivery"] == "1").expect("it is in the ledger");
    assert!(["deployed", "current"].contains(&told["verdict"].as_str().unwrap_or("")), "{told}");
    assert_eq!(app.builds().len(), 1);

    // No hook tells of this one.
    app.answer("two");
    followed.push();
    app.until_current(2);
    assert_eq!(app.answer_now(), "two");
    assert_eq!(followed.ledger()[0]["source"], "search");

    // A branch that cannot be read is told, and read again when it can.
    proxy.cut();
    until("trouble to be told", SHORT, || !followed.connection()["trouble"].is_null());
    proxy.mend();
    until("trouble to be over", SHORT, || followed.connection()["trouble"].is_null());
    assert_eq!(app.builds().len(), 2);
}

#[test]
fn with_postgres_away_a_delivery_is_refused_and_taken_when_it_comes_again() {
    let postgres = Service::postgres();
    let url = format!("postgres://postgres@127.0.0.1:{}/postgres", postgres.proxy.port);
    let Some(scene) = start(searching("1h").with("DATABASE_URL", url)) else { return };
    let followed = Followed::new(&scene, "patient");
    followed.push();
    postgres.proxy.cut();
    let answer = followed.deliver("1", &followed.app.head());
    assert_eq!(answer.status, 503, "{answer:?}");
    postgres.proxy.mend();
    let taken = wait_for("the database to be back", LONG, || {
        let answer = followed.deliver("1", &followed.app.head());
        (answer.status < 500).then_some(answer.status)
    });
    assert_eq!(taken, 202);
    followed.app.until_current(1);
    assert_eq!((followed.ledger().len(), followed.app.builds().len()), (1, 1));
}
