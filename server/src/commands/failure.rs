//! Why a verb ended badly, and with which exit status.

use super::client::ClientError;

/// A verb's failure; its text is for the user.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The words do not make a verb: status 2. The text is complete, help included.
    #[error("{0}")]
    Usage(String),
    /// The verb cannot be done, or what it waited for went wrong: status 1.
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    Client(#[from] ClientError),
    /// What was run ended by itself with this status, which is the verb's; nothing is left to be told.
    #[error("it ended with status {0}")]
    Exited(u8),
    /// Whoever read the output has gone: nothing is left to be told.
    #[error("the output is closed")]
    OutputGone(#[source] std::io::Error),
}

impl Failure {
    pub(crate) fn refused(text: impl Into<String>) -> Self {
        Self::Refused(text.into())
    }

    /// The exit status: 2 for words that make no verb, else 1.
    pub(super) fn status(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Exited(status) => *status,
            Self::Refused(_) | Self::Client(_) | Self::OutputGone(_) => 1,
        }
    }
}
