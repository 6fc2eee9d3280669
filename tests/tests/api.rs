//! The API as its own OpenAPI document describes it.

use std::process::{Command, Stdio};

use slipway_tests::{Door, Platform, Setting, skip};

/// What stands in paths, so that the answers are those about things that are there.
const CONFIG: &str = r#"
[parameters]
"path.app" = "described"
"path.build" = "1"
"path.release" = "v1"
"path.type" = "web"
"path.team" = "default"
"path.host" = "github"
"#;

#[test]
fn the_api_keeps_what_its_document_promises() {
    let Some(platform) = Platform::start() else { return };
    let Some(schemathesis) = Setting::Schemathesis.get() else {
        skip("SLIPWAY_TEST_SCHEMATHESIS does not name schemathesis: `tests/schemathesis/fetch` installs it");
        return;
    };
    let app = platform.app("described").answering("hello");
    app.push(Door::Ssh).ok();
    app.verb(&["config:set", "GREETING=hello"]).ok();

    let config = platform.home().join("schemathesis.toml");
    std::fs::write(&config, CONFIG).expect("a file");
    let mut run = Command::new(schemathesis);
    run.arg("--config-file").arg(&config).arg("run").arg(format!("{}/openapi.json", platform.url()));
    run.args(["--header", &format!("Authorization: Bearer {}", platform.admin().token)]);
    let checks = [
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_schema_conformance",
    ];
    run.args(["--checks", &checks.join(","), "--phases", "examples,coverage,fuzzing"]);
    run.args([
        "--max-examples",
        "15",
        "--seed",
        "1",
        "--workers",
        "2",
        "--request-timeout",
        "30",
        "--no-color",
    ]);
    run.args(["--continue-on-failure", "--generation-database", "none", "--suppress-health-check", "all"]);
    run.args(["--warnings", "off"]);
    for (method, path) in [
        // Its success is no answer but a WebSocket.
        ("GET", "/apps/{app}/attach"),
        // The rest would be asked of an app and a team that are gone.
        ("DELETE", "/apps/{app}"),
        // It would be the token that it asks with.
        ("DELETE", "/oauth/authorizations/{id}"),
        ("PATCH", "/apps/{app}"),
        ("DELETE", "/teams/{team}/members/{user}"),
        ("PUT", "/teams/{team}/members"),
        ("DELETE", "/users/{user}"),
        ("PATCH", "/users/{user}"),
        // An address of somebody else's would be connected to.
        ("POST", "/apps/{app}/log-drains"),
        ("POST", "/apps/{app}/webhooks"),
        ("POST", "/apps/{app}/connection"),
        ("POST", "/apps/{app}/container:release"),
    ] {
        run.args(["--exclude-name", &format!("{method} {path}")]);
    }
    let ran = run.current_dir(platform.home()).stdin(Stdio::null()).output().expect("schemathesis");
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{said}\n{}", String::from_utf8_lossy(&ran.stderr));
    let answered = app.get("").get("name").cloned();
    assert_eq!(answered, Some("described".into()), "it was asked about an app that is there");
}
