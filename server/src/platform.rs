//! What every part of a running server works with. Cheap to clone.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use bytes::Bytes;
use sqlx::PgPool;
use tracing::warn;

use crate::config::ServeArgs;
use crate::crypto::KeyFile;
use crate::db::apps::{self, App};
use crate::db::releases::{self, Code};
use crate::docker::Engine;
use crate::domain::blueprint::Blueprint;
use crate::domain::ids::{AppId, BuildId, ReleaseId};
use crate::domain::names::{AppName, ProcessType};
use crate::drains;
use crate::git::snapshot::SnapshotLimits;
use crate::git::{Oid, Repository};
use crate::hooks::github_app::GithubApp;
use crate::journal::Journals;
use crate::local::router::Keeper;
use crate::pipeline::cancels::Cancels;
use crate::pipeline::cron::Clock;
use crate::pipeline::log::LogHub;
use crate::pipeline::rollouts::Rollouts;
use crate::pipeline::runs::Runs;
use crate::pipeline::unattended::Attendants;
use crate::queue::Queue;
use crate::registry::Registry;
use crate::target::{RegistryLogin, Target};

/// The parts, wired once in `app/`.
#[derive(Clone)]
pub(crate) struct Platform {
    /// What tells this platform's things from others' on a shared engine: the data folder's.
    pub(crate) id: Arc<str>,
    pub(crate) pool: PgPool,
    pub(crate) settings: Arc<ServeArgs>,
    pub(crate) keys: Arc<KeyFile>,
    /// The folder of bare repositories, one per app, named by its id: a rename moves nothing.
    pub(crate) repositories: PathBuf,
    pub(crate) engine: Engine,
    pub(crate) registry: Registry,
    /// What the pulling side needs for the registry.
    pub(crate) pull_login: Option<RegistryLogin>,
    pub(crate) target: Arc<Target>,
    /// The apps' router; `None` where a cluster routes.
    pub(crate) router: Option<Arc<Keeper>>,
    pub(crate) queue: Queue,
    pub(crate) logs: LogHub,
    /// What apps write, and what is said of them.
    pub(crate) journals: Journals,
    /// Told when log drains were added or removed.
    pub(crate) drains: drains::Changed,
    pub(crate) cancels: Cancels<BuildId>,
    /// Of release phases.
    pub(crate) phase_cancels: Cancels<ReleaseId>,
    pub(crate) rollouts: Arc<Rollouts>,
    pub(crate) runs: Runs,
    /// Who attends to what was started and left.
    pub(crate) attendants: Attendants,
    /// What starts the entries of cron on one machine.
    pub(crate) clock: Clock,
    /// What lets the platform in at GitHub, where it is an App.
    pub(crate) github_app: GithubApp,
}

impl Platform {
    /// The app's bare repository; made on the first use.
    pub(crate) async fn repository(&self, app: AppId) -> anyhow::Result<Repository> {
        let path = self.repository_path(app);
        if tokio::fs::try_exists(&path).await.context("the repositories' folder cannot be read")? {
            return Ok(Repository::open(&path).await?);
        }
        Ok(Repository::init(&path).await?)
    }

    pub(crate) fn repository_path(&self, app: AppId) -> PathBuf {
        self.repositories.join(format!("{app}.git"))
    }

    /// Moves the deploy branch to where the database says that it is.
    pub(crate) async fn converge_branch(&self, app: AppId) -> anyhow::Result<()> {
        let mut conn = self.pool.acquire().await?;
        let Some(app) = apps::by_id(&mut conn, app).await? else { return Ok(()) };
        drop(conn);
        let Some(commit) = &app.branch_commit else { return Ok(()) };
        let commit: Oid = commit.parse().context("the stored commit is not an object id")?;
        let repository = self.repository(app.id).await?;
        let name = branch_ref(&app);
        let now = repository.resolve(&name).await?;
        if now != Some(commit) {
            repository.update_ref(&name, commit, now.unwrap_or(Oid::ZERO)).await?;
        }
        repository.set_head(&app.deploy_branch).await?;
        Ok(())
    }

    /// Where the app answers; `None` without a web process or where its address is not ours to know.
    pub(crate) fn url_of(&self, app: &App, code: &Code) -> Option<String> {
        let blueprint: Blueprint = serde_json::from_value(code.blueprint.clone()).ok()?;
        let has_web = blueprint.processes.contains_key(&ProcessType::web());
        (self.routes_apps() && has_web).then(|| self.settings.apps.url_of(app.name.as_str()))
    }

    /// Whether requests to apps come through a router of ours.
    pub(crate) fn routes_apps(&self) -> bool {
        matches!(*self.target, Target::Docker(_))
    }

    /// The app's repository in the registry.
    pub(crate) fn image_repository(&self, app: &AppName) -> String {
        match self.settings.registry.prefix.trim_matches('/') {
            "" => app.to_string(),
            prefix => format!("{prefix}/{app}"),
        }
    }

    /// What a tree may hold to be built.
    pub(crate) fn snapshot_limits(&self) -> SnapshotLimits {
        let limits = &self.settings.limits;
        SnapshotLimits {
            entries: usize::try_from(limits.files).unwrap_or(usize::MAX),
            bytes: limits.context_bytes,
            depth: limits.depth as usize,
            path_bytes: limits.path_bytes as usize,
        }
    }

    /// The certificates that builds shall trust besides the usual ones.
    pub(crate) async fn extra_ca(&self) -> anyhow::Result<Option<Bytes>> {
        let Some(path) = &self.settings.build.extra_ca else { return Ok(None) };
        let pem = tokio::fs::read(path).await.with_context(|| {
            format!("the extra CA file {} (SLIPWAY_BUILD_EXTRA_CA) cannot be read", path.display())
        })?;
        Ok(Some(pem.into()))
    }

    /// A release has ended outside of its build: whoever follows the build learns it now.
    pub(crate) async fn changed(&self, release: ReleaseId) {
        let build = async {
            let mut conn = self.pool.acquire().await?;
            Ok::<_, sqlx::Error>(
                releases::by_id(&mut conn, release).await?.and_then(|release| release.build_id),
            )
        };
        match build.await {
            Ok(Some(build)) => self.logs.wake(build),
            Ok(None) => {}
            Err(error) => warn!("Could not look up the build of a release: {error}"),
        }
    }

    /// The folder whose disk fills first.
    pub(crate) fn data_dir(&self) -> &Path {
        &self.repositories
    }
}

/// The full name of the app's deploy branch.
pub(crate) fn branch_ref(app: &App) -> String {
    format!("refs/heads/{}", app.deploy_branch)
}
