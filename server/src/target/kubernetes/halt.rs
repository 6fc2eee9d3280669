//! Why a rollout stops, and what the pusher is told after the way back.

use super::cluster::Fault;
use crate::target::RolloutError;
use crate::transcript::Transcript;

/// Why a rollout stops.
#[derive(Debug, thiserror::Error)]
pub(super) enum Halt {
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The release's own fault; a text for the user.
    #[error("{0}")]
    Failed(String),
}

impl From<Halt> for RolloutError {
    fn from(halt: Halt) -> Self {
        match halt {
            Halt::Fault(fault) => fault.into(),
            Halt::Failed(why) => Self::Failed(why),
        }
    }
}

/// The failure's first sentence, at once: the whole text comes when the way back is done.
pub(super) async fn tell_failure(transcript: &Transcript, failure: &Halt) {
    let text = failure.to_string();
    transcript.warn(text.lines().next().unwrap_or_default()).await;
    transcript.detail("Going back").await;
}

/// The error for the caller, from the failure and what came of going back.
pub(super) fn after_going_back(failure: &Halt, back: Result<String, Halt>) -> RolloutError {
    match back {
        Ok(now) => RolloutError::Failed(format!("{failure}\n{now}")),
        // Not known to be back: the same release is tried again later, and goes back then.
        Err(Halt::Fault(fault @ (Fault::Newer | Fault::Unreachable { .. }))) => fault.into(),
        Err(refusal) => RolloutError::Failed(format!("{failure}\nGoing back did not work either: {refusal}")),
    }
}
