//! Building with a Cloud Native Buildpacks builder: that image's own lifecycle, in containers of the engine.
//!
//! Invariants:
//! - No container runs as root, keeps a capability or can gain one. Files get their owner when they are uploaded to a
//!   container that has not started, so that no container has to change it.
//! - Of a builder that is not trusted, the buildpacks and what they start (the app's own scripts too) run only where
//!   there is no login, no cache and no network of the machine; what the exporter goes by (run image, previous image,
//!   buildpacks, report) is carried from phase to phase by us and never lies where they can write.
//! - What a build made is known before it is made: whatever ends it, its containers and volumes are removed.
//!
//! What this does not defend against: a builder image whose *lifecycle* is hostile. It is handed the registry's login
//! in three phases, unless `LifecycleRequest::connected_image` names another image whose lifecycle takes these.

mod archive;
mod builder;
mod ending;
mod error;
mod outcome;
mod papers;
mod phase;
mod pull;
mod source;
mod spec;
mod sweep;
#[cfg(test)]
mod tests;
mod watch;
mod workshop;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use secrecy::SecretString;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use self::builder::Builder;
pub(crate) use self::error::Fault;
pub(crate) use self::error::LifecycleError;
pub(crate) use self::outcome::LifecycleBuilt;
pub(crate) use self::outcome::LifecycleProcess;
use self::papers::Papers;
use self::phase::Phase;
use self::spec::{ANALYZED, GROUP, PLAN, REPORT};
use self::workshop::Workshop;
use super::Engine;
use super::build::Cache;
use crate::domain::names::ConfigKey;
use crate::git::snapshot::Snapshot;
use crate::registry::Registry;
use crate::transcript::Transcript;

/// Everything that a build by a builder image depends on.
#[derive(Clone)]
pub(crate) struct LifecycleRequest {
    pub(crate) snapshot: Arc<Snapshot>,
    /// The builder image, as people write it: `heroku/builder:24`.
    pub(crate) builder: String,
    pub(crate) trust: Trust,
    /// An image whose lifecycle analyzes, restores and exports in place of an untrusted builder's own.
    pub(crate) connected_image: Option<String>,
    /// Where the image goes, with its login.
    pub(crate) registry: Registry,
    /// In that registry, without its host: `slipway/blog`.
    pub(crate) repository: String,
    pub(crate) tag: String,
    /// Digest or tag, in the same repository, of the image whose layers may be used again.
    pub(crate) previous: Option<String>,
    pub(crate) cache: Cache,
    /// What buildpacks see in `/platform/env`.
    pub(crate) environment: BTreeMap<ConfigKey, SecretString>,
    /// Certificates (PEM) to trust besides the usual ones.
    pub(crate) extra_ca: Option<Bytes>,
    pub(crate) limits: LifecycleLimits,
    /// Whose containers and volumes these are: the platform, as its data folder knows it.
    pub(crate) owner: String,
    /// Names the cache: one for each app, by an id that outlives a change of name.
    pub(crate) cache_name: String,
    pub(crate) cancel: CancellationToken,
}

/// Whether an admin vouches for a builder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// One container does everything, with the registry's login and network at hand.
    Trusted,
    /// A container a phase; those that run buildpacks have no login.
    Untrusted,
}

/// What a build may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LifecycleLimits {
    /// Of each container, in bytes; no swap on top.
    pub(crate) memory: u64,
    /// Thousandths of a CPU.
    pub(crate) millicpu: u32,
    /// For the whole build.
    pub(crate) deadline: Duration,
    /// How long a container may say nothing.
    pub(crate) idle_deadline: Duration,
}

impl LifecycleRequest {
    /// `127.0.0.1:5000/slipway/blog:1a2b3c-7`.
    fn image(&self) -> String {
        format!("{}:{}", self.registry.push_repository(&self.repository), self.tag)
    }

    fn previous_image(&self) -> Option<String> {
        let previous = self.previous.as_ref()?;
        let separator = if previous.contains(':') { '@' } else { ':' };
        Some(format!("{}{separator}{previous}", self.registry.push_repository(&self.repository)))
    }
}

impl Engine {
    /// Builds an image and puts it into the registry. When this returns, nothing of the build but its cache is left
    /// in the engine; dropping the future leaves that to a task.
    pub(crate) async fn lifecycle(
        &self,
        request: &LifecycleRequest,
        transcript: &Transcript,
    ) -> Result<LifecycleBuilt, LifecycleError> {
        let workshop = Workshop::new(self, &request.owner);
        let deadline = request.limits.deadline;
        let outcome = tokio::select! {
            biased;
            () = request.cancel.cancelled() => Err(LifecycleError::Cancelled),
            built = timeout(deadline, self.run_lifecycle(request, &workshop, transcript)) => {
                built.unwrap_or(Err(LifecycleError::Deadline(deadline)))
            }
        };
        workshop.clear().await;
        outcome
    }

    async fn run_lifecycle(
        &self,
        request: &LifecycleRequest,
        workshop: &Workshop,
        transcript: &Transcript,
    ) -> Result<LifecycleBuilt, LifecycleError> {
        self.agree().await.map_err(LifecycleError::EngineLost)?;
        let builder = self.builder(request, workshop, transcript).await?;
        let millicpu = self.possible(request.limits.millicpu).await?;
        let job = Job { engine: self, request, builder, workshop, transcript, millicpu };
        let report = match request.trust {
            Trust::Trusted => job.create().await?,
            Trust::Untrusted => job.phase_by_phase().await?,
        };
        outcome::read(request, &report).await
    }

    /// No more CPUs than the engine has: it refuses what it cannot give.
    async fn possible(&self, millicpu: u32) -> Result<u32, LifecycleError> {
        let there = u32::try_from(self.info().await?.cpus).unwrap_or(u32::MAX);
        Ok(if there == 0 { millicpu } else { millicpu.min(there.saturating_mul(1000)) })
    }
}

/// A build under way.
struct Job<'a> {
    engine: &'a Engine,
    request: &'a LifecycleRequest,
    builder: Builder,
    workshop: &'a Workshop,
    transcript: &'a Transcript,
    millicpu: u32,
}

impl Job<'_> {
    /// All phases in one container; gives back the report.
    async fn create(&self) -> Result<Bytes, LifecycleError> {
        let created = self.run(Phase::Create, &Papers::default()).await?;
        self.paper(&created, REPORT).await
    }

    async fn phase_by_phase(&self) -> Result<Bytes, LifecycleError> {
        let mut papers = Papers::default();
        let analyzed = self.run(Phase::Analyze, &papers).await?;
        papers.analyzed = Some(self.paper(&analyzed, ANALYZED).await?);
        self.workshop.dismiss(analyzed).await;
        let detected = self.run(Phase::Detect, &papers).await?;
        papers.group = Some(self.paper(&detected, GROUP).await?);
        papers.plan = Some(self.paper(&detected, PLAN).await?);
        self.workshop.dismiss(detected).await;
        if papers.has_extensions() {
            return Err(LifecycleError::Extensions(self.request.builder.clone()));
        }
        let restored = self.run(Phase::Restore, &papers).await?;
        papers.analyzed = Some(self.paper(&restored, ANALYZED).await?);
        self.workshop.dismiss(restored).await;
        // Its copies of the papers are not read back: buildpacks could have written them.
        let built = self.run(Phase::Build, &papers).await?;
        self.workshop.dismiss(built).await;
        let exported = self.run(Phase::Export, &papers).await?;
        self.paper(&exported, REPORT).await
    }

    /// Runs a phase to its good end; gives back its container, which has ended.
    async fn run(&self, phase: Phase, papers: &Papers) -> Result<String, LifecycleError> {
        if phase != Phase::Create {
            self.transcript.output(format!("===> {}\n", phase.heading()).into()).await;
        }
        let desk = spec::Desk::new();
        let body = spec::container(self, phase, &desk);
        let container = self.workshop.container(phase.program(), body).await?;
        let furniture = papers::furniture(self, phase, papers, &desk).await;
        self.engine.put(&container, furniture).await?;
        if phase.brings_the_source() {
            self.engine.put_source(&container, &self.request.snapshot, self.builder.owner).await?;
        }
        self.watch(phase, &container).await?;
        Ok(container)
    }
}
