//! Why a PHP app is not built: what, why, and what to do.

use crate::error::DetectError;

#[derive(Debug, thiserror::Error)]
pub(super) enum PhpError {
    #[error(
        "composer.json has no lockfile beside it: composer.lock is not in the commit, so every build might install other versions.\n\
         Make it and commit it: composer update --no-install && git add composer.lock"
    )]
    NoLock,
    #[error(
        "there is a composer.lock, but no composer.json that it belongs to.\nCommit it: git add composer.json"
    )]
    NoManifest,
    #[error(
        "{from} requires the PHP extension `{extension}`, which neither comes with the image nor is one that we know how to add.\n\
         We know: {known}. Do without it, or bring a Dockerfile."
    )]
    NoExtension { extension: String, from: String, known: String },
    #[error(
        "extra.public-dir of composer.json names `{folder}` as the document root, and no such folder is in the commit.\n\
         Correct it, or commit the folder."
    )]
    NoPublicFolder { folder: String },
    #[error(
        "the Procfile's `web` is `{command}`: that program is a part of Heroku's images.\n\
         Take the line out of the Procfile: Apache is started without it, on $PORT. Name a document root other than \
         public/ and web/ in composer.json: composer config extra.public-dir <folder>"
    )]
    ServerOfHeroku { command: String },
}

impl From<PhpError> for DetectError {
    fn from(error: PhpError) -> Self {
        Self::language(error)
    }
}
