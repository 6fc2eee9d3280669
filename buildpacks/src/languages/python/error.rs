//! Why a Python app is not built: what, why, and what to do.

use crate::error::DetectError;

#[derive(Debug, thiserror::Error)]
pub(super) enum PythonError {
    #[error(
        "there is `{found}`, but no file says what it depends on, so nothing can be installed for it.\n\
         List the dependencies and commit the list (an empty one if there are none): pip freeze > requirements.txt"
    )]
    NoManifest { found: String },
    #[error(
        "{manifest} has no lockfile beside it: {lock} is not in the commit, so every build might install other versions.\n\
         Make it and commit it: {command} && git add {lock}"
    )]
    NoLock { manifest: &'static str, lock: &'static str, command: &'static str },
    #[error(
        "`{from}` includes `{path}`, which is not in the commit.\n\
         Commit it, or take the line out of {from}."
    )]
    IncludedMissing { from: String, path: String },
    #[error(
        "this is a {framework} app, but no server for it is among its dependencies, and the Procfile has no `web` line.\n\
         The server that {framework} brings is for development only. Add one and push again: {add}"
    )]
    NoServer { framework: &'static str, add: String },
    #[error(
        "manage.py is there, but no WSGI or ASGI module belongs to it: neither WSGI_APPLICATION in the settings nor a wsgi.py was found.\n\
         Name it in a Procfile: echo 'web: gunicorn --bind 0.0.0.0:$PORT <package>.wsgi' > Procfile"
    )]
    NoDjangoModule,
}

impl From<PythonError> for DetectError {
    fn from(error: PythonError) -> Self {
        Self::language(error)
    }
}
