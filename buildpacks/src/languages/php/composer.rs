//! composer.json and composer.lock.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::DetectError;
use crate::languages::php::error::PhpError;
use crate::source::Tree;

#[derive(Default)]
pub(super) struct Composer {
    pub(super) is_there: bool,
    pub(super) is_locked: bool,
    manifest: Manifest,
    lock: Lock,
}

#[derive(Deserialize, Default)]
struct Manifest {
    #[serde(default)]
    require: BTreeMap<String, String>,
    #[serde(default)]
    scripts: Map<String, Value>,
    #[serde(default)]
    repositories: Value,
    #[serde(default)]
    extra: Value,
}

#[derive(Deserialize, Default)]
struct Lock {
    #[serde(default)]
    packages: Vec<Package>,
    /// An empty one is written as a list.
    #[serde(default)]
    platform: Value,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    #[serde(default)]
    require: Value,
}

impl Composer {
    pub(super) fn read(tree: &Tree<'_>) -> Result<Self, DetectError> {
        let Some(manifest) = tree.json::<Manifest>("composer.json")? else {
            return if tree.has("composer.lock") {
                Err(PhpError::NoManifest.into())
            } else {
                Ok(Self::default())
            };
        };
        let lock = tree.json::<Lock>("composer.lock")?;
        let is_package = |name: &&String| name.contains('/');
        if lock.is_none() && manifest.require.keys().any(|name| is_package(&name)) {
            return Err(PhpError::NoLock.into());
        }
        Ok(Self { is_there: true, is_locked: lock.is_some(), manifest, lock: lock.unwrap_or_default() })
    }

    pub(super) fn required(&self, name: &str) -> Option<String> {
        self.manifest.require.get(name).cloned()
    }

    pub(super) fn locked_platform(&self, name: &str) -> Option<String> {
        Some(self.lock.platform.get(name)?.as_str()?.to_owned())
    }

    pub(super) fn has_package(&self, name: &str) -> bool {
        self.lock.packages.iter().any(|package| package.name == name)
    }

    pub(super) fn has_script(&self, name: &str) -> bool {
        self.manifest.scripts.contains_key(name)
    }

    /// The document root that the project names.
    pub(super) fn public_folder(&self) -> Option<&str> {
        let folder = self.manifest.extra.get("public-dir")?.as_str()?;
        Some(folder.trim_start_matches("./").trim_end_matches('/'))
    }

    /// The extensions that are required, with who requires each first.
    pub(super) fn extensions(&self) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        let mut add = |names: &mut dyn Iterator<Item = &String>, from: &str| {
            for name in names.filter_map(|name| name.strip_prefix("ext-")) {
                all.entry(name.to_ascii_lowercase()).or_insert(from.to_owned());
            }
        };
        add(&mut self.manifest.require.keys(), "composer.json");
        for package in &self.lock.packages {
            let names = package.require.as_object();
            add(&mut names.into_iter().flat_map(Map::keys), &format!("the package {}", package.name));
        }
        all
    }

    /// Folders of the tree that packages come from.
    pub(super) fn folders(&self) -> Vec<String> {
        let of_list = self.manifest.repositories.as_array().into_iter().flatten();
        let of_map = self.manifest.repositories.as_object().into_iter().flat_map(Map::values);
        let local = of_list.chain(of_map).filter_map(|repository| {
            let kind = repository.get("type")?.as_str()?;
            let url = repository.get("url")?.as_str()?;
            matches!(kind, "path" | "artifact").then_some(url)
        });
        // `libs/*` is all that lies in libs.
        let fixed = local.map(|url| url.split('*').next().unwrap_or(url));
        fixed.map(|url| url.trim_start_matches("./").trim_end_matches('/').to_owned()).collect()
    }

    pub(super) fn is_laravel(&self) -> bool {
        self.has_package("laravel/framework")
    }

    pub(super) fn is_symfony(&self) -> bool {
        self.has_package("symfony/framework-bundle")
    }

    /// What the frameworks are told of where they run.
    pub(super) fn environment(&self) -> Option<(&'static str, &'static str)> {
        if self.is_laravel() {
            return Some(("LOG_CHANNEL", "stderr"));
        }
        self.is_symfony().then_some(("APP_ENV", "prod"))
    }

    /// What the pusher should know.
    pub(super) fn notes(&self) -> Vec<String> {
        let key = "Laravel needs a key: slipway config:set APP_KEY=\"$(php artisan key:generate --show)\", if that is not done";
        self.is_laravel().then(|| key.to_owned()).into_iter().collect()
    }
}
