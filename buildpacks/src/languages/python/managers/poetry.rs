//! Poetry: poetry.lock.

use super::{Installation, install, tool};
use crate::languages::python::project::Project;
use crate::recipe::Run;

/// Poetry installs into the environment that is active: VIRTUAL_ENV says which.
const INSTALL: &str = "poetry install --no-interaction --no-ansi --only main";
const CACHE: &str = "/root/.cache/pypoetry";

pub(super) fn installation(project: &Project<'_>) -> Installation {
    let asked = project.pyproject_text(&["tool", "poetry", "requires-poetry"]);
    let own = is_package(project).then(|| Run::install([INSTALL]).cache("poetry", CACHE));
    Installation {
        tool: tool("poetry", asked, ">=2,<3"),
        makes_venv: true,
        files: vec!["pyproject.toml".to_owned(), "poetry.lock".to_owned()],
        folders: project.path_dependencies(),
        dependencies: Some(install([format!("{INSTALL} --no-root")]).cache("poetry", CACHE)),
        own,
        ..Installation::default()
    }
}

/// Whether there is a package to install. Many apps leave package-mode on and have none: Poetry would fail.
fn is_package(project: &Project<'_>) -> bool {
    let mode = project.pyproject(&["tool", "poetry", "package-mode"]).and_then(toml::Value::as_bool);
    if mode == Some(false) {
        return false;
    }
    if project.pyproject(&["tool", "poetry", "packages"]).is_some() {
        return true;
    }
    let name = project.name().unwrap_or_default().to_ascii_lowercase().replace(['-', '.'], "_");
    let is_there = |at: &str| {
        project.app.tree.has_folder(&format!("{at}{name}")) || project.has(&format!("{at}{name}.py"))
    };
    !name.is_empty() && (is_there("") || is_there("src/"))
}
