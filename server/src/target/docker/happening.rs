//! What happens to containers, in the words of a log. Pure.

use std::collections::HashMap;

use bollard::models::EventMessage;
use jiff::Timestamp;

use super::spec;
use crate::domain::names::AppName;

/// Whose container it is, by its labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Speaker {
    pub(super) app: AppName,
    /// `web.1`.
    pub(super) process: String,
    /// `web`.
    pub(super) kind: String,
}

impl Speaker {
    pub(super) fn of(labels: &HashMap<String, String>) -> Option<Self> {
        let app = labels.get(spec::APP)?.parse().ok()?;
        let kind = labels.get(spec::PROCESS)?.clone();
        let process = match labels.get(spec::NUMBER) {
            Some(number) => format!("{kind}.{number}"),
            None => kind.clone(),
        };
        Some(Self { app, process, kind })
    }
}

/// An event of the engine about a container of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Happening {
    pub(super) id: String,
    pub(super) at: Timestamp,
    pub(super) speaker: Speaker,
    pub(super) what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Started,
    /// Given its restart policy, which a container gets when it has passed its check.
    Released,
    Signalled(&'static str),
    OutOfMemory,
    Died(i64),
    Removed,
}

impl Happening {
    /// `None` for what is not told.
    pub(super) fn read(event: EventMessage) -> Option<Self> {
        let actor = event.actor?;
        let labels = actor.attributes?;
        let at = Timestamp::from_nanosecond(event.time_nano?.into()).ok()?;
        let what = match event.action.as_deref()? {
            "start" => What::Started,
            "update" => What::Released,
            "oom" => What::OutOfMemory,
            "die" => What::Died(labels.get("exitCode")?.parse().ok()?),
            "kill" => match labels.get("signal")?.as_str() {
                "15" => What::Signalled("SIGTERM"),
                "9" => What::Signalled("SIGKILL"),
                _ => return None,
            },
            "destroy" => What::Removed,
            _ => return None,
        };
        Some(Self { id: actor.id?, at, speaker: Speaker::of(&labels)?, what })
    }
}

/// How a container is doing, as far as it has been told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum State {
    #[default]
    Starting,
    Up,
    /// Told to end.
    Stopping,
    Crashed,
}

/// What to say of it, and how the container is doing then.
pub(super) fn words(what: What, state: State, memory: Memory, command: &str) -> (Vec<String>, State) {
    match what {
        What::Started => {
            let mut said = Vec::new();
            if state == State::Crashed {
                said.push("State changed from crashed to starting".to_owned());
            }
            said.push(format!("Starting process with command `{command}`"));
            (said, State::Starting)
        }
        What::Released if state == State::Starting => {
            (vec!["State changed from starting to up".to_owned()], State::Up)
        }
        What::Signalled(signal) => (vec![format!("Stopping process with {signal}")], State::Stopping),
        What::Died(status) => {
            let mut said = Vec::new();
            if memory == Memory::RanOut {
                said.push(
                    "Error R15 (Memory quota vastly exceeded): the process was killed at its limit"
                        .to_owned(),
                );
            }
            said.push(format!("Process exited with status {status}"));
            let before = match state {
                State::Starting => "starting",
                State::Up | State::Crashed => "up",
                State::Stopping => return (said, State::Stopping),
            };
            said.push(format!("State changed from {before} to crashed"));
            (said, State::Crashed)
        }
        What::Released | What::OutOfMemory | What::Removed => (Vec::new(), state),
    }
}

/// Whether the kernel has killed something of the container for its memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Memory {
    #[default]
    Sufficed,
    RanOut,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(what: What, state: State, memory: Memory) -> (String, State) {
        let (said, state) = words(what, state, memory, "bin/web");
        (said.join("; "), state)
    }

    #[test]
    fn a_crash_loop_reads_as_on_heroku() {
        let (text, state) = said(What::Started, State::default(), Memory::Sufficed);
        assert_eq!((text.as_str(), state), ("Starting process with command `bin/web`", State::Starting));
        let (text, state) = said(What::Released, state, Memory::Sufficed);
        assert_eq!(text, "State changed from starting to up");
        assert_eq!(said(What::Released, state, Memory::Sufficed), (String::new(), State::Up));
        let (text, state) = said(What::Died(1), state, Memory::Sufficed);
        assert_eq!(text, "Process exited with status 1; State changed from up to crashed");
        let (text, _) = said(What::Started, state, Memory::Sufficed);
        assert_eq!(text, "State changed from crashed to starting; Starting process with command `bin/web`");
    }

    #[test]
    fn an_end_that_was_asked_for_is_no_crash_and_memory_is_named() {
        let (text, state) = said(What::Signalled("SIGTERM"), State::Up, Memory::Sufficed);
        assert_eq!(text, "Stopping process with SIGTERM");
        assert_eq!(said(What::Died(143), state, Memory::Sufficed).0, "Process exited with status 143");
        let (text, _) = said(What::Died(137), State::Up, Memory::RanOut);
        assert!(text.starts_with("Error R15") && text.contains("status 137"), "{text}");
    }
}
