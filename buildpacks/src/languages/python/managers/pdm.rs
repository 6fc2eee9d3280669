//! PDM: pdm.lock.

use super::{Installation, install};
use crate::languages::python::project::Project;
use crate::recipe::Run;

const CACHE: &str = "/root/.cache/pdm";

pub(super) fn installation(project: &Project<'_>) -> Installation {
    let own = is_package(project).then(|| Run::install(["pdm sync --prod"]).cache("pdm", CACHE));
    Installation {
        // With the versions of its own dependencies that it was released with: newer ones have broken it.
        tool: Some(("pdm", "pdm[locked]>=2,<3".to_owned())),
        // PDM installs into the environment that is active, unless the tree says which one it used on another machine.
        environment: &[("PDM_CHECK_UPDATE", "false"), ("PDM_IGNORE_SAVED_PYTHON", "1")],
        makes_venv: true,
        files: vec!["pyproject.toml".to_owned(), "pdm.lock".to_owned()],
        folders: project.path_dependencies(),
        dependencies: Some(install(["pdm sync --prod --no-self"]).cache("pdm", CACHE)),
        own,
    }
}

fn is_package(project: &Project<'_>) -> bool {
    let asked = project.pyproject(&["tool", "pdm", "distribution"]).and_then(toml::Value::as_bool);
    asked.unwrap_or_else(|| project.pyproject(&["build-system"]).is_some())
}
