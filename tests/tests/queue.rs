//! Whose build runs, and who is told what. Builds here hang in a step until they are canceled, or take some seconds.

use std::time::{Duration, Instant};

use slipway_tests::{App, Door, LONG, Platform, SHORT, until};

/// A step of a few seconds that first says that it has begun. No two apps share it: steps are cached by content.
fn short_step(app: &App) -> String {
    app.step(&format!("RUN echo {} has be\"\"gun; sleep 5", app.name))
}

fn endless_step(app: &App) -> String {
    app.step(&format!("RUN echo {} has be\"\"gun; sleep 600", app.name))
}

#[test]
fn the_newest_pending_push_wins_and_the_replaced_pusher_is_told_by_which() {
    let Some(platform) = Platform::shared() else { return };
    let app = platform.app("newest-wins").answering("newest-wins");
    short_step(&app);
    let mut first = app.start_push(Door::Ssh, &["main"]);
    first.until_says("newest-wins has begun");
    app.answer("second");
    let mut second = app.start_push(Door::Http, &["main"]);
    second.until_says("Waiting: build 1 by root is running");
    app.answer("third");
    let third = app.push(Door::Ssh);
    third.ok().says("Build 2 was waiting; this one takes its place");
    second.end().refused("superseded by build 3");
    first.end().ok().says("Released v1");
    assert_eq!(app.answer_now(), "third");
    assert_eq!(app.releases().len(), 2);
    assert_eq!((&app.build(2)["state"], &app.build(2)["superseded_by"]), (&"superseded".into(), &3.into()));
}

#[test]
fn a_push_whose_turn_comes_after_the_branch_moved_past_it_is_refused_before_any_build() {
    let Some(platform) = Platform::shared() else { return };
    let app = platform.app("moved-on").answering("moved-on");
    app.push(Door::Ssh).ok();
    let ada = platform.person("ada-of-moved-on", "deployer");
    let theirs = app.of(&ada);
    short_step(&app);
    let mut first = app.start_push(Door::Ssh, &["main"]);
    first.until_says("moved-on has begun");
    theirs.answer("does not contain it");
    let second = theirs.push(Door::Ssh);
    second
        .refused("the branch has moved since your push")
        .says("root released v2")
        .says("git fetch")
        .says_not("build failed")
        .says_not("Dockerfile found");
    first.end().ok();

    // Merged, it goes through.
    theirs.git(&["pull", "-q", "--no-rebase", "--no-edit", "-s", "ours", "platform", "main"]).ok();
    theirs.push(Door::Http).ok();
    assert_eq!(app.answer_now(), "does not contain it");
}

#[test]
fn a_push_that_waits_for_the_rollout_of_another_is_told_whose() {
    let Some(platform) = Platform::shared() else { return };
    let app = platform.app("waits").answering("first");
    app.write("behaviour", "slow").commit("slow to start");
    let mut first = app.start_push(Door::Ssh, &["main"]);
    first.until_says("Launching v1");
    app.write("behaviour", "good").write("answer", "second").commit("quick to start");
    let second = app.push(Door::Http);
    second.ok().says("Waiting: build 1 by root is being rolled out");
    first.end().ok().says_not("Waiting");
    assert_eq!(app.answer_now(), "second");
}

#[test]
fn cancel_running_takes_the_place_of_the_running_build() {
    let Some(platform) = Platform::shared() else { return };
    let app = platform.app("takes-place").answering("takes-place");
    let before = app.head();
    endless_step(&app);
    let mut first = app.start_push(Door::Ssh, &["main"]);
    first.until_says("takes-place has begun");
    app.git(&["reset", "-q", "--hard", &before]).ok();
    app.answer("urgent");
    app.push_with(Door::Http, &["--push-option=cancel-running", "main"]).ok().says("Canceled build 1");
    first.end().refused("canceled by root");
    assert_eq!(app.answer_now(), "urgent");
    assert_eq!(app.build(1)["state"], "canceled");
}

#[test]
fn a_detached_push_is_told_the_hidden_ref_and_the_branch_moves_later() {
    let Some(platform) = Platform::shared() else { return };
    let app = platform.app("detached").answering("detached");
    short_step(&app);
    let push = app.push_with(Door::Ssh, &["--push-option=detach", "main"]);
    push.ok().says("main -> refs/builds/1").says("builds:output 1");
    assert_eq!(app.remote_ref("refs/heads/main"), None);
    until("the branch to move", LONG, || app.remote_ref("refs/heads/main") == Some(app.head()));
    assert_eq!(app.answer_now(), "detached");
    app.step("RUN exit 9");
    app.push_with(Door::Http, &["-o", "detach", "main"]);
}

#[test]
fn no_cache_builds_an_unchanged_tree_again() {
    let Some(platform) = Platform::shared() else { return };
    let app = platform.app("no-cache").answering("no-cache");
    app.step("RUN echo made a\"\"fresh");
    app.push(Door::Ssh).ok().says("made afresh");
    app.commit("the same tree");
    let push = app.push_with(Door::Ssh, &["--push-option=no-cache", "main"]);
    push.ok().says_not("Nothing to build").says("made afresh");
}

#[test]
fn a_released_commit_is_built_again_by_builds_retry() {
    let Some(platform) = Platform::shared() else { return };
    let app = platform.app("retried").answering("retried");
    app.push(Door::Ssh).ok();
    app.push(Door::Ssh).ok().says("Everything up-to-date");
    // By the engine, whose cache may have the steps; the image of before is not taken for it.
    app.verb(&["builds:retry"])
        .ok()
        .says("exporting to image")
        .says("-----> Pushing")
        .says_not("Nothing to build")
        .says("Released v2");
    app.until_current(2);
    assert_eq!(app.release(2)["commit"], app.head().as_str());
    assert_eq!(app.build(2)["trigger"], "retry");
}

#[test]
fn a_dry_run_says_what_would_be_built_and_accepts_nothing() {
    let Some(platform) = Platform::shared() else { return };
    let app = platform.app("dry-run").answering("dry-run");
    let dry = ["--push-option=dry-run", "main"];
    app.push_with(Door::Ssh, &dry).refused("dry run: nothing was deployed").says("Dockerfile");
    app.git(&["mv", "Dockerfile", "dockerfile"]).ok();
    app.commit("misspelt");
    app.push_with(Door::Http, &dry).refused("git mv dockerfile Dockerfile");
    assert_eq!(app.builds().len(), 0);
}

#[test]
fn unknown_push_options_are_named_and_ignored() {
    let Some(platform) = Platform::shared() else { return };
    let app = platform.app("options").answering("options");
    app.push_with(Door::Ssh, &["--push-option=ci.skip", "main"]).ok().says("ci.skip").says("cancel-running");
}

#[test]
fn a_pusher_who_vanishes_cancels_nothing_and_a_second_terminal_follows_from_any_byte() {
    let Some(platform) = Platform::shared() else { return };
    for (name, door) in [("vanished-ssh", Door::Ssh), ("vanished-http", Door::Http)] {
        let app = platform.app(name).answering(name);
        short_step(&app);
        let mut push = app.start_push(door, &["main"]);
        push.until_says(&format!("{name} has begun"));
        push.vanish();
        let followed = app.verb(&["builds:output", "1"]);
        followed.ok().says("Released v1");
        let whole = app.output(1, "offset=0");
        assert_eq!(followed.out, whole);
        for offset in [1, 100, whole.len() - 1, whole.len()] {
            assert_eq!(app.output(1, &format!("offset={offset}&follow=1")), whole[offset..]);
        }
        assert_eq!(app.answer_now(), name);
        assert_eq!(app.remote_ref("refs/heads/main"), Some(app.head()));
    }
}

#[test]
fn cancel_stops_the_running_step_within_a_second() {
    let Some(platform) = Platform::shared() else { return };
    let app = platform.app("canceled").answering("canceled");
    // A number that no other process on this machine has among its arguments.
    let sleep = format!("sleep 6{}", std::process::id());
    app.step(&format!("RUN echo canceled has be\"\"gun; {sleep}"));
    let mut push = app.start_push(Door::Ssh, &["main"]);
    push.until_says("canceled has begun");
    until("the step to run", SHORT, || platform.machine_runs(&sleep));
    let asked = Instant::now();
    app.verb(&["builds:cancel", "1"]).ok();
    until("the step to end", SHORT, || !platform.machine_runs(&sleep));
    let took = asked.elapsed();
    push.end().refused("canceled by root");
    assert_eq!(app.build(1)["state"], "canceled");
    // The verb itself is a fresh SSH connection, which takes its share on a busy machine.
    assert!(took < Duration::from_secs(2), "it took {took:?}");
    app.verb(&["builds:cancel", "1"]).refused("cannot be canceled any more");

    app.git(&["reset", "-q", "--hard", "HEAD~1"]).ok();
    app.push(Door::Ssh).ok();
}
