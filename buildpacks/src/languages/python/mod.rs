//! Python: dependencies in a virtual environment at /venv, which becomes a layer of its own before the app's files.

mod error;
mod libraries;
mod managers;
mod project;
mod requirements;
mod stages;
mod start;
mod version;

use crate::error::DetectError;
use crate::help::is_nearly;
use crate::languages::node;
use crate::languages::{App, Buildpack, Made};
use error::PythonError;
use managers::Manager;
use project::Project;
use stages::Parts;

pub(crate) const BUILDPACK: Buildpack = Buildpack {
    name: "python",
    language: "Python",
    aliases: &["python3", "django", "flask", "pip", "uv", "poetry", "python-poetry"],
    looks_for: "requirements.txt, pyproject.toml, Pipfile, uv.lock, poetry.lock, pdm.lock, setup.py, manage.py",
    files: MANIFESTS,
    detect,
    plan,
};

const MANIFESTS: &[&str] = &[
    "uv.lock",
    "poetry.lock",
    "pdm.lock",
    "Pipfile.lock",
    "requirements.txt",
    "Pipfile",
    "pyproject.toml",
    "setup.py",
];
/// Programs that are Python's even if the file with the dependencies is missing: they get help.
const PROGRAMS: [&str; 5] = ["manage.py", "app.py", "main.py", "wsgi.py", "asgi.py"];
/// Files that make the tree an app of another language, in which a stray program in Python has no say.
const OTHERS: [&str; 9] = [
    "package.json",
    "go.mod",
    "Cargo.toml",
    "pom.xml",
    "build.gradle",
    "build.gradle.kts",
    "composer.json",
    "index.php",
    "index.html",
];

fn detect(app: &App<'_>) -> Result<Option<String>, DetectError> {
    let tools_only = !project::is_project(app.tree)?;
    let is_manifest = |name: &&&str| app.tree.has(name) && !(**name == "pyproject.toml" && tools_only);
    if let Some(found) = MANIFESTS.iter().find(is_manifest) {
        return Ok(Some((*found).to_owned()));
    }
    if app.tree.first_of(&OTHERS).is_some() {
        return Ok(None);
    }
    let program = app.tree.first_of(&PROGRAMS).map(str::to_owned);
    Ok(program.or_else(|| misspelt(app).map(|(found, _)| found)))
}

fn misspelt(app: &App<'_>) -> Option<(String, &'static str)> {
    MANIFESTS.iter().find_map(|meant| {
        let found = app.tree.in_folder("").find(|name| is_nearly(name, meant))?;
        Some((found.to_owned(), *meant))
    })
}

fn plan(app: &App<'_>) -> Result<Made, DetectError> {
    let project = Project::read(app)?;
    let Some(manager) = Manager::of(&project)? else {
        return Err(match misspelt(app) {
            Some((found, meant)) => DetectError::NearlyLanguage { found, meant, language: "Python" },
            None => DetectError::language(PythonError::NoManifest {
                found: app.tree.first_of(&PROGRAMS).unwrap_or("the app").to_owned(),
            }),
        });
    };
    let version = version::choose(&project)?;
    let installation = manager.installation(&project, &version.series)?;
    let start = start::find(&project, manager)?;
    let assets = node::assets(app)?.filter(node::Assets::has_build);
    let mut notes = manager.notes(&project);
    notes.extend(start.notes.iter().cloned());
    let processes = start.command.iter().map(|command| ("web".to_owned(), command.clone())).collect();
    let parts = Parts { project: &project, installation, start, assets };
    Ok(Made {
        stages: stages::of(&parts, &version.series),
        version: Some(version),
        package_manager: Some(manager.name()),
        processes,
        notes,
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_fixture_is_planned_as_its_snapshot_says() {
        crate::testing::check("languages/python/fixtures");
    }
}
