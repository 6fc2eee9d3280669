//! What a dry run tells the pusher.

use tracing::warn;

use crate::pipeline::detect::Detected;
use crate::pipeline::source::SourceError;

/// The end of a dry run.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// For the terminal, in whole lines.
    pub(super) text: String,
    /// Why the ref has not moved.
    pub(super) reason: String,
}

/// A fault of the platform's own goes to its log; the pusher is told where it went.
pub(super) fn told(found: Result<Detected, SourceError>) -> Told {
    let error = match found {
        Ok(found) => {
            let text = format!("-----> Dry run: {}\n", found.describe());
            return Told { text, reason: "dry run: nothing was deployed".to_owned() };
        }
        Err(error) => error,
    };
    if let SourceError::Ours(cause) = &error {
        warn!("A dry run came to nothing: {cause:#}");
    }
    let said = error.to_string();
    Told {
        text: said.lines().map(|line| format!(" !     {line}\n")).collect(),
        reason: format!("dry run: {}", said.lines().next().unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_pushers_to_mend_is_told_whole_and_its_first_line_is_the_reason() {
        let told = told(Err(SourceError::Pushers("no Dockerfile.\nAdd one.".to_owned())));
        assert_eq!(told.text, " !     no Dockerfile.\n !     Add one.\n");
        assert_eq!(told.reason, "dry run: no Dockerfile.");
    }

    #[test]
    fn what_is_ours_to_mend_is_not_shown_to_the_pusher() {
        let told = told(Err(SourceError::Ours(anyhow::anyhow!("/etc/slipway/bases (SLIPWAY_BASE_IMAGES)"))));
        let sentence = "the platform could not look into the commit; its log has the cause";
        assert_eq!(told.text, format!(" !     {sentence}\n"));
        assert_eq!(told.reason, format!("dry run: {sentence}"));
    }
}
