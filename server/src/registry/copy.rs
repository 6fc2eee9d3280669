//! The same image in another repository of the registry: nothing is moved, its parts are mounted there.
//!
//! Each repository then holds the image by itself, so that clearing one up takes nothing from the other.

use bytes::Bytes;
use oci_client::Reference;

use super::{MANIFESTS, Registry, RegistryError, media_type};

/// What a manifest names: the parts of an image, or the images of an index.
#[derive(Debug, Default, serde::Deserialize)]
struct Parts {
    #[serde(default)]
    config: Option<Part>,
    #[serde(default)]
    layers: Vec<Part>,
    #[serde(default)]
    manifests: Vec<Part>,
}

#[derive(Debug, serde::Deserialize)]
struct Part {
    digest: String,
    /// Where the part lies if it is in no registry.
    #[serde(default)]
    urls: Vec<String>,
}

impl Registry {
    /// Puts the image behind `digest` into the repository `to` too, as `tag`. The digest stays the same.
    ///
    /// # Errors
    /// `Refused` by a registry that does not mount across repositories.
    pub(crate) async fn copy(
        &self,
        (from, digest): (&str, &str),
        (to, tag): (&str, &str),
    ) -> Result<(), RegistryError> {
        if self.exists(to, digest).await? {
            return self.tag(to, digest, tag).await;
        }
        let manifest = self.manifest(&self.reference(from, digest)).await?;
        let parts = self.parts(&manifest, from)?;
        // An index names images, and those no further index.
        for image in &parts.manifests {
            let manifest = self.manifest(&self.reference(from, &image.digest)).await?;
            self.mount(from, to, &self.parts(&manifest, from)?).await?;
            self.put(&self.reference(to, &image.digest), manifest).await?;
        }
        self.mount(from, to, &parts).await?;
        self.put(&self.reference(to, tag), manifest).await
    }

    async fn mount(&self, from: &str, to: &str, parts: &Parts) -> Result<(), RegistryError> {
        for part in parts.config.iter().chain(&parts.layers).filter(|part| part.urls.is_empty()) {
            let (source, target) = (self.reference(from, &part.digest), self.reference(to, &part.digest));
            let mounted = self.client.mount_blob(&target, &source, &part.digest);
            self.answered(mounted, "a part", &source).await?;
        }
        Ok(())
    }

    pub(super) async fn manifest(&self, image: &Reference) -> Result<Bytes, RegistryError> {
        let credentials = self.credentials();
        let pulled = self.client.pull_manifest_raw(image, &credentials, &MANIFESTS);
        self.answered(pulled, "the manifest", image).await.map(|(manifest, _)| manifest)
    }

    pub(super) async fn put(&self, image: &Reference, manifest: Bytes) -> Result<(), RegistryError> {
        let media_type = media_type(&manifest);
        let media_type = media_type.parse().map_err(|_| RegistryError::Refused {
            host: self.push_address.clone(),
            action: "the manifest".to_owned(),
            words: format!("{media_type:?} is no media type"),
        })?;
        let pushed = self.client.push_manifest_raw(image, manifest, media_type);
        self.answered(pushed, "the manifest", image).await.map(drop)
    }

    fn parts(&self, manifest: &Bytes, repository: &str) -> Result<Parts, RegistryError> {
        serde_json::from_slice(manifest).map_err(|error| RegistryError::Refused {
            host: self.push_address.clone(),
            action: format!("a readable manifest of {repository}"),
            words: error.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    #[tokio::test]
    async fn a_copied_image_has_the_same_digest_in_a_repository_of_its_own() {
        let Some(registry) = testing::registry() else { return };
        let name = format!("slipway-test/{}", uuid::Uuid::new_v4().simple());
        let (from, to) = (format!("{name}/staging"), format!("{name}/production"));
        let digest = testing::push(&registry, (&from, "1"), "amd64").await;

        registry.copy((&from, &digest), (&to, "blog-staging-v1")).await.expect("copies");
        let copied = registry.digest_of(&to, "blog-staging-v1").await.expect("answers");
        assert_eq!(copied.as_deref(), Some(digest.as_str()));
        // Once more finds it there.
        registry.copy((&from, &digest), (&to, "blog-staging-v2")).await.expect("tags");
        let missing = format!("sha256:{}", "0".repeat(64));
        let error = registry.copy((&from, &missing), (&to, "x")).await.expect_err("is not there");
        assert!(matches!(error, RegistryError::NotThere(_)), "{error:?}");
    }
}
