//! Releases without a build: images that were built elsewhere, and promotion from app to app.

use slipway_tests::{App, Cluster, Door, LONG, Platform, Service, until};

/// Builds what the app's checkout holds with the engine alone, and pushes it as `name`; its digest.
fn built_elsewhere(app: &App, name: &str) -> String {
    let folder = app.checkout.path().display().to_string();
    let engine = app.platform().engine();
    engine.docker(&["build", "-q", "-t", name, &folder]).expect("docker build");
    engine.docker(&["push", "-q", name]).expect("docker push");
    let digests = engine.docker(&["inspect", "--format", "{{range .RepoDigests}}{{.}} {{end}}", name]);
    let digests = digests.expect("docker inspect");
    let (repository, _) = name.rsplit_once(':').expect("a tag");
    let found = digests.split(' ').find_map(|digest| digest.strip_prefix(repository)?.strip_prefix('@'));
    let found = found.unwrap_or_else(|| panic!("no digest of {repository} in {digests}")).to_owned();
    // The target has to pull it by itself.
    engine.docker(&["rmi", "-f", name]).expect("docker rmi");
    found
}

#[test]
fn an_image_that_was_built_elsewhere_is_released_by_digest_and_rolled_back_like_a_push() {
    let Some(platform) = Platform::shared() else { return };
    let app = platform.app("prebuilt").answering("pushed");
    app.push(Door::Ssh).ok();
    let pushed = app.head();
    let registry = Service::registry();
    let image = format!("127.0.0.1:{}/made/site:7", registry.proxy.port);
    app.answer("built elsewhere");
    let digest = built_elsewhere(&app, &image);

    let traffic = app.traffic();
    app.verb(&["container:release", &format!("web={image}")]).ok().says("done, v2");
    assert_eq!(app.answer_now(), "built elsewhere");
    let release = app.release(2);
    assert_eq!((&release["trigger"], &release["digest"]), (&"container".into(), &digest.clone().into()));
    assert_eq!(release["description"], format!("Release web image {image}"));
    assert!(release["commit"].is_null() && release["slug"].is_null(), "{release}");
    app.verb(&["releases:info", "v2"]).ok().says(&digest).says("container");
    assert_eq!(app.remote_ref("refs/heads/main"), Some(pushed.clone()), "the branch moved");

    // The same by the API, of a tag that is not there; and a registry that is gone.
    let body =
        |image: &str| Some(serde_json::json!({ "updates": [{ "type": "web", "docker_image": image }] }));
    let missing = app.ask("POST", "/container:release", body(&image.replace(":7", ":8")));
    assert_eq!(missing.status, 404, "{missing:?}");
    registry.proxy.cut();
    let away = app.ask("POST", "/container:release", body(&image));
    assert!(away.status == 503 && away.body.contains("does not answer"), "{away:?}");
    registry.proxy.mend();

    app.verb(&["rollback", "v1"]).ok();
    assert_eq!(app.answer_now(), "pushed");
    app.verb(&["rollback", "v2"]).ok();
    assert_eq!(app.answer_now(), "built elsewhere");
    app.answer("pushed again");
    app.push(Door::Ssh).ok().says("Released v5");
    assert_eq!(app.answer_now(), "pushed again");
    assert_eq!(traffic.stop().failures, Vec::<String>::new());
    app.until_containers(1);
}

#[test]
fn a_prebuilt_image_that_is_not_healthy_leaves_what_ran_before() {
    let Some(platform) = Platform::shared() else { return };
    let app = platform.app("prebuilt-sick").answering("good");
    app.push(Door::Ssh).ok();
    let serving = app.until_containers(1);
    let registry = Service::registry();
    let image = format!("127.0.0.1:{}/made/deaf:1", registry.proxy.port);
    app.write("behaviour", "exits");
    app.commit("exits");
    built_elsewhere(&app, &image);
    app.verb(&["container:release", &format!("web={image}")])
        .refused("v2 is not live")
        .says("web.1 ended with exit status 3");
    assert_eq!((app.current(), app.answer_now()), (1, "good".to_owned()));
    assert_eq!(app.until_containers(1), serving);
}

#[test]
fn process_types_may_have_images_of_their_own() {
    let Some(platform) = Platform::shared() else { return };
    let app = platform.app("two-images").answering("web of the push");
    app.push(Door::Ssh).ok();
    let registry = Service::registry();
    let image = format!("127.0.0.1:{}/made/worker:1", registry.proxy.port);
    app.answer("worker from elsewhere");
    let digest = built_elsewhere(&app, &image);
    let worker = format!("worker={image}");
    app.verb(&["container:release", &worker]).ok().says("web goes on with the image of before");
    assert_eq!(app.answer_now(), "web of the push");
    let images = app.release(2)["images"].clone();
    assert!(images["worker"].as_str().is_some_and(|image| image.ends_with(&digest)), "{images}");
    assert!(images["web"].as_str().is_some_and(|image| !image.ends_with(&digest)), "{images}");
}

/// Two apps in a pipeline, the first with a release.
fn pipeline(platform: &std::sync::Arc<Platform>, name: &str) -> (App, App) {
    let staging = platform.app(&format!("{name}-staging")).answering("one");
    let production = platform.app(&format!("{name}-live"));
    staging.verb(&["pipelines:create", name, "--stage", "staging"]).ok();
    production.verb(&["pipelines:add", name, "-s", "production"]).ok();
    staging.verb(&["config:set", "GREETING=from-staging"]).ok();
    production.verb(&["config:set", "GREETING=from-production"]).ok();
    staging.push(Door::Ssh).ok().says("Released v2");
    (staging, production)
}

#[test]
fn a_promotion_gives_production_the_digest_of_staging_with_its_own_config() {
    let Some(platform) = Platform::shared() else { return };
    let (staging, production) = pipeline(&platform, "chain");
    staging.verb(&["pipelines:promote"]).ok().says("Promoting chain-staging v2 to chain-live... done, v2");
    assert_eq!(production.answer_now(), "one");
    assert!(production.browse("/env").contains("from-production"));
    let (from, to) = (staging.release(2), production.release(2));
    assert_eq!((&from["digest"], &from["commit"]), (&to["digest"], &to["commit"]));
    assert_eq!(
        (&to["description"], &to["trigger"]),
        (&"Promote chain-staging v2".into(), &"promotion".into())
    );
    assert_eq!(production.builds().len(), 0, "it was built again");
    assert_eq!(production.remote_ref("refs/heads/main"), None);
    production
        .verb(&["pipelines:info"])
        .ok()
        .says("staging     chain-staging  v2")
        .says("production  chain-live     v2");

    // Who may deploy one of the two alone may not promote; nor may a viewer of both.
    let viewer = platform.person("vivian", "viewer");
    viewer.verb(&["pipelines:promote", "--app", "chain-staging"]).refused("you are a viewer");

    // The next one, without a failed request; then staging is destroyed, and production goes on and back.
    staging.answer("two");
    staging.push(Door::Ssh).ok();
    let traffic = production.traffic();
    staging.verb(&["pipelines:promote", "--to", "chain-live"]).ok().says("done, v3");
    assert_eq!(traffic.stop().failures, Vec::<String>::new());
    assert_eq!(production.answer_now(), "two");
    production.until_containers(1);
    staging.verb(&["apps:destroy", "--confirm", "chain-staging"]).ok();
    staging.is_gone();
    production.verb(&["rollback", "v2"]).ok();
    assert_eq!(production.answer_now(), "one");
    production.until_containers(1);
}

#[test]
fn on_a_cluster_prebuilt_images_and_promotions_run_by_the_digest_too() {
    let Some(cluster) = Cluster::namespace("promotion") else { return };
    let Some(platform) = cluster.platform().start() else { return };
    let (staging, production) = pipeline(&platform, "line");
    staging.verb(&["pipelines:promote"]).ok().says("done, v2");
    assert_eq!(cluster.browse("line-live", "/"), "one");
    assert!(cluster.browse("line-live", "/env").contains("from-production"));
    let digest = staging.release(2)["digest"].as_str().expect("a digest").to_owned();
    let image = cluster.image_of("line-live-web");
    assert!(image.ends_with(&digest) && image.contains("/line-live:line-staging-v2@"), "{image}");

    // An image of the platform's own registry, and back.
    let name = format!("{}/{}/line-live:by-hand", cluster.registry(), cluster.namespace);
    production.add_app("by hand");
    let digest = built_elsewhere(&production, &name);
    production.verb(&["container:release", &format!("web={name}")]).ok().says("done, v3");
    until("the image from elsewhere", LONG, || cluster.browse("line-live", "/") == "by hand");
    assert!(cluster.image_of("line-live-web").ends_with(&digest));
    production
        .verb(&["container:release", &format!("web={}", name.replace("by-hand", "nothing"))])
        .refused("there is no image");
    production.verb(&["rollback"]).ok();
    until("the promoted release", LONG, || cluster.browse("line-live", "/") == "one");
}
