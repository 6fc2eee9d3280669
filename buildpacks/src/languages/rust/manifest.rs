//! Cargo.toml, as far as a build is planned with it.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::source::{Tree, Unreadable, in_folder};

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) package: Option<Package>,
    pub(crate) workspace: Option<Workspace>,
    #[serde(default, rename = "bin")]
    pub(crate) bins: Vec<Bin>,
    #[serde(default)]
    pub(crate) features: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    pub(crate) dependencies: toml::Table,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) default_run: Option<String>,
    pub(crate) autobins: Option<bool>,
    /// A text, or the wish to take the workspace's.
    rust_version: Option<toml::Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Workspace {
    #[serde(default)]
    pub(crate) members: Vec<String>,
    #[serde(default)]
    pub(crate) default_members: Vec<String>,
    #[serde(default)]
    pub(crate) exclude: Vec<String>,
    #[serde(default)]
    package: toml::Table,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Bin {
    pub(crate) name: String,
    pub(crate) path: Option<String>,
    #[serde(default)]
    pub(crate) required_features: Vec<String>,
}

impl Manifest {
    pub(crate) fn read(tree: &Tree<'_>, folder: &str) -> Result<Option<Self>, Unreadable> {
        tree.toml(&in_folder(folder, "Cargo.toml"))
    }

    /// The oldest Rust that will do.
    pub(crate) fn rust_version(&self) -> Option<&str> {
        let own = self.package.as_ref().and_then(|package| package.rust_version.as_ref());
        let shared = self.workspace.as_ref().and_then(|workspace| workspace.package.get("rust-version"));
        own.and_then(toml::Value::as_str).or_else(|| shared.and_then(toml::Value::as_str))
    }
}
