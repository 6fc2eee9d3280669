//! What buildpacks of a builder that nobody vouches for can find and do: neither the registry's login nor another app's
//! image.

use std::process::Stdio;

use super::bench::builder;
use super::*;
use crate::registry::Scheme;
use crate::target::RegistryLogin;

const PASSWORD: &str = "hunter2-hunter2";
/// That password by bcrypt.
const HASHED: &str = "$2b$04$bVJqSV/SIjR6Tgjd0jNt4OGZMQ4t5Yhu4R3YsnW2Nm/Q1qjl7ZZU6";

/// A registry that wants a login; it ends with its value.
struct Locked {
    registry: Registry,
    _process: tokio::process::Child,
    _folder: tempfile::TempDir,
}

impl Locked {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        std::fs::write(path("users"), format!("slipway:{HASHED}\n")).unwrap();
        let settings = serde_json::json!({
            "version": "0.1",
            "log": { "level": "warn", "accesslog": { "disabled": true } },
            "storage": { "filesystem": { "rootdirectory": path("data") } },
            "http": { "addr": format!("127.0.0.1:{port}") },
            "auth": { "htpasswd": { "realm": "tests", "path": path("users") } },
        });
        // JSON is YAML.
        std::fs::write(path("registry.yml"), settings.to_string()).unwrap();
        let mut command = tokio::process::Command::new("docker-registry");
        command.arg("serve").arg(path("registry.yml")).kill_on_drop(true);
        let process =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let address = format!("127.0.0.1:{port}");
        let login = RegistryLogin {
            host: address.clone(),
            username: "slipway".to_owned(),
            password: PASSWORD.to_owned().into(),
        };
        let registry = Registry::new(&address, &address, Some(login), Scheme::Http);
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        let waiting = async {
            while registry.ping().await.is_err() {
                ticks.tick().await;
            }
        };
        timeout(PATIENCE, waiting).await.expect("the registry answers");
        Self { registry, _process: process, _folder: folder }
    }
}

/// Looks for the password wherever a process of the builder's user can look, and says `nothing found` in the end.
const SEARCH: &str = r#"
for file in /proc/[0-9]*/environ /proc/[0-9]*/cmdline; do
    if tr '\0' '\n' <"$file" 2>/dev/null | grep -q -e DOCKER_CONFIG -e REGISTRY_AUTH -e hunter2; then echo "FOUND in $file"; fi
done
grep -rlI hunter2 / --exclude-dir=proc --exclude-dir=sys 2>/dev/null | grep -v -e detect.sh -e build.sh | sed 's/^/FOUND in /'
find / -xdev -name config.json -path '/slipway/*' 2>/dev/null | sed 's/^/FOUND /'
ls -d /cache 2>/dev/null | sed 's/^/FOUND /'
echo nothing else found
"#;

/// Writes what the exporter might go by.
const TAMPERING: &str = r#"
for folder in /layers /slipway; do
    printf '[run-image]\nreference = "%s"\nimage = "%s"\n[image]\nreference = "%s"\n' "$EVIL" "$EVIL" "$EVIL" >$folder/analyzed.toml
    printf 'group = []\n' >$folder/group.toml
    printf '[image]\ndigest = "sha256:evil"\n' >$folder/report.toml
    printf '[source]\ntype = "evil"\n' >$folder/project-metadata.toml
done || true
ln -s /proc/self/environ /layers/slipway_script/stolen.toml 2>/dev/null || true
rm -f /layers/slipway_script/stolen.toml
echo tampered
"#;

#[tokio::test]
async fn buildpacks_that_nobody_vouches_for_find_no_login_and_bend_no_export() {
    let Some(open) = Bench::new().await else { return };
    let locked = Locked::start().await;
    let builder = builder(&open.engine, &locked.registry, "").await;
    let bench = Bench::on(open.engine.clone(), locked.registry.clone(), builder.clone());

    // Another app's image, which the login could read.
    let others = bench.request(Trust::Trusted, &[("app.sh", File("echo private"))]);
    let others_digest = bench.build(&others).await.0.unwrap().digest;
    let evil = format!("{}@{others_digest}", locked.registry.push_repository(&others.repository));

    let in_build = format!("cat /workspace/found\n{SEARCH}{TAMPERING}");
    // What is said while buildpacks that fit look for their files is not shown.
    let in_detect = format!("({SEARCH}{TAMPERING}) >/workspace/found");
    let app = [("app.sh", File("echo mine")), ("detect.sh", File(&in_detect)), ("build.sh", File(&in_build))];
    let mut request = bench.request(Trust::Untrusted, &app);
    request.environment.insert("EVIL".parse().unwrap(), evil.into());
    let (built, text) = bench.build(&request).await;
    let built = built.unwrap();
    assert_eq!(
        (text.matches("nothing else found").count(), text.matches("tampered").count()),
        (2, 2),
        "{text}"
    );
    assert!(!text.contains("FOUND"), "{text}");
    assert!(!text.contains(PASSWORD), "{text}");

    let in_registry = locked.registry.digest_of(&request.repository, &request.tag).await.unwrap();
    assert_eq!(in_registry, Some(built.digest.clone()));
    let config = locked.registry.config_of(&request.repository, &built.digest).await.unwrap();
    let labels = config.labels.unwrap();
    let metadata = &labels["io.buildpacks.lifecycle.metadata"];
    assert!(metadata.contains("stack/run") && !metadata.contains(&others.repository), "{metadata}");
    assert_eq!(labels["io.buildpacks.project.metadata"], "{}");
    assert_eq!(built.processes.len(), 2);
    bench.clean_up().await;
    testing::remove_image(&bench.engine, &builder).await;
}

#[tokio::test]
async fn a_lifecycle_of_the_admins_choice_takes_the_login_in_place_of_the_builders_own() {
    let Some(open) = Bench::new().await else { return };
    let locked = Locked::start().await;
    // Were one of these run, the build would fail.
    let thieves = "USER 0\nRUN cd /cnb/lifecycle && rm analyzer restorer exporter && ln -s /bin/false analyzer && \
                   ln -s /bin/false restorer && ln -s /bin/false exporter\n";
    let builder = builder(&open.engine, &locked.registry, thieves).await;
    let bench = Bench::on(open.engine.clone(), locked.registry.clone(), builder.clone());
    let app = [("app.sh", File("echo mine"))];
    let (built, _) = bench.build(&bench.request(Trust::Untrusted, &app)).await;
    let error = built.unwrap_err();
    assert!(matches!(error, LifecycleError::Registry { program: "analyzer", code: 1, .. }), "{error:?}");

    let mut request = bench.request(Trust::Untrusted, &app);
    request.connected_image = Some("slipway/test-builder".to_owned());
    assert_eq!(bench.build(&request).await.0.unwrap().processes.len(), 2);
    bench.clean_up().await;
    testing::remove_image(&bench.engine, &builder).await;
}
