//! How large an image is.

use bytes::Bytes;

use super::found::{LookError, chosen};
use super::{Registry, RegistryError};

#[derive(Debug, serde::Deserialize)]
struct Manifest {
    config: Part,
    layers: Vec<Part>,
}

#[derive(Debug, serde::Deserialize)]
struct Part {
    size: u64,
}

impl Registry {
    /// Bytes of the image behind `digest` as the registry holds it, its layers packed; of an index those of its image
    /// for `architecture` (`amd64`).
    pub(crate) async fn size_of(
        &self,
        repository: &str,
        digest: &str,
        architecture: &str,
    ) -> Result<u64, LookError> {
        let mut manifest = self.manifest(&self.reference(repository, digest)).await?;
        if let Some(one) = chosen(&manifest, architecture)? {
            manifest = self.manifest(&self.reference(repository, &one)).await?;
        }
        sum(&manifest)
    }
}

fn sum(manifest: &Bytes) -> Result<u64, LookError> {
    let Manifest { config, layers } = serde_json::from_slice(manifest).map_err(|_| LookError::NoImage)?;
    // What a registry says of sizes is not ours to believe: it must not wrap around.
    Ok(layers.iter().fold(config.size, |sum, part| sum.saturating_add(part.size)))
}

impl LookError {
    /// Whether the registry answered that it has no such image any more.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self, Self::Registry(RegistryError::NotThere(_)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_its_config_and_its_layers() {
        let of = |text: &str| sum(&Bytes::from(text.to_owned()));
        let whole = r#"{"config": {"size": 10}, "layers": [{"size": 200}, {"size": 3000}]}"#;
        assert_eq!(of(whole).ok(), Some(3210));
        let wild = r#"{"config": {"size": 10}, "layers": [{"size": 18446744073709551615}]}"#;
        assert_eq!(of(wild).ok(), Some(u64::MAX));
        assert!(matches!(of("{}"), Err(LookError::NoImage)));
    }
}
