//! Where an image lies.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One image in one registry, by its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ImageSource {
    /// The registry's host; `None` is the platform's own, which has one address for pushing and one for pulling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) registry: Option<String>,
    pub(crate) repository: String,
    /// For people; the digest is what runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tag: Option<String>,
    pub(crate) digest: String,
}

impl ImageSource {
    /// An image of the platform's own registry, as a build stores it: `repository:tag`.
    pub(crate) fn built(image: &str, digest: &str) -> Self {
        let (repository, tag) = match image.rsplit_once(':') {
            Some((repository, tag)) => (repository, Some(tag.to_owned())),
            None => (image, None),
        };
        Self { registry: None, repository: repository.to_owned(), tag, digest: digest.to_owned() }
    }

    /// `host/repository:tag@digest`; `own` is the host of the platform's own registry.
    pub(crate) fn at(&self, own: &str) -> String {
        let host = self.registry.as_deref().unwrap_or(own);
        let tag = self.tag.as_ref().map_or_else(String::new, |tag| format!(":{tag}"));
        format!("{host}/{}{tag}@{}", self.repository, self.digest)
    }
}

/// For people: `[host/]repository:tag`, or with the digest where there is no tag.
impl fmt::Display for ImageSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(host) = &self.registry {
            write!(f, "{host}/")?;
        }
        match &self.tag {
            Some(tag) => write!(f, "{}:{tag}", self.repository),
            None => write!(f, "{}@{}", self.repository, self.digest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_of_ours_is_pulled_from_our_registry_and_a_foreign_one_from_its_own() {
        let ours = ImageSource::built("slipway/blog:1a2b3c-12", "sha256:00");
        assert_eq!(ours.at("10.0.0.1:5000"), "10.0.0.1:5000/slipway/blog:1a2b3c-12@sha256:00");
        assert_eq!(ours.to_string(), "slipway/blog:1a2b3c-12");
        let foreign = ImageSource { registry: Some("ghcr.io".into()), tag: None, ..ours };
        assert_eq!(foreign.at("10.0.0.1:5000"), "ghcr.io/slipway/blog@sha256:00");
        assert_eq!(foreign.to_string(), "ghcr.io/slipway/blog@sha256:00");
    }
}
