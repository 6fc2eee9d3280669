//! How a build ends when it does not end well, and whose fault that is.

use std::time::Duration;

use super::super::wire::WireError;
use super::progress::FailedStep;

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildError {
    /// The user's: a step ended with an exit code.
    #[error("{step} ended with exit code {exit_code}{place}")]
    Step {
        /// `RUN make`.
        step: String,
        exit_code: i32,
        place: Place,
    },
    /// The user's, most often: a step was killed, which is what happens when memory runs out.
    #[error(
        "{step} was killed{place}, most often because the machine ran out of memory; build with less at once (fewer \
         parallel jobs), or give the machine that builds more memory"
    )]
    Killed { step: String, place: Place },
    /// The user's: the Dockerfile does not parse, a file to copy or a base image is missing. The engine's own words.
    #[error("{message}{place}")]
    Dockerfile { message: String, place: Place },
    /// The user's: there is no such file.
    #[error("there is no {0} in this commit; commit one, or name another path in the app's settings")]
    NoDockerfile(String),
    #[error(
        "the build took longer than {}; make it faster (cache mounts help), or raise the limit for builds",
        humantime::format_duration(*.0)
    )]
    Deadline(Duration),
    #[error(
        "the build said nothing for {}; a step seems to hang (waiting for input?)",
        humantime::format_duration(*.0)
    )]
    NoProgress(Duration),
    #[error("the build was cancelled")]
    Cancelled,
    /// Ours; worth another try.
    #[error("the Docker engine was lost while it built")]
    EngineLost(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Ours: the engine works but cannot build (its disk is full, its builder broken).
    #[error("the Docker engine cannot build: {0}")]
    Engine(String),
}

/// Where in the Dockerfile, as ` (Dockerfile:3)`; nothing if that is not known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Place(pub(super) Option<(String, usize)>);

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Some((file, line)) => write!(f, " ({file}:{line})"),
            None => Ok(()),
        }
    }
}

/// Signs in the engine's words that the fault is not the Dockerfile's.
const ENGINE_FAULTS: [&str; 6] = [
    "no space left on device",
    "no active session",
    "context canceled",
    "code = Unavailable",
    "failed to mount",
    "input/output error",
];

impl From<WireError> for BuildError {
    fn from(error: WireError) -> Self {
        match error {
            WireError::Refused { status, message } if status.is_client_error() => {
                Self::Dockerfile { message, place: Place::default() }
            }
            WireError::Refused { message, .. } => Self::Engine(message),
            lost @ (WireError::Lost(_) | WireError::Garbled(_)) => Self::EngineLost(lost.into()),
        }
    }
}

/// Sorts the engine's last words by fault.
pub(super) fn classify(message: &str, failed: Option<&FailedStep>, place: Place) -> BuildError {
    if ENGINE_FAULTS.iter().any(|fault| message.contains(fault)) {
        return BuildError::Engine(message.to_owned());
    }
    let step = failed.map(|failed| failed.name.split_once("] ").map_or(&*failed.name, |(_, name)| name));
    match (step, exit_code(message)) {
        (Some(step), Some(137)) => BuildError::Killed { step: step.to_owned(), place },
        (Some(step), Some(exit_code)) => BuildError::Step { step: step.to_owned(), exit_code, place },
        _ => BuildError::Dockerfile { message: plain(message).to_owned(), place },
    }
}

fn exit_code(message: &str) -> Option<i32> {
    let (_, rest) = message.rsplit_once("exit code: ")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// The message without the engine's own call chain.
fn plain(message: &str) -> &str {
    let mut message = message;
    for chain in [
        "failed to solve with frontend dockerfile.v0: ",
        "failed to solve: ",
        "failed to create LLB definition: ",
        "rpc error: code = Unknown desc = ",
    ] {
        message = message.strip_prefix(chain).unwrap_or(message);
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_told_apart() {
        let failed = FailedStep { name: "[2/2] RUN make".into(), message: String::new() };
        let place = Place(Some(("Dockerfile".into(), 2)));
        let say = |message| classify(message, Some(&failed), place.clone()).to_string();
        assert_eq!(
            say("executor failed running [/bin/sh -c make]: exit code: 3"),
            "RUN make ended with exit code 3 (Dockerfile:2)"
        );
        assert_eq!(
            say(r#"process "/bin/sh -c make" did not complete successfully: exit code: 2"#),
            "RUN make ended with exit code 2 (Dockerfile:2)"
        );
        assert!(say("executor failed running [x]: exit code: 137").contains("ran out of memory"));
        assert!(say("write /x: no space left on device").starts_with("the Docker engine cannot build"));
        let message = "failed to solve with frontend dockerfile.v0: failed to create LLB definition: \
                       dockerfile parse error line 2: unknown instruction: FOO";
        assert_eq!(
            classify(message, None, place.clone()).to_string(),
            "dockerfile parse error line 2: unknown instruction: FOO (Dockerfile:2)"
        );
    }
}
