//! What is known of an image's processes: stored with each build and release, so that a rollback needs no guess.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::app_json::AppJson;
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
    /// What runs before the processes move, at every release; the Procfile's `release` line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) release: Option<String>,
    /// What runs after the app's first release; `scripts.postdeploy` of app.json.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) postdeploy: Option<String>,
}

impl Blueprint {
    /// From the Procfile if it names a process, else one `web` process with the image's own command. An image that
    /// exposes exactly one TCP port gets that one as `PORT`.
    pub(crate) fn new(procfile: Option<BTreeMap<ProcessType, String>>, exposed: &[u16]) -> Self {
        let (phases, lasting): (BTreeMap<_, _>, BTreeMap<_, _>) =
            procfile.unwrap_or_default().into_iter().partition(|(name, _)| name.is_release_phase());
        let processes = if lasting.is_empty() {
            BTreeMap::from([(ProcessType::web(), None)])
        } else {
            lasting.into_iter().map(|(name, command)| (name, Some(command))).collect()
        };
        let port = match exposed {
            [port] => *port,
            _ => DEFAULT_PORT,
        };
        Self { processes, port, release: phases.into_values().next(), postdeploy: None }
    }

    /// With what app.json says besides.
    pub(crate) fn with(self, app_json: &AppJson) -> Self {
        Self { postdeploy: app_json.postdeploy.clone(), ..self }
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
        assert_eq!(blueprint.release.as_deref(), Some("b"));
    }

    #[test]
    fn a_procfile_with_a_release_phase_alone_leaves_web_to_the_image() {
        let procfile = crate::domain::procfile::parse("release: b").expect("parses");
        let blueprint = Blueprint::new(Some(procfile), &[]);
        assert_eq!(blueprint.processes, BTreeMap::from([(ProcessType::web(), None)]));
    }

    #[test]
    fn a_blueprint_that_was_stored_before_there_were_phases_is_read() {
        let stored = serde_json::json!({ "processes": { "web": null }, "port": 8080 });
        let blueprint: Blueprint = serde_json::from_value(stored.clone()).expect("reads");
        assert_eq!((&blueprint.release, &blueprint.postdeploy), (&None, &None));
        assert_eq!(serde_json::to_value(blueprint).expect("writes"), stored);
    }
}
