//! How to build the source, and which processes it declares.

use std::collections::BTreeMap;

use slipway_buildpacks::Plan;

use super::{Line, Stop};
use crate::domain::names::ProcessType;
use crate::domain::procfile;
use crate::git::snapshot::{EntryKind, Snapshot};

/// What the source says of itself.
pub(crate) struct Detected {
    pub(crate) dockerfile: String,
    /// The Procfile's processes; `None` without a Procfile.
    pub(crate) processes: Option<BTreeMap<ProcessType, String>>,
}

impl Detected {
    /// For a dry run: what would be built, and what would run.
    pub(crate) fn describe(&self) -> String {
        let runs = match &self.processes {
            None => "the image's own command as web".to_owned(),
            Some(processes) => processes.keys().map(ProcessType::as_str).collect::<Vec<_>>().join(", "),
        };
        format!("would build with {} and run {runs}", self.dockerfile)
    }
}

pub(crate) async fn choose(line: &Line, source: &Snapshot) -> Result<Detected, Stop> {
    let detected = inspect(source, line.app.dockerfile.as_deref()).map_err(Stop::Failed)?;
    line.transcript.step(format!("Dockerfile found: {}", detected.dockerfile)).await;
    if let Some(processes) = &detected.processes {
        let names: Vec<&str> = processes.keys().map(ProcessType::as_str).collect();
        line.transcript.detail(format!("Procfile declares types -> {}", names.join(", "))).await;
        if processes.keys().any(ProcessType::is_release_phase) {
            line.transcript
                .warn("The `release` line of the Procfile is not run: Slipway has no release phase yet")
                .await;
        }
    }
    Ok(detected)
}

/// Decides without saying anything; the error is written for the pusher.
pub(crate) fn inspect(source: &Snapshot, chosen: Option<&str>) -> Result<Detected, String> {
    let files = source.entries.iter().filter(|entry| matches!(entry.kind, EntryKind::File { .. }));
    let paths = files.map(|entry| entry.path.as_str());
    let Plan::Dockerfile { path } =
        slipway_buildpacks::detect(paths, chosen).map_err(|error| error.to_string())?;
    let processes = match source.read("Procfile") {
        Ok(None) => None,
        Ok(Some(bytes)) => {
            Some(procfile::parse(&String::from_utf8_lossy(&bytes)).map_err(|error| error.to_string())?)
        }
        Err(error) => return Err(error.to_string()),
    };
    Ok(Detected { dockerfile: path, processes })
}
