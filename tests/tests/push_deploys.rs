//! A push becomes a running release.

use slipway_tests::{Door, Platform};

#[test]
fn the_first_push_streams_its_build_and_becomes_v1() {
    let Some(platform) = Platform::shared() else { return };
    let app = platform.app("first").answering("hello");
    // A repository is made with HEAD on `main`: whether the push sets it shows with another branch only.
    app.verb(&["apps:set", "deploy-branch=live"]).ok();
    // Not the words of the step, but what it prints.
    app.step("RUN echo made by the build it\"\"self; sleep 4");

    let mut push = app.start_push(Door::Ssh, &["main:live"]);
    push.until_says("made by the build itself");
    assert_eq!(app.build(1)["state"], "building", "the output came when the step was over");
    push.end().ok().says("remote: -----> Dockerfile").says("Released v1").says("main -> live");
    assert_eq!(app.answer_now(), "hello");
    assert_eq!(app.remote_ref("HEAD"), Some(app.head()));
    assert_eq!(app.remote_ref("refs/heads/live"), Some(app.head()));
    let release = app.release(1);
    assert_eq!((&release["status"], &release["current"]), (&"succeeded".into(), &true.into()));
    assert_eq!(release["commit"], app.head().as_str());
    assert!(release["digest"].as_str().is_some_and(|digest| digest.starts_with("sha256:")), "{release}");
}

#[test]
fn a_second_push_over_http_switches_without_a_failed_request() {
    let Some(platform) = Platform::shared() else { return };
    let app = platform.app("second").answering("one");
    app.push(Door::Ssh).ok();
    let traffic = app.traffic();
    traffic.until_answers("one", 20);

    app.answer("two");
    app.push(Door::Http).ok().says("Released v2");
    traffic.until_answers("two", 20);
    let counts = traffic.stop();
    assert_eq!(counts.failures, Vec::<String>::new());
    assert_eq!(counts.answers.keys().collect::<Vec<_>>(), ["one", "two"]);
    app.verb(&["releases"]).ok().says("Current: v2");
    app.until_containers(1);
}

#[test]
fn a_rollback_restores_code_and_config_and_says_so() {
    let Some(platform) = Platform::shared() else { return };
    let app = platform.app("rolled-back").answering("one");
    app.push(Door::Ssh).ok();
    app.verb(&["config:set", "COLOUR=green"]).ok();
    app.until_current(2);
    app.answer("two");
    app.push(Door::Ssh).ok().says("Released v3");
    app.verb(&["config:set", "COLOUR=red"]).ok();
    app.until_current(4);
    assert!(app.browse("/env").contains(r#""COLOUR": "red""#));

    let traffic = app.traffic();
    app.verb(&["rollback", "v2"]).ok();
    app.until_current(5);
    traffic.until_answers("one", 10);
    assert_eq!(traffic.stop().failures, Vec::<String>::new());
    assert!(app.browse("/env").contains(r#""COLOUR": "green""#));
    assert_eq!(app.get("/config-vars")["COLOUR"], "green");
    assert_eq!(
        (&app.release(5)["rollback_of"], &app.release(5)["description"]),
        (&2.into(), &"Rollback to v2".into())
    );
    // The branch stays: the next push goes on from what was pushed last.
    assert_eq!(app.remote_ref("refs/heads/main"), Some(app.head()));

    let unknown = app.verb(&["rollback", "v99"]);
    unknown.refused("v99");
    let over_the_api = app.ask("POST", "/releases", Some(serde_json::json!({ "release": "v4" })));
    assert_eq!(over_the_api.status, 201, "{over_the_api:?}");
    app.until_current(6);
    assert_eq!(app.answer_now(), "two");
}

#[test]
fn an_unchanged_tree_is_not_built_again_and_moves_no_process() {
    let Some(platform) = Platform::shared() else { return };
    let app = platform.app("unchanged").answering("hello");
    app.push(Door::Ssh).ok();
    let before = app.until_containers(1);
    app.commit("nothing but a message");
    app.push(Door::Ssh).ok().says("Nothing to build: build 1").says("Released v2");
    assert_eq!(app.release(2)["digest"], app.release(1)["digest"]);
    assert_eq!(app.containers(), before);
}

#[test]
fn a_failed_build_leaves_the_branch_so_that_the_same_commit_can_be_pushed_again() {
    let Some(platform) = Platform::shared() else { return };
    let app = platform.app("failed").answering("one");
    app.push(Door::Ssh).ok();
    let good = app.head();
    app.step("RUN exit 4");
    for door in [Door::Ssh, Door::Http] {
        app.push(door).refused("[remote rejected] main -> main (build failed");
        assert_eq!(app.remote_ref("refs/heads/main"), Some(good.clone()));
    }
    assert_eq!(app.answer_now(), "one");
    assert_eq!(app.releases().len(), 1);
    assert_eq!(app.builds().len(), 3);
}

#[test]
fn what_was_pushed_can_be_cloned_and_fetched_over_both_doors() {
    let Some(platform) = Platform::shared() else { return };
    let app = platform.app("cloned").answering("one");
    app.push(Door::Ssh).ok();
    let clones = [Door::Ssh, Door::Http].map(|door| {
        let (said, clone) = app.clone_over(door);
        said.ok();
        assert_eq!(std::fs::read_to_string(clone.join("answer")).expect("a file"), "one");
        // Builds' commits are kept under refs that nobody sees.
        assert!(app.remote_refs(door).iter().all(|(_, name)| !name.contains("builds")));
        clone.display().to_string()
    });
    app.answer("two");
    app.push(Door::Http).ok();
    for clone in clones {
        app.git(&["-C", &clone, "fetch", "-q"]).ok();
        assert_eq!(app.git(&["-C", &clone, "rev-parse", "origin/main"]).ok().out.trim(), app.head());
    }
}

#[test]
fn another_branch_is_told_the_command_that_would_deploy_it() {
    let Some(platform) = Platform::shared() else { return };
    let app = platform.app("branches").answering("hello");
    app.git(&["checkout", "-q", "-b", "feature/x"]).ok();
    app.push_with(Door::Ssh, &["feature/x"]).refused("git push platform feature/x:main");
    app.push_with(Door::Ssh, &["feature/x:main"]).ok();
    app.verb(&["apps:set", "deploy-branch=live"]).ok();
    app.commit("for the other branch");
    app.push_with(Door::Ssh, &["feature/x:main"]).refused("only live is deployed");
    app.push_with(Door::Ssh, &["feature/x:live"]).ok();
    // And a clone checks that branch out.
    assert_eq!(app.remote_ref("HEAD"), Some(app.head()));
}

#[test]
fn the_deploy_branch_cannot_be_deleted_and_a_tag_moves_at_once() {
    let Some(platform) = Platform::shared() else { return };
    let app = platform.app("deleted").answering("hello");
    app.push(Door::Ssh).ok();
    app.push_with(Door::Ssh, &["--delete", "main"]).refused("the deploy branch cannot be deleted");
    app.git(&["tag", "-a", "v1.0", "-m", "one"]).ok();
    app.push_with(Door::Http, &["v1.0"]).ok().says("[new tag]");
    assert!(app.remote_ref("refs/tags/v1.0").is_some());
    app.push_with(Door::Ssh, &["--delete", "v1.0"]).ok();
    assert_eq!(app.remote_ref("refs/tags/v1.0"), None);
    assert_eq!(app.builds().len(), 1);
}

#[test]
fn a_push_that_takes_commits_back_needs_force_and_is_recorded() {
    let Some(platform) = Platform::shared() else { return };
    let app = platform.app("forced").answering("one");
    app.push(Door::Ssh).ok();
    app.git(&["commit", "-q", "--amend", "-m", "rewritten"]).ok();
    app.push(Door::Ssh).refused("non-fast-forward");
    app.push_with(Door::Ssh, &["--force", "main"]).ok().says("forced update");
    assert_eq!(app.remote_ref("refs/heads/main"), Some(app.head()));
    let recorded = platform
        .sql("SELECT detail->>'forced' FROM audit WHERE app_name = 'forced' AND action = 'push' ORDER BY at");
    assert_eq!(recorded, "false\ntrue");
}

#[test]
fn a_shallow_push_is_accepted_and_a_later_full_push_heals_it() {
    let Some(platform) = Platform::shared() else { return };
    let app = platform.app("shallow").answering("one");
    app.answer("two");
    app.answer("three");
    let shallow = app.shallow(1);
    shallow.push(Door::Ssh).ok().says("Released v1");
    assert_eq!(app.answer_now(), "three");
    shallow.answer("made by CI");
    shallow.push(Door::Http).ok().says("Released v2");
    let (said, clone) = app.clone_over(Door::Http);
    said.ok();
    assert!(clone.join(".git/shallow").exists());

    // Whoever does not know CI's commit sends the whole history.
    app.answer("four");
    app.push_with(Door::Ssh, &["--force", "main"]).ok();
    assert_eq!(app.answer_now(), "four");
    let (said, clone) = app.clone_over(Door::Ssh);
    said.ok();
    assert!(!clone.join(".git/shallow").exists());
}

#[test]
fn an_atomic_push_moves_all_refs_or_none() {
    let Some(platform) = Platform::shared() else { return };
    let app = platform.app("atomic").answering("one");
    app.git(&["tag", "together"]).ok();
    app.step("RUN exit 4");
    app.push_with(Door::Ssh, &["--atomic", "main", "together"]).refused("build failed");
    assert_eq!(app.remote_ref("refs/tags/together"), None);
    app.push_with(Door::Ssh, &["--atomic", "main:other", "together"]).refused("only main is deployed");
    assert_eq!(app.remote_ref("refs/tags/together"), None);
    app.git(&["reset", "-q", "--hard", "together"]).ok();
    app.push_with(Door::Ssh, &["--atomic", "main", "together"]).ok();
    assert!(app.remote_ref("refs/tags/together").is_some());
}

#[test]
fn sixty_five_refs_in_one_push_are_one_too_many() {
    let Some(platform) = Platform::shared() else { return };
    let app = platform.app("many-refs").answering("one");
    let tags: Vec<String> = (0..65).map(|n| format!("t{n}")).collect();
    for tag in &tags {
        app.git(&["tag", tag]).ok();
    }
    let refs: Vec<&str> = tags.iter().map(String::as_str).collect();
    app.push_with(Door::Ssh, &refs).refused("64");
    app.push_with(Door::Http, &refs).refused("SLIPWAY_MAX_REFS");
    assert_eq!(app.remote_refs(Door::Ssh), []);
    app.push_with(Door::Ssh, &refs[..64]).ok();
}

#[test]
fn an_unknown_app_and_an_unknown_key_each_get_a_sentence() {
    let Some(platform) = Platform::shared() else { return };
    let checkout = platform.admin().checkout("no-such-app");
    checkout.add_app("hello");
    for door in [Door::Ssh, Door::Http] {
        let push = checkout.push(door);
        push.refused("there is no app `no-such-app`").says("`apps:create no-such-app` makes it");
    }

    let app = platform.app("strangers").answering("one");
    let stranger = platform.stranger("mallory");
    let theirs = app.of(&stranger);
    theirs
        .push(Door::Ssh)
        .refused("Permission denied")
        .says(&format!("Slipway does not know your key {}", stranger.fingerprint()))
        .says("keys:add");
    theirs.push(Door::Http).refused("Authentication failed").says("this token is not known");
    assert_eq!(app.builds().len(), 0);
}

#[test]
fn names_that_could_hurt_are_refused_at_every_door() {
    let Some(platform) = Platform::shared() else { return };
    let no_name = "is not an app name: 3 to 30 characters";
    let no_address = "only `git push`, `git fetch` and `git clone` are served here";
    for (name, of_the_verb, of_the_push) in [
        ("../etc", no_name, no_name),
        ("a'b", "a quote is opened in the command line", no_address),
        ("-rf", no_name, no_name),
        ("a b", "unexpected argument 'b'", no_address),
        ("..", no_name, no_name),
        ("x;id", no_name, no_name),
        ("A", no_name, no_name),
    ] {
        platform.admin().verb(&["apps:create", "--", name]).refused(of_the_verb);
        let body = serde_json::json!({ "name": name }).to_string();
        let answer = platform.ask("POST", "/apps", &platform.admin().token, Some(body));
        assert_eq!(answer.status, 422, "{name}: {answer:?}");
        let checkout = platform.admin().checkout(name);
        checkout.add_app("hello");
        checkout.push(Door::Ssh).refused(of_the_push);
    }
}

#[test]
fn roles_decide_who_may_read_push_and_see_config() {
    let Some(platform) = Platform::shared() else { return };
    let app = platform.app("roles").answering("one");
    app.push(Door::Ssh).ok();
    app.verb(&["config:set", "TOKEN=very-secret-value"]).ok();
    app.until_current(2);
    let viewer = platform.person("vera", "viewer");
    let deployer = platform.person("dora", "deployer");
    platform.admin().verb(&["teams:create", "elsewhere"]).ok();
    let outsider = platform.person_in("elsewhere", "otto", "owner");

    let clone = app.of(&viewer);
    clone.git(&["fetch", "platform"]).ok();
    clone.commit("by a viewer");
    for door in [Door::Ssh, Door::Http] {
        clone.push(door).refused("you are a viewer of this app, and this takes a deployer");
    }
    viewer.verb(&["releases", "-a", "roles"]).ok().says("v2");
    viewer.verb(&["config", "-a", "roles"]).refused("takes a deployer");
    viewer.verb(&["config:get", "TOKEN", "-a", "roles"]).refused("takes a deployer");
    viewer.verb(&["rollback", "v1", "-a", "roles"]).refused("takes a deployer");

    for door in [Door::Ssh, Door::Http] {
        app.of(&outsider).push(door).refused("there is no app `roles`, or you have no access to it");
    }
    outsider.verb(&["releases", "-a", "roles"]).refused("no such app");

    let theirs = app.of(&deployer);
    theirs.answer("by a deployer");
    theirs.push(Door::Http).ok();
    assert_eq!(app.release(3)["user"]["email"], "dora");
    deployer.verb(&["config:get", "TOKEN", "-a", "roles"]).ok().says("very-secret-value");
    deployer.verb(&["apps:destroy", "roles", "--confirm", "roles"]).refused("takes an owner");
}
