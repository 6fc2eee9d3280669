//! The steps that install packages, alike in every stage.

use super::manager::{Manager, Wanted};
use super::manifests::Manifests;
use crate::recipe::{Run, Stage};

/// The package manager, if it is not the image's own npm.
pub(super) fn tool(stage: Stage, manager: &Manager) -> Stage {
    match (manager.tool(), manager.folder()) {
        (Some(run), Some(folder)) => stage.env([("PATH", format!("{folder}/bin:$PATH").as_str())]).run(run),
        _ => stage,
    }
}

/// What the install reads.
pub(super) fn manifests(stage: Stage, manifests: &Manifests) -> Stage {
    match manifests {
        Manifests::All => {
            stage.comment("All of the tree: installing runs scripts of the app's own.").copy_all()
        }
        Manifests::Some { files, folders } => {
            let stage = stage.copy_files(files.iter().map(String::as_str));
            folders.iter().fold(stage, |stage, folder| stage.copy_folder(folder))
        }
    }
}

pub(super) fn all(manager: &Manager) -> Run {
    manager.install(Wanted::All)
}
