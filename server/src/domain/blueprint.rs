//! What is known of an image's processes: stored with each build and release, so that a rollback needs no guess.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::names::ProcessType;

/// The port that a web process is told in `PORT` when its image names none.
pub(crate) const DEFAULT_PORT: u16 = 8080;

/// How an image's processes are started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Blueprint {
    /// The command of each process type; `None` is the image's own.
    pub(crate) processes: BTreeMap<ProcessType, Option<String>>,
    /// What a web process is told in `PORT`.
    pub(crate) port: u16,
}

impl Blueprint {
    /// From the Procfile if there is one, else one `web` process with the image's own command. An image that exposes
    /// exactly one TCP port gets that one as `PORT`.
    pub(crate) fn new(procfile: Option<BTreeMap<ProcessType, String>>, exposed: &[u16]) -> Self {
        let processes = match procfile {
            Some(commands) => commands
                .into_iter()
                .filter(|(name, _)| !name.is_release_phase())
                .map(|(name, command)| (name, Some(command)))
                .collect(),
            None => BTreeMap::from([(ProcessType::web(), None)]),
        };
        let port = match exposed {
            [port] => *port,
            _ => DEFAULT_PORT,
        };
        Self { processes, port }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_procfile_the_image_runs_as_web() {
        let blueprint = Blueprint::new(None, &[]);
        assert_eq!(blueprint.processes, BTreeMap::from([(ProcessType::web(), None)]));
        assert_eq!(blueprint.port, DEFAULT_PORT);
    }

    #[test]
    fn one_exposed_port_is_the_port_and_two_are_no_answer() {
        assert_eq!(Blueprint::new(None, &[5000]).port, 5000);
        assert_eq!(Blueprint::new(None, &[5000, 6000]).port, DEFAULT_PORT);
    }

    #[test]
    fn the_release_phase_is_no_process() {
        let procfile = crate::domain::procfile::parse("web: a\nrelease: b").expect("parses");
        let blueprint = Blueprint::new(Some(procfile), &[]);
        assert_eq!(blueprint.processes.keys().map(ProcessType::as_str).collect::<Vec<_>>(), ["web"]);
    }
}
