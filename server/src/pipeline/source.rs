//! The commit's tree, checked before anything is built from it.

use std::sync::Arc;

use super::{Line, Stop};
use crate::git::Oid;
use crate::git::snapshot::{Finding, Snapshot, SnapshotError};

/// What is built.
pub(crate) struct Source {
    pub(crate) snapshot: Arc<Snapshot>,
    /// The tree's object id.
    pub(crate) tree: String,
}

/// Findings that are named one by one.
const NAMED: usize = 5;

pub(crate) async fn take(line: &Line) -> Result<Source, Stop> {
    let repository = line.platform.repository(line.app.id).await.map_err(Stop::ours)?;
    let commit: Oid = line.build.commit.parse().map_err(|error| Stop::ours(anyhow::Error::new(error)))?;
    let info = repository.commit_info(commit).await.map_err(|error| Stop::ours(error.into()))?;
    let limits = line.platform.snapshot_limits();
    let read = tokio::task::spawn_blocking(move || Snapshot::of(&repository, commit, None, &limits));
    let (snapshot, findings) = read.await.map_err(|error| Stop::ours(error.into()))?.map_err(stop)?;
    report(line, &findings).await;
    Ok(Source { snapshot: Arc::new(snapshot), tree: info.tree.to_string() })
}

/// Whose fault it is that there is no context.
pub(super) fn stop(error: SnapshotError) -> Stop {
    match error {
        SnapshotError::Unreadable(_) => Stop::ours(error.into()),
        said => Stop::Failed(said.to_string()),
    }
}

/// What a build would silently miss is said before it.
async fn report(line: &Line, findings: &[Finding]) {
    for finding in findings.iter().take(NAMED) {
        let text = match finding {
            Finding::Submodule { path } => format!(
                "{path} is a submodule: its content is in another repository and is NOT in the build. \
                 Commit the files themselves (git subtree does) if the build needs them"
            ),
            Finding::LfsPointer { path } => format!(
                "{path} is a Git LFS pointer: the build gets the pointer, NOT the file. \
                 Commit the file itself (git lfs migrate export) if the build needs it"
            ),
        };
        line.transcript.warn(text).await;
    }
    if let Some(more) = findings.len().checked_sub(NAMED).filter(|more| *more > 0) {
        line.transcript.warn(format!("… and {more} more like these")).await;
    }
}
