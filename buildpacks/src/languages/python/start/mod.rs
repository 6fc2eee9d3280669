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
    frameworks::find(project, manager)?.or(program(project)?).ok_or_else(|| {
        let next = django_below(project).unwrap_or_else(|| {
            "Looked for an app of Django, Flask, FastAPI, Starlette, Litestar, Quart, Sanic, Falcon or Bottle in the \
             root and one folder below, and for a main.py, app.py or server.py that reads PORT.\n\
             Name the command in a Procfile: echo 'web: gunicorn --bind 0.0.0.0:$PORT <module>:<app>' > Procfile"
                .to_owned()
        });
        DetectError::NoStart { language: "Python", next }
    })
}

/// What to do about a manage.py that lies in a folder, as in many repositories whose requirements.txt is in the root.
fn django_below(project: &Project<'_>) -> Option<String> {
    let tree = project.app.tree;
    let folder = tree.paths().find_map(|path| path.strip_suffix("/manage.py"))?;
    let package = |path: &str| {
        let inner = path.strip_prefix(folder)?.strip_prefix('/')?.strip_suffix("/wsgi.py")?;
        (!inner.contains('/')).then(|| inner.to_owned())
    };
    let package = tree.paths().find_map(package).unwrap_or_else(|| "<package>".to_owned());
    Some(format!(
        "Django's manage.py is in the folder {folder}, and it is looked for in the root.\n\
         Name the command in a Procfile: echo 'web: gunicorn --bind 0.0.0.0:$PORT --chdir {folder} {package}.wsgi' > Procfile"
    ))
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
