//! What can be wrong with new processes: the same words, and the same next step, on every target.

/// What kind of trouble it is; the next step depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// Ended by itself, on a cluster again and again.
    Crash,
    OutOfMemory,
    /// The container could not be started: no such command, say.
    Start,
    /// A Secret, a key or a user that the container needs is not there.
    Config,
    /// Runs as root where that is forbidden.
    Root,
    NoSuchImage,
    PullDenied,
    /// The registry cannot be asked at the moment.
    PullStalled,
    Unschedulable,
    /// Runs, and does not answer its check.
    NotReady,
    PodSecurity,
    Quota,
    /// The apiserver refuses the pods for another reason.
    Refused,
}

impl Kind {
    /// What the user can do about it.
    pub(crate) fn next_step(self) -> &'static str {
        match self {
            Self::Crash => "Find the cause in the log above, correct it and push again",
            Self::OutOfMemory => {
                "Raise the memory limit of this process type, or let it use less, and push again"
            }
            Self::Start => "Check the command: the Procfile's line, or the Dockerfile's ENTRYPOINT and CMD",
            Self::Config => "Make what is missing available in the namespace and push again",
            Self::Root => {
                "This namespace forbids root: end the Dockerfile with a numeric user, such as `USER 1000`"
            }
            Self::NoSuchImage => {
                "Check that what runs the processes pulls from the registry that the platform pushes to, and push again"
            }
            Self::PullDenied => "Give the platform the registry's credentials for pulling and push again",
            Self::PullStalled => {
                "Check that what runs the processes can reach the registry's pull address, and push again"
            }
            Self::Unschedulable => "Lower the limits or the quantity of this process type, or add nodes",
            Self::NotReady => {
                "Let it listen on 0.0.0.0 and on the port in $PORT (not on one of its own), and answer in time"
            }
            Self::PodSecurity => {
                "Change the pod template to fit the namespace's pod security level, or the level (label pod-security.kubernetes.io/enforce)"
            }
            Self::Quota => {
                "Raise the namespace's ResourceQuota, or lower the limits or the quantity of this process type"
            }
            Self::Refused => "Correct what the sentence above names, or ask who runs the cluster",
        }
    }

    /// Of a pull that failed. Registries answer in their own words; these are the ones that no waiting helps.
    pub(crate) fn of_pull(message: &str) -> Self {
        let message = message.to_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
        if says(&["unauthorized", "denied", "authentication required", "forbidden", "401", "403"]) {
            Self::PullDenied
        } else if says(&["not found", "manifest unknown", "does not exist", "invalid reference"]) {
            Self::NoSuchImage
        } else {
            Self::PullStalled
        }
    }

    /// Of a process that ended with this status: a shell tells by it that there was no such command.
    pub(crate) fn of_exit(code: i64) -> Self {
        if matches!(code, 126 | 127) { Self::Start } else { Self::Crash }
    }
}

/// How a process ended; `after` is ` after 3 s`, ` at once`, or nothing.
pub(crate) fn ended(code: i64, after: &str) -> String {
    let meaning = match code {
        0 => ": a process has to stay up".to_owned(),
        126 => ": its command may not be executed".to_owned(),
        127 => ": its command was not found".to_owned(),
        137 => ": it was killed".to_owned(),
        139 => ": it made a memory fault".to_owned(),
        // A shell reports the signal that ended its child as 128 and its number.
        code @ 129..=159 => format!(": signal {} ended it", code - 128),
        _ => String::new(),
    };
    format!("ended with exit status {code}{after}{meaning}")
}

/// How a process ended that used too much memory; `limit` in bytes.
pub(crate) fn out_of_memory(after: &str, limit: Option<u64>) -> String {
    match limit {
        Some(limit) => format!(
            "was killed{after} because it used more memory than its limit of {} (OOMKilled)",
            bytesize::ByteSize(limit)
        ),
        None => format!("was killed{after} because the machine's memory ran out (OOMKilled)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_told_with_what_it_means() {
        assert_eq!(ended(3, " after 3 s"), "ended with exit status 3 after 3 s");
        assert_eq!(ended(0, " at once"), "ended with exit status 0 at once: a process has to stay up");
        assert_eq!(ended(143, ""), "ended with exit status 143: signal 15 ended it");
        assert_eq!((Kind::of_exit(127), Kind::of_exit(1)), (Kind::Start, Kind::Crash));
    }

    #[test]
    fn pulls_are_told_apart_by_what_waiting_would_help() {
        for (message, expected) in [
            ("rpc error: code = NotFound desc = failed to resolve: x: not found", Kind::NoSuchImage),
            ("manifest unknown: manifest unknown", Kind::NoSuchImage),
            ("pull access denied, repository does not exist or may require authorization", Kind::PullDenied),
            ("failed to authorize: 401 Unauthorized", Kind::PullDenied),
            ("dial tcp 10.0.0.1:5000: connect: connection refused", Kind::PullStalled),
            ("dial tcp: i/o timeout", Kind::PullStalled),
        ] {
            assert_eq!(Kind::of_pull(message), expected, "{message}");
        }
    }
}
