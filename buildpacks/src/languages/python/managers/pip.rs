//! pip: requirements.txt, or a project without a lockfile.

use super::{COMPILE, Installation, PIP_CACHE, install};
use crate::languages::python::project::Project;
use crate::languages::python::version::reads_toml;
use crate::recipe::Run;
use crate::version::Series;

/// `--no-compile`: see the step's last command.
const PIP: &str = "pip --python /venv install --no-compile";

pub(super) fn with_requirements(project: &Project<'_>) -> Installation {
    let Some(requirements) = &project.requirements else { return Installation::default() };
    let all = format!("{PIP} --requirement requirements.txt");
    let cached = |run: Run| run.cache("pip", PIP_CACHE);
    let (dependencies, own) = if requirements.installs_own {
        // Without the line of the tree itself, so that a changed file of it does not install all again.
        let others =
            "sed -E '/^(-e *|--editable[= ])?(file:)?\\.\\/?(\\[.*| .*)?$/d' requirements.txt > .others.txt";
        let install_others = format!("{PIP} --requirement .others.txt");
        (
            install([others.to_owned(), install_others, "rm .others.txt".to_owned()]),
            Some(cached(Run::install([all]))),
        )
    } else {
        (install([all]), None)
    };
    Installation {
        makes_venv: true,
        files: requirements.files.iter().cloned().collect(),
        folders: requirements.folders.iter().cloned().collect(),
        dependencies: Some(cached(dependencies)),
        own,
        ..Installation::default()
    }
}

pub(super) fn with_project(project: &Project<'_>, series: &Series) -> Installation {
    let own = format!("{PIP} --editable .");
    let is_listed = project.pyproject(&["project", "dependencies"]).is_some();
    let is_package = project.pyproject(&["build-system"]).is_some() || project.has("setup.py");
    let cached = |run: Run| run.cache("pip", PIP_CACHE);
    if !is_listed && is_package {
        // Only the project's own build knows what it depends on.
        let own = Some(cached(Run::install([own, COMPILE.to_owned()])));
        return Installation { makes_venv: true, own, ..Installation::default() };
    }
    let library =
        if reads_toml(series) { "import tomllib" } else { "from pip._vendor import tomli as tomllib" };
    // The system's Python: /venv has no pip, so none of what pip brings.
    let list = format!(
        "/usr/local/bin/python3 -c '{library}; print(*tomllib.load(open(\"pyproject.toml\", \"rb\")).get(\"project\", {{}}).get(\"dependencies\", []), sep=\"\\n\")' \\\n      \
         > /tmp/requirements.txt"
    );
    Installation {
        makes_venv: true,
        files: vec!["pyproject.toml".to_owned()],
        folders: project.path_dependencies(),
        dependencies: Some(cached(install([list, format!("{PIP} --requirement /tmp/requirements.txt")]))),
        own: is_package.then(|| cached(Run::install([own]))),
        ..Installation::default()
    }
}
