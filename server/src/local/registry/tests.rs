//! With the system's real `docker-registry`, and with it in a container.

use std::process::Command as Sync;

use super::super::service::tests::eventually;
use super::super::state::Layout;
use super::*;

fn data(folder: &tempfile::TempDir) -> DataDir {
    let mut data = DataDir::open(Layout::new(folder.path().join("data"))).unwrap();
    // Tests run side by side: each keeps a port that the kernel gives out rarely twice.
    let free = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    data.port(NAME, free..=free).unwrap();
    data
}

#[tokio::test]
async fn it_keeps_its_port_and_its_images_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut data = data(&folder);
    let first = PrivateRegistry::start(&mut data, "unix:///nowhere").await.unwrap();
    let address = first.address();
    assert!(answers(first.port, data.platform()).await);
    first.stop().await;
    let port = data.port("registry", PORTS).unwrap();
    assert!(is_free(port), "it went on after its stop");
    let second = PrivateRegistry::start(&mut data, "unix:///nowhere").await.unwrap();
    assert_eq!(second.address(), address);
    second.stop().await;
}

#[tokio::test]
async fn what_a_killed_server_left_is_ended_and_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let mut data = data(&folder);
    let port = data.port("registry", PORTS).unwrap();
    let orphan = binary("docker-registry".into(), &data, port).unwrap();
    let mut orphan = std::process::Command::new(&orphan.program).args(&orphan.args).spawn().unwrap();
    fs::write(data.layout().registry().join("pid"), orphan.id().to_string()).unwrap();
    eventually(async || answers(port, data.platform()).await).await;
    let reaper = tokio::task::spawn_blocking(move || orphan.wait().unwrap());
    let registry = PrivateRegistry::start(&mut data, "unix:///nowhere").await.unwrap();
    let ended = tokio::time::timeout(READY_DEADLINE, reaper).await.expect("the orphan goes on");
    assert!(!ended.unwrap().success());
    registry.stop().await;
}

#[tokio::test]
async fn a_stranger_with_the_noted_pid_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut data = data(&folder);
    let mut stranger = std::process::Command::new("sleep").arg("60").spawn().unwrap();
    make_folder(&data.layout().registry()).unwrap();
    fs::write(data.layout().registry().join("pid"), stranger.id().to_string()).unwrap();
    let registry = PrivateRegistry::start(&mut data, "unix:///nowhere").await.unwrap();
    assert!(stranger.try_wait().unwrap().is_none(), "the stranger was ended");
    registry.stop().await;
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[tokio::test]
async fn platforms_that_start_at_the_same_moment_get_ports_of_their_own() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let open = |folder: &tempfile::TempDir| DataDir::open(Layout::new(folder.path().join("data"))).unwrap();
    let (mut one, mut other) = (open(&one), open(&other));
    let (first, second) = tokio::join!(
        PrivateRegistry::start(&mut one, "unix:///nowhere"),
        PrivateRegistry::start(&mut other, "unix:///nowhere"),
    );
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_ne!(first.address(), second.address());
    assert!(answers(first.port, one.platform()).await && answers(second.port, other.platform()).await);
    first.stop().await;
    second.stop().await;
}

#[tokio::test]
async fn a_stranger_on_the_port_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut data = data(&folder);
    let port = data.port("registry", PORTS).unwrap();
    let _stranger = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    let error = PrivateRegistry::start(&mut data, "unix:///nowhere").await.unwrap_err().to_string();
    assert!(error.contains(&format!("port {port} ")) && error.contains("SLIPWAY_REGISTRY"), "{error}");
}

#[tokio::test]
async fn it_is_started_again_when_it_dies() {
    let folder = tempfile::tempdir().unwrap();
    let mut data = data(&folder);
    let registry = PrivateRegistry::start(&mut data, "unix:///nowhere").await.unwrap();
    let pid = fs::read_to_string(data.layout().registry().join("pid")).unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid.parse().unwrap()), Signal::SIGKILL).unwrap();
    eventually(async || {
        fs::read_to_string(data.layout().registry().join("pid")).unwrap() != pid
            && answers(registry.port, data.platform()).await
    })
    .await;
    registry.stop().await;
}

/// Where the tests' engine is.
fn engine() -> String {
    let host = std::env::var_os("DOCKER_HOST").map(|host| host.into_string().unwrap());
    host.unwrap_or_else(|| "unix:///var/run/docker.sock".to_owned())
}

fn docker(args: &[&str]) -> String {
    let output = Sync::new("docker").arg("--host").arg(engine()).args(args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// An image that behaves as `registry:2` does, made of the system's binary and its libraries: nothing is pulled.
fn import_registry(folder: &Path) -> String {
    let config = folder.join("registry.yml");
    let text = json!({
        "version": 0.1,
        "storage": { "filesystem": { "rootdirectory": "/var/lib/registry" } },
        "http": { "addr": ":5000" },
    });
    fs::write(&config, text.to_string()).unwrap();
    let binary =
        String::from_utf8(Sync::new("which").arg("docker-registry").output().unwrap().stdout).unwrap();
    let libraries = Sync::new("ldd").arg(binary.trim()).output().unwrap().stdout;
    let libraries = String::from_utf8(libraries).unwrap();
    let libraries = libraries.split_whitespace().filter(|word| word.starts_with('/'));
    let archive = folder.join("image.tar");
    let tar = Sync::new("tar")
        .args([
            "--create",
            "--dereference",
            "--absolute-names",
            "--transform=s,.*/registry.yml,/registry.yml,",
        ])
        .arg("--file")
        .arg(&archive)
        .args([binary.trim()])
        .args(libraries)
        .arg(&config)
        .status()
        .unwrap();
    assert!(tar.success());
    let name = format!("slipway-test-registry:{}", hex::encode(rand::random::<[u8; 4]>()));
    let command = format!("CMD [\"{}\",\"serve\",\"/registry.yml\"]", binary.trim());
    docker(&["import", "--change", &command, &archive.display().to_string(), &name]);
    name
}

/// Removes what a test made in the engine, however the test ends.
struct Traces {
    image: String,
    container: String,
}

impl Drop for Traces {
    fn drop(&mut self) {
        for args in [["rm", "--force", self.container.as_str()], ["rmi", "--force", self.image.as_str()]] {
            let _ = Sync::new("docker").arg("--host").arg(engine()).args(args).output();
        }
    }
}

#[tokio::test]
async fn without_a_binary_the_image_serves_and_its_orphan_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let mut data = data(&folder);
    let port = data.port("registry", PORTS).unwrap();
    let image = import_registry(folder.path());
    let host = engine();
    let container_name = format!("slipway-registry-{}", data.platform().as_str());
    let _traces = Traces { image: image.clone(), container: container_name };
    let service = || container(&data, port, Engine { host: &host, image: &image }).unwrap();
    let label = format!("label=slipway.platform={}", data.platform().as_str());

    // A killed server leaves its container running.
    let orphan = service();
    let mut client = Sync::new(&orphan.program).args(&orphan.args).spawn().unwrap();
    eventually(async || answers(port, data.platform()).await).await;
    client.kill().unwrap();
    client.wait().unwrap();
    let left = docker(&["ps", "--quiet", "--no-trunc", "--filter", &label]);
    assert!(!left.is_empty());

    let running = service().start(async || answers(port, data.platform()).await).await.unwrap();
    let now = docker(&["ps", "--quiet", "--no-trunc", "--filter", &label]);
    assert!(!now.is_empty() && now != left, "{now} after {left}");
    running.stop().await;
    assert_eq!(docker(&["ps", "--all", "--quiet", "--filter", &label]), "");
}
