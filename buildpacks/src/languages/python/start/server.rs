//! The servers that apps bring, and how each is told of a module and of $PORT.

use std::collections::BTreeSet;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interface {
    Wsgi,
    Asgi,
}

/// In the order in which they are taken. `{}` is the module with the name in it.
const WSGI: [(&str, &str); 2] = [
    ("gunicorn", "gunicorn --bind 0.0.0.0:$PORT {}"),
    ("waitress", "waitress-serve --listen=0.0.0.0:$PORT {}"),
];
const ASGI: [(&str, &str); 4] = [
    ("uvicorn", "uvicorn --host 0.0.0.0 --port $PORT {}"),
    ("hypercorn", "hypercorn --bind 0.0.0.0:$PORT {}"),
    ("granian", "granian --interface asgi --host 0.0.0.0 --port $PORT {}"),
    ("daphne", "daphne --bind 0.0.0.0 --port $PORT {}"),
];
/// Packages that bring uvicorn with them.
const WITH_UVICORN: [&str; 4] = ["fastapi[standard]", "fastapi[all]", "litestar[standard]", "uvicorn-worker"];

/// The command for `target`, with a server that is among `dependencies`.
pub(super) fn command(
    interface: Interface,
    target: &Target,
    dependencies: &BTreeSet<String>,
) -> Option<String> {
    let is_there = |name: &str| {
        dependencies.contains(name)
            || name == "uvicorn" && WITH_UVICORN.iter().any(|name| dependencies.contains(*name))
    };
    let servers: &[_] = if interface == Interface::Wsgi { &WSGI } else { &ASGI };
    let (name, command) = servers.iter().find(|(name, _)| is_there(name))?;
    let written = match (target.is_factory, *name) {
        (false, _) => target.place.clone(),
        (true, "gunicorn") => format!("'{}()'", target.place),
        (true, "waitress") => format!("--call {}", target.place),
        (true, "uvicorn" | "granian") => format!("--factory {}", target.place),
        (true, _) => format!("'{}()'", target.place),
    };
    Some(command.replace("{}", &written))
}

/// What is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// `module:name`.
    pub(super) place: String,
    /// Whether the name is that of a function that makes the app.
    pub(super) is_factory: bool,
}
