//! Why a Node.js app cannot be built; the texts are for the pusher.

use crate::error::DetectError;

#[derive(Debug, thiserror::Error)]
pub(super) enum NodeError {
    #[error(
        "package.json (packageManager) asks for `{asked}`, which is no package manager that we know.\n\
         There are npm, yarn, pnpm and bun, with a version after an @. To set it: npm pkg set packageManager=pnpm@10.34.8"
    )]
    UnknownManager { asked: String },
}

impl From<NodeError> for DetectError {
    fn from(error: NodeError) -> Self {
        Self::language(error)
    }
}
