//! Why a Ruby app is not built: what, why, and what to do.

use crate::error::DetectError;

#[derive(Debug, thiserror::Error)]
pub(super) enum RubyError {
    #[error("there is a Gemfile.lock, but no Gemfile that it belongs to.\nCommit it: git add Gemfile")]
    NoGemfile,
    #[error(
        "Gemfile has no lockfile beside it: Gemfile.lock is not in the commit, so every build might install other versions.\n\
         Make it and commit it: bundle lock && git add Gemfile.lock (and take it out of .gitignore)"
    )]
    NoLock,
    #[error(
        "Gemfile.lock was made for {platforms} only, and the app runs on Linux: Bundler would refuse it.\n\
         Add the platform and commit: bundle lock --add-platform x86_64-linux && git add Gemfile.lock"
    )]
    NoLinux { platforms: String },
    #[error(
        "Gemfile asks for the engine {engine}, and there are base images of the usual Ruby (MRI) only.\n\
         Take `engine:` out of its `ruby` line, or bring a Dockerfile."
    )]
    OtherEngine { engine: String },
    #[error(
        "config.ru is there, but no server for it is in Gemfile.lock, and the Procfile has no `web` line.\n\
         Add one and push again: bundle add puma"
    )]
    NoServer,
}

impl From<RubyError> for DetectError {
    fn from(error: RubyError) -> Self {
        Self::language(error)
    }
}
