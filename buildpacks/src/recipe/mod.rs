//! What a buildpack decides on: the stages of a build, as data. `writing` makes the Dockerfile of it.

pub(crate) mod environment;
mod keystore;
mod writing;

use std::collections::BTreeMap;

use crate::version::Chosen;

pub(crate) use writing::executed;
pub use writing::{ADDED_VARIABLE, BUNDLE_VARIABLES, Writing};

/// A plan for an app without a Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    /// As people write it: `Node.js`.
    pub language: &'static str,
    /// The buildpack's name in settings: `node`.
    pub buildpack: &'static str,
    /// Why this buildpack was taken: a file, or a setting.
    pub because: String,
    /// The runtime's version, if the language has one to choose.
    pub version: Option<Chosen>,
    pub package_manager: Option<&'static str>,
    /// The last one is the image that runs.
    pub stages: Vec<Stage>,
    /// Start commands of process types that the Procfile does not name.
    pub processes: BTreeMap<String, String>,
    /// What the pusher should know: a missing lockfile, a language that is not built.
    pub notes: Vec<String>,
    /// Debian packages that the app asks for, in every stage.
    pub(crate) packages: Vec<String>,
    /// Build-time environment from the tree, to the letter, in every stage that the last is not made of.
    pub(crate) environment: BTreeMap<String, String>,
    /// The command of the image itself.
    pub(crate) command: Option<String>,
}

/// A `FROM` with what follows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    pub name: &'static str,
    /// The image, or the name of an earlier stage.
    pub from: String,
    pub steps: Vec<Step>,
}

/// An instruction of a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A line for who reads the Dockerfile.
    Comment(String),
    Env(Vec<(String, String)>),
    Workdir(&'static str),
    /// From the build context, or from another stage or image.
    Copy {
        from: Option<String>,
        paths: Vec<String>,
        to: String,
    },
    Run(Run),
    /// Debian packages that the language itself needs.
    Packages(Vec<String>),
}

/// A `RUN`: its commands run one after another as long as each succeeds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Run {
    pub commands: Vec<String>,
    /// Folders that survive from build to build without being part of the image.
    pub caches: Vec<Cache>,
    /// Folders of other stages that it sees, and writes to in vain.
    pub binds: Vec<Bind>,
    /// The config vars are in its environment; a changed one runs it again.
    pub sees_config: bool,
    /// It talks to package registries, so it trusts the extra CA.
    pub downloads: bool,
    /// Its tools are programs in Java, which read certificates from a keystore.
    pub is_java: bool,
}

/// A cache mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    /// Unique within the app.
    pub name: &'static str,
    pub path: String,
    /// Only one build at a time works in it.
    pub exclusive: bool,
}

/// A folder of another stage, at the same path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind {
    /// The stage.
    pub from: &'static str,
    pub path: String,
}

impl Stage {
    pub(crate) fn new(name: &'static str, from: impl Into<String>) -> Self {
        Self { name, from: from.into(), steps: vec![Step::Workdir("/app")] }
    }

    pub(crate) fn comment(mut self, text: impl Into<String>) -> Self {
        self.steps.push(Step::Comment(text.into()));
        self
    }

    pub(crate) fn env<const N: usize>(mut self, pairs: [(&str, &str); N]) -> Self {
        let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        self.steps.push(Step::Env(pairs.to_vec()));
        self
    }

    /// Copies files of the tree to the same place in /app.
    pub(crate) fn copy_files<S: Into<String>>(mut self, paths: impl IntoIterator<Item = S>) -> Self {
        // A COPY of several files flattens them, so each folder needs a line of its own.
        let mut by_folder: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for path in paths {
            let path: String = path.into();
            let folder = path.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
            by_folder.entry(folder).or_default().push(path);
        }
        for (folder, paths) in by_folder {
            self.steps.push(Step::Copy { from: None, paths, to: format!("./{folder}") });
        }
        self
    }

    /// Copies a folder of the tree to the same place in /app.
    pub(crate) fn copy_folder(mut self, path: &str) -> Self {
        self.steps.push(Step::Copy { from: None, paths: vec![path.to_owned()], to: format!("./{path}") });
        self
    }

    /// Copies the whole tree to /app.
    pub(crate) fn copy_all(mut self) -> Self {
        self.steps.push(Step::Copy { from: None, paths: vec![".".into()], to: "./".into() });
        self
    }

    /// Copies a file or folder of the tree to another place.
    pub(crate) fn copy_to(mut self, path: &str, to: &str) -> Self {
        self.steps.push(Step::Copy { from: None, paths: vec![path.into()], to: to.into() });
        self
    }

    pub(crate) fn copy_from(
        mut self,
        from: impl Into<String>,
        path: impl Into<String>,
        to: impl Into<String>,
    ) -> Self {
        self.steps.push(Step::Copy { from: Some(from.into()), paths: vec![path.into()], to: to.into() });
        self
    }

    pub(crate) fn packages<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.steps.push(Step::Packages(names.into_iter().map(Into::into).collect()));
        self
    }

    pub(crate) fn run(mut self, run: Run) -> Self {
        self.steps.push(Step::Run(run));
        self
    }
}

impl Run {
    pub(crate) fn new<S: Into<String>>(commands: impl IntoIterator<Item = S>) -> Self {
        Self { commands: commands.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// A step that fetches packages: with the registries' access, and with the config vars, which may hold tokens.
    pub(crate) fn install<S: Into<String>>(commands: impl IntoIterator<Item = S>) -> Self {
        Self { sees_config: true, downloads: true, ..Self::new(commands) }
    }

    /// A step of the app's own: its build may fetch things too, so it gets all that an install gets.
    pub(crate) fn build<S: Into<String>>(commands: impl IntoIterator<Item = S>) -> Self {
        Self::install(commands)
    }

    /// A step whose tools are programs in Java.
    pub(crate) fn in_java(mut self) -> Self {
        self.is_java = true;
        self
    }

    pub(crate) fn cache(mut self, name: &'static str, path: impl Into<String>) -> Self {
        self.caches.push(Cache { name, path: path.into(), exclusive: false });
        self
    }

    /// A cache whose files are of one build: another one waits for it.
    pub(crate) fn exclusive_cache(mut self, name: &'static str, path: impl Into<String>) -> Self {
        self.caches.push(Cache { name, path: path.into(), exclusive: true });
        self
    }

    /// Shows it a folder of another stage without copying that: what is written there is gone after it.
    pub(crate) fn bind(mut self, from: &'static str, path: impl Into<String>) -> Self {
        self.binds.push(Bind { from, path: path.into() });
        self
    }
}
