//! The image: built by the engine, or found to have been built before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use super::detect::{Detected, Way};
use super::reuse::{self, Ingredients};
use super::source::{Source, SourceError};
use super::{Again, Line, Stop, builder, workload};
use crate::actions::builds::Trigger;
use crate::db::builds;
use crate::docker::build::{BuildError, BuildRequest, Cache, Recipe};
use crate::docker::images;
use crate::domain::blueprint::Blueprint;
use crate::domain::names::ConfigKey;

/// An image on its way to the registry.
#[derive(Debug)]
pub(crate) enum Image {
    /// It lies in the engine.
    Built { id: String, blueprint: Value, reuse_key: Option<String> },
    /// It lies in the registry: this build put it there before a crash, or an earlier one made it of just the same.
    InRegistry { digest: String, blueprint: Value, reuse_key: Option<String> },
}

pub(crate) async fn image(line: &Line, source: &Source, detected: &Detected) -> Result<Image, Stop> {
    if let (Some(digest), Some(blueprint)) = (&line.build.digest, &line.build.blueprint) {
        return Ok(Image::InRegistry {
            digest: digest.clone(),
            blueprint: blueprint.clone(),
            reuse_key: None,
        });
    }
    let (recipe, dockerfile) = match &detected.way {
        Way::Dockerfile { path } => (Recipe::InTree(path.clone()), read_dockerfile(source, path)?),
        Way::Recipe { dockerfile, .. } => (Recipe::Written(dockerfile.as_str().into()), dockerfile.clone()),
        Way::Builder { image } => return builder::image(line, source, detected, image).await,
    };
    let extra_ca = line.platform.extra_ca().await.map_err(Stop::ours)?;
    let ingredients = Ingredients {
        tree: &source.snapshot.tree,
        recipe: &recipe,
        dockerfile: &dockerfile,
        config: &line.app.config,
        extra_ca: extra_ca.as_deref(),
    };
    let reuse_key = reuse::key(&line.platform.engine, &ingredients).await;
    if let Some(found) = made_before(line, reuse_key.as_deref()).await? {
        return Ok(found);
    }
    let request = BuildRequest {
        snapshot: Arc::clone(&source.snapshot),
        recipe,
        secrets: secrets(line, &dockerfile).await?,
        build_args: reuse::config_version(&dockerfile, line.app.id, &line.app.config)
            .map(|version| (reuse::CONFIG_VERSION.to_owned(), version))
            .into_iter()
            .collect(),
        labels: BTreeMap::from([
            (images::LABEL.to_owned(), line.app.name.to_string()),
            ("org.opencontainers.image.revision".to_owned(), line.build.commit.clone()),
        ]),
        tags: vec![line.engine_tag()],
        cache: if line.build.no_cache { Cache::Ignore } else { Cache::Use },
        network: line.platform.settings.build.network.mode(),
        target: None,
        extra_ca,
        deadline: line.platform.settings.build.deadline,
        idle_deadline: line.platform.settings.build.idle_deadline,
        logins: line.platform.registry.login().cloned().into_iter().collect(),
        cancel: line.cancel.clone(),
    };
    let built = line.platform.engine.build(request, &line.transcript).await.map_err(stop)?;
    let facts = line.platform.engine.inspect(&built.id).await.map_err(|error| Stop::ours(error.into()))?;
    let blueprint = Blueprint::new(detected.processes.clone(), &facts.exposed_ports)
        .with(&source.app_json)
        .with_checks(&source.health.checks);
    let blueprint = serde_json::to_value(blueprint).map_err(|error| Stop::ours(error.into()))?;
    Ok(Image::Built { id: built.id, blueprint, reuse_key })
}

impl Line {
    /// The image's name in the engine: it keeps the engine from taking it for garbage.
    pub(super) fn engine_tag(&self) -> String {
        format!("{}:{}", self.platform.registry.push_repository(&self.repository()), self.tag())
    }

    /// The repository in the registry.
    pub(super) fn repository(&self) -> String {
        self.platform.image_repository(&self.app.name)
    }

    /// Short commit and build number: unique, and readable.
    pub(super) fn tag(&self) -> String {
        format!("{}-{}", self.build.commit.get(..7).unwrap_or(&self.build.commit), self.build.number)
    }
}

fn read_dockerfile(source: &Source, path: &str) -> Result<String, Stop> {
    let bytes = source.snapshot.read(path).map_err(SourceError::from)?;
    let bytes = bytes.ok_or_else(|| Stop::Failed(format!("{path} is not a file in the pushed commit")))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// An image made of the same before, if the registry still has it.
pub(super) async fn made_before(line: &Line, reuse_key: Option<&str>) -> Result<Option<Image>, Stop> {
    // Who asks for a retry wants to see it built.
    let again = line.build.no_cache || line.build.trigger == Trigger::Retry.as_str();
    let (Some(reuse_key), false) = (reuse_key, again) else { return Ok(None) };
    let mut conn = line.platform.pool.acquire().await?;
    let Some(made) = builds::made_of(&mut conn, line.app.id, reuse_key).await? else { return Ok(None) };
    drop(conn);
    let there = line.platform.registry.exists(&line.repository(), &made.digest).await;
    if !there.map_err(|error| Stop::ours(error.into()))? {
        return Ok(None);
    }
    line.transcript
        .step(format!("Nothing to build: build {} made an image of just the same", made.number))
        .await;
    line.transcript.detail(&made.digest).await;
    line.transcript.detail("To build it all the same: git push -o no-cache, or builds:retry").await;
    let reuse_key = Some(reuse_key.to_owned());
    Ok(Some(Image::InRegistry { digest: made.digest, blueprint: made.blueprint, reuse_key }))
}

/// The config vars that the Dockerfile mounts as secrets: one by one, or all in the secret `config`.
async fn secrets(line: &Line, dockerfile: &str) -> Result<BTreeMap<String, SecretString>, Stop> {
    let all = workload::config_vars(&line.platform, &line.app, &line.app.config).await.map_err(Stop::ours)?;
    let exports = reuse::mounts_secret(dockerfile, reuse::CONFIG_SECRET).then(|| exports(&all));
    let mut secrets: BTreeMap<String, SecretString> = all
        .into_iter()
        .filter(|(name, _)| reuse::mounts_secret(dockerfile, name.as_str()))
        .map(|(name, value)| (name.as_str().to_owned(), value))
        .collect();
    if !secrets.is_empty() {
        let names: BTreeSet<&str> = secrets.keys().map(String::as_str).collect();
        let names: Vec<&str> = names.into_iter().collect();
        line.transcript.detail(format!("Config vars mounted as secrets: {}", names.join(", "))).await;
    }
    if let Some(exports) = exports {
        secrets.entry(reuse::CONFIG_SECRET.to_owned()).or_insert(exports);
    }
    Ok(secrets)
}

/// Config vars that would change what the build's own tools are, rather than what they do.
const NOT_FOR_BUILDS: [&str; 6] = ["PATH", "HOME", "SHELL", "LD_PRELOAD", "LD_LIBRARY_PATH", "ENV"];

/// The config vars as lines that a shell can read.
fn exports(vars: &BTreeMap<ConfigKey, SecretString>) -> SecretString {
    let wanted = vars.iter().filter(|(name, _)| !NOT_FOR_BUILDS.contains(&name.as_str()));
    let lines = wanted.map(|(name, value)| {
        let value = value.expose_secret().replace('\'', r"'\''");
        format!("export {name}='{value}'\n", name = name.as_str())
    });
    lines.collect::<String>().into()
}

/// Whose fault a failed build is.
fn stop(error: BuildError) -> Stop {
    match error {
        BuildError::Cancelled => Stop::Canceled,
        BuildError::EngineLost(_) | BuildError::Engine(_) => {
            Stop::Errored { sentence: error.to_string(), error: error.into(), again: Again::Yes }
        }
        said => Stop::Failed(said.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exports_hold_whatever_a_value_holds() {
        let vars = [("A", "it's $HOME\nand `more`"), ("PATH", "/evil")];
        let vars = vars.map(|(name, value)| (name.parse().expect("a name"), SecretString::from(value)));
        let exported = exports(&BTreeMap::from(vars));
        let script = format!("{}printf %s \"$A\"", exported.expose_secret());
        let said = std::process::Command::new("/bin/sh").args(["-c", &script]).output().expect("a shell");
        assert_eq!(String::from_utf8_lossy(&said.stdout), "it's $HOME\nand `more`");
        assert!(!exported.expose_secret().contains("evil"));
    }
}
