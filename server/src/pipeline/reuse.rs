//! What an image is made of, as one key: equal keys mean that building again would make the same.
//!
//! The key covers the tree, the Dockerfile's path, the base images as they are now, the versions of the config vars that
//! the Dockerfile mounts as secrets, and the extra CA. A base image that nobody can identify makes no key at all.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::docker::Engine;
use crate::docker::build::Recipe;
use crate::domain::ids::AppId;

/// Changes when the way of building changes, so that images of an older Slipway are not taken for new ones.
pub(super) const GENERATION: &str = "2";
/// The id of the secret with all config vars, as a shell's exports.
pub(crate) const CONFIG_SECRET: &str = "config";
/// The build argument that changes when a config var does.
pub(crate) const CONFIG_VERSION: &str = "CONFIG_VERSION";
/// How long a registry may take to tell which image a base name means now.
const IDENTIFY_TIMEOUT: Duration = Duration::from_secs(5);

/// What a build depends on.
pub(crate) struct Ingredients<'a> {
    /// The tree's object id.
    pub(crate) tree: &'a str,
    pub(crate) recipe: &'a Recipe,
    pub(crate) dockerfile: &'a str,
    /// The app's config as `{"NAME": version}`.
    pub(crate) config: &'a Value,
    pub(crate) extra_ca: Option<&'a [u8]>,
}

/// The key; `None` if a base image cannot be identified.
pub(crate) async fn key(engine: &Engine, of: &Ingredients<'_>) -> Option<String> {
    let mut hash = Sha256::new();
    let mut add = |text: &[u8]| {
        // The length keeps neighbours apart.
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    };
    add(GENERATION.as_bytes());
    add(of.tree.as_bytes());
    match of.recipe {
        Recipe::InTree(path) => add(path.as_bytes()),
        // No path in a tree starts with a slash.
        Recipe::Written(text) => add(format!("/{text}").as_bytes()),
    }
    add(of.extra_ca.unwrap_or_default());
    let mounts_all = mounts_secret(of.dockerfile, CONFIG_SECRET);
    for (name, version) in of.config.as_object().into_iter().flatten() {
        if mounts_all || mounts_secret(of.dockerfile, name) {
            add(name.as_bytes());
            add(version.to_string().as_bytes());
        }
    }
    for base in base_images(of.dockerfile)? {
        add(identity(engine, &base).await?.as_bytes());
    }
    Some(hex::encode(hash.finalize()))
}

/// What tells the engine's cache that config vars have changed: it looks at arguments, not at secrets. `None` if the
/// Dockerfile does not ask for it.
pub(crate) fn config_version(dockerfile: &str, app: AppId, config: &Value) -> Option<String> {
    let declares = |line: &str| {
        let mut words = line.split_whitespace();
        words.next().is_some_and(|word| word.eq_ignore_ascii_case("ARG"))
            && words.next() == Some(CONFIG_VERSION)
    };
    // Versions, not values: an argument is in the image's history. They are counted app by app: without the app, the cache
    // would give one what another's values have made of the same tree.
    let version = || hex::encode(Sha256::digest(format!("{app} {config}")))[..16].to_owned();
    dockerfile.lines().any(declares).then(version)
}

/// The image that the name means now.
pub(super) async fn identity(engine: &Engine, base: &str) -> Option<String> {
    if base.contains("@sha256:") {
        return Some(base.to_owned());
    }
    if let Ok(facts) = engine.inspect(base).await {
        return Some(facts.id);
    }
    let asked = engine.api().inspect_registry_image(base, None);
    let found = tokio::time::timeout(IDENTIFY_TIMEOUT, asked).await.ok()?.ok()?;
    found.descriptor.digest
}

/// The images that a Dockerfile builds on; `None` if a name depends on what is not in the file.
fn base_images(dockerfile: &str) -> Option<BTreeSet<String>> {
    let mut stages = BTreeSet::new();
    let mut bases = BTreeSet::new();
    let mut defaults: Vec<(String, String)> = Vec::new();
    for line in dockerfile.lines().map(str::trim) {
        let mut words = line.split_whitespace();
        match words.next().map(str::to_ascii_uppercase).as_deref() {
            Some("ARG") => {
                let argument = words.next().and_then(|word| word.split_once('='));
                defaults.extend(
                    argument.map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned())),
                );
            }
            Some("FROM") => {
                let mut words = words.filter(|word| !word.starts_with("--"));
                let name = expanded(words.next()?, &defaults)?;
                if name != "scratch" && !stages.contains(&name.to_ascii_lowercase()) {
                    bases.insert(name);
                }
                if words.next().is_some_and(|word| word.eq_ignore_ascii_case("as")) {
                    stages.extend(words.next().map(str::to_ascii_lowercase));
                }
            }
            Some("COPY" | "RUN" | "ADD") => {
                // `COPY --from=image` and `RUN --mount=…,from=image` read foreign images too.
                for from in line.split(['=', ',', ' ']).zip(line.split(['=', ',', ' ']).skip(1)) {
                    let (key, value) = from;
                    let is_from = key == "--from" || key == "from";
                    let is_stage =
                        stages.contains(&value.to_ascii_lowercase()) || value.parse::<u16>().is_ok();
                    if is_from && !is_stage {
                        bases.insert(expanded(value, &defaults)?);
                    }
                }
            }
            _ => {}
        }
    }
    Some(bases)
}

/// Replaces `$NAME`, `${NAME}` and `${NAME:-default}` by the defaults of ARG lines.
fn expanded(word: &str, defaults: &[(String, String)]) -> Option<String> {
    let mut text = word.to_owned();
    for (name, value) in defaults.iter().rev() {
        text = text.replace(&format!("${{{name}}}"), value).replace(&format!("${name}"), value);
    }
    (!text.contains('$')).then_some(text)
}

/// Whether a step mounts the config var of this name as a secret.
pub(crate) fn mounts_secret(dockerfile: &str, name: &str) -> bool {
    dockerfile.lines().any(|line| {
        line.contains("type=secret")
            && line.split([',', ' ', '\t']).any(|part| part.strip_prefix("id=") == Some(name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bases(dockerfile: &str) -> Option<Vec<String>> {
        base_images(dockerfile).map(|bases| bases.into_iter().collect())
    }

    #[test]
    fn stages_are_no_base_images() {
        let text = "FROM --platform=linux/amd64 rust:1 AS build\nRUN make\nFROM build as test\nFROM scratch\nCOPY --from=build /a /a\nCOPY --from=0 /a /b\n";
        assert_eq!(bases(text), Some(vec!["rust:1".to_owned()]));
    }

    #[test]
    fn foreign_images_of_copy_and_mounts_count() {
        let text = "FROM a\nCOPY --from=tools:2 /x /x\nRUN --mount=type=bind,from=more:3,target=/m true\n";
        assert_eq!(bases(text), Some(vec!["a".to_owned(), "more:3".to_owned(), "tools:2".to_owned()]));
    }

    #[test]
    fn arguments_with_defaults_are_followed_and_others_make_no_key() {
        assert_eq!(bases("ARG V=3\nFROM python:${V}\n"), Some(vec!["python:3".to_owned()]));
        assert_eq!(bases("ARG V\nFROM python:$V\n"), None);
    }

    #[test]
    fn the_version_of_the_config_changes_with_it_and_only_where_it_is_asked_for() {
        let (one, two) = (serde_json::json!({ "A": 1 }), serde_json::json!({ "A": 2 }));
        let text = "FROM x\narg CONFIG_VERSION\nRUN y";
        let app = AppId::new();
        assert_eq!(config_version(text, app, &one), config_version(text, app, &one));
        assert_ne!(config_version(text, app, &one), config_version(text, app, &two));
        assert_ne!(config_version(text, app, &one), config_version(text, AppId::new(), &one));
        assert_eq!(config_version("FROM x\nARG CONFIG\n", app, &one), None);
    }

    #[test]
    fn only_mounted_config_vars_count() {
        let text = "RUN --mount=type=secret,id=NPM_TOKEN npm ci";
        assert!(mounts_secret(text, "NPM_TOKEN"));
        assert!(!mounts_secret(text, "NPM"));
    }
}
