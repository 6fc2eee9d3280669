//! Which Python an app gets.

use crate::error::DetectError;
use crate::languages::python::project::Project;
use crate::languages::{Asked, Runtime};
use crate::version::{Chosen, Series, Tilde};

const PYTHON: Runtime = Runtime {
    name: "Python",
    image: "python",
    tag: "{}-slim",
    official: &["3.9", "3.10", "3.11", "3.12", "3.13", "3.14"],
    default: "3.13",
};

pub(super) fn choose(project: &Project<'_>) -> Result<Chosen, DetectError> {
    project.app.steady_version(&PYTHON, asked(project)?)
}

/// The first of the files that say so, in the order of how directly they are about this.
fn asked(project: &Project<'_>) -> Result<Option<Asked>, DetectError> {
    for file in ["runtime.txt", ".python-version"] {
        if let Some(line) = project.app.tree.first_line(file)? {
            return Ok(Some(Asked::new(without_name(&line), Tilde::LastGiven, file)));
        }
    }
    let of_pipfile = ["python_full_version", "python_version"];
    let pipfile = of_pipfile.iter().find_map(|key| project.pipfile_text(&["requires", key]));
    let of_project = project.pyproject_text(&["project", "requires-python"]);
    let of_poetry = project.pyproject_text(&["tool", "poetry", "dependencies", "python"]);
    let all = [
        (pipfile, "[requires] of Pipfile", Tilde::LastGiven),
        (of_project, "requires-python of pyproject.toml", Tilde::LastGiven),
        (of_poetry, "[tool.poetry.dependencies] of pyproject.toml", Tilde::Patch),
    ];
    let found = all.into_iter().find_map(|(text, from, tilde)| Some(Asked::new(text?, tilde, from)));
    if found.is_some() {
        return Ok(found);
    }
    let tool = project.app.tree.tool_version(&["python"])?;
    Ok(tool.map(|version| Asked::new(version, Tilde::LastGiven, ".tool-versions")))
}

/// `python-3.12.1` as `3.12.1`.
fn without_name(line: &str) -> String {
    let version =
        ["cpython-", "cpython@", "python-", "python@"].iter().find_map(|name| line.strip_prefix(name));
    version.unwrap_or(line).to_owned()
}

/// Whether the standard library reads TOML.
pub(super) fn reads_toml(series: &Series) -> bool {
    Series::parse("3.11").is_some_and(|first| *series >= first)
}
