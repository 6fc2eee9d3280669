//! Releases of images that no build of the app has made: prebuilt ones, and those of another app.

use std::collections::BTreeMap;

use futures::future::try_join_all;
use oci_client::Reference;
use serde_json::{Value, json};
use sqlx::PgConnection;
use tracing::warn;

use super::ActionError;
use crate::db::app_lock::{self, LockedApp};
use crate::db::apps::{self, App};
use crate::db::releases::{self, Code, NewRelease, Release};
use crate::db::{audit, jobs};
use crate::domain::access::{self, Action, Principal};
use crate::domain::blueprint::{Blueprint, Prebuilt};
use crate::domain::ids::ReleaseId;
use crate::domain::image::ImageSource;
use crate::domain::names::ProcessType;
use crate::pipeline::jobs::rollout_job;
use crate::pipeline::rollouts::Kind;
use crate::pipeline::workload;
use crate::platform::Platform;
use crate::registry::found::LookError;
use crate::registry::{Registry, RegistryError};

/// The image that each process type shall run, as people name images.
pub(crate) type Images = BTreeMap<ProcessType, String>;

/// Characters of a name that are shown back.
const LONGEST: usize = 250;

impl Platform {
    /// Makes a release in which these process types run these images, by the digests that the names have now. Types
    /// that are not named go on as they are.
    pub(crate) async fn release_images(
        &self,
        app: &App,
        principal: &Principal,
        images: &Images,
    ) -> Result<Release, ActionError> {
        check(app, images)?;
        let architecture = self.architecture().await;
        let looks = images.iter().map(async |(process, name)| {
            let prebuilt = self.prebuilt((app, principal), name, &architecture).await?;
            Ok::<_, ActionError>((process.clone(), prebuilt))
        });
        let named: BTreeMap<ProcessType, Prebuilt> = try_join_all(looks).await?.into_iter().collect();
        let mut tx = self.pool.begin().await?;
        let locked = app_lock::lock(&mut tx, app.id).await?.ok_or_else(|| super::gone(app))?;
        let before = match app.adoption {
            Some(_) => None,
            None => releases::current_of(&mut tx, app.id).await?.and_then(|current| current.code),
        };
        let code = code_of(before.as_ref(), &named)?;
        let new = NewRelease {
            description: &describe(images),
            trigger: "container",
            build_id: None,
            code: Some(&code),
            config: &locked.config,
            actor_id: Some(principal.user),
            actor_name: &principal.name,
            rollback_of: None,
        };
        let note = ("container:release", json!({ "images": images }));
        let (id, version) = record(&mut tx, (app, &locked), principal, &new, note).await?;
        tx.commit().await?;
        self.rollouts.announce(app.id, version, Kind::Code);
        self.queue.wake();
        self.release(id).await
    }

    /// What images have to be made for to run here, as `amd64`.
    pub(crate) async fn architecture(&self) -> String {
        let here = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        self.engine.architecture().await.unwrap_or_else(|| here.to_owned())
    }

    /// Resolves a name to a digest. An image of the platform's registry is brought into the app's own repository.
    async fn prebuilt(
        &self,
        (app, principal): (&App, &Principal),
        name: &str,
        architecture: &str,
    ) -> Result<Prebuilt, ActionError> {
        let reference: Reference = name.parse().map_err(|_| no_name(name))?;
        let own = self.registry.is_at(reference.registry());
        let registry = if own {
            self.refuse_images_of_others(app, principal, &reference).await?;
            self.registry.clone()
        } else {
            Registry::foreign(reference.registry())
        };
        let asked = reference.digest().or(reference.tag()).unwrap_or("latest");
        let found = registry.look_at(reference.repository(), asked, architecture).await;
        let found = found.map_err(|error| refusal(name, (&registry, own), architecture, error))?;
        let source = ImageSource {
            registry: (!own).then(|| reference.registry().to_owned()),
            repository: reference.repository().to_owned(),
            tag: reference.tag().map(str::to_owned),
            digest: found.digest,
        };
        let tag = format!("prebuilt-{}", short(&source.digest));
        let source = self.brought_to(app, source, &tag).await?;
        Ok(Prebuilt { source, exposed_ports: found.exposed_ports })
    }

    /// The platform's login opens all repositories of its registry, so whose image it is has to be asked here.
    async fn refuse_images_of_others(
        &self,
        app: &App,
        principal: &Principal,
        reference: &Reference,
    ) -> Result<(), ActionError> {
        let prefix = self.settings.registry.prefix.trim_matches('/');
        let within = match prefix {
            "" => Some(reference.repository()),
            prefix => reference.repository().strip_prefix(prefix).and_then(|rest| rest.strip_prefix('/')),
        };
        let Some(owner) = within.filter(|owner| *owner != app.name.as_str()) else { return Ok(()) };
        let mut conn = self.pool.acquire().await?;
        let role = match apps::named(&mut conn, owner).await? {
            Some(other) => apps::role_of(&mut conn, other.id, principal.user).await?,
            None => None,
        };
        access::authorise(principal, role, Action::Read).map_err(|_| {
            ActionError::NotFound(format!(
                "there is no image `{}` that you have access to: it would belong to an app `{owner}`, and `apps` lists yours",
                cut(&reference.whole())
            ))
        })
    }

    /// The image in the app's own repository, where nothing that happens to another app takes it away. A registry that
    /// does not mount across repositories leaves it where it is, which the target reaches as well.
    pub(super) async fn brought_to(
        &self,
        app: &App,
        image: ImageSource,
        tag: &str,
    ) -> Result<ImageSource, ActionError> {
        let repository = self.image_repository(&app.name);
        if image.registry.is_some() || image.repository == repository {
            return Ok(image);
        }
        match self.registry.copy((&image.repository, &image.digest), (&repository, tag)).await {
            Ok(()) => Ok(ImageSource { repository, tag: Some(tag.to_owned()), ..image }),
            Err(RegistryError::NotThere(_)) => Err(ActionError::Conflict(format!(
                "the registry does not have the image {image} any more, so it cannot be released: build it again"
            ))),
            Err(error @ (RegistryError::Unreachable { .. } | RegistryError::Unauthorized(_))) => {
                Err(ActionError::Unavailable(format!("{error}; nothing was changed")))
            }
            Err(error @ RegistryError::Refused { .. }) => {
                warn!(app = %app.name, "{image} is run from where it lies: {error}");
                Ok(image)
            }
        }
    }
}

/// Records a release of code that no build of the app has made, with its rollout. As after a rollback, builds accepted
/// so far may not be released over it.
pub(super) async fn record(
    conn: &mut PgConnection,
    (app, locked): (&App, &LockedApp),
    principal: &Principal,
    new: &NewRelease<'_>,
    (action, mut detail): (&str, Value),
) -> sqlx::Result<(ReleaseId, i64)> {
    let (id, version) = releases::insert(conn, locked, new).await?;
    locked.close_gate_for_all(conn).await?;
    jobs::enqueue(conn, rollout_job(app, id).as_new()).await?;
    detail["version"] = version.into();
    audit::note(conn, principal, Some((app.id, &app.name)), action, detail).await?;
    Ok((id, version))
}

fn check(app: &App, images: &Images) -> Result<(), ActionError> {
    let invalid = |text: &str| Err(ActionError::Invalid(text.to_owned()));
    if images.is_empty() {
        return invalid(
            "name at least one process type with its image, as in `web=registry.example.com/blog:1.2`",
        );
    }
    if images.keys().any(ProcessType::is_release_phase) {
        return invalid(
            "`release` is no process: it runs a command of the Procfile before a push goes live, and takes no image",
        );
    }
    if app.adoption.is_some() && images.len() > 1 {
        return invalid(
            "this app moves Deployments that somebody else owns, and all their containers get one image: name one process type",
        );
    }
    Ok(())
}

/// The code of a release in which these images take the places of what ran before.
fn code_of(before: Option<&Code>, named: &BTreeMap<ProcessType, Prebuilt>) -> Result<Code, ActionError> {
    let before = match before {
        Some(code) => {
            let blueprint = workload::blueprint_of(code).map_err(ActionError::Internal)?;
            let image = workload::image_of(code, &blueprint);
            Some((blueprint, image))
        }
        None => None,
    };
    as_code(None, &Blueprint::prebuilt(before, named))
}

/// A blueprint with images as a release stores it.
pub(super) fn as_code(commit: Option<String>, blueprint: &Blueprint) -> Result<Code, ActionError> {
    let main = blueprint.main_image().ok_or_else(|| {
        ActionError::Internal(anyhow::anyhow!("invariant: a blueprint of prebuilt images has one"))
    })?;
    Ok(Code {
        commit,
        image: main.to_string(),
        digest: main.digest.clone(),
        blueprint: serde_json::to_value(blueprint).map_err(|error| ActionError::Internal(error.into()))?,
    })
}

/// `Release web image registry.example.com/blog:1.2, worker image …`.
fn describe(images: &Images) -> String {
    let each = images.iter().map(|(process, name)| format!("{process} image {}", cut(name)));
    format!("Release {}", each.collect::<Vec<_>>().join(", "))
}

/// The start of a digest's figures.
fn short(digest: &str) -> &str {
    let figures = digest.split_once(':').map_or(digest, |(_, figures)| figures);
    figures.get(..12).unwrap_or(figures)
}

fn cut(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(LONGEST).collect()
}

fn no_name(name: &str) -> ActionError {
    ActionError::Invalid(format!(
        "`{}` is not the name of an image: write one such as registry.example.com/blog:1.2",
        cut(name)
    ))
}

/// Why an image is not released, for whoever asked for it.
fn refusal(
    name: &str,
    (registry, own): (&Registry, bool),
    architecture: &str,
    error: LookError,
) -> ActionError {
    let (name, host) = (cut(name), registry.address());
    match error {
        LookError::Registry(RegistryError::NotThere(_)) => ActionError::NotFound(format!(
            "there is no image `{name}`: the registry at {host} does not have it. Check the name and the tag; `docker push` puts it there"
        )),
        LookError::Registry(RegistryError::Unauthorized(_)) if own => ActionError::Unavailable(format!(
            "the registry at {host} did not let the platform read `{name}`: an admin checks SLIPWAY_REGISTRY_USERNAME and its password"
        )),
        LookError::Registry(RegistryError::Unauthorized(_)) => ActionError::Invalid(format!(
            "the registry at {host} does not hand out `{name}` without a login (or there is no such image), and the platform has a login for its own registry only: push the image to the platform's registry, or make it public"
        )),
        LookError::Registry(error @ RegistryError::Unreachable { .. }) => {
            let cause =
                std::error::Error::source(&error).map(|cause| format!(" ({cause})")).unwrap_or_default();
            ActionError::Unavailable(format!(
                "the registry at {host} does not answer{cause}, so `{name}` could not be looked up and nothing was changed: check the name of the host, or try again later"
            ))
        }
        LookError::Registry(error @ RegistryError::Refused { .. }) => {
            ActionError::Invalid(format!("`{name}` cannot be released: {error}"))
        }
        LookError::OtherPlatform(others) => ActionError::Invalid(format!(
            "`{name}` is for {others}, and apps run on linux/{architecture} here: build it for that too, as `docker buildx build --platform linux/{architecture}` does"
        )),
        LookError::NoCommand => ActionError::Invalid(format!(
            "`{name}` names no command, neither ENTRYPOINT nor CMD, so there is nothing to start: give it one where it is built"
        )),
        LookError::NoImage => ActionError::Invalid(format!(
            "what the registry at {host} has as `{name}` is no container image: check the name and the tag"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(pairs: &[(&str, &str)]) -> Images {
        let pair = |(process, name): &(&str, &str)| (process.parse().expect("a type"), (*name).to_owned());
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn the_history_names_the_images_as_they_were_asked_for() {
        assert_eq!(describe(&images(&[("web", "ghcr.io/a/blog:2")])), "Release web image ghcr.io/a/blog:2");
        assert_eq!(
            describe(&images(&[("worker", "b"), ("web", "a")])),
            "Release web image a, worker image b"
        );
    }

    #[test]
    fn a_refusal_says_what_to_do_next() {
        // A second call finds it installed already.
        drop(rustls::crypto::ring::default_provider().install_default());
        let registry = Registry::foreign("ghcr.io");
        let said = |error| refusal("ghcr.io/a/b:1", (&registry, false), "amd64", error).to_string();
        let other = said(LookError::OtherPlatform("linux/arm64".into()));
        assert!(
            other.starts_with("`ghcr.io/a/b:1` is for linux/arm64, and apps run on linux/amd64 here"),
            "{other}"
        );
        let login = said(LookError::Registry(RegistryError::Unauthorized("ghcr.io".into())));
        assert!(login.contains("without a login") && login.contains("make it public"), "{login}");
        let missing = said(LookError::Registry(RegistryError::NotThere("x".into())));
        assert!(missing.starts_with("there is no image `ghcr.io/a/b:1`"), "{missing}");
    }
}
