//! Others are told of builds and releases by web hooks of ours.

use std::net::TcpListener;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use slipway_tests::{App, Browser, Door, LONG, Platform, Received, Receiver, Sink, until, wait_for};

const SECRET: &str = "a-secret-of-the-story";

/// A platform that may send to this machine, and who takes what it sends.
fn start() -> Option<(tempfile::TempDir, Receiver, Arc<Platform>)> {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Sink::certificate(folder.path());
    let receiver = Receiver::listen(folder.path());
    let platform = Platform::with("SLIPWAY_HOOK_CA", authority.display().to_string())
        .with("SLIPWAY_HOOK_NETWORKS", "127.0.0.0/8,::1/128")
        .start()?;
    Some((folder, receiver, platform))
}

fn mac(key: &[u8], pieces: &[&[u8]]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key");
    pieces.iter().for_each(|piece| mac.update(piece));
    BASE64_STANDARD.encode(mac.finalize().into_bytes())
}

/// Signed over the bytes as they came, in both ways.
#[track_caller]
fn assert_signed(received: &Received, secret: &str) {
    assert_eq!(received.header("heroku-webhook-hmac-sha256"), mac(secret.as_bytes(), &[&received.body]));
    let (id, at) = (received.header("webhook-id"), received.header("webhook-timestamp"));
    let key = secret.strip_prefix("whsec_").map(|text| BASE64_STANDARD.decode(text).expect("base64"));
    let key = key.unwrap_or_else(|| secret.as_bytes().to_vec());
    let made = mac(&key, &[id.as_bytes(), b".", at.as_bytes(), b".", &received.body]);
    assert_eq!(received.header("webhook-signature"), format!("v1,{made}"));
}

/// What was taken: the resource, the action, and the state told of.
fn told(receiver: &Receiver) -> Vec<(String, String, String)> {
    let taken = receiver.got().into_iter().filter(|received| received.status < 300);
    let bodies = taken.map(|received| received.json());
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    bodies
        .map(|body| {
            let state = if body["resource"] == "build" { "state" } else { "status" };
            (text(&body["resource"]), text(&body["action"]), text(&body["data"][state]))
        })
        .collect()
}

fn until_told(receiver: &Receiver, what: (&str, &str, &str)) {
    until(&format!("{what:?} to be told"), LONG, || {
        told(receiver).iter().any(|(a, b, c)| (a.as_str(), b.as_str(), c.as_str()) == what)
    });
}

/// The newest delivery, once it stands like this.
fn until_delivery(app: &App, status: &str) -> Value {
    wait_for(&format!("a delivery that is {status}"), LONG, || {
        let newest = app.verb(&["webhooks:deliveries", "-n", "1", "--json"]).ok().json();
        newest.get(0).filter(|newest| newest["status"] == status).cloned()
    })
}

#[test]
fn a_receiver_is_told_of_builds_and_releases_signed_and_in_order() {
    let Some((_folder, receiver, platform)) = start() else { return };
    let app = platform.app("teller").answering("one");
    let add = |words: &[&str]| app.verb(&[&["webhooks:add", "-u", &receiver.url("/in")], words].concat());
    add(&["-i", "api:everything", "-s", SECRET]).refused("api:build, api:release");
    add(&["-i", "api:release,api:build", "-s", SECRET]).ok().says("is told of api:build and api:release");
    add(&["-i", "api:build"]).refused("is told already");
    app.verb(&["webhooks"]).ok().says("/in").says("sync").says_not(SECRET);
    assert_eq!(
        platform
            .sql("SELECT count(*) FROM webhooks WHERE position('secret' in encode(secret, 'escape')) > 0"),
        "0"
    );

    app.push(Door::Ssh).ok();
    until_told(&receiver, ("release", "update", "succeeded"));
    let told = told(&receiver);
    let of = |resource: &str| -> Vec<&str> {
        told.iter().filter(|told| told.0 == resource).map(|told| told.2.as_str()).collect()
    };
    let builds = of("build");
    assert_eq!((builds.first(), builds.last()), (Some(&"queued"), Some(&"succeeded")), "{told:?}");
    assert_eq!(of("release"), ["pending", "succeeded"], "{told:?}");
    let got = receiver.got();
    got.iter().for_each(|received| assert_signed(received, SECRET));
    let bodies: Vec<Value> = got.iter().map(Received::json).collect();
    let sequence: Vec<i64> = bodies.iter().map(|body| body["sequence"].as_i64().expect("a number")).collect();
    assert!(sequence.is_sorted(), "{sequence:?}");
    let last = bodies.last().expect("a body");
    assert_eq!(last["previous_data"], json!({ "status": "pending" }), "{last}");
    assert_eq!((&last["data"]["version"], &last["data"]["current"]), (&json!(1), &json!(true)), "{last}");
    assert_eq!(
        (&last["data"]["commit"], &last["data"]["app"]["name"]),
        (&json!(app.head()), &json!("teller"))
    );
    assert_eq!(last["webhook_metadata"]["event"]["include"], "api:release", "{last}");
    let newest = until_delivery(&app, "succeeded");
    assert_eq!(
        (&newest["id"], &newest["last_attempt"]["code"]),
        (&last["webhook_metadata"]["delivery"]["id"], &json!(202))
    );
    app.verb(&["webhooks:deliveries"]).ok().says("succeeded").says("202").says("1 try");

    // Rolled out without a build, and taken off: nothing more is told.
    app.verb(&["config:set", "A=1"]).ok();
    app.until_current(2);
    until("the second release to be told", LONG, || of_version(&receiver, 2) == ["pending", "succeeded"]);
    app.verb(&["webhooks:remove", &receiver.url("/in")]).ok().says("is not told of teller any more");
    let count = receiver.got().len();
    app.verb(&["config:set", "A=2"]).ok();
    app.until_current(3);
    app.verb(&["webhooks:deliveries"]).ok().says("Nothing has happened");
    assert_eq!(
        (receiver.got().len(), platform.sql("SELECT count(*) FROM webhook_deliveries")),
        (count, "0".to_owned())
    );
}

fn of_version(receiver: &Receiver, version: i64) -> Vec<String> {
    let bodies = receiver.got().into_iter().map(|received| received.json());
    let of_it = bodies.filter(|body| body["data"]["version"] == version);
    of_it.map(|body| body["data"]["status"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn a_receiver_that_is_away_holds_up_no_release_and_is_told_later_even_after_a_kill() {
    let Some((_folder, receiver, platform)) = start() else { return };
    let app = platform.app("patient").answering("one");
    let made =
        app.verb(&["webhooks:add", "-i", "api:release", "-u", &receiver.url("/"), "--json"]).ok().json();
    let secret = made["secret"].as_str().expect("one is made").to_owned();
    receiver.answers(503);
    app.push(Door::Ssh).ok();
    assert_eq!(app.answer_now(), "one");
    let waiting = until_delivery(&app, "retrying");
    assert_eq!(waiting["last_attempt"]["code"], 503, "{waiting}");
    app.verb(&["webhooks:deliveries"]).ok().says("retrying").says("the receiver answered 503");
    platform.server().kill();
    receiver.answers(204);
    platform.server().start();
    platform.server().until_ready();
    until_told(&receiver, ("release", "update", "succeeded"));
    until_told(&receiver, ("release", "create", "pending"));
    let got = receiver.got();
    got.iter().for_each(|received| assert_signed(received, &secret));
    // The same event under the same id, in another attempt.
    let of = |status: u16| {
        let tried = got.iter().filter(|received| received.status == status).map(Received::json);
        tried.filter(|body| body["data"]["status"] == "succeeded").collect::<Vec<_>>()
    };
    let (refused, taken) = (of(503), of(204));
    assert_eq!((refused[0]["id"].clone(), taken.len()), (taken[0]["id"].clone(), 1));
    let attempt = |body: &Value| body["webhook_metadata"]["attempt"]["id"].clone();
    assert_ne!(attempt(&refused[0]), attempt(&taken[0]));
}

#[test]
fn notify_is_one_try_redirects_lead_nowhere_and_addresses_inside_are_refused() {
    let Some((_folder, receiver, platform)) = start() else { return };
    let app = platform.app("careful").answering("one");
    for (url, words) in [
        ("http://localhost/", "https://host/path"),
        ("https://10.0.0.1/", "SLIPWAY_HOOK_NETWORKS"),
        ("https://169.254.169.254/latest", "SLIPWAY_HOOK_NETWORKS"),
        ("https://[fd00::1]/", "SLIPWAY_HOOK_NETWORKS"),
        ("https://ada:secret@example.com/", "leave name and password out"),
    ] {
        app.verb(&["webhooks:add", "-i", "api:release", "-u", url]).refused(words);
    }
    let to = receiver.url("/in");
    app.verb(&["webhooks:add", "-i", "api:release", "-l", "notify", "-u", &to, "-s", SECRET]).ok();
    receiver.answers(302);
    app.push(Door::Ssh).ok();
    let failed = until_delivery(&app, "failed");
    assert_eq!((&failed["num_attempts"], &failed["next_attempt_at"]), (&json!(1), &Value::Null), "{failed}");
    app.verb(&["webhooks:deliveries"]).ok().says("redirects are not followed");
    until("both events to be tried", LONG, || receiver.got().len() == 2);
}

#[test]
fn what_was_told_is_told_again_and_a_web_hook_is_changed_in_place() {
    let Some((_folder, receiver, platform)) = start() else { return };
    let app = platform.app("again").answering("one");
    let (first, other) = (receiver.url("/first"), receiver.url("/other"));
    app.verb(&["webhooks:add", "-i", "api:release", "-u", &first, "-s", SECRET]).ok();
    app.verb(&["webhooks:redeliver", "1"]).refused("the app has no such delivery");
    receiver.answers(410);
    app.push(Door::Ssh).ok();
    let refused = until_delivery(&app, "failed");
    receiver.answers(202);
    let number = refused["number"].to_string();
    app.verb(&["webhooks:redeliver", &number])
        .ok()
        .says(&format!("{first} is told of v1 succeeded of again"));
    until_told(&receiver, ("release", "update", "succeeded"));
    let taken = until_delivery(&app, "succeeded");
    assert_eq!((&taken["id"], &taken["num_attempts"]), (&refused["id"], &json!(1)), "{taken}");
    let tries = receiver.got().into_iter().filter(|got| got.json()["data"]["status"] == "succeeded");
    let tries: Vec<(u16, Value)> = tries.map(|got| (got.status, got.json())).collect();
    assert_eq!(tries.iter().map(|(status, _)| *status).collect::<Vec<_>>(), [410, 202]);
    assert_eq!(tries[0].1["id"], tries[1].1["id"], "the same event");

    // Another address, another secret; what the words are about stays as it was unless they say so.
    app.verb(&["webhooks:update", &first]).refused("--secret");
    app.verb(&["webhooks:update", &other, "-l", "notify"]).refused("no such web hook");
    app.verb(&["webhooks:update", &first, "-u", "https://10.0.0.1/"]).refused("SLIPWAY_HOOK_NETWORKS");
    app.verb(&["webhooks:update", &first, "-u", &other, "-s", "another-secret"]).ok().says("/other");
    app.verb(&["webhooks"]).ok().says("/other").says("api:release").says("sync").says_not("/first");
    app.verb(&["webhooks:add", "-i", "api:build", "-u", &first]).ok();
    app.verb(&["webhooks:update", &other, "-u", &first]).refused("is told already");
    app.verb(&["config:set", "A=1"]).ok();
    until("the second release to be told", LONG, || of_version(&receiver, 2) == ["pending", "succeeded"]);
    let got = receiver.got();
    let later: Vec<_> = got.iter().filter(|got| got.json()["data"]["version"] == 2).collect();
    later.iter().for_each(|got| assert_signed(got, "another-secret"));
    assert!(later.iter().all(|got| got.path() == "/other"), "{later:?}");
}

#[test]
fn a_receiver_that_never_answers_keeps_no_other_waiting() {
    let Some((_folder, receiver, platform)) = start() else { return };
    let app = platform.app("hurried").answering("one");
    // Connections are taken by the system, and nobody speaks on them.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let dead = format!("https://127.0.0.1:{}/", silent.local_addr().expect("an address").port());
    app.verb(&["webhooks:add", "-i", "api:release,api:build", "-u", &receiver.url("/"), "-s", SECRET]).ok();
    app.verb(&["webhooks:add", "-i", "api:release,api:build", "-u", &dead, "-s", SECRET]).ok();
    app.push(Door::Ssh).ok();
    until_told(&receiver, ("release", "update", "succeeded"));
    let deliveries = |url: &str| -> Vec<Value> {
        let all = app.verb(&["webhooks:deliveries", "-n", "100", "--json"]).ok().json();
        let all = all.as_array().cloned().unwrap_or_default().into_iter();
        all.filter(|delivery| delivery["webhook"]["url"].as_str().is_some_and(|told| told == url)).collect()
    };
    let tries = || -> i64 { deliveries(&dead).iter().filter_map(|one| one["num_attempts"].as_i64()).sum() };
    let told = deliveries(&receiver.url("/"));
    assert!(told.len() >= 5, "{told:?}");
    let (before, got) = (tries(), receiver.got().len());
    for delivery in &told {
        app.verb(&["webhooks:redeliver", &delivery["number"].to_string()]).ok();
    }
    until("all of it to be told again", LONG, || receiver.got().len() == got + told.len());
    // One after another, each would have waited for a try of the other, of ten seconds.
    assert!(tries() - before < 3, "{} tries of the silent one meanwhile", tries() - before);
    app.verb(&["webhooks:deliveries"]).ok().says("longer than 10 s");
}

#[test]
fn the_page_shows_whom_an_app_tells_and_how_it_was_taken() {
    let Some((_folder, receiver, platform)) = start() else { return };
    let app = platform.app("telling").answering("one");
    app.verb(&["webhooks:add", "-i", "api:release", "-u", &receiver.url("/in"), "-s", SECRET]).ok();
    receiver.answers(410);
    app.push(Door::Ssh).ok();
    until_delivery(&app, "failed");
    let viewer = platform.person("nosy", "viewer");
    assert_eq!(platform.ask("GET", "/apps/telling/webhook-deliveries", &viewer.token, None).status, 403);
    let Some(browser) = Browser::start(&platform) else { return };
    browser.open(&platform.sign_in_link("tess")).press("Sign in").shows("You are signed in");
    browser
        .open("/ui/apps/telling/hooks")
        .press("whom telling tells")
        .shows("not taken")
        .shows("answered 410");
    browser.shows("v1 pending").shows("/in").shows_not(SECRET).is_accessible("webhooks");
    receiver.answers(204);
    browser.press("Redeliver").shows("Tell of v1 succeeded once more?").press("Redeliver");
    browser.shows("It is told once more");
    until_told(&receiver, ("release", "update", "succeeded"));
    until_delivery(&app, "succeeded");
    browser.open("/ui/apps/telling/webhooks").shows("taken").shows("answered 204 (1 try)");
    browser.press("Remove").shows("Stop telling https://localhost").press("Remove");
    browser.shows("is not told any more").shows("tells nobody");
    app.verb(&["webhooks"]).ok().says("has no web hooks");
}
