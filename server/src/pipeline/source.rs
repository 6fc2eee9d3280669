//! The commit's tree, checked before anything is built from it.

use std::sync::Arc;

use super::{Line, Stop};
use crate::git::Oid;
use crate::git::snapshot::Snapshot;

/// What is built.
pub(crate) struct Source {
    pub(crate) snapshot: Arc<Snapshot>,
    /// The tree's object id.
    pub(crate) tree: String,
}

/// Findings of one kind that are named one by one.
const NAMED: usize = 5;

pub(crate) async fn take(line: &Line) -> Result<Source, Stop> {
    let repository = line.platform.repository(line.app.id).await.map_err(Stop::ours)?;
    let commit: Oid = line.build.commit.parse().map_err(|error| Stop::ours(anyhow::Error::new(error)))?;
    let info = repository.commit_info(commit).await.map_err(|error| Stop::ours(error.into()))?;
    let limits = line.platform.snapshot_limits();
    let read = tokio::task::spawn_blocking(move || Snapshot::of(&repository, commit, None, &limits));
    let snapshot = read.await.map_err(|error| Stop::ours(error.into()))?;
    let snapshot = snapshot.map_err(|error| Stop::Failed(error.to_string()))?;
    Ok(Source { snapshot: Arc::new(snapshot), tree: info.tree.to_string() })
}

