//! Pipenv: Pipfile.lock.

use super::{Installation, PIP_CACHE, install, tool};
use crate::languages::python::project::Project;

pub(super) fn installation(project: &Project<'_>) -> Installation {
    // `--deploy` refuses a lockfile that is older than the Pipfile.
    let run =
        install(["pipenv install --deploy"]).cache("pip", PIP_CACHE).cache("pipenv", "/root/.cache/pipenv");
    Installation {
        tool: tool("pipenv", None, ""),
        environment: &[("PIPENV_VERBOSITY", "-1"), ("PIP_COMPILE", "0")],
        makes_venv: true,
        files: vec!["Pipfile".to_owned(), "Pipfile.lock".to_owned()],
        folders: project.path_dependencies(),
        dependencies: Some(run),
        ..Installation::default()
    }
}
