//! Why a Node.js app cannot be built; the texts are for the pusher.

use crate::error::DetectError;

#[derive(Debug, thiserror::Error)]
pub(super) enum NodeError {
    #[error(
        "package.json (packageManager) asks for `{asked}`, which is no package manager that we know.\n\
         There are npm, yarn, pnpm and bun, with a version after an @. To set it: npm pkg set packageManager=pnpm@10.34.8"
    )]
    UnknownManager { asked: String },
    #[error(
        "several workspaces have something to start: {found}.\n\
         Say which one `web` is, in a Procfile in the root: echo 'web: cd {first} && {command}' > Procfile"
    )]
    SeveralStarts { found: String, first: String, command: String },
    #[error(
        "package.json depends on `{package}` as a package of the same repository (`{wanted}`), and the folder that is built has no workspaces.\n\
         Build from the folder with the workspaces and the lockfile: slipway apps:set folder=."
    )]
    OutsideWorkspace { package: String, wanted: String },
}

impl From<NodeError> for DetectError {
    fn from(error: NodeError) -> Self {
        Self::language(error)
    }
}
