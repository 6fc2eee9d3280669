//! Django: static files are collected if there is a place for them, and the server gets the project's module.

use super::Start;
use super::server::{Interface, Target, command as serve};
use super::settings::Settings;
use crate::error::DetectError;
use crate::languages::python::error::PythonError;
use crate::languages::python::managers::Manager;
use crate::languages::python::project::Project;

/// What a build does, whatever starts the app.
pub(super) fn prepare(project: &Project<'_>) -> Result<Start, DetectError> {
    let settings = Settings::read(project)?;
    let collects_static = settings.has("STATIC_ROOT");
    let mut notes = Vec::new();
    let is_served = settings.mentions("whitenoise") || settings.mentions("storages");
    if collects_static && !is_served {
        notes.push(
            "static files are collected, but gunicorn and its like do not serve them: add whitenoise to the dependencies and to MIDDLEWARE"
                .to_owned(),
        );
    }
    let static_folder = settings.static_folder().filter(|_| collects_static);
    Ok(Start { collects_static, static_folder, notes, ..Start::default() })
}

/// ASGI if the settings name such a module and a server for it is there, else WSGI.
pub(super) fn command(project: &Project<'_>, manager: Manager) -> Result<String, DetectError> {
    let settings = Settings::read(project)?;
    let dependencies = project.dependencies();
    let place = |setting: &str, file: &str| {
        let named = settings.literal(setting).and_then(|text| {
            let (module, name) = text.rsplit_once('.')?;
            Some(format!("{module}:{name}"))
        });
        let by_file = || {
            let package = settings.package.as_ref()?;
            project.has(&format!("{package}/{file}.py")).then(|| format!("{package}.{file}:application"))
        };
        named.or_else(by_file).map(|place| Target { place, is_factory: false })
    };
    let wsgi = place("WSGI_APPLICATION", "wsgi");
    let asgi = place("ASGI_APPLICATION", "asgi");
    if wsgi.is_none() && asgi.is_none() {
        return Err(PythonError::NoDjangoModule.into());
    }
    let of = |interface, target: &Option<Target>| serve(interface, target.as_ref()?, &dependencies);
    let (by_asgi, by_wsgi) = (of(Interface::Asgi, &asgi), of(Interface::Wsgi, &wsgi));
    let prefers_asgi = settings.has("ASGI_APPLICATION");
    let command = if prefers_asgi { by_asgi.or(by_wsgi) } else { by_wsgi.or(by_asgi) };
    command
        .ok_or_else(|| PythonError::NoServer { framework: "Django", add: manager.adding("gunicorn") }.into())
}
