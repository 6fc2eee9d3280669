//! What a registry has under a name: the digest, and what the image declares.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Registry, RegistryError};
use crate::docker::images::tcp_port;

/// An image that can run here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) digest: String,
    /// TCP ports, ascending.
    pub(crate) exposed_ports: Vec<u16>,
}

/// Why an image cannot be run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LookError {
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// It was made for other machines; the text lists which.
    #[error("it is for {0}")]
    OtherPlatform(String),
    #[error("it names no command, neither ENTRYPOINT nor CMD")]
    NoCommand,
    /// Something that a registry keeps beside images.
    #[error("it is no container image")]
    NoImage,
}

#[derive(Debug, serde::Deserialize)]
struct Manifest {
    manifests: Option<Vec<Entry>>,
}

#[derive(Debug, serde::Deserialize)]
struct Entry {
    digest: String,
    platform: Option<Platform>,
}

#[derive(Debug, serde::Deserialize)]
struct Platform {
    os: String,
    architecture: String,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Image {
    os: String,
    architecture: String,
    config: Option<Declared>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Declared {
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    exposed_ports: Option<BTreeMap<String, serde_json::Value>>,
}

impl Registry {
    /// The image behind a tag or digest, if it runs on Linux on `architecture` (`amd64`).
    pub(crate) async fn look_at(
        &self,
        repository: &str,
        reference: &str,
        architecture: &str,
    ) -> Result<Found, LookError> {
        let image = self.reference(repository, reference);
        let credentials = self.credentials();
        let pulled = self.client.pull_manifest_raw(&image, &credentials, &super::MANIFESTS);
        let (manifest, digest) = self.answered(pulled, "the manifest", &image).await?;
        let image = match chosen(&manifest, architecture)? {
            Some(one) => self.reference(repository, &one),
            None => self.reference(repository, &digest),
        };
        let pulled = self.client.pull_manifest_and_config(&image, &credentials);
        let (_, _, config) = self.answered(pulled, "the config", &image).await?;
        let exposed_ports = ports_of(&config, architecture)?;
        Ok(Found { digest, exposed_ports })
    }
}

/// The image for this architecture if the manifest is an index.
pub(super) fn chosen(manifest: &Bytes, architecture: &str) -> Result<Option<String>, LookError> {
    let manifest: Manifest = serde_json::from_slice(manifest).map_err(|_| LookError::NoImage)?;
    let Some(entries) = manifest.manifests else { return Ok(None) };
    let mut others = Vec::new();
    for Entry { digest, platform } in entries {
        match platform {
            Some(Platform { os, architecture: other }) if os == "linux" && other == architecture => {
                return Ok(Some(digest));
            }
            // Attestations are listed as of an unknown platform.
            Some(Platform { os, .. }) if os == "unknown" => {}
            Some(Platform { os, architecture }) => others.push(format!("{os}/{architecture}")),
            None => {}
        }
    }
    others.dedup();
    Err(if others.is_empty() { LookError::NoImage } else { LookError::OtherPlatform(others.join(", ")) })
}

fn ports_of(config: &str, architecture: &str) -> Result<Vec<u16>, LookError> {
    let image: Image = serde_json::from_str(config).map_err(|_| LookError::NoImage)?;
    if image.os.is_empty() || image.architecture.is_empty() {
        return Err(LookError::NoImage);
    }
    if image.os != "linux" || image.architecture != architecture {
        return Err(LookError::OtherPlatform(format!("{}/{}", image.os, image.architecture)));
    }
    let declared = image.config.unwrap_or_default();
    if declared.entrypoint.iter().chain(&declared.cmd).all(Vec::is_empty) {
        return Err(LookError::NoCommand);
    }
    let exposed = declared.exposed_ports.unwrap_or_default();
    let mut ports: Vec<u16> = exposed.keys().filter_map(|port| tcp_port(port)).collect();
    ports.sort_unstable();
    Ok(ports)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn of_an_index_the_image_for_this_machine_is_taken_and_others_are_named() {
        let entry = |os: &str, architecture: &str| json!({ "digest": format!("sha256:{os}-{architecture}"), "platform": { "os": os, "architecture": architecture } });
        let index = |entries: Vec<serde_json::Value>| {
            Bytes::from(json!({ "schemaVersion": 2, "manifests": entries }).to_string())
        };
        let both = index(vec![entry("linux", "arm64"), entry("linux", "amd64"), entry("unknown", "unknown")]);
        assert_eq!(chosen(&both, "amd64").expect("is there").as_deref(), Some("sha256:linux-amd64"));
        let error = chosen(&both, "riscv64").expect_err("is not there");
        assert_eq!(error.to_string(), "it is for linux/arm64, linux/amd64");
        let single = Bytes::from_static(br#"{"config":{}}"#);
        assert_eq!(chosen(&single, "amd64").expect("is one"), None);
    }

    #[test]
    fn what_an_image_declares_is_read_and_what_cannot_run_is_refused() {
        let image = |config: serde_json::Value| {
            json!({ "os": "linux", "architecture": "amd64", "config": config }).to_string()
        };
        let web = image(json!({ "Cmd": ["serve"], "ExposedPorts": { "8080/tcp": {}, "53/udp": {} } }));
        assert_eq!(ports_of(&web, "amd64").expect("runs"), [8080]);
        assert!(matches!(ports_of(&web, "arm64"), Err(LookError::OtherPlatform(_))));
        assert!(matches!(ports_of(&image(json!({ "Cmd": null })), "amd64"), Err(LookError::NoCommand)));
        assert!(matches!(ports_of("{}", "amd64"), Err(LookError::NoImage)));
    }
}
