//! How a build by a builder image ends when it does not end well, and whose fault that is.

use std::io;
use std::time::Duration;

use bytesize::ByteSize;

use super::super::EngineError;
use crate::registry::RegistryError;

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LifecycleError {
    /// The user's, most often.
    #[error(
        "the builder {builder} cannot be had: {message}; check its name, and that the engine's machine reaches its \
         registry (a private one needs a login in the settings)"
    )]
    NoBuilder { builder: String, message: String },
    /// The user's: the image is there and is none.
    #[error(
        "{builder} is not a builder of Cloud Native Buildpacks: it has no {lack}; name one, such as heroku/builder:24"
    )]
    NotABuilder { builder: String, lack: &'static str },
    /// The user's.
    #[error(
        "the lifecycle of the builder {builder} speaks the Platform API {offered}, and Slipway speaks 0.12 to 0.15; \
         name a newer builder"
    )]
    OtherApi { builder: String, offered: String },
    /// The user's.
    #[error(
        "the builder {builder} runs its buildpacks as root, which Slipway does not do: its CNB_USER_ID is {user}"
    )]
    Root { builder: String, user: String },
    /// The user's.
    #[error(
        "the builder {builder} puts apps on {run_image}, which lies where the platform keeps the apps' own images; \
         name a builder with a run image of its own, or have this one added to SLIPWAY_TRUSTED_BUILDERS"
    )]
    ForeignRunImage { builder: String, run_image: String },
    /// The user's.
    #[error(
        "the builder {0} wants to change images by Dockerfiles (image extensions), which Slipway does not do; name a \
         builder without them"
    )]
    Extensions(String),
    /// The user's: exit code 20.
    #[error(
        "no buildpack of {0} knows this app; the log says what each one looks for. Check that its files are at the \
         top of the repository, or name another builder"
    )]
    NoBuildpack(String),
    /// The user's: exit code 21.
    #[error(
        "no buildpack of {0} took this app, and at least one failed while it looked; the log has its words"
    )]
    DetectionFailed(String),
    /// The user's: exit code 51.
    #[error("a buildpack of {0} failed to build the app; its words are at the end of the log")]
    BuildFailed(String),
    /// The user's, most often.
    #[error(
        "the {program} of {builder} was killed, most often because its memory of {} was not enough; build with less \
         at once, or have SLIPWAY_LIFECYCLE_MEMORY raised",
        ByteSize::b(*memory)
    )]
    Memory { builder: String, program: &'static str, memory: u64 },
    #[error(
        "the build took longer than {}; make it faster, or have SLIPWAY_BUILD_DEADLINE raised",
        humantime::format_duration(*.0)
    )]
    Deadline(Duration),
    #[error(
        "the build said nothing for {}; it seems to hang (waiting for input?). If it only is slow, have \
         SLIPWAY_BUILD_IDLE_DEADLINE raised",
        humantime::format_duration(*.0)
    )]
    NoProgress(Duration),
    #[error("the build was cancelled")]
    Cancelled,
    /// Ours; worth another try. The lifecycle stopped in a phase that talks to the registry.
    #[error(
        "the {program} of {builder} stopped with exit code {code} while it worked with the registry: {words}"
    )]
    Registry { builder: String, program: &'static str, code: i64, words: String },
    /// The builder's.
    #[error("the {program} of {builder} stopped with exit code {code}: {words}")]
    Lifecycle { builder: String, program: &'static str, code: i64, words: String },
    /// Ours: the lifecycle ended well, and what it left is not what it should be.
    #[error("the lifecycle of {builder} left no {lack}")]
    Incomplete { builder: String, lack: &'static str },
    /// Ours; worth another try.
    #[error(transparent)]
    Answer(#[from] RegistryError),
    /// Ours.
    #[error("the commit's files could not be read")]
    Source(#[source] io::Error),
    /// Ours; worth another try.
    #[error("the Docker engine was lost while it built")]
    EngineLost(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Ours: the engine works but cannot do this (its disk is full, a limit is not possible).
    #[error("the Docker engine cannot build: {0}")]
    Engine(String),
}

/// Who can do something about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Users,
    /// The platform's, or what it stands on: tried again.
    Ours,
    /// It was wanted.
    Nobodys,
}

impl LifecycleError {
    pub(crate) fn fault(&self) -> Fault {
        match self {
            Self::Cancelled => Fault::Nobodys,
            Self::Registry { .. }
            | Self::Incomplete { .. }
            | Self::Answer(_)
            | Self::Source(_)
            | Self::EngineLost(_)
            | Self::Engine(_) => Fault::Ours,
            Self::NoBuilder { .. }
            | Self::NotABuilder { .. }
            | Self::OtherApi { .. }
            | Self::Root { .. }
            | Self::ForeignRunImage { .. }
            | Self::Extensions(_)
            | Self::NoBuildpack(_)
            | Self::DetectionFailed(_)
            | Self::BuildFailed(_)
            | Self::Memory { .. }
            | Self::Deadline(_)
            | Self::NoProgress(_)
            | Self::Lifecycle { .. } => Fault::Users,
        }
    }
}

impl From<EngineError> for LifecycleError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Refused(words) => Self::Engine(words),
            EngineError::NoSuchImage(_) | EngineError::BadAddress(_) => Self::Engine(error.to_string()),
            lost @ EngineError::Unreachable { .. } => Self::EngineLost(lost.into()),
        }
    }
}
