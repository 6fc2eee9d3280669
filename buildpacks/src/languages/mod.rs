//! The languages, a folder each.

mod binaries;
mod brought;
mod go;
mod java;
pub(crate) mod names;
mod node;
mod php;
mod port;
mod python;
mod ruby;
mod rust;
mod shell;
mod static_site;

use std::collections::BTreeMap;

use crate::bases::Bases;
use crate::choice::Choice;
use crate::error::DetectError;
use crate::recipe::{Recipe, Stage, environment};
use crate::source::Tree;
use crate::version::{self, Chosen, Requirement, Series};

/// In the order in which they are asked: a language whose apps often bring a package.json for their assets comes before
/// Node.js, and what anything can have comes last.
pub(crate) const ALL: &[&Buildpack] = &[
    &ruby::BUILDPACK,
    &python::BUILDPACK,
    &php::BUILDPACK,
    &java::BUILDPACK,
    &go::BUILDPACK,
    &rust::BUILDPACK,
    &node::BUILDPACK,
    &static_site::BUILDPACK,
    &shell::BUILDPACK,
];

/// What each language's folder has to offer.
pub(crate) struct Buildpack {
    /// As in settings: `node`.
    pub(crate) name: &'static str,
    /// As people write it: `Node.js`.
    pub(crate) language: &'static str,
    /// Other names, without the `heroku/`, `paketo-buildpacks/` or `heroku-buildpack-` before them.
    pub(crate) aliases: &'static [&'static str],
    /// For people: the files that it goes by.
    pub(crate) looks_for: &'static str,
    /// Those that tell the language by their name alone, for hints.
    pub(crate) files: &'static [&'static str],
    /// The file that makes this an app of the language; `None` if it is none.
    pub(crate) detect: fn(&App<'_>) -> Result<Option<String>, DetectError>,
    /// The recipe, of an app that was detected.
    pub(crate) plan: fn(&App<'_>) -> Result<Made, DetectError>,
}

/// What a buildpack plans with.
pub(crate) struct App<'a> {
    pub(crate) tree: &'a Tree<'a>,
    pub(crate) choice: &'a Choice,
    /// Commands by process type.
    pub(crate) procfile: &'a BTreeMap<String, String>,
    pub(crate) bases: &'a Bases,
}

/// What a buildpack makes: the language's part of a recipe.
#[derive(Default)]
pub(crate) struct Made {
    pub(crate) version: Option<Chosen>,
    pub(crate) package_manager: Option<&'static str>,
    /// The last one is the image that runs; its name is `run`.
    pub(crate) stages: Vec<Stage>,
    /// Start commands for when the Procfile does not name the type.
    pub(crate) processes: BTreeMap<String, String>,
    pub(crate) notes: Vec<String>,
}

/// A runtime whose version an app chooses.
pub(crate) struct Runtime {
    /// As people write it.
    pub(crate) name: &'static str,
    /// The official image's name.
    pub(crate) image: &'static str,
    /// Its tag of the image that runs apps, with `{}` for the series.
    pub(crate) tag: &'static str,
    /// The series that the official images have.
    pub(crate) official: &'static [&'static str],
    pub(crate) default: &'static str,
}

impl App<'_> {
    /// The series for an app that asks for `asked`: the text, how it is read, and where it stands.
    pub(crate) fn version(&self, runtime: &Runtime, asked: Option<Asked>) -> Result<Chosen, DetectError> {
        let offered = self.bases.offered(runtime.image, runtime.tag, runtime.official);
        let requirement = asked.as_ref().map(|asked| asked.requirement(runtime)).transpose()?;
        let series = version::choose(&offered, requirement.as_ref(), runtime.default);
        let from = asked.as_ref().map_or("the default".to_owned(), |asked| asked.from.clone());
        match series {
            Some(series) => Ok(Chosen { series, from }),
            None => Err(unsupported(runtime, asked, &offered)),
        }
    }

    /// As `version`, but a range that admits the default gets the default: with the newest, packages often lag behind.
    pub(crate) fn steady_version(
        &self,
        runtime: &Runtime,
        asked: Option<Asked>,
    ) -> Result<Chosen, DetectError> {
        let default = self.version(runtime, None)?;
        let range = asked.as_ref().and_then(|asked| Requirement::parse(&asked.text, asked.tilde));
        match (&asked, range) {
            (Some(asked), Some(range)) if range.is_met_by(&default.series) => {
                Ok(Chosen { series: default.series, from: asked.from.clone() })
            }
            _ => self.version(runtime, asked),
        }
    }

    /// Whether the Procfile says what `web` runs.
    pub(crate) fn has_web(&self) -> bool {
        self.procfile.contains_key("web")
    }
}

/// A version as an app asks for it.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) text: String,
    pub(crate) tilde: version::Tilde,
    /// The file, and the key in it if there are several.
    pub(crate) from: String,
}

impl Asked {
    pub(crate) fn new(text: impl Into<String>, tilde: version::Tilde, from: impl Into<String>) -> Self {
        Self { text: text.into(), tilde, from: from.into() }
    }

    fn requirement(&self, runtime: &Runtime) -> Result<Requirement, DetectError> {
        Requirement::parse(&self.text, self.tilde).ok_or_else(|| DetectError::NoVersion {
            runtime: runtime.name,
            asked: self.text.clone(),
            from: self.from.clone(),
            example: runtime.default,
        })
    }
}

fn unsupported(runtime: &Runtime, asked: Option<Asked>, offered: &[Series]) -> DetectError {
    let (asked, from) =
        asked.map_or(("of any version".to_owned(), "the app".to_owned()), |asked| (asked.text, asked.from));
    let mut offered = offered.to_vec();
    offered.sort();
    let offered = offered.iter().map(Series::to_string).collect::<Vec<_>>().join(", ");
    DetectError::Unsupported { runtime: runtime.name, asked, from, offered }
}

/// The recipe of the first buildpack that finds its language.
pub(crate) fn first(app: &App<'_>) -> Option<Result<Recipe, DetectError>> {
    ALL.iter().find_map(|buildpack| match (buildpack.detect)(app) {
        Ok(found) => found.map(|file| make(buildpack, app, format!("{file} is in the root"))),
        Err(error) => Some(Err(error)),
    })
}

/// The recipe of the buildpack that `file` asks for by name.
pub(crate) fn named(app: &App<'_>, name: &str, file: &str) -> Result<Recipe, DetectError> {
    let buildpack = names::buildpack(name).ok_or_else(|| {
        let known: Vec<&str> = ALL.iter().map(|buildpack| buildpack.name).collect();
        DetectError::UnknownBuildpack {
            name: name.to_owned(),
            file: file.to_owned(),
            known: known.join(", "),
        }
    })?;
    match (buildpack.detect)(app)? {
        Some(_) => make(buildpack, app, format!("{file} asks for it")),
        None => Err(DetectError::NotOfBuildpack {
            name: buildpack.name,
            file: file.to_owned(),
            looked_for: buildpack.looks_for,
        }),
    }
}

fn make(buildpack: &Buildpack, app: &App<'_>, because: String) -> Result<Recipe, DetectError> {
    environment::check(&app.choice.environment)?;
    let made = (buildpack.plan)(app)?;
    let command = app.procfile.get("web").or(made.processes.get("web")).cloned();
    let mut notes = made.notes;
    notes.extend(app.procfile.get("web").and_then(|web| port::ignored_by("Procfile's", web)));
    if !app.has_web() {
        notes.extend(made.processes.get("web").and_then(|web| port::ignored_by("app's own", web)));
    }
    Ok(Recipe {
        language: buildpack.language,
        buildpack: buildpack.name,
        because,
        version: made.version,
        package_manager: made.package_manager,
        stages: made.stages,
        processes: made.processes,
        notes,
        packages: app.choice.packages.clone(),
        environment: app.choice.environment.clone(),
        command,
    })
}
