//! Review apps: each pull request of a connected repository gets an app of its own.

use std::sync::{Arc, OnceLock};

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use slipway_tests::{App, Browser, Gitea, Hosted, Hub, LONG, Lab, Platform, until, wait_for};

/// One platform and one Gitea for all stories.
struct Scene {
    // In the platform's folder, so it ends first.
    gitea: Gitea,
    platform: Arc<Platform>,
}

fn scene() -> Option<&'static Scene> {
    static SCENE: OnceLock<Option<Scene>> = OnceLock::new();
    let start = || {
        let settings = Platform::with("SLIPWAY_HOOK_SEARCH", "3s");
        Gitea::beside(settings).map(|(platform, gitea)| Scene { platform, gitea })
    };
    SCENE.get_or_init(start).as_ref()
}

/// An app that is deployed from a repository whose hooks tell of pull requests too.
struct Parent<'a> {
    app: App,
    hosted: Hosted<'a>,
}

impl<'a> Parent<'a> {
    fn deployed(scene: &'a Scene, name: &str) -> Self {
        let hosted = scene.gitea.repository(name);
        let app = scene.platform.app(name).answering("main");
        let token = scene.gitea.token(name);
        let wish = json!({ "url": hosted.user_url(), "provider": "gitea", "token": token });
        let made = app.ask("POST", "/connection", Some(wish)).json();
        let text = |field: &str| made[field].as_str().expect(field).to_owned();
        let events = ["push", "pull_request", "pull_request_sync"];
        hosted.add_hook_for(&text("hook_url"), &text("secret"), &events);
        hosted.push(&app.checkout, &["main"]);
        app.until_current(1);
        Self { app, hosted }
    }

    /// A branch off main on which the app answers its name, pushed to `to`.
    fn branch(&self, to: &Hosted<'_>, name: &str) -> String {
        self.app.git(&["checkout", "-q", "-B", name, "main"]).ok();
        self.app.answer(name);
        to.push(&self.app.checkout, &[&format!("{name}:{name}")]);
        self.app.head()
    }

    /// One more commit on the branch, with which the app answers `answer`.
    fn push_on(&self, to: &Hosted<'_>, name: &str, answer: &str) -> String {
        self.app.git(&["checkout", "-q", name]).ok();
        self.app.answer(answer);
        to.push(&self.app.checkout, &[&format!("{name}:{name}")]);
        self.app.head()
    }

    /// What is known of a pull request.
    fn review(&self, number: i64) -> Value {
        let all = self.app.get("/review-apps");
        let mut all = all.as_array().cloned().unwrap_or_default().into_iter();
        all.find(|review| review["pr_number"] == number).unwrap_or(Value::Null)
    }

    fn until_status(&self, number: i64, status: &str, commit: &str) -> Value {
        wait_for(&format!("pull request {number} to be {status} at {commit}"), LONG, || {
            let review = self.review(number);
            (review["status"] == status && review["commit"] == commit).then_some(review)
        })
    }

    fn until_answers(&self, number: i64, answer: &str) {
        let (platform, name) = (self.app.platform(), format!("{}-pr-{number}", self.app.name));
        wait_for(&format!("{name} to answer {answer}"), LONG, || {
            platform.browse(&name, "/").is_ok_and(|found| found.body.trim() == answer).then_some(())
        });
    }

    fn until_gone(&self, number: i64) {
        let (platform, name) = (self.app.platform(), format!("{}-pr-{number}", self.app.name));
        let admin = platform.admin();
        until(&format!("{name} to be gone"), LONG, || {
            platform.ask("GET", &format!("/apps/{name}"), &admin.token, None).status == 404
        });
        until(&format!("{name} to have no containers"), LONG, || {
            platform.engine().containers(&platform.id(), &name).is_empty()
        });
    }

    fn config(&self, number: i64) -> Value {
        self.app.platform().get(&format!("/apps/{}-pr-{number}/config-vars", self.app.name))
    }

    /// The newest row of the ledger that is about pull requests and has its verdict.
    fn newest_verdict(&self, words: &str) -> Value {
        wait_for(&format!("a verdict with {words:?}"), LONG, || {
            let ledger = self.app.get("/hook-deliveries");
            let ledger = ledger.as_array().cloned().unwrap_or_default();
            let newest = ledger.into_iter().find(|row| row["event"] == "pull_request")?;
            newest["reason"].as_str().is_some_and(|reason| reason.contains(words)).then_some(newest)
        })
    }
}

#[test]
fn a_pull_request_gets_an_app_that_follows_it_and_goes_with_it() {
    let Some(scene) = scene() else { return };
    let parent = Parent::deployed(scene, "reviewed");
    let (app, hosted) = (&parent.app, &parent.hosted);
    app.verb(&["config:set", "SECRET_ONE=s3cret", "STRIPE_KEY=live"]).ok();
    app.verb(&["reviewapps"]).ok().says("reviewapps:enable");
    let better = parent.branch(hosted, "better");
    let early = hosted.open_pull("better");
    parent.newest_verdict("review apps are off");
    app.verb(&["reviewapps:enable", "--inherit", "NO-NAME"]).refused("is not the name of a config var");
    app.verb(&["reviewapps:enable", "--inherit", "SECRET_*,OTHER"]).ok().says("SECRET_*, OTHER");
    hosted.set_pull(early, "closed");
    hosted.set_pull(early, "open");

    // It has what its parent lets it have, and what Heroku's review apps know of themselves.
    parent.until_answers(early, "better");
    let review = parent.until_status(early, "created", &better);
    assert_eq!((&review["branch"], &review["fork_repo"]), (&json!("better"), &Value::Null), "{review}");
    assert_eq!(
        parent.config(early),
        json!({
            "SECRET_ONE": "s3cret", "HEROKU_APP_NAME": "reviewed-pr-1", "HEROKU_BRANCH": "better", "HEROKU_PR_NUMBER": "1",
        })
    );
    app.verb(&["reviewapps"]).ok().says("#1").says("reviewed-pr-1").says("Take better");
    app.verb(&["hooks"]).ok().says("build #1 of reviewed-pr-1");
    let status = wait_for("Gitea to show the review app", LONG, || {
        let statuses = hosted.ask("GET", &format!("/commits/{better}/statuses"), None);
        let mut statuses = statuses.as_array().cloned().unwrap_or_default().into_iter();
        statuses.find(|status| status["context"] == "slipway/reviewed-pr-1" && status["status"] == "success")
    });
    assert!(status["target_url"].as_str().is_some_and(|url| url.contains("reviewed-pr-1")), "{status}");

    // Each push to it is built; the parent has nothing of it.
    let again = parent.push_on(hosted, "better", "again");
    parent.until_answers(early, "again");
    parent.until_status(early, "created", &again);
    assert_eq!((app.builds().len(), app.answer_now().as_str()), (1, "main"));
    assert_eq!(app.get("/connection")["head"], app.build(1)["commit"]);
    parent.push_on(hosted, "better", "skipped [skip ci]");
    app.git(&["commit", "-q", "--amend", "-m", "Words [skip ci]"]).ok();
    hosted.push(&app.checkout, &["--force", "better:better"]);
    parent.until_status(early, "skipped", &app.head());
    parent.newest_verdict("message asks");
    assert_eq!(app.get("/connection")["head"], app.build(1)["commit"], "the branch has not moved");

    // A person may remove it, the next push makes it again, and the end of the pull request is its end.
    app.verb(&["reviewapps:remove", "1"]).ok().says("reviewed-pr-1 is gone");
    parent.until_gone(early);
    app.verb(&["reviewapps:remove", "1"]).refused("has no review app");
    parent.push_on(hosted, "better", "back");
    parent.until_answers(early, "back");
    hosted.set_pull(early, "closed");
    assert_eq!(parent.newest_verdict("reviewed-pr-1 is gone")["verdict"], "removed");
    parent.until_gone(early);
    assert_eq!(parent.review(early), Value::Null);

    // So is the end of review apps, and of their parent.
    hosted.set_pull(early, "open");
    parent.until_answers(early, "back");
    app.verb(&["reviewapps:disable"]).ok();
    parent.until_gone(early);
    app.verb(&["reviewapps:enable"]).ok();
    hosted.set_pull(early, "closed");
    hosted.set_pull(early, "open");
    parent.until_answers(early, "back");
    assert_eq!(app.ask("DELETE", "", None).status, 200);
    parent.until_gone(early);
    parent.app.is_gone();
}

#[test]
fn a_fork_is_built_only_when_its_commit_was_approved_and_without_secrets() {
    let Some(scene) = scene() else { return };
    let parent = Parent::deployed(scene, "forked");
    let (app, hosted) = (&parent.app, &parent.hosted);
    app.verb(&["config:set", "SECRET_ONE=s3cret"]).ok();
    app.verb(&["reviewapps:enable", "--inherit", "*"]).ok();
    let fork = hosted.fork("mallory");
    let first = parent.branch(&fork, "evil");
    let number = hosted.open_pull("mallory:evil");
    let waiting = parent.until_status(number, "approval", &first);
    assert_eq!(
        (&waiting["fork_repo"], &waiting["app"]),
        (&json!("mallory/forked"), &Value::Null),
        "{waiting}"
    );
    let short = &first[..7];
    parent.newest_verdict(&format!("reviewapps:approve {number} {short}"));
    let number_text = number.to_string();
    let approve = |commit: &str| app.verb(&["reviewapps:approve", &number_text, commit]);

    // Only the commit that it stands at, and only by who may deploy.
    approve("").refused("");
    approve(&first[..6]).refused("stands at");
    approve(&app.build(1)["commit"].as_str().expect("a commit")[..7]).refused("stands at");
    let viewer = scene.platform.person("fork-viewer", "viewer");
    let denied = scene.platform.ask(
        "POST",
        &format!("/apps/forked/review-apps/{number}/approve"),
        &viewer.token,
        Some(json!({ "commit": first }).to_string()),
    );
    assert_eq!(denied.status, 403, "{denied:?}");
    assert_eq!(parent.review(number)["app"], Value::Null);
    let Some(browser) = Browser::start(&scene.platform) else { return };
    browser.open(&scene.platform.sign_in_link("fay")).press("Sign in").shows("You are signed in");
    browser.open("/ui/apps/forked/hooks").shows("mallory/forked").is_accessible("reviews");
    browser.press("Approve").shows(short).shows("without config vars").press("Approve");
    browser.shows("is built now");
    parent.until_answers(number, "evil");
    let config = parent.config(number);
    assert_eq!(config.get("SECRET_ONE"), None, "{config}");

    // A newer commit needs an approval of its own; what was approved goes on running.
    let second = parent.push_on(&fork, "evil", "worse");
    let waiting = parent.until_status(number, "approval", &second);
    assert_eq!(
        (&waiting["app"]["name"], &waiting["approved_commit"]),
        (&json!("forked-pr-1"), &json!(first))
    );
    approve(&first).refused("stands at");
    app.verb(&["hooks:redeliver", parent.newest_verdict("comes from")["id"].as_str().expect("an id")])
        .ok()
        .says("comes from mallory/forked");
    parent.until_answers(number, "evil");
    approve(&second).ok().says("is built now");
    parent.until_answers(number, "worse");
    assert_eq!(parent.config(number).get("SECRET_ONE"), None);
    app.verb(&["reviewapps:disable"]).ok();
}

#[test]
fn there_are_as_many_as_there_may_be_and_none_that_nobody_pushes_to() {
    let Some(scene) = scene() else { return };
    let parent = Parent::deployed(scene, "limited");
    let (app, hosted) = (&parent.app, &parent.hosted);
    app.verb(&["reviewapps:enable", "--limit", "0"]).refused("from 1 on");
    app.verb(&["reviewapps:enable", "--limit", "1", "--days", "3"]).ok().says("1 at most").says("3 days");
    app.verb(&["hooks:watch", "answer"]).ok();
    let (one, two) = (parent.branch(hosted, "one"), parent.branch(hosted, "two"));
    let first = hosted.open_pull("one");
    parent.until_status(first, "created", &one);
    let second = hosted.open_pull("two");
    parent.until_status(second, "room", &two);
    app.git(&["checkout", "-q", "-B", "docs", "main"]).ok();
    app.write("docs/a", "x").commit("Docs");
    hosted.push(&app.checkout, &["docs:docs"]);
    // Room is asked for first: without any, nothing of it is fetched.
    let third = hosted.open_pull("docs");
    parent.until_status(third, "room", &app.head());
    parent.until_answers(first, "one");
    hosted.set_pull(first, "closed");
    parent.until_gone(first);
    parent.until_answers(second, "two");

    let aged = "UPDATE pull_requests SET pushed_at = now() - interval '4 days' WHERE app_id IS NOT NULL AND branch = 'two'";
    scene.platform.sql(aged);
    parent.until_gone(second);
    parent.until_status(second, "removed", &two);
    // Its room goes to the next in line, which changes nothing that is watched.
    parent.until_status(third, "skipped", &app.head());
    parent.push_on(hosted, "two", "woken");
    parent.until_answers(second, "woken");
    app.verb(&["hooks:disconnect"]).ok();
    parent.until_gone(second);
}

#[test]
fn github_shows_a_transient_environment_for_each_pull_request_until_it_is_closed() {
    let Some((folder, platform)) = Platform::trusting() else { return };
    let Some(hub) = Hub::listen(folder.path(), "ghp_stories") else { return };
    let app = platform.app("hubbed").answering("seven");
    let wish = json!({ "url": hub.url(), "provider": "github", "token": "ghp_stories" });
    let made = app.ask("POST", "/connection", Some(wish)).json();
    let secret = made["secret"].as_str().expect("a secret").to_owned();
    app.verb(&["reviewapps:enable"]).ok();
    hub.push(&app.checkout, &["HEAD:refs/pull/7/head"]);
    let deliver = |id: &str, action: &str, minute: u8| {
        let repo = json!({ "id": 1, "full_name": "ada/blog" });
        let body = json!({
            "action": action, "number": 7, "sender": { "login": "ada" },
            "pull_request": {
                "number": 7, "title": "Seven", "updated_at": format!("2026-11-27T10:{minute:02}:00Z"),
                "head": { "ref": "seven", "sha": app.head(), "repo": repo },
                "base": { "ref": "main", "sha": app.head(), "repo": repo },
            },
        })
        .to_string();
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key");
        mac.update(body.as_bytes());
        let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
        let headers = [
            ("X-GitHub-Event", "pull_request"),
            ("X-GitHub-Delivery", id),
            ("X-Hub-Signature-256", &*signature),
        ];
        let answer = platform.post("/hooks/github/hubbed", &headers, &body).expect("an answer");
        assert_eq!(answer.status, 202, "{answer:?}");
    };
    deliver("1", "opened", 1);
    let deployed = wait_for("the deployment to succeed", LONG, || {
        hub.deployments().into_iter().find(|made| made.states().last() == Some(&"success"))
    });
    let wish = &deployed.wish;
    assert_eq!((&wish["environment"], &wish["transient_environment"]), (&json!("hubbed-pr-7"), &json!(true)));
    assert_eq!(wish["ref"], *app.head());

    // What was closed stays closed, whatever comes late.
    deliver("3", "closed", 3);
    let retired = || hub.deployments().iter().all(|made| made.states().last() == Some(&"inactive"));
    until("the environment to be inactive", LONG, retired);
    deliver("2", "synchronize", 2);
    let late = wait_for("the late delivery to be judged", LONG, || {
        let ledger = app.get("/hook-deliveries");
        let mut ledger = ledger.as_array().cloned().unwrap_or_default().into_iter();
        ledger.find(|row| row["delivery"] == "2" && !row["verdict"].is_null())
    });
    assert_eq!((&late["verdict"], &late["reason"]), (&json!("ignored"), &json!("pull request 7 is closed")));

    // Opened anew, and then the parent lets go of the repository: the host is told before it cannot be any more.
    deliver("4", "reopened", 4);
    until("the second deployment to succeed", LONG, || {
        hub.deployments().iter().any(|made| made.states().last() == Some(&"success"))
    });
    app.verb(&["hooks:disconnect"]).ok();
    assert!(hub.deployments().len() == 2 && retired(), "{:?}", hub.deployments());
    assert_eq!(hub.faults(), Vec::<String>::new(), "GitHub's description of its API takes all of it");
}

#[test]
fn gitlab_shows_the_review_app_of_a_merge_request_as_a_status_of_its_commit() {
    let Some((folder, platform)) = Platform::trusting() else { return };
    let lab = Lab::listen(folder.path(), "glpat-stories");
    let app = platform.app("labbed").answering("merged");
    let wish = json!({ "url": lab.url(), "provider": "gitlab", "token": "glpat-stories" });
    let made = app.ask("POST", "/connection", Some(wish)).json();
    let secret = made["secret"].as_str().expect("a secret").to_owned();
    app.verb(&["reviewapps:enable"]).ok();
    lab.push(&app.checkout, &["HEAD:refs/merge-requests/4/head"]);
    let deliver = |id: &str, action: &str, second: u8| {
        let body = json!({
            "object_kind": "merge_request", "user": { "username": "ada" }, "object_attributes": {
                "iid": 4, "action": action, "title": "Merge me", "source_branch": "merge-me",
                "source_project_id": 1, "target_project_id": 1, "updated_at": format!("2026-11-27 10:00:{second:02} UTC"),
            },
        })
        .to_string();
        let headers = [
            ("X-Gitlab-Event", "Merge Request Hook"),
            ("X-Gitlab-Event-UUID", id),
            ("X-Gitlab-Token", &*secret),
        ];
        let answer = platform.post("/hooks/gitlab/labbed", &headers, &body).expect("an answer");
        assert_eq!(answer.status, 202, "{answer:?}");
    };
    deliver("1", "open", 1);
    let told = wait_for("the review app to be told of", LONG, || {
        lab.told().into_iter().find(|told| told.status["state"] == "success")
    });
    assert_eq!((&*told.commit, &told.status["name"]), (&*app.head(), &json!("slipway/labbed-pr-4")));
    let url = told.status["target_url"].as_str().expect("a link");
    assert!(url.contains("labbed-pr-4.localhost"), "{url}");
    let answer = platform.browse("labbed-pr-4", "/").expect("an answer");
    assert_eq!(answer.body.trim(), "merged");
    deliver("2", "merge", 2);
    until("the review app to be gone", LONG, || {
        platform.ask("GET", "/apps/labbed-pr-4", &platform.admin().token, None).status == 404
    });
    assert_eq!(lab.faults(), Vec::<String>::new());
}
