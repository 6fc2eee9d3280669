//! Node.js: a server with a start command, or a single-page app that is built and served as files.

mod assets;
mod caches;
mod error;
mod install;
mod manager;
mod manifests;
mod notes;
mod package;
mod site;
mod stages;
mod start;
mod svelte;
mod target;
mod version;
mod workspaces;

use std::collections::BTreeMap;

use super::static_site;
use crate::error::DetectError;
use crate::languages::{App, Buildpack, Made};
use error::NodeError;
use manager::Manager;
use package::Package;
use stages::Parts;
use target::{Kind, Target};

pub(crate) use assets::{Assets, assets};

pub(crate) const BUILDPACK: Buildpack = Buildpack {
    name: "node",
    language: "Node.js",
    aliases: &["nodejs", "javascript", "typescript", "npm", "yarn", "pnpm", "bun"],
    looks_for: "package.json",
    files: &["package.json"],
    detect,
    plan,
};

fn detect(app: &App<'_>) -> Result<Option<String>, DetectError> {
    Ok(app.tree.has("package.json").then(|| "package.json".to_owned()))
}

/// Whether package.json has a build script whose result is a site.
pub(super) fn builds_a_site(app: &App<'_>) -> Result<bool, DetectError> {
    let root = Package::of(app.tree, "")?;
    Ok(root.map(|root| site::of(app.tree, &root)).transpose()?.flatten().is_some())
}

pub(super) fn plan(app: &App<'_>) -> Result<Made, DetectError> {
    let Some(root) = Package::of(app.tree, "")? else { return Ok(Made::default()) };
    let manager = Manager::of(app.tree, &root)?;
    let version = version::of(app, &root)?;
    let packages = workspaces::with_root(app.tree, &root)?;
    check_workspaces(&packages)?;
    let target = match target::of(app, &manager, &packages) {
        Err(DetectError::NoStart { .. }) if root.build_script().is_none() && static_site::is_in(app)? => {
            return Ok(Made { notes: vec![notes::SERVED.to_owned()], ..static_site::as_it_is(app)? });
        }
        target => target?,
    };
    let processes = processes(&target);
    let commands = commands(app, &manager, &target, &processes);
    let dev_word = dev_word(&packages, &commands);
    let image = |tag: String| app.bases.image(&format!("node:{tag}"));
    let parts = Parts {
        manifests: manifests::of(app.tree, &manager, &packages),
        images: [image(version.series.to_string()), image(format!("{}-slim", version.series))],
        builds: builds(&manager, &packages, &target),
        keeps_dev: dev_word.is_some(),
        runs_manager: commands.iter().any(|command| manager.is_run_by(command)),
        started: started(&target),
        packages: &packages,
        manager: &manager,
    };
    let stages = match &target.kind {
        Kind::Server(_) => parts.server(),
        Kind::Site(site) => {
            [parts.until_built(), static_site::stages(app, site, Some(stages::BUILD)).into()].concat()
        }
    };
    let has_packages = packages.iter().any(|package| package.dependencies().next().is_some());
    let mut notes = notes::lockfiles(app.tree, &manager, has_packages);
    if matches!(target.kind, Kind::Server(_)) {
        notes.extend(dev_word.map(|word| notes::keeps_dev(&word)));
        notes.extend(commands.iter().find_map(|command| start::ignored_port(app.tree, command)));
    }
    if !target.package.folder.is_empty() {
        notes.push(format!("`web` is the workspace {}; a Procfile may name another", target.package.folder));
    }
    Ok(Made { version: Some(version), package_manager: Some(manager.name()), stages, processes, notes })
}

fn check_workspaces(packages: &[Package]) -> Result<(), DetectError> {
    let [root] = packages else { return Ok(()) };
    match root.dependencies().find(|(_, wanted)| wanted.starts_with("workspace:")) {
        Some((package, wanted)) => {
            Err(NodeError::OutsideWorkspace { package: package.to_owned(), wanted: wanted.to_owned() }.into())
        }
        None => Ok(()),
    }
}

fn processes(target: &Target<'_>) -> BTreeMap<String, String> {
    match &target.kind {
        Kind::Site(_) => static_site::processes(),
        Kind::Server(command) => command.iter().map(|command| ("web".to_owned(), command.clone())).collect(),
    }
}

/// What runs in the end: the processes' commands, and for a part of one that only calls a script that script's.
fn commands(
    app: &App<'_>,
    manager: &Manager,
    target: &Target<'_>,
    processes: &BTreeMap<String, String>,
) -> Vec<String> {
    let own: Vec<&String> = processes.values().chain(app.procfile.values()).collect();
    // Some start scripts build first: `npm run build && node dist`.
    let parts = own.iter().flat_map(|command| command.split([';', '&', '|'])).map(str::trim);
    let called: Vec<String> = parts.map(|part| start::inlined(target.package, manager, part)).collect();
    own.into_iter().cloned().chain(called).collect()
}

/// The first word of the commands that names a dev dependency.
fn dev_word(packages: &[Package], commands: &[String]) -> Option<String> {
    let mut words = commands.iter().flat_map(|command| command.split_whitespace());
    words.find(|word| packages.iter().any(|package| package.has_dev_dependency(word))).map(str::to_owned)
}

fn started(target: &Target<'_>) -> Vec<String> {
    let mut folders = vec![target.package.folder.clone(), String::new()];
    folders.dedup();
    folders
}

/// The root's build script; without one those of the workspace that runs and of what that depends on.
fn builds(manager: &Manager, packages: &[Package], target: &Target<'_>) -> Vec<String> {
    if let Some(name) = packages.first().and_then(Package::build_script) {
        return vec![manager.script(name)];
    }
    let ordered = if target.package.folder.is_empty() {
        // A Procfile may run any of them.
        let mut ordered: Vec<&Package> = Vec::new();
        for package in packages.iter().flat_map(|package| workspaces::build_order(packages, package)) {
            if !ordered.iter().any(|other| other.folder == package.folder) {
                ordered.push(package);
            }
        }
        ordered
    } else {
        workspaces::build_order(packages, target.package)
    };
    let build = |package: &Package| {
        Some(format!("(cd {} && {})", package.folder, manager.script(package.build_script()?)))
    };
    ordered.into_iter().filter_map(build).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_fixture_is_planned_as_its_snapshot_says() {
        crate::testing::check("languages/node/fixtures");
    }
}
