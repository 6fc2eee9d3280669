//! uv: uv.lock.

use super::{Installation, install, tool};
use crate::languages::python::project::Project;
use crate::recipe::Run;

const CACHE: &str = "/root/.cache/uv";

pub(super) fn installation(project: &Project<'_>) -> Installation {
    let is_workspace = project.pyproject(&["tool", "uv", "workspace"]).is_some();
    // Without its members a workspace cannot be compared with the lockfile; the step after checks that.
    let first =
        if is_workspace { "--frozen --no-install-workspace" } else { "--locked --no-install-project" };
    let own = (is_workspace || is_package(project))
        .then(|| Run::install(["uv sync --locked --no-dev"]).cache("uv", CACHE));
    Installation {
        tool: tool("uv", project.pyproject_text(&["tool", "uv", "required-version"]), ""),
        environment: &[
            ("UV_PROJECT_ENVIRONMENT", "/venv"),
            ("UV_PYTHON", "/usr/local/bin/python3"),
            ("UV_PYTHON_DOWNLOADS", "never"),
            ("UV_LINK_MODE", "copy"),
        ],
        files: vec!["pyproject.toml".to_owned(), "uv.lock".to_owned()],
        folders: project.path_dependencies(),
        dependencies: Some(install([format!("uv sync {first} --no-dev")]).cache("uv", CACHE)),
        own,
        ..Installation::default()
    }
}

fn is_package(project: &Project<'_>) -> bool {
    let asked = project.pyproject(&["tool", "uv", "package"]).and_then(toml::Value::as_bool);
    asked.unwrap_or_else(|| project.pyproject(&["build-system"]).is_some())
}
