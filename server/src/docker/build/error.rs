//! How a build ends when it does not end well, and whose fault that is.

use std::time::Duration;

use super::super::wire::WireError;
use super::progress::FailedStep;
use super::title::title;

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildError {
    /// The user's: a step ended with an exit code.
    #[error("{step} ended with exit code {exit_code}{place}")]
    Step {
        /// `RUN make`.
        step: String,
        exit_code: u32,
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
    /// The user's, unless the network is at fault: `FROM` or `# syntax=` names what cannot be had.
    #[error(
        "the image {image} cannot be had: {message}; check its name, and that the engine's machine reaches its \
         registry (a private one needs a login in the settings)"
    )]
    BaseImage { image: String, message: String },
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

/// What the engine puts before the words that matter.
const CHAINS: [&str; 7] = [
    "failed to solve with frontend dockerfile.v0: ",
    "failed to solve with frontend gateway.v0: ",
    "failed to solve: ",
    "failed to create LLB definition: ",
    "failed to compute cache key: ",
    "failed to load cache key: ",
    "rpc error: code = Unknown desc = ",
];

/// 128 and SIGKILL: the kernel's answer to too much memory.
const KILLED: u32 = 137;

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
    let step = failed.map(|failed| failed.name.split_once("] ").map_or(&*failed.name, |(_, name)| name));
    if let (Some(step), Some(ending)) = (step, ending(message)) {
        let step = title(step);
        return match ending {
            Ending::Killed => BuildError::Killed { step, place },
            Ending::ExitCode(exit_code) => BuildError::Step { step, exit_code, place },
        };
    }
    if ENGINE_FAULTS.iter().any(|fault| message.contains(fault)) {
        return BuildError::Engine(message.to_owned());
    }
    let message = plain(message).to_owned();
    match failed.and_then(|failed| base_image(&failed.name)) {
        Some(image) => BuildError::BaseImage { image: image.to_owned(), message },
        None => BuildError::Dockerfile { message, place },
    }
}

/// The image that a step fetches.
fn base_image(step: &str) -> Option<&str> {
    let named = step.strip_prefix("[internal] load metadata for ");
    let named = named.or_else(|| step.strip_prefix("resolve image config for "));
    named.or_else(|| step.rsplit_once("FROM ").map(|(_, image)| image))
}

/// How a step's process ended.
enum Ending {
    ExitCode(u32),
    Killed,
}

/// Only the very end of the message counts: the rest quotes the user's command.
fn ending(message: &str) -> Option<Ending> {
    if message.ends_with(": cannot allocate memory") {
        return Some(Ending::Killed);
    }
    match message.rsplit_once("exit code: ")?.1.parse().ok()? {
        KILLED => Some(Ending::Killed),
        exit_code => Some(Ending::ExitCode(exit_code)),
    }
}

/// The message without the engine's own call chain.
fn plain(message: &str) -> &str {
    let mut message = message;
    while let Some(rest) = CHAINS.iter().find_map(|chain| message.strip_prefix(chain)) {
        message = rest;
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
        assert!(
            say("process x did not complete successfully: cannot allocate memory").contains("out of memory")
        );
        assert!(
            say("executor failed running [echo no space left on device]: exit code: 1")
                .contains("exit code 1")
        );
        assert!(say("write /x: no space left on device").starts_with("the Docker engine cannot build"));
        let message = "failed to solve with frontend dockerfile.v0: failed to create LLB definition: \
                       dockerfile parse error line 2: unknown instruction: FOO";
        assert_eq!(
            classify(message, None, place.clone()).to_string(),
            "dockerfile parse error line 2: unknown instruction: FOO (Dockerfile:2)"
        );
        for step in
            ["[internal] load metadata for x/y:1", "resolve image config for x/y:1", "[a 1/2] FROM x/y:1"]
        {
            let failed = FailedStep { name: step.into(), message: String::new() };
            let error = classify("failed to load cache key: not found", Some(&failed), place.clone());
            assert!(error.to_string().starts_with("the image x/y:1 cannot be had: not found; "), "{error}");
        }
    }
}
