//! The start command of an app whose Procfile has none.

mod django;
mod frameworks;
mod server;
mod settings;

use crate::error::DetectError;
use crate::languages::python::managers::Manager;
use crate::languages::python::project::Project;

/// How an app starts, and what Django wants done before.
#[derive(Default)]
pub(super) struct Start {
    pub(super) command: Option<String>,
    /// For modules in a folder that is not installed.
    pub(super) python_path: Option<&'static str>,
    pub(super) collects_static: bool,
    /// Where static files are collected, if that is certain.
    pub(super) static_folder: Option<String>,
    pub(super) notes: Vec<String>,
}

pub(super) fn find(project: &Project<'_>, manager: Manager) -> Result<Start, DetectError> {
    let mut start = if project.has("manage.py") { django::prepare(project)? } else { Start::default() };
    let is_named = project.app.has_web() || project.app.procfile.keys().any(|kind| kind != "release");
    if is_named {
        return Ok(start);
    }
    if project.has("manage.py") {
        start.command = Some(django::command(project, manager)?);
        return Ok(start);
    }
    let found = frameworks::find(project, manager)?.or(program(project)?);
    let Some(found) = found else {
        let next = "Looked for an app of Django, Flask, FastAPI, Starlette, Litestar, Quart, Sanic, Falcon or Bottle in the \
             root and one folder below, and for a main.py or app.py that reads PORT.\n\
             Name the command in a Procfile: echo 'web: gunicorn --bind 0.0.0.0:$PORT <module>:<app>' > Procfile";
        return Err(DetectError::NoStart { language: "Python", next: next.to_owned() });
    };
    Ok(found)
}

/// A program that serves by itself: it reads PORT, which nothing else gives a reason to.
fn program(project: &Project<'_>) -> Result<Option<Start>, DetectError> {
    for file in ["main.py", "app.py", "server.py"] {
        let text = project.app.tree.text(file)?.unwrap_or_default();
        if text.contains("\"PORT\"") || text.contains("'PORT'") {
            return Ok(Some(Start { command: Some(format!("python {file}")), ..Start::default() }));
        }
    }
    Ok(None)
}
