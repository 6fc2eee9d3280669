//! What a builder image says of itself, and what we make of it.

use std::collections::HashMap;

use serde::Deserialize;

use super::workshop::Workshop;
use super::{LifecycleError, LifecycleRequest, Trust, papers};
use crate::docker::Engine;
use crate::docker::images::ImageFacts;
use crate::transcript::Transcript;

/// Versions of the Platform API that we speak, the best first.
const PLATFORM_APIS: [&str; 4] = ["0.15", "0.14", "0.13", "0.12"];

const METADATA: &str = "io.buildpacks.builder.metadata";
const APIS: &str = "io.buildpacks.lifecycle.apis";

/// Where a builder without a run image in its label keeps it.
const RUN_TOML: &str = "/cnb/run.toml";

/// Whom the buildpacks run as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) uid: u64,
    pub(super) gid: u64,
}

/// A builder image that is in the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Builder {
    /// With its tag.
    pub(super) image: String,
    /// The image of the phases that talk to the registry.
    pub(super) connected_image: String,
    pub(super) owner: Owner,
    pub(super) platform_api: &'static str,
    /// What apps stand on.
    pub(super) run_image: String,
}

impl Engine {
    /// Gets the builder, and reads what it is.
    pub(super) async fn builder(
        &self,
        request: &LifecycleRequest,
        workshop: &Workshop,
        transcript: &Transcript,
    ) -> Result<Builder, LifecycleError> {
        let name = &request.builder;
        let (image, facts) = self.image_of(name, request, transcript).await?;
        let owner = owner(name, &facts)?;
        let mut apis = platform_apis(name, &facts)?;
        let connected_image = match (&request.connected_image, request.trust) {
            (Some(other), Trust::Untrusted) => {
                let (other, facts) = self.image_of(other, request, transcript).await?;
                let theirs = platform_apis(&other, &facts)?;
                apis.retain(|api| theirs.contains(api));
                other
            }
            _ => image.clone(),
        };
        let platform_api = best(name, &apis)?;
        let host = request.registry.address();
        let run_image = match run_image(&facts, host) {
            Some(run_image) => run_image,
            None => self.run_image_in(&image, name, workshop).await?,
        };
        if request.trust == Trust::Untrusted && lies_among(&run_image, host, &request.repository) {
            return Err(LifecycleError::ForeignRunImage { builder: name.clone(), run_image });
        }
        Ok(Builder { image, connected_image, owner, platform_api, run_image })
    }

    async fn run_image_in(
        &self,
        image: &str,
        name: &str,
        workshop: &Workshop,
    ) -> Result<String, LifecycleError> {
        let container = workshop.container("metadata", super::spec::never_started(image)).await?;
        let text = self.take(&container, RUN_TOML).await?.unwrap_or_default();
        papers::string_of(&String::from_utf8_lossy(&text), "image")
            .ok_or_else(|| LifecycleError::NotABuilder { builder: name.to_owned(), lack: "run image" })
    }
}

fn owner(builder: &str, facts: &ImageFacts) -> Result<Owner, LifecycleError> {
    let id = |variable: &'static str| {
        let found = facts.environment.iter().find_map(|line| line.strip_prefix(variable)?.strip_prefix('='));
        found
            .and_then(|id| id.parse::<u64>().ok())
            .ok_or_else(|| LifecycleError::NotABuilder { builder: builder.to_owned(), lack: variable })
    };
    let owner = Owner { uid: id("CNB_USER_ID")?, gid: id("CNB_GROUP_ID")? };
    match owner.uid {
        0 => Err(LifecycleError::Root { builder: builder.to_owned(), user: "0".to_owned() }),
        _ => Ok(owner),
    }
}

#[derive(Deserialize, Default)]
struct Apis {
    #[serde(default)]
    platform: Versions,
}

#[derive(Deserialize, Default)]
struct Versions {
    #[serde(default)]
    deprecated: Vec<String>,
    #[serde(default)]
    supported: Vec<String>,
}

#[derive(Deserialize, Default)]
struct Metadata {
    #[serde(default)]
    images: Vec<RunImage>,
    stack: Option<Stack>,
    lifecycle: Option<Lifecycle>,
}

#[derive(Deserialize)]
struct Lifecycle {
    #[serde(default)]
    apis: Apis,
}

#[derive(Deserialize)]
struct Stack {
    #[serde(rename = "runImage")]
    run_image: Option<RunImage>,
}

#[derive(Deserialize)]
struct RunImage {
    #[serde(default)]
    image: String,
    #[serde(default)]
    mirrors: Option<Vec<String>>,
}

fn label<T: for<'json> Deserialize<'json>>(labels: &HashMap<String, String>, name: &str) -> Option<T> {
    serde_json::from_str(labels.get(name)?).ok()
}

/// What the lifecycle in an image speaks.
fn platform_apis(builder: &str, facts: &ImageFacts) -> Result<Vec<String>, LifecycleError> {
    let in_metadata =
        || label::<Metadata>(&facts.labels, METADATA)?.lifecycle.map(|lifecycle| lifecycle.apis);
    let apis: Option<Apis> = label(&facts.labels, APIS).or_else(in_metadata);
    let apis = apis.ok_or_else(|| LifecycleError::NotABuilder {
        builder: builder.to_owned(),
        lack: "label io.buildpacks.lifecycle.apis",
    })?;
    Ok(apis.platform.supported.into_iter().chain(apis.platform.deprecated).collect())
}

fn best(builder: &str, offered: &[String]) -> Result<&'static str, LifecycleError> {
    let spoken = PLATFORM_APIS.into_iter().find(|api| offered.iter().any(|other| other == api));
    spoken.ok_or_else(|| LifecycleError::OtherApi {
        builder: builder.to_owned(),
        offered: if offered.is_empty() { "in no version".to_owned() } else { offered.join(", ") },
    })
}

/// A mirror in the registry that the app's image goes to comes first, as the specification wants.
fn run_image(facts: &ImageFacts, host: &str) -> Option<String> {
    let metadata: Metadata = label(&facts.labels, METADATA)?;
    let in_stack = metadata.stack.and_then(|stack| stack.run_image);
    let chosen = metadata.images.into_iter().next().or(in_stack).filter(|run| !run.image.is_empty())?;
    let mirrors = chosen.mirrors.unwrap_or_default();
    let near =
        std::iter::once(&chosen.image).chain(&mirrors).find(|image| repository_at(host, image).is_some());
    Some(near.unwrap_or(&chosen.image).clone())
}

/// The repository of an image in the registry at `host`, without tag and digest.
fn repository_at<'a>(host: &str, image: &'a str) -> Option<&'a str> {
    let repository = image.strip_prefix(host)?.strip_prefix('/')?;
    let repository = repository.split('@').next().unwrap_or_default();
    Some(repository.split(':').next().unwrap_or_default())
}

/// Whether an image lies beside the app's own: with the platform's login, any app's could be made the base of one.
fn lies_among(image: &str, host: &str, app: &str) -> bool {
    let folder = |repository: &str| repository.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
    repository_at(host, image).is_some_and(|repository| folder(repository) == folder(app))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(labels: &[(&str, &str)], environment: &[&str]) -> ImageFacts {
        ImageFacts {
            id: String::new(),
            exposed_ports: Vec::new(),
            entrypoint: Vec::new(),
            cmd: Vec::new(),
            environment: environment.iter().map(|&line| line.to_owned()).collect(),
            user: String::new(),
            healthcheck: None,
            size_bytes: 0,
            labels: labels.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect(),
        }
    }

    fn spoken(labels: &[(&str, &str)]) -> Result<&'static str, LifecycleError> {
        best("b", &platform_apis("b", &facts(labels, &[]))?)
    }

    #[test]
    fn the_newest_version_that_both_speak_is_taken() {
        let apis = |list: &str| format!(r#"{{"platform":{{"deprecated":["0.3"],"supported":[{list}]}}}}"#);
        assert_eq!(spoken(&[(APIS, &apis(r#""0.7","0.12","0.13""#))]).unwrap(), "0.13");
        assert_eq!(spoken(&[(APIS, &apis(r#""0.9","0.15","0.16""#))]).unwrap(), "0.15");
        let metadata = format!(r#"{{"lifecycle":{{"version":"0.17","apis":{}}}}}"#, apis(r#""0.12""#));
        assert_eq!(spoken(&[(METADATA, &metadata)]).unwrap(), "0.12");
        assert_eq!(
            spoken(&[(APIS, &apis(r#""0.7","0.11""#))]).unwrap_err().to_string(),
            "the lifecycle of the builder b speaks the Platform API 0.7, 0.11, 0.3, and Slipway speaks 0.12 to \
             0.15; name a newer builder"
        );
        let error = spoken(&[]).unwrap_err();
        assert!(matches!(error, LifecycleError::NotABuilder { .. }), "{error}");
    }

    #[test]
    fn the_user_comes_from_the_images_environment_and_is_never_root() {
        let of = |environment: &[&str]| owner("b", &facts(&[], environment));
        let found = of(&["PATH=/bin", "CNB_USER_ID=1001", "CNB_GROUP_ID=1002"]).unwrap();
        assert_eq!(found, Owner { uid: 1001, gid: 1002 });
        assert!(matches!(of(&["CNB_USER_ID=0", "CNB_GROUP_ID=0"]), Err(LifecycleError::Root { .. })));
        let error = of(&["CNB_USER_ID=1001"]).unwrap_err().to_string();
        assert!(error.contains("it has no CNB_GROUP_ID"), "{error}");
    }

    #[test]
    fn the_run_image_is_the_first_one_or_its_mirror_in_our_registry() {
        let of = |metadata: &str| run_image(&facts(&[(METADATA, metadata)], &[]), "r.example:5000");
        let stack = r#""stack":{"runImage":{"image":"heroku/heroku:24","mirrors":null}}"#;
        assert_eq!(of(&format!("{{{stack}}}")).as_deref(), Some("heroku/heroku:24"));
        assert_eq!(of(&format!(r#"{{"images":[{{"image":"a/run"}}],{stack}}}"#)).as_deref(), Some("a/run"));
        let mirrored = r#"{"images":[{"image":"a/run","mirrors":["q/run","r.example:5000/base/run:1"]}]}"#;
        assert_eq!(of(mirrored).as_deref(), Some("r.example:5000/base/run:1"));
        assert_eq!(of("{}"), None);
    }

    #[test]
    fn an_apps_image_is_no_run_image() {
        let among = |image: &str| lies_among(image, "r:5000", "slipway/blog");
        assert!(among("r:5000/slipway/other:v1") && among("r:5000/slipway/other@sha256:0"));
        assert!(!among("r:5000/stack/run:v1") && !among("slipway/other") && !among("r:5000/other"));
        assert!(lies_among("r:5000/other", "r:5000", "blog"));
    }
}
