//! Images that lie in the engine: what they declare, and clearing up.

use std::collections::HashMap;
use std::time::Duration;

use bollard::errors::Error;
use bollard::query_parameters::{PruneImagesOptionsBuilder, TagImageOptionsBuilder};

use super::{Engine, EngineError};

/// The label on every image that Slipway builds. Only images that carry it are ever removed.
pub(crate) const LABEL: &str = "slipway.app";

/// The first API version that calls the builder's cache limit `reserved-space`.
const RESERVED_SPACE_SINCE: (usize, usize) = (1, 48);

/// How long clearing the builder's cache may take.
const PRUNE_TIMEOUT: Duration = Duration::from_secs(600);

/// What an image declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ImageFacts {
    pub(crate) id: String,
    /// TCP ports, ascending.
    pub(crate) exposed_ports: Vec<u16>,
    pub(crate) entrypoint: Vec<String>,
    pub(crate) cmd: Vec<String>,
    /// Lines of `NAME=value`.
    pub(crate) environment: Vec<String>,
    /// Empty for root.
    pub(crate) user: String,
    /// The check's command, as Docker keeps it (`["CMD-SHELL", "…"]`).
    pub(crate) healthcheck: Option<Vec<String>>,
    pub(crate) size_bytes: u64,
    pub(crate) labels: HashMap<String, String>,
}

impl Engine {
    pub(crate) async fn inspect(&self, image: &str) -> Result<ImageFacts, EngineError> {
        self.agree().await.map_err(|source| self.unreachable(source))?;
        let inspected = self.api().inspect_image(image).await.map_err(|error| self.about(image, error))?;
        let config = inspected.config.unwrap_or_default();
        let mut exposed_ports: Vec<u16> =
            config.exposed_ports.iter().flatten().filter_map(|port| tcp_port(port)).collect();
        exposed_ports.sort_unstable();
        Ok(ImageFacts {
            id: inspected.id.unwrap_or_default(),
            exposed_ports,
            entrypoint: config.entrypoint.unwrap_or_default(),
            cmd: config.cmd.unwrap_or_default(),
            environment: config.env.unwrap_or_default(),
            user: config.user.unwrap_or_default(),
            healthcheck: config.healthcheck.and_then(|check| check.test).filter(|test| *test != ["NONE"]),
            size_bytes: inspected.size.and_then(|size| size.try_into().ok()).unwrap_or_default(),
            labels: config.labels.unwrap_or_default(),
        })
    }

    /// Gives an image another name.
    pub(crate) async fn tag_image(
        &self,
        image: &str,
        repository: &str,
        tag: &str,
    ) -> Result<(), EngineError> {
        let options = TagImageOptionsBuilder::default().repo(repository).tag(tag).build();
        self.api().tag_image(image, Some(options)).await.map_err(|error| self.about(image, error))
    }

    /// Removes images of ours that no container uses and that are older than `hours`. Returns the bytes freed.
    pub(crate) async fn prune_images(&self, hours: u32) -> Result<u64, EngineError> {
        let filters: HashMap<&str, Vec<String>> = HashMap::from([
            ("label", vec![LABEL.to_owned()]),
            ("dangling", vec!["false".to_owned()]),
            ("until", vec![format!("{hours}h")]),
        ]);
        let options = PruneImagesOptionsBuilder::default().filters(&filters).build();
        let pruned = self.api().prune_images(Some(options)).await.map_err(|error| self.explain(error))?;
        Ok(pruned.space_reclaimed.and_then(|bytes| bytes.try_into().ok()).unwrap_or_default())
    }

    /// Shrinks the builder's cache to `keep_bytes`. Returns the bytes freed.
    pub(crate) async fn prune_build_cache(&self, keep_bytes: u64) -> Result<u64, EngineError> {
        #[derive(serde::Deserialize)]
        struct Pruned {
            #[serde(rename = "SpaceReclaimed", default)]
            space_reclaimed: u64,
        }
        let version = self.api().client_version();
        let limit = match (version.major_version, version.minor_version) >= RESERVED_SPACE_SINCE {
            true => "reserved-space",
            false => "keep-storage",
        };
        let path = format!("/build/prune?all=true&{limit}={keep_bytes}");
        let pruning = async { self.post(&path, &[]).await?.next::<Pruned>().await };
        let pruned = tokio::time::timeout(PRUNE_TIMEOUT, pruning)
            .await
            .map_err(|error| self.unreachable(error.into()))?
            .map_err(|error| self.explain_wire(error))?;
        Ok(pruned.map_or(0, |pruned| pruned.space_reclaimed))
    }

    fn about(&self, image: &str, error: Error) -> EngineError {
        match error {
            Error::DockerResponseServerError { status_code: 404, .. } => {
                EngineError::NoSuchImage(image.to_owned())
            }
            other => self.explain(other),
        }
    }
}

/// `8080/tcp` or `8080`.
pub(crate) fn tcp_port(exposed: &str) -> Option<u16> {
    exposed.strip_suffix("/tcp").unwrap_or(exposed).parse().ok()
}
