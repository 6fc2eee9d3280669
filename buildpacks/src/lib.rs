//! From a source tree to a plan for building it: pure, without I/O of its own.
//!
//! A Dockerfile goes first; without one the buildpacks are asked in the order of `languages::ALL`, and the first that finds
//! a file of its language makes the plan. To add a language: a folder in `languages/` and a line in that list.

mod bases;
mod choice;
mod dockerfile;
mod error;
mod help;
mod languages;
mod recipe;
mod source;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod version;

use std::collections::BTreeMap;

pub use bases::{BadLine, Bases};
pub use choice::{Choice, Named};
pub use error::DetectError;
pub use recipe::{ADDED_VARIABLE, BUNDLE_VARIABLES, Recipe, Run, Stage, Step, Writing};
pub use source::{Files, Source, Unreadable, text_of};
pub use version::{Chosen, Series};

use languages::App;
use source::Tree;

/// How an app is built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// With the Dockerfile of this path in the source tree.
    Dockerfile { path: String },
    /// With a Dockerfile that we write.
    Recipe(Box<Recipe>),
    /// With the lifecycle of this image of Cloud Native Buildpacks.
    Builder { image: String },
}

/// What an app is set to, beside what its tree says.
#[derive(Debug, Clone, Copy, Default)]
pub struct Settings<'a> {
    /// The Dockerfile's path.
    pub dockerfile: Option<&'a str>,
    /// A buildpack's name.
    pub buildpack: Option<&'a str>,
    /// A builder image.
    pub builder: Option<&'a str>,
}

/// Chooses how to build `source`. `choice` is what its repository asks for; `procfile` holds the commands by process type.
///
/// Settings go before files, a Dockerfile before buildpacks; but a Dockerfile does not go before a builder or buildpack that is
/// asked for.
///
/// # Errors
/// There is nothing to build with, or it cannot be built so; the error is written for the pusher.
pub fn plan(
    source: &dyn Source,
    settings: Settings<'_>,
    choice: &Choice,
    procfile: &BTreeMap<String, String>,
    bases: &Bases,
) -> Result<Plan, DetectError> {
    let tree = Tree::new(source);
    if let Some(path) = settings.dockerfile {
        let path = dockerfile::find(&tree, Some(path))?;
        return Ok(Plan::Dockerfile { path: path.unwrap_or_default() });
    }
    if let Some(image) = settings.builder {
        return Ok(Plan::Builder { image: image.to_owned() });
    }
    let app = App { tree: &tree, choice, procfile, bases };
    if let Some(name) = settings.buildpack {
        return languages::named(&app, name, "the app's setting").map(recipe);
    }
    if let Some(builder) = &choice.builder {
        return Ok(Plan::Builder { image: builder.value.clone() });
    }
    if let Some(named) = &choice.buildpack {
        return languages::named(&app, &named.value, named.file).map(recipe);
    }
    if let Some(path) = dockerfile::find(&tree, None)? {
        return Ok(Plan::Dockerfile { path });
    }
    match languages::first(&app) {
        // A Dockerfile that was only misspelt is what somebody means who gets a refusal from a language.
        Some(made) => made.map(recipe).map_err(|error| dockerfile::misspelt(&tree).unwrap_or(error)),
        None => Err(help::nothing(&tree)),
    }
}

fn recipe(recipe: Recipe) -> Plan {
    Plan::Recipe(Box::new(recipe))
}

/// The names of all buildpacks, in the order in which they are asked.
pub fn names() -> impl Iterator<Item = &'static str> {
    languages::ALL.iter().map(|buildpack| buildpack.name)
}

/// The buildpack that somebody means by `name`: ours, or one of Heroku's or Paketo's for the same language.
#[must_use]
pub fn buildpack_of(name: &str) -> Option<&'static str> {
    languages::names::buildpack(name).map(|buildpack| buildpack.name)
}
