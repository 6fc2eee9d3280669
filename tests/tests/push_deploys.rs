//! A push becomes a running release.

use slipway_tests::{Door, Platform};

#[test]
fn the_first_push_streams_its_build_and_becomes_v1() {
    let Some(platform) = Platform::shared() else { return };
    let app = platform.app("first").answering("hello");
    app.step("RUN echo made by the build itself");

    let push = app.push(Door::Ssh);
    push.ok()
        .says("remote: -----> Dockerfile")
        .says("made by the build itself")
        .says("Released v1")
        .says("main -> main");
    assert_eq!(app.answer_now(), "hello");
    assert_eq!(app.remote_ref("HEAD"), Some(app.head()));
    assert_eq!(app.remote_ref("refs/heads/main"), Some(app.head()));
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
