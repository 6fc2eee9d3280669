//! An image that only the registry has.

use std::process::Stdio;

use bollard::query_parameters::{PushImageOptionsBuilder, RemoveImageOptions, TagImageOptionsBuilder};
use futures::TryStreamExt;
use tokio::net::TcpStream;
use tokio::process::{Child, Command as Program};

use super::*;

/// A registry of its own; gone with the value.
struct Registry {
    address: String,
    _directory: tempfile::TempDir,
    _server: Child,
}

#[expect(clippy::disallowed_methods, reason = "tests have no settings")]
async fn registry() -> Option<Registry> {
    let directory = tempfile::tempdir().expect("a directory");
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("listens").local_addr().expect("an address");
    let settings = format!(
        "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: \"{free}\"}}\n",
        directory.path().join("data").display()
    );
    let file = directory.path().join("registry.yml");
    std::fs::write(&file, settings).expect("settings");
    let mut program = Program::new("docker-registry");
    let program = program.arg("serve").arg(&file).process_group(0).kill_on_drop(true);
    let Ok(server) = program.stdout(Stdio::null()).stderr(Stdio::null()).spawn() else {
        assert!(std::env::var("SLIPWAY_REQUIRE_ALL").is_err(), "docker-registry is not installed");
        println!("skipped: docker-registry is not installed");
        return None;
    };
    let up = async { while TcpStream::connect(free).await.is_err() {} };
    tokio::time::timeout(PATIENCE, up).await.expect("the registry is up");
    Some(Registry { address: free.to_string(), _directory: directory, _server: server })
}

/// Pushes the base image as `repository` and takes it away from the engine; gives the reference by digest.
async fn pushed(docker: &Docker, repository: &str) -> String {
    let tag = TagImageOptionsBuilder::default().repo(repository).tag("v1").build();
    docker.tag_image(IMAGE, Some(tag)).await.expect("tags");
    let push = PushImageOptionsBuilder::default().tag("v1").build();
    docker.push_image(repository, Some(push), None).try_collect::<Vec<_>>().await.expect("pushes");
    let tagged = format!("{repository}:v1");
    let digests = docker.inspect_image(&tagged).await.expect("described").repo_digests.unwrap_or_default();
    let by_digest = digests.into_iter().find(|digest| digest.starts_with(repository)).expect("a digest");
    for name in [&tagged, &by_digest] {
        drop(docker.remove_image(name, None::<RemoveImageOptions>, None).await);
    }
    assert!(docker.inspect_image(&by_digest).await.is_err(), "the engine still has the image");
    let digest = by_digest.split_once('@').expect("a digest").1;
    format!("{tagged}@{digest}")
}

#[tokio::test]
async fn an_image_that_the_engine_lacks_is_pulled_by_digest() {
    let (Some(stage), Some(registry)) = (stage().await, registry().await) else { return };
    let repository = format!("{}/blog", registry.address);
    let mut next = workload(1, vec![web("pulled")]);
    next.image = pushed(&stage.docker, &repository).await;
    stage.roll_out(&next).await.expect("runs");
    assert_eq!(stage.page().await, "pulled");
    // The same digest under another tag is the same image.
    next.version = 2;
    next.image = next.image.replace(":v1@", ":other@");
    let before = stage.ids().await;
    stage.roll_out(&next).await.expect("runs");
    assert_eq!(stage.ids().await, before);
    let (_, digest) = next.image.split_once('@').expect("a digest");
    let force = bollard::query_parameters::RemoveImageOptionsBuilder::default().force(true).build();
    drop(stage.docker.remove_image(&format!("{repository}@{digest}"), Some(force), None).await);
}
