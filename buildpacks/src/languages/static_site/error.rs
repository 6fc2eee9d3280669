//! Why a static site cannot be served; the texts are for the pusher.

use crate::error::DetectError;

#[derive(Debug, thiserror::Error)]
pub(super) enum StaticError {
    #[error(
        "static.json names `{path}`, which is no path of a file or folder in the commit: letters, digits and . / _ - are allowed.\n\
         Correct it, commit it and push again."
    )]
    BadPath { path: String },
    #[error(
        "static.json asks for the pages in `{root}`, and the commit has no .html file there.\n\
         Commit the pages, or a package.json with a `build` script that makes them."
    )]
    NoPages { root: String },
}

impl From<StaticError> for DetectError {
    fn from(error: StaticError) -> Self {
        Self::language(error)
    }
}
