//! What the tree says of how it wants to be built, in the ecosystems' own files: app.json and project.toml.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::error::DetectError;
use crate::languages::names;
use crate::source::{Source, Tree};

/// The wishes of a tree. An app's settings go before them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choice {
    /// A buildpack's name, and the file that it stands in.
    pub buildpack: Option<Named>,
    /// An image with Cloud Native Buildpacks.
    pub builder: Option<Named>,
    /// The folder of the tree that is built.
    pub folder: Option<Named>,
    /// Debian packages, from Aptfile, app.json or project.toml.
    pub packages: Vec<String>,
    /// Environment of the build.
    pub environment: BTreeMap<String, String>,
}

/// A wish with the file that it stands in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    pub value: String,
    pub file: &'static str,
}

#[derive(Deserialize, Default)]
struct AppJson {
    #[serde(default)]
    buildpacks: Vec<UrlOf>,
    slipway: Option<Wishes>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum UrlOf {
    Object { url: String },
    Text(String),
}

/// Our own keys: `"slipway"` of app.json, `[slipway]` of project.toml.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Wishes {
    buildpack: Option<String>,
    builder: Option<String>,
    folder: Option<String>,
    #[serde(default)]
    packages: Vec<String>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
}

#[derive(Deserialize, Default)]
struct ProjectToml {
    io: Option<Io>,
    /// The older form, schema 0.1.
    build: Option<Build>,
    com: Option<toml::Table>,
    slipway: Option<Wishes>,
}

#[derive(Deserialize)]
struct Io {
    buildpacks: Option<IoBuildpacks>,
}

#[derive(Deserialize)]
struct IoBuildpacks {
    builder: Option<String>,
    #[serde(default)]
    group: Vec<Group>,
    build: Option<Build>,
}

#[derive(Deserialize, Default)]
struct Build {
    builder: Option<String>,
    #[serde(default)]
    buildpacks: Vec<Group>,
    #[serde(default)]
    env: Vec<Variable>,
}

#[derive(Deserialize)]
struct Group {
    id: Option<String>,
    uri: Option<String>,
}

#[derive(Deserialize)]
struct Variable {
    name: String,
    value: String,
}

impl Choice {
    /// Reads app.json, project.toml and Aptfile in the root of `source`; app.json goes before project.toml.
    ///
    /// # Errors
    /// One of them is malformed, or asks for what cannot be.
    pub fn of(source: &dyn Source) -> Result<Self, DetectError> {
        let tree = Tree::new(source);
        let mut choice = Self::default();
        if let Some(app) = tree.json::<AppJson>("app.json")? {
            let named = app.buildpacks.into_iter().map(|of| match of {
                UrlOf::Object { url } | UrlOf::Text(url) => url,
            });
            choice.take(app.slipway.unwrap_or_default(), "app.json");
            choice.take_buildpacks(named, "app.json");
        }
        if let Some(project) = tree.toml::<ProjectToml>("project.toml")? {
            choice.take_project(project);
        }
        if let Some(text) = tree.text("Aptfile")? {
            let lines = text.lines().map(|line| line.split('#').next().unwrap_or(line).trim());
            choice.packages.extend(lines.filter(|line| !line.is_empty()).map(str::to_owned));
        }
        choice.packages.sort();
        choice.packages.dedup();
        check(choice)
    }

    /// These wishes, and where there are none those of `other`.
    #[must_use]
    pub fn or(mut self, other: Self) -> Self {
        self.buildpack = self.buildpack.or(other.buildpack);
        self.builder = self.builder.or(other.builder);
        self.folder = self.folder.or(other.folder);
        self.packages.extend(other.packages);
        self.packages.sort();
        self.packages.dedup();
        for (name, value) in other.environment {
            self.environment.entry(name).or_insert(value);
        }
        self
    }

    fn take_project(&mut self, project: ProjectToml) {
        const FILE: &str = "project.toml";
        self.take(project.slipway.unwrap_or_default(), FILE);
        let buildpacks = project.io.and_then(|io| io.buildpacks);
        let (builder, mut groups, io_build) =
            buildpacks.map_or((None, Vec::new(), None), |all| (all.builder, all.group, all.build));
        let (io_build, build) = (io_build.unwrap_or_default(), project.build.unwrap_or_default());
        let builder = builder.or(build.builder);
        self.builder = self.builder.take().or(builder.map(|value| Named { value, file: FILE }));
        groups.extend(build.buildpacks);
        // With a builder the group names that builder's own buildpacks.
        if self.builder.is_none() {
            self.take_buildpacks(groups.into_iter().filter_map(|group| group.id.or(group.uri)), FILE);
        }
        for variable in io_build.env.into_iter().chain(build.env) {
            self.environment.entry(variable.name).or_insert(variable.value);
        }
        self.packages.extend(deb_packages(project.com.as_ref()));
    }

    fn take(&mut self, wishes: Wishes, file: &'static str) {
        let named = |value: Option<String>| value.map(|value| Named { value, file });
        self.buildpack = self.buildpack.take().or(named(wishes.buildpack));
        self.builder = self.builder.take().or(named(wishes.builder));
        self.folder = self.folder.take().or(named(wishes.folder));
        self.packages.extend(wishes.packages);
        for (name, value) in wishes.environment {
            self.environment.entry(name).or_insert(value);
        }
    }

    /// The last of several is the one that decides on the process types, as on Heroku.
    fn take_buildpacks(&mut self, named: impl Iterator<Item = String>, file: &'static str) {
        let last = named.filter(|name| !installs_packages(name)).last();
        self.buildpack = self.buildpack.take().or(last.map(|value| Named { value, file }));
    }
}

/// Whether a buildpack only installs Debian packages, which is done without one.
fn installs_packages(name: &str) -> bool {
    matches!(names::short(name).as_str(), "apt" | "deb-packages")
}

/// `[com.heroku.buildpacks.deb-packages] install = ["name", { name = "…" }]`.
fn deb_packages(com: Option<&toml::Table>) -> Vec<String> {
    let Some(com) = com else { return Vec::new() };
    let keys = ["heroku", "buildpacks", "deb-packages"];
    let table = keys.iter().try_fold(com, |table, key| table.get(*key)?.as_table());
    let install = table.and_then(|table| table.get("install")).and_then(toml::Value::as_array);
    let name = |entry: &toml::Value| {
        let name = entry.as_str().or_else(|| entry.get("name").and_then(toml::Value::as_str));
        name.map(str::to_owned)
    };
    install.into_iter().flatten().filter_map(name).collect()
}

/// Names end up in a Dockerfile, so they are what they should be and nothing else.
fn check(choice: Choice) -> Result<Choice, DetectError> {
    let fits = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || "+-.:=~_".contains(c));
    if let Some(name) = choice.packages.iter().find(|name| name.starts_with('-') || !fits(name)) {
        return Err(DetectError::NoPackageName { name: name.clone() });
    }
    let is_variable = |name: &str| {
        let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        starts && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    if let Some(name) = choice.environment.keys().find(|name| !is_variable(name)) {
        return Err(DetectError::NoVariable { name: name.clone() });
    }
    Ok(choice)
}
