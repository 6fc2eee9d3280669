//! Images without an engine, in the tests' registry.

use oci_client::client::{Config, ImageLayer};
use oci_client::secrets::RegistryAuth;
use serde_json::json;

use super::{Registry, Scheme};

/// The tests' registry; `None` where there is none.
pub(crate) fn registry() -> Option<Registry> {
    let address = crate::docker::testing::registry()?;
    // A second call finds it installed already.
    drop(rustls::crypto::ring::default_provider().install_default());
    Some(Registry::new(&address, &address, None, Scheme::Http))
}

/// Puts a small image there whose command is `serve` and whose port is 5000; its digest.
pub(crate) async fn push(registry: &Registry, (repository, tag): (&str, &str), architecture: &str) -> String {
    let config = json!({
        "architecture": architecture, "os": "linux",
        "config": { "Cmd": ["serve"], "ExposedPorts": { "5000/tcp": {} } },
        "rootfs": { "type": "layers", "diff_ids": [] },
    });
    // No two repositories' images are alike.
    let layer = ImageLayer::oci_v1(repository.as_bytes().to_vec(), None);
    let config = Config::oci_v1(config.to_string().into_bytes(), None);
    let image = registry.reference(repository, tag);
    registry.client.push(&image, &[layer], config, &RegistryAuth::Anonymous, None).await.expect("pushes");
    registry.digest_of(repository, tag).await.expect("answers").expect("is there")
}
