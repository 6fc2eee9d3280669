//! Python: dependencies in a virtual environment at /venv, which becomes a layer of its own before the app's files.

mod error;
mod libraries;
mod managers;
mod project;
mod requirements;
mod start;
mod version;

use std::collections::BTreeMap;

use crate::error::DetectError;
use crate::help::is_nearly;
use crate::languages::{App, Buildpack, Made};
use crate::recipe::{Run, Stage, Step};
use error::PythonError;
use managers::{Installation, Manager};
use project::Project;
use start::Start;

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
    let image = |slim: &str| app.bases.image(&format!("python:{}{slim}", version.series));
    let mut build = build_stage(image(""), &installation);
    let mut run =
        Stage::new("run", image("-slim")).env([("PATH", "/venv/bin:$PATH"), ("PYTHONUNBUFFERED", "1")]);
    if let Some(path) = &start.python_path {
        run = run.env([("PYTHONPATH", path)]);
    }
    run = libraries::needed(run, &project).copy_from("build", "/venv", "/venv");
    let makes_files = installation.own.is_some() || start.collects_static;
    if makes_files {
        build = build.copy_all();
    }
    build = installation.own.clone().into_iter().fold(build, Stage::run);
    if start.collects_static {
        build = collect_static(build);
    }
    run = match &start.static_folder {
        Some(folder) if installation.own.is_none() => run
            .comment("What was collected changes seldom: a layer of its own.")
            .copy_from("build", &format!("/app/{folder}"), &format!("./{folder}"))
            .copy_all(),
        _ if makes_files => run.copy_from("build", "/app", "./"),
        _ => run.copy_all(),
    };
    let mut notes = manager.notes(&project);
    notes.extend(start.notes.iter().cloned());
    Ok(Made {
        version: Some(version),
        package_manager: Some(manager.name()),
        stages: vec![build, run],
        processes: start.processes(),
        notes,
    })
}

fn build_stage(image: String, installation: &Installation) -> Stage {
    let mut stage = Stage::new("build", image);
    let tool = installation.tool.as_ref().map(|(name, _)| format!("/opt/{name}/bin:")).unwrap_or_default();
    let path = format!("/venv/bin:{tool}$PATH");
    let pairs = [("PATH", path.as_str()), ("VIRTUAL_ENV", "/venv")];
    let pairs = pairs.iter().chain(installation.environment).map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
    stage.steps.push(Step::Env(pairs.collect()));
    if let Some((name, asked)) = &installation.tool {
        let venv = format!("python3 -m venv --without-pip /opt/{name}");
        let install = format!("pip --python /opt/{name} install --quiet '{asked}'");
        stage = stage
            .comment(format!("{name} has an environment of its own, apart from the app's, and is not in the image that runs."))
            .run(Run::install([venv, install]).cache("pip", PIP_CACHE));
    }
    if installation.makes_venv {
        stage = stage.run(Run::new(["python3 -m venv --without-pip /venv"]));
    }
    stage = stage.copy_files(installation.files.iter().cloned());
    for folder in &installation.folders {
        stage = stage.copy_folder(folder);
    }
    installation.dependencies.clone().into_iter().fold(stage, Stage::run)
}

/// Where pip keeps what it downloaded, and the wheels that it built.
const PIP_CACHE: &str = "/root/.cache/pip";

fn collect_static(build: Stage) -> Stage {
    let collect = "if [ -z \"$DISABLE_COLLECTSTATIC\" ]; then \\\n      \
         SECRET_KEY=\"${SECRET_KEY:-for-this-step-only}\" PYTHONDONTWRITEBYTECODE=1 \\\n      \
         python manage.py collectstatic --noinput; fi";
    build
        .comment("The settings have to load without a database; DISABLE_COLLECTSTATIC=1 leaves this out.")
        .run(Run::build([collect]))
}

impl Start {
    fn processes(&self) -> BTreeMap<String, String> {
        self.command.iter().map(|command| ("web".to_owned(), command.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_fixture_is_planned_as_its_snapshot_says() {
        crate::testing::check("languages/python/fixtures");
    }
}
