//! Checks that an app asks for, and requests while its processes come and go.

use slipway_tests::{App, Cluster, Door, LONG, Platform, until};

const CHECKS: &str = r#"{ "name": "blog", "healthchecks": { "web": [
    { "type": "startup", "name": "up", "path": "/healthz", "attempts": 3, "wait": 1, "content": "good" },
    { "type": "liveness", "name": "alive", "path": "/healthz", "attempts": 2, "wait": 1 }
] } }"#;

fn checked(app: App) -> App {
    app.write("app.json", CHECKS);
    app.commit("checks");
    app
}

#[test]
fn checks_of_app_json_decide_what_goes_live_and_what_is_started_again() {
    let Some(platform) = Platform::shared() else { return };
    let app = checked(platform.app("checked").answering("good"));
    app.push(Door::Ssh)
        .ok()
        .says("`content` of the check \"up\" of web is not used here")
        .says("Released v1");
    app.write("behaviour", "sick");
    app.answer("bad");
    app.push(Door::Ssh)
        .refused("v2 is not live")
        .says("its startup check (GET /healthz) failed 3 times: it answered 500");
    assert_eq!(app.answer_now(), "good");
    // It falls ill later, and is started again.
    assert_eq!(app.browse("/sicken"), "good");
    until("the illness to be seen", LONG, || app.browse("/healthz").starts_with("500"));
    until("a fresh process", LONG, || app.browse("/healthz") == "good");
    assert_eq!((app.current(), app.answer_now()), (1, "good".to_owned()));
    app.until_containers(1);

    app.write("app.json", r#"{ "healthchecks": { "web": [{ "path": "/" }] } }"#);
    app.commit("a check of no type");
    app.push(Door::Ssh).refused("check 1 of web needs a `type`: startup, readiness or liveness");
}

#[test]
fn on_a_cluster_the_checks_are_probes_and_no_request_fails_while_processes_come_and_go() {
    let Some(cluster) = Cluster::namespace("health") else { return };
    let Some(platform) = cluster.platform().start() else { return };
    let app = checked(platform.app("checked").answering("good"));
    app.push(Door::Ssh).ok().says("Released v1");
    let probe = |path: &str| {
        let field = format!("jsonpath={{.spec.template.spec.containers[0].{path}}}");
        cluster.kubectl(&["get", "deployment", "checked-web", "-o", &field])
    };
    assert_eq!(probe("startupProbe.httpGet.path"), "/healthz");
    assert_eq!(probe("livenessProbe.failureThreshold"), "2");
    assert_eq!(probe("lifecycle.preStop.sleep.seconds"), "5");

    let traffic = cluster.traffic("checked");
    let scale = |to: &str| {
        cluster.kubectl(&["scale", "deployment/checked-web", &format!("--replicas={to}")]);
        cluster.kubectl(&["rollout", "status", "--timeout=60s", "deployment/checked-web"]);
    };
    scale("3");
    scale("1");
    app.answer("better");
    app.push(Door::Http).ok().says("Released v2");
    traffic.until_answers("better", 20);
    app.verb(&["rollback"]).ok();
    until("the old answer", LONG, || cluster.browse("checked", "/") == "good");
    until("the pods to be gone", LONG, || cluster.pods().len() == 1);
    let counts = traffic.stop();
    assert_eq!(counts.failures, Vec::<String>::new(), "{:?}", counts.answers);

    app.write("behaviour", "sick");
    app.answer("bad");
    app.push(Door::Ssh).refused("v4 is not live").says("Startup probe failed").says("500");
    assert_eq!(cluster.browse("checked", "/"), "good");
}
