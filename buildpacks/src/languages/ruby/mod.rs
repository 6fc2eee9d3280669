//! Ruby: Bundler, with the gems where the official image keeps them, as a layer of its own before the app's files.

mod assets;
mod error;
mod gemfile;
mod install;
mod lockfile;
mod start;
mod version;

use crate::error::DetectError;
use crate::languages::{App, Buildpack, Made};
use crate::recipe::{Stage, Step};
use error::RubyError;
use gemfile::Gemfile;
use lockfile::Lockfile;

pub(crate) const BUILDPACK: Buildpack = Buildpack {
    name: "ruby",
    language: "Ruby",
    aliases: &["rails", "rack", "bundler", "mri"],
    looks_for: "Gemfile",
    files: &["Gemfile", "Gemfile.lock"],
    detect,
    plan,
};

fn detect(app: &App<'_>) -> Result<Option<String>, DetectError> {
    Ok(app.tree.first_of(&["Gemfile", "Gemfile.lock"]).map(str::to_owned))
}

/// What the buildpack looks at.
pub(in crate::languages) struct Project<'a> {
    app: &'a App<'a>,
    gemfile: Gemfile,
    lock: Lockfile,
}

impl Project<'_> {
    fn is_rails(&self) -> bool {
        self.lock.has("railties")
    }
}

fn plan(app: &App<'_>) -> Result<Made, DetectError> {
    let Some(text) = app.tree.text("Gemfile")? else { return Err(RubyError::NoGemfile.into()) };
    let Some(lock) = app.tree.text("Gemfile.lock")? else { return Err(RubyError::NoLock.into()) };
    let project = Project { app, gemfile: Gemfile::parse(&text), lock: Lockfile::parse(&lock) };
    if let Some(platforms) = project.lock.platforms_without_linux() {
        return Err(RubyError::NoLinux { platforms }.into());
    }
    let (version, tag) = version::choose(&project)?;
    let start = start::find(&project)?;
    let environment = environment(&project);
    let mut build = Stage::new("build", app.bases.image(&format!("ruby:{tag}")));
    build.steps.push(environment.clone());
    build = build.env([("BUNDLE_GLOBAL_GEM_CACHE", "true")]);
    let precompiled = assets::of(&project)?;
    build = install::gems(build, &project);
    build = assets::install(build, &precompiled);
    let mut run = Stage::new("run", app.bases.image(&format!("ruby:{tag}-slim")));
    run.steps.push(environment);
    let libraries = install::libraries(&project.lock);
    if !libraries.is_empty() {
        run = run.packages(libraries);
    }
    run = run.copy_from("build", install::GEMS, install::GEMS);
    if install::needs_tree(&project) || install::is_vendored(&project) || precompiled.is_some() {
        build = build.copy_all();
    }
    if install::needs_tree(&project) {
        build = install::all(build, &project);
    }
    let (build, run) = assets::build(build, run, &precompiled, &project);
    Ok(Made {
        version: Some(version),
        package_manager: Some("bundler"),
        stages: vec![build, run],
        processes: start.into_iter().map(|command| ("web".to_owned(), command)).collect(),
        notes: project.gemfile.notes(&project.lock),
    })
}

/// The environment of build and run alike.
fn environment(project: &Project<'_>) -> Step {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut pairs = vec![
        pair("BUNDLE_WITHOUT", "development:test"),
        pair("BUNDLE_FROZEN", "true"),
        pair("RACK_ENV", "production"),
    ];
    if project.is_rails() {
        pairs.push(pair("RAILS_ENV", "production"));
        pairs.push(pair("RAILS_LOG_TO_STDOUT", "true"));
        pairs.push(pair("RAILS_SERVE_STATIC_FILES", "true"));
    }
    Step::Env(pairs)
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_fixture_is_planned_as_its_snapshot_says() {
        crate::testing::check("languages/ruby/fixtures");
    }
}
