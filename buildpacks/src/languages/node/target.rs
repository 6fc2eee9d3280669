//! Which package of a repository runs, and as what.

use super::error::NodeError;
use super::manager::Manager;
use super::package::Package;
use super::{site, start, svelte};
use crate::error::DetectError;
use crate::languages::App;
use crate::languages::static_site::Site;

/// What an app is in the end.
pub(super) enum Kind {
    /// Its `web` is this command; `None` if the Procfile has one.
    Server(Option<String>),
    /// Files for the browser.
    Site(Site),
}

/// The package that runs.
pub(super) struct Target<'p> {
    pub(super) package: &'p Package,
    pub(super) kind: Kind,
}

/// `packages` are the root's, and those of the workspaces after it.
pub(super) fn of<'p>(
    app: &App<'_>,
    manager: &Manager,
    packages: &'p [Package],
) -> Result<Target<'p>, DetectError> {
    let (root, workspaces) = packages.split_first().ok_or_else(|| no_start(START))?;
    let server = |package, command| Target { package, kind: Kind::Server(command) };
    if app.has_web() {
        return Ok(server(root, None));
    }
    if let Some(command) = start::command(app.tree, root, manager) {
        return Ok(server(root, Some(command)));
    }
    if let Some(site) = site::of(app.tree, root)? {
        return Ok(Target { package: root, kind: Kind::Site(site) });
    }
    if let Some(target) = of_workspaces(app, manager, workspaces)? {
        return Ok(target);
    }
    let command = start::main_command(app.tree, root, manager).ok_or_else(|| no_start(next(root)))?;
    Ok(server(root, Some(command)))
}

/// The one with a server; if there is none, the one with a site.
fn of_workspaces<'p>(
    app: &App<'_>,
    manager: &Manager,
    workspaces: &'p [Package],
) -> Result<Option<Target<'p>>, DetectError> {
    let command = |package: &'p Package| Some((package, start::command(app.tree, package, manager)?));
    let servers: Vec<_> = workspaces.iter().filter_map(command).collect();
    match servers.as_slice() {
        [] => {}
        [(package, command)] => {
            return Ok(Some(Target { package, kind: Kind::Server(Some(command.clone())) }));
        }
        [(first, _), ..] => {
            let folders: Vec<&str> = servers.iter().map(|(package, _)| package.folder.as_str()).collect();
            let (first, found) = (first.folder.clone(), folders.join(", "));
            return Err(NodeError::SeveralStarts { found, first, command: "npm start".to_owned() }.into());
        }
    }
    for package in workspaces {
        if let Some(site) = site::of(app.tree, package)? {
            return Ok(Some(Target { package, kind: Kind::Site(site) }));
        }
    }
    Ok(None)
}

/// What to do, by what the build may have been meant to make.
fn next(package: &Package) -> &'static str {
    if package.build_script().is_none() {
        START
    } else if package.depends_on(svelte::KIT) {
        svelte::NEXT
    } else {
        BUILT
    }
}

const START: &str = "Name it in package.json: npm pkg set scripts.start='node server.js'\n\
     Or in a Procfile: echo 'web: node server.js' > Procfile";
const BUILT: &str = "If its build makes a server, name it in package.json: npm pkg set scripts.start='node dist/server.js'\n\
     If it makes files for the browser, name their folder: echo '{ \"root\": \"dist/\" }' > static.json && git add static.json";

fn no_start(next: &str) -> DetectError {
    DetectError::NoStart { language: "Node.js", next: next.to_owned() }
}
