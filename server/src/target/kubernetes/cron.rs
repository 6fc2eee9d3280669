//! Entries of cron as CronJobs. The cluster is their clock: they start while the platform is down, too.
//!
//! The Jobs that a CronJob makes are its own: they carry no batch's id, and go by its history limits. What they write and
//! how they end is read by whoever hears of them here.

use std::collections::HashSet;

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{CronJob, CronJobSpec, Job, JobSpec, JobTemplateSpec};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::KubernetesTarget;
use super::cluster::{Cluster, Fault, doing};
use super::halt::Halt;
use super::manifest::Blueprint;
use super::pod_spec::whole_seconds;
use super::{apply, batch_pod, job, objects};
use crate::domain::ids::BatchId;
use crate::domain::names::AppName;
use crate::target::batch::{Batch, CronEntry, CronRun, Take};

/// Jobs of an entry that stay, so that what they wrote can be read after the platform was down.
const HISTORY: i32 = 3;
/// How long an ended Job stays at most; also one whose CronJob has gone.
const TTL_SECONDS: i32 = 24 * 3600;
/// Times that a CronJob's status is written when its controller was faster.
const ATTEMPTS: usize = 8;
/// Set by the controller: when a Job was due.
const DUE_AT: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";

/// Writes the workload's CronJobs. Those of entries that are gone are taken away with the rest, once all is well.
pub(super) async fn everything(cluster: &Cluster, blueprint: Blueprint<'_>, fence: i64) -> Result<(), Fault> {
    for entry in &blueprint.workload.cron {
        let object = blueprint.cron_job(entry);
        let name = object.name_any();
        let live = cluster.get::<CronJob>(&name).await?;
        apply::fenced(cluster, &name, live, fence, |_| object.clone()).await?;
    }
    Ok(())
}

/// The app's CronJobs.
pub(super) async fn of(cluster: &Cluster, platform: &str, app: &AppName) -> Result<Vec<CronJob>, Fault> {
    match cluster.list::<CronJob>(&objects::owned_selector(platform, app)).await {
        // Told by `health`; here it is as if there were none.
        Err(fault) if fault.is_forbidden() => Ok(Vec::new()),
        other => other,
    }
}

impl Blueprint<'_> {
    fn cron_job(&self, entry: &CronEntry) -> CronJob {
        let mut labels = objects::app_labels(self.platform, &self.workload.app);
        labels.insert(objects::CRON.to_owned(), entry.name.clone());
        let batch = self.batch(entry);
        let metadata = |name| ObjectMeta {
            name,
            labels: Some(labels.clone()),
            annotations: Some(self.version()),
            ..Default::default()
        };
        CronJob {
            metadata: metadata(Some(objects::cron_job_name(&self.workload.app, &entry.name))),
            spec: Some(CronJobSpec {
                schedule: entry.schedule.clone(),
                time_zone: Some(entry.timezone.clone()),
                concurrency_policy: Some("Forbid".to_owned()),
                starting_deadline_seconds: Some(whole_seconds(CronEntry::CATCH_UP)),
                successful_jobs_history_limit: Some(HISTORY),
                failed_jobs_history_limit: Some(HISTORY),
                // Somebody with kubectl may have suspended it.
                suspend: None,
                job_template: JobTemplateSpec {
                    metadata: Some(metadata(None)),
                    spec: Some(JobSpec {
                        ttl_seconds_after_finished: Some(TTL_SECONDS),
                        ..job::spec(&batch, labels.clone(), self.run_as)
                    }),
                },
            }),
            status: None,
        }
    }

    /// As one that is run by hand.
    fn batch(&self, entry: &CronEntry) -> Batch {
        let mut of = self.workload.clone();
        if let Some(image) = &entry.image {
            of.image.clone_from(image);
        }
        Batch {
            id: BatchId(Uuid::nil()),
            name: format!("cron-{}", entry.name),
            dyno: format!("cron.{}", entry.name),
            of,
            command: entry.command.clone(),
            environment: Default::default(),
            limits: entry.limits.clone(),
            deadline: entry.time_limit,
            take: Take::StartOrFollow,
        }
    }
}

impl KubernetesTarget {
    /// One watch for the Jobs of all apps' CronJobs.
    pub(crate) async fn watch_cron(&self, runs: mpsc::Sender<CronRun>, stop: &CancellationToken) {
        let config = watcher::Config::default().labels(&objects::cron_selector(&self.platform));
        let events = watcher::watcher(self.cluster.api::<Job>(), config).default_backoff();
        let mut events = std::pin::pin!(events);
        let mut told = HashSet::new();
        loop {
            let event = tokio::select! {
                () = stop.cancelled() => return,
                event = events.next() => event,
            };
            match event {
                Some(Ok(Event::Apply(job) | Event::InitApply(job))) => {
                    let Some(run) = run_of(&job) else { continue };
                    if told.insert(run.id) && runs.send(run).await.is_err() {
                        return;
                    }
                }
                Some(Ok(Event::Delete(job))) => {
                    if let Some(run) = run_of(&job) {
                        told.remove(&run.id);
                    }
                }
                Some(Ok(Event::Init | Event::InitDone)) => {}
                // Asked again with growing pauses.
                Some(Err(error)) => tracing::debug!("The Jobs of cron cannot be watched: {error}"),
                None => return stop.cancelled().await,
            }
        }
    }
}

impl KubernetesTarget {
    /// Has the clock of an entry count a Job that it has not made, so that it starts no other beside it: what is in
    /// `status.active` keeps its place as long as there is such a Job. Refused while the entry runs.
    pub(super) async fn take_place(&self, (app, entry): (&AppName, &str), made: &Job) -> Result<(), Halt> {
        let name = objects::cron_job_name(app, entry);
        let cron_jobs = self.cluster.api::<CronJob>();
        for _ in 0..ATTEMPTS {
            let Some(found) = self.cluster.get::<CronJob>(&name).await? else { return Ok(()) };
            let active =
                found.status.as_ref().and_then(|status| status.active.as_deref()).unwrap_or_default();
            if active.iter().any(|active| active.uid == made.metadata.uid) {
                return Ok(());
            }
            for other in active {
                if self.goes_on(other).await? {
                    let name = other.name.as_deref().unwrap_or_default();
                    return Err(Halt::Failed(format!(
                        "the cluster's clock has started it just now, as {name}"
                    )));
                }
            }
            let active = json!([{ "apiVersion": "batch/v1", "kind": "Job", "name": made.name_any(),
                "namespace": self.cluster.namespace(), "uid": made.metadata.uid }]);
            let patch =
                Patch::Merge(json!({ "metadata": { "resourceVersion": found.metadata.resource_version },
                "status": { "active": active } }));
            let params = PatchParams::default();
            let write = || cron_jobs.patch_status(&name, &params, &patch);
            match self.cluster.call(&doing::<CronJob>("taking the place of", &name), write).await {
                // The controller has written it meanwhile.
                Err(fault) if fault.is_conflict() => {}
                other => return Ok(other.map(drop)?),
            }
        }
        Err(Halt::Failed(format!("CronJob {name} changes all the time: try again")))
    }

    /// The controller looks at what is active when the entry is due again: until then, Jobs that are gone stand there.
    async fn goes_on(&self, active: &ObjectReference) -> Result<bool, Fault> {
        let found = self.cluster.get::<Job>(active.name.as_deref().unwrap_or_default()).await?;
        Ok(found.is_some_and(|job| job.metadata.uid == active.uid && batch_pod::end_of_job(&job).is_none()))
    }
}

fn run_of(job: &Job) -> Option<CronRun> {
    let label = |name: &str| objects::label(&job.metadata, name);
    let due_at = objects::annotation(&job.metadata, DUE_AT).and_then(|at| at.parse::<Timestamp>().ok());
    Some(CronRun {
        id: job.uid()?.parse().ok().map(BatchId)?,
        app: label(objects::INSTANCE)?.parse().ok()?,
        entry: label(objects::CRON)?.to_owned(),
        version: objects::version_of(&job.metadata),
        job: job.name_any(),
        due_at,
    })
}
