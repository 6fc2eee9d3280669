//! The commit's tree, checked before anything is built from it.

use std::collections::BTreeMap;
use std::sync::Arc;

use slipway_buildpacks::{Choice, DetectError, Source as _, Unreadable};

use super::{Line, Stop};
use crate::domain::app_json::{AppJson, AppJsonError};
use crate::domain::health::{BadCheck, Healthchecks};
use crate::git::snapshot::{Entry, EntryKind, Finding, Snapshot, SnapshotError, SnapshotLimits};
use crate::git::{Oid, Repository};

/// What is built.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) snapshot: Arc<Snapshot>,
    /// What the tree says of how it wants to be built.
    pub(crate) choice: Choice,
    /// What its app.json says of how it is run.
    pub(crate) app_json: AppJson,
    /// What app.json says of how its processes are checked.
    pub(crate) health: Healthchecks,
    /// The folder of the commit's tree that this is; `None` for the root.
    pub(crate) folder: Option<String>,
}

/// Why a commit cannot be built, by who can mend it. The text is for the pusher.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    /// Something in the commit or in the app's settings.
    #[error("{0}")]
    Pushers(String),
    /// Something of the platform's own; the source is for its log alone.
    #[error("the platform could not look into the commit; its log has the cause")]
    Ours(#[source] anyhow::Error),
}

/// Findings that are named one by one.
const NAMED: usize = 5;

pub(crate) async fn take(line: &Line) -> Result<Source, Stop> {
    let repository = line.platform.repository(line.app.id).await.map_err(Stop::ours)?;
    let commit: Oid = line.build.commit.parse().map_err(|error| Stop::ours(anyhow::Error::new(error)))?;
    let limits = line.platform.snapshot_limits();
    let folder = line.app.folder.clone();
    let read =
        tokio::task::spawn_blocking(move || Source::of(&repository, commit, folder.as_deref(), &limits));
    let (source, findings) = read.await.map_err(|error| Stop::ours(error.into()))??;
    if let Some(folder) = &source.folder {
        line.transcript.step(format!("Building the folder {folder}")).await;
    }
    report(line, &findings).await;
    for note in &source.health.notes {
        line.transcript.warn(note).await;
    }
    Ok(source)
}

impl Source {
    /// Reads a commit's tree, or the folder of it that the app is set to, or that the tree itself names. Blocking.
    pub(crate) fn of(
        repository: &Repository,
        commit: Oid,
        folder: Option<&str>,
        limits: &SnapshotLimits,
    ) -> Result<(Self, Vec<Finding>), SourceError> {
        let (snapshot, findings) = Snapshot::of(repository, commit, folder, limits)?;
        let choice = Choice::of(&Tree::of(&snapshot))?;
        let named = choice.folder.as_ref().filter(|_| folder.is_none()).map(|named| named.value.clone());
        let Some(named) = named else {
            let folder = folder.map(str::to_owned);
            return Ok((Self::read(snapshot, choice, folder)?, findings));
        };
        let (snapshot, findings) = Snapshot::of(repository, commit, Some(&named), limits)?;
        let choice = Choice::of(&Tree::of(&snapshot))?.or(choice);
        Ok((Self::read(snapshot, choice, Some(named))?, findings))
    }

    fn read(snapshot: Snapshot, choice: Choice, folder: Option<String>) -> Result<Self, SourceError> {
        let (app_json, health) = match Tree::of(&snapshot).read("app.json")? {
            None => (AppJson::default(), Healthchecks::default()),
            Some(bytes) => {
                let text = slipway_buildpacks::text_of(&bytes);
                (AppJson::parse(&text)?, Healthchecks::parse(&text)?)
            }
        };
        Ok(Self { snapshot: Arc::new(snapshot), choice, app_json, health, folder })
    }
}

impl From<BadCheck> for SourceError {
    fn from(error: BadCheck) -> Self {
        Self::Pushers(error.to_string())
    }
}

/// A snapshot as buildpacks read it.
pub(crate) struct Tree<'a> {
    snapshot: &'a Snapshot,
    files: BTreeMap<&'a str, &'a Entry>,
}

impl<'a> Tree<'a> {
    pub(crate) fn of(snapshot: &'a Snapshot) -> Self {
        let files = snapshot.entries.iter().filter(|entry| matches!(entry.kind, EntryKind::File { .. }));
        Self { snapshot, files: files.map(|entry| (entry.path.as_str(), entry)).collect() }
    }
}

impl slipway_buildpacks::Source for Tree<'_> {
    fn paths(&self) -> Vec<&str> {
        self.files.keys().copied().collect()
    }

    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Unreadable> {
        if !self.files.contains_key(path) {
            return Ok(None);
        }
        self.snapshot.read(path).map_err(|error| match error {
            SnapshotError::Unreadable(lost) => {
                Unreadable::Lost { path: path.to_owned(), reason: lost.to_string() }
            }
            said => Unreadable::Failed { path: path.to_owned(), reason: said.to_string() },
        })
    }

    fn is_executable(&self, path: &str) -> bool {
        let entry = self.files.get(path);
        entry.is_some_and(|entry| matches!(entry.kind, EntryKind::File { executable: true, .. }))
    }
}

impl From<SnapshotError> for SourceError {
    fn from(error: SnapshotError) -> Self {
        match error {
            SnapshotError::Unreadable(_) => Self::Ours(error.into()),
            said => Self::Pushers(said.to_string()),
        }
    }
}

impl From<DetectError> for SourceError {
    fn from(error: DetectError) -> Self {
        match error {
            DetectError::Unreadable(unreadable) => unreadable.into(),
            said => Self::Pushers(said.to_string()),
        }
    }
}

impl From<AppJsonError> for SourceError {
    fn from(error: AppJsonError) -> Self {
        Self::Pushers(error.to_string())
    }
}

impl From<Unreadable> for SourceError {
    fn from(error: Unreadable) -> Self {
        match error {
            Unreadable::Lost { .. } => Self::Ours(error.into()),
            said => Self::Pushers(said.to_string()),
        }
    }
}

impl From<SourceError> for Stop {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::Pushers(said) => Self::Failed(said),
            SourceError::Ours(error) => Self::ours(error),
        }
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
