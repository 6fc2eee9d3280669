//! What is lost when a part is lost: nothing that was accepted.

use slipway_tests::{Behind, Door, LONG, Platform, Proxy, SHORT, Service, engine_or_skip, until, wait_for};

#[test]
fn a_build_whose_server_was_killed_is_tried_again_and_ends() {
    let Some(platform) = Platform::start() else { return };
    let app = platform.app("killed-in-build").answering("hello");
    app.step("RUN echo it has be\"\"gun; sleep 5");
    let mut push = app.start_push(Door::Ssh, &["main"]);
    push.until_says("it has begun");
    platform.server().kill();
    assert_ne!(push.end().status, 0, "nobody was there to say that it went well");

    platform.server().start();
    platform.server().until_ready();
    app.until_current(1);
    assert_eq!(app.answer_now(), "hello");
    assert!(app.output(1, "offset=0").contains("Trying again (2 of 2)"));
    assert_eq!(app.remote_ref("refs/heads/main"), Some(app.head()));
    assert_eq!(app.releases().len(), 1);
}

#[test]
fn a_rollout_whose_server_was_killed_is_taken_up_again_while_the_old_release_serves() {
    let Some(platform) = Platform::start() else { return };
    let app = platform.app("killed-in-rollout").answering("one");
    app.push(Door::Ssh).ok();
    let traffic = app.traffic();
    app.write("behaviour", "slow");
    app.answer("two");
    let mut push = app.start_push(Door::Http, &["main"]);
    push.until_says("Launching v2");
    platform.server().kill();
    drop(push);
    platform.server().start();
    platform.server().until_ready();
    app.until_current(2);
    traffic.until_answers("two", 5);
    assert_eq!(traffic.stop().failures, Vec::<String>::new());
    assert_eq!(app.remote_ref("refs/heads/main"), Some(app.head()));
    app.until_containers(1);
}

#[test]
fn apps_answer_every_request_while_the_server_restarts_or_is_killed() {
    let Some(platform) = Platform::start() else { return };
    let app = platform.app("restarted").answering("hello");
    app.push(Door::Ssh).ok();
    let serving = app.until_containers(1);
    let traffic = app.traffic();
    traffic.until_answers("hello", 10);
    platform.server().restart();
    platform.server().kill();
    let before = traffic.so_far().answers["hello"];
    traffic.until_answers("hello", before + 10);
    platform.server().start();
    platform.server().until_ready();
    assert_eq!(traffic.stop().failures, Vec::<String>::new());
    assert_eq!(app.containers(), serving);
    app.answer("two");
    app.push(Door::Ssh).ok();
    assert_eq!(app.answer_now(), "two");
}

#[test]
fn a_database_that_is_away_at_start_is_waited_for_and_one_lost_half_way_loses_no_push() {
    let Some(engine) = engine_or_skip() else { return };
    let postgres = Service::postgres();
    let url = format!("postgres://postgres@127.0.0.1:{}/postgres", postgres.proxy.port);
    postgres.proxy.cut();
    let Some(platform) = Platform::with("DATABASE_URL", url).on(engine).later() else { return };
    platform.server().start();
    platform.server().until_logged("waiting for it");
    postgres.proxy.mend();
    platform.server().until_ready();
    platform.introduce();

    let app = platform.app("lost-database").answering("hello");
    app.step("RUN echo it has be\"\"gun; sleep 5");
    let mut push = app.start_push(Door::Ssh, &["main"]);
    push.until_says("it has begun");
    postgres.proxy.cut();
    until("the server to say that it is not ready", LONG, || platform.readiness() != 200);
    postgres.proxy.mend();
    push.end();
    app.until_current(1);
    assert_eq!(app.answer_now(), "hello");

    // And while somebody pushes: never "accepted" without a row.
    postgres.proxy.cut();
    app.answer("two");
    let refused = app.push(Door::Http);
    assert_ne!(refused.status, 0, "{}", refused.transcript);
    postgres.proxy.mend();
    until("the server to be ready again", LONG, || platform.readiness() == 200);
    app.push(Door::Http).ok();
    assert_eq!((app.answer_now(), app.releases().len()), ("two".to_owned(), 2));
}

#[test]
fn a_registry_that_is_lost_costs_no_release_and_the_same_push_goes_through_when_it_is_back() {
    let Some(engine) = engine_or_skip() else { return };
    let registry = Service::registry();
    let address = format!("127.0.0.1:{}", registry.proxy.port);
    let Some(platform) = Platform::with("SLIPWAY_REGISTRY", address).on(engine).start() else { return };
    let app = platform.app("lost-registry").answering("one");
    app.push(Door::Ssh).ok();

    // A short outage is bridged by pushing the image again, and the build is not made twice.
    app.answer("bridged");
    app.step("RUN echo at first it has be\"\"gun; sleep 3");
    let mut push = app.start_push(Door::Ssh, &["main"]);
    push.until_says("at first it has begun");
    registry.proxy.cut();
    until("the image to be pushed again", LONG, || {
        platform.server().log().contains("The image will be pushed again")
    });
    registry.proxy.mend();
    push.end().ok().says_not("Trying again");
    assert_eq!(app.answer_now(), "bridged");

    // A long one ends the build, and nothing else.
    app.answer("two");
    app.step("RUN echo it has be\"\"gun; sleep 3");
    let mut push = app.start_push(Door::Ssh, &["main"]);
    push.until_says("it has begun");
    registry.proxy.cut();
    push.end().refused("registry").says("not your code's fault");
    assert_eq!((app.answer_now(), app.releases().len()), ("bridged".to_owned(), 2));
    assert_eq!(app.build(3)["state"], "errored");
    registry.proxy.mend();
    app.push(Door::Ssh).ok();
    assert_eq!(app.answer_now(), "two");
}

#[test]
fn an_engine_that_is_away_is_named_and_one_lost_in_a_build_costs_one_try() {
    let Some(engine) = engine_or_skip() else { return };
    let Some(socket) = engine.host.strip_prefix("unix://") else { return };
    let proxy = Proxy::to(Behind::Unix(socket.into()));
    proxy.cut();
    let host = format!("tcp://127.0.0.1:{}", proxy.port);
    let Some(platform) = Platform::with("DOCKER_HOST", host).start() else { return };
    let app = platform.app("lost-engine").answering("hello");
    app.push(Door::Ssh).refused("Docker engine").says("not your code's fault");
    proxy.mend();
    app.step("RUN echo it has be\"\"gun; sleep 4");
    let mut push = app.start_push(Door::Ssh, &["main"]);
    push.until_says("it has begun");
    proxy.cut();
    proxy.mend();
    push.end().ok().says("tried once more").says("Trying again (2 of 2)");
    assert_eq!(app.answer_now(), "hello");

    // An engine that is away stops nothing that runs.
    let traffic = app.traffic();
    proxy.cut();
    app.verb(&["ps"]).refused("engine");
    assert_eq!(platform.readiness(), 200);
    proxy.mend();
    app.answer("two");
    app.push(Door::Ssh).ok();
    traffic.until_answers("two", 5);
    assert_eq!(traffic.stop().failures, Vec::<String>::new());
}

#[test]
fn a_client_that_vanishes_while_it_sends_leaves_nothing_behind() {
    let Some(platform) = Platform::start() else { return };
    let app = platform.app("vanished").answering("hello");
    let mut noise = 7u64;
    let mut bytes = Vec::with_capacity(48_000_000);
    while bytes.len() < 48_000_000 {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&noise.to_be_bytes());
    }
    std::fs::write(app.path().join("noise"), bytes).expect("a file");
    app.commit("a large file");
    let repository = platform.repository(&app.id);
    let incoming = || {
        let listed = std::fs::read_dir(repository.join("objects")).into_iter().flatten().flatten();
        listed.filter(|entry| entry.file_name().to_string_lossy().starts_with("tmp_")).count()
    };
    for door in [Door::Ssh, Door::Http] {
        let push = app.start_push(door, &["main"]);
        until("the pack to arrive", SHORT, || incoming() > 0);
        push.vanish();
        until("the quarantine to be gone", LONG, || incoming() == 0);
    }
    assert_eq!(app.builds().len(), 0);
    assert_eq!(app.remote_refs(Door::Ssh), []);
    app.push(Door::Ssh).ok();
    assert_eq!(app.answer_now(), "hello");
}

#[test]
fn a_disk_below_the_watermark_refuses_pushes_and_names_the_setting() {
    let Some(platform) = Platform::with("SLIPWAY_DISK_FREE_BYTES", "900TiB").start() else { return };
    let app = platform.app("full-disk").answering("hello");
    for door in [Door::Ssh, Door::Http] {
        app.push(door).refused("SLIPWAY_DISK_FREE_BYTES");
    }
    assert_eq!(app.builds().len(), 0);
    platform.server().set("SLIPWAY_DISK_FREE_BYTES", "1MiB");
    platform.server().restart();
    app.push(Door::Ssh).ok();
}

#[test]
fn a_server_that_is_asked_to_end_lets_the_build_in_hand_finish() {
    let Some(platform) = Platform::start() else { return };
    let app = platform.app("finished").answering("hello");
    app.step("RUN echo it has be\"\"gun; sleep 4");
    let mut push = app.start_push(Door::Ssh, &["main"]);
    push.until_says("it has begun");
    assert!(platform.server().stop().success());
    push.end().ok().says("Released v1");
    platform.server().start();
    platform.server().until_ready();
    wait_for("the app to answer", SHORT, || (app.answer_now() == "hello").then_some(()));
    assert_eq!(app.releases().len(), 1);
}

#[test]
fn after_a_reboot_every_app_comes_back() {
    let Some(platform) = Platform::start() else { return };
    let app = platform.app("rebooted").answering("hello");
    app.push(Door::Ssh).ok();
    let other = platform.app("rebooted-too").answering("hello too");
    other.push(Door::Http).ok();
    platform.power_off();
    assert_ne!(app.answer_now(), "hello");
    platform.server().start();
    platform.server().until_ready();
    until("the first app to answer", LONG, || app.answer_now() == "hello");
    until("the second app to answer", LONG, || other.answer_now() == "hello too");
    assert_eq!((app.releases().len(), other.releases().len()), (1, 1));
}
