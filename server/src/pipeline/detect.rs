//! How to build the source, and which processes it declares.

use std::collections::BTreeMap;
use std::sync::Arc;

use slipway_buildpacks::{Bases, Plan, Recipe, Settings, Source as _, Writing};

use super::source::{Source, SourceError, Tree};
use super::{Line, Stop};
use crate::db::apps::App;
use crate::domain::names::ProcessType;
use crate::domain::procfile;
use crate::git::snapshot::SnapshotLimits;
use crate::git::{Oid, Repository};
use crate::platform::Platform;

/// What the source says of itself.
pub(crate) struct Detected {
    pub(crate) way: Way,
    /// The processes of the Procfile and of the buildpack; `None` if neither names one.
    pub(crate) processes: Option<BTreeMap<ProcessType, String>>,
}

/// How the image is made.
pub(crate) enum Way {
    /// By a Dockerfile of the tree.
    Dockerfile { path: String },
    /// By a Dockerfile that a buildpack writes.
    Recipe { recipe: Box<Recipe>, dockerfile: String },
    /// By the lifecycle of an image with Cloud Native Buildpacks.
    Builder { image: String },
}

/// What the platform and the app's settings have to say in it.
pub(crate) struct Terms {
    dockerfile: Option<String>,
    buildpack: Option<String>,
    builder: Option<String>,
    bases: Bases,
    /// Keeps the caches of apps apart.
    scope: String,
    extra_ca: bool,
}

impl Terms {
    async fn of(platform: &Platform, app: &App) -> Result<Self, SourceError> {
        Ok(Self {
            dockerfile: app.dockerfile.clone(),
            buildpack: app.buildpack.clone(),
            builder: app.builder.clone(),
            bases: bases(platform).await.map_err(SourceError::Ours)?,
            scope: app.name.to_string(),
            extra_ca: platform.settings.build.extra_ca.is_some(),
        })
    }

    /// For a tree that no platform knows of: official images, and nothing set.
    pub(crate) fn unknown(scope: String) -> Self {
        let (bases, extra_ca) = (Bases::default(), false);
        Self { dockerfile: None, buildpack: None, builder: None, bases, scope, extra_ca }
    }
}

/// The base images of this platform.
async fn bases(platform: &Platform) -> anyhow::Result<Bases> {
    let settings = Arc::clone(&platform.settings);
    Ok(tokio::task::spawn_blocking(move || settings.build.bases()).await??)
}

impl Platform {
    /// How a commit of the app would be built. Nobody is told, and nothing is built.
    pub(crate) async fn inspect(&self, app: &App, commit: Oid) -> Result<Detected, SourceError> {
        let repository = self.repository(app.id).await.map_err(SourceError::Ours)?;
        let terms = Terms::of(self, app).await?;
        of_commit(&repository, commit, app.folder.as_deref(), self.snapshot_limits(), terms).await
    }
}

/// How a commit would be built: the whole of its tree, or the folder of it that `folder` or the tree itself names.
pub(crate) async fn of_commit(
    repository: &Repository,
    commit: Oid,
    folder: Option<&str>,
    limits: SnapshotLimits,
    terms: Terms,
) -> Result<Detected, SourceError> {
    let (repository, folder) = (repository.clone(), folder.map(str::to_owned));
    let looking = tokio::task::spawn_blocking(move || {
        let (source, _) = Source::of(&repository, commit, folder.as_deref(), &limits)?;
        inspect(&source, &terms)
    });
    looking.await.map_err(|error| SourceError::Ours(error.into()))?
}

pub(crate) async fn choose(line: &Line, source: &Source) -> Result<Detected, Stop> {
    let terms = Terms::of(&line.platform, &line.app).await?;
    let source = source.clone();
    let inspecting = tokio::task::spawn_blocking(move || inspect(&source, &terms));
    let detected = inspecting.await.map_err(|error| Stop::ours(error.into()))??;
    match &detected.way {
        Way::Dockerfile { path } => line.transcript.step(format!("Dockerfile found: {path}")).await,
        Way::Recipe { recipe, .. } => tell(line, recipe).await,
        Way::Builder { image } => line.transcript.step(format!("Builder: {image}")).await,
    }
    if let Some(processes) = &detected.processes {
        line.transcript.detail(format!("Process types -> {}", lasting(processes))).await;
    }
    Ok(detected)
}

/// The process types that run on, by name.
fn lasting(processes: &BTreeMap<ProcessType, String>) -> String {
    let names: Vec<&str> =
        processes.keys().filter(|name| !name.is_release_phase()).map(ProcessType::as_str).collect();
    if names.is_empty() { "web, by the image's own command".to_owned() } else { names.join(", ") }
}

/// Says which buildpack was taken and why, and what it found.
async fn tell(line: &Line, recipe: &Recipe) {
    line.transcript.step(format!("{} app: {}", recipe.language, recipe.because)).await;
    if let Some(chosen) = &recipe.version {
        line.transcript.detail(format!("{} {} ({})", recipe.language, chosen.series, chosen.from)).await;
    }
    if let Some(manager) = recipe.package_manager {
        line.transcript.detail(format!("Dependencies by {manager}")).await;
    }
    for (name, command) in &recipe.processes {
        line.transcript.detail(format!("{name}: {command}")).await;
    }
    for note in &recipe.notes {
        line.transcript.warn(note).await;
    }
}

/// Decides without saying anything. Blocking: it reads the tree.
fn inspect(source: &Source, terms: &Terms) -> Result<Detected, SourceError> {
    let tree = Tree::of(&source.snapshot);
    let procfile = match tree.read("Procfile")? {
        None => BTreeMap::new(),
        Some(bytes) => procfile::parse(&slipway_buildpacks::text_of(&bytes))
            .map_err(|error| SourceError::Pushers(error.to_string()))?,
    };
    let commands: BTreeMap<String, String> =
        procfile.iter().map(|(name, command)| (name.as_str().to_owned(), command.clone())).collect();
    let settings = Settings {
        dockerfile: terms.dockerfile.as_deref(),
        buildpack: terms.buildpack.as_deref(),
        builder: terms.builder.as_deref(),
    };
    let way = match slipway_buildpacks::plan(&tree, settings, &source.choice, &commands, &terms.bases)? {
        Plan::Dockerfile { path } => Way::Dockerfile { path },
        Plan::Builder { image } => Way::Builder { image },
        Plan::Recipe(recipe) => {
            let writing = Writing { cache_scope: &terms.scope, extra_ca: terms.extra_ca };
            Way::Recipe { dockerfile: recipe.dockerfile(writing), recipe }
        }
    };
    let mut processes = way.processes().map_err(SourceError::Pushers)?;
    processes.extend(procfile);
    Ok(Detected { way, processes: (!processes.is_empty()).then_some(processes) })
}

impl Way {
    /// The Dockerfile that a buildpack wrote; for the ways that write none, a sentence that says so.
    pub(crate) fn written(&self) -> Result<&str, String> {
        match self {
            Self::Recipe { dockerfile, .. } => Ok(dockerfile),
            Self::Dockerfile { path } => {
                Err(format!("the app brings its own Dockerfile, {path}: no buildpack writes one for it"))
            }
            Self::Builder { image } => {
                Err(format!("the app is built by the builder {image}, which writes no Dockerfile"))
            }
        }
    }

    /// The start commands that the buildpack knows by itself.
    fn processes(&self) -> Result<BTreeMap<ProcessType, String>, String> {
        let Self::Recipe { recipe, .. } = self else { return Ok(BTreeMap::new()) };
        let named = recipe.processes.iter().map(|(name, command)| {
            let name: ProcessType =
                name.parse().map_err(|error| format!("the process type {name}: {error}"))?;
            Ok((name, command.clone()))
        });
        named.collect()
    }
}

impl Detected {
    /// For a dry run: what would be built, and what would run.
    pub(crate) fn describe(&self) -> String {
        let runs = match &self.processes {
            None => "the image's own command as web".to_owned(),
            Some(processes) => lasting(processes),
        };
        let with = match &self.way {
            Way::Dockerfile { path } => path.clone(),
            Way::Recipe { recipe, .. } => format!("the buildpack {} ({})", recipe.buildpack, recipe.because),
            Way::Builder { image } => format!("the builder {image}"),
        };
        format!("would build with {with} and run {runs}")
    }
}
