//! What an install reads: the files that its layer depends on.

use super::manager::{Kind, Manager};
use super::package::Package;
use crate::source::{Tree, in_folder};

/// Settings of the package managers; each is copied whoever reads it.
const SETTINGS: [&str; 7] = [
    ".npmrc",
    ".yarnrc",
    ".yarnrc.yml",
    ".pnpmfile.cjs",
    "pnpmfile.cjs",
    "pnpm-workspace.yaml",
    "bunfig.toml",
];

/// Folders with what package managers read: patches, berry's programs, plugins and committed archives.
const FOLDERS: [&str; 5] = ["patches", ".yarn/patches", ".yarn/plugins", ".yarn/releases", ".yarn/cache"];

/// What is copied before the packages are installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Manifests {
    /// These files and folders.
    Some { files: Vec<String>, folders: Vec<String> },
    /// Installing runs scripts of the app's own, or takes packages from its folders.
    All,
}

/// `packages` are the root's and those of the workspaces.
pub(super) fn of(tree: &Tree<'_>, manager: &Manager, packages: &[Package]) -> Manifests {
    if packages.iter().any(Package::installs_from_tree) || tree.has("binding.gyp") {
        return Manifests::All;
    }
    let settings = SETTINGS.iter().filter(|file| !is_of_another(file, manager) && tree.has(file));
    let mut files: Vec<String> = settings.map(|file| (*file).to_owned()).collect();
    files.extend(manager.lockfile.map(str::to_owned));
    files.extend(packages.iter().map(|package| in_folder(&package.folder, "package.json")));
    let read = packages.iter().flat_map(Package::lifecycle_folders).chain(FOLDERS);
    let mut folders: Vec<String> = read.filter(|folder| tree.has_folder(folder)).map(str::to_owned).collect();
    files.sort();
    folders.sort();
    folders.dedup();
    Manifests::Some { files, folders }
}

fn is_of_another(file: &str, manager: &Manager) -> bool {
    match file {
        ".yarnrc" => manager.kind != Kind::Yarn,
        ".yarnrc.yml" => !matches!(manager.kind, Kind::Berry { .. }),
        "pnpm-workspace.yaml" | ".pnpmfile.cjs" | "pnpmfile.cjs" => manager.kind != Kind::Pnpm,
        "bunfig.toml" => manager.kind != Kind::Bun,
        _ => false,
    }
}
