//! Batches: a Job that is made once, followed, and asked for its end.

use std::time::Duration;

use bytes::Bytes;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::ResourceExt;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::KubernetesTarget;
use super::batch_pod::{self, Stage};
use super::cluster::{Cluster, FIELD_MANAGER, Fault, doing};
use super::halt::Halt;
use super::live;
use super::manifest::Blueprint;
use super::objects;
use super::trouble::{Kind, Trouble};
use super::{apply, evidence, job};
use crate::domain::ids::BatchId;
use crate::target::RolloutError;
use crate::target::batch::{Batch, Ended, GRACE, Leftover, NOT_FOUND, Take};

/// Pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long a Job may be without a pod before its events are asked why.
const POD_WAIT: Duration = Duration::from_secs(3);
/// On top of the grace, what a pod may take to be gone.
const GONE_WAIT: Duration = Duration::from_secs(15);
/// A Secret that was written a moment ago may not have reached the kubelet.
const CONFIG_GRACE: Duration = Duration::from_secs(5);

impl KubernetesTarget {
    pub(crate) async fn run_batch(
        &self,
        batch: &Batch,
        output: &mpsc::Sender<Bytes>,
        stop: &CancellationToken,
    ) -> Result<Ended, RolloutError> {
        let running = Box::pin(async {
            self.ensure_job(batch).await?;
            Course::new(self, batch).follow(output).await
        });
        match stop.run_until_cancelled(running).await {
            Some(Ok(ended)) => Ok(ended),
            Some(Err(halt)) => Err(halt.into()),
            None => {
                self.end_batch(&name_of(batch)).await?;
                Err(RolloutError::Interrupted)
            }
        }
    }

    /// The Jobs of batches.
    pub(crate) async fn batches(&self) -> Result<Vec<Leftover>, RolloutError> {
        let selector = objects::batch_selector(&self.platform);
        let jobs = match self.cluster.list::<Job>(&selector).await {
            // Told by `health`; here it is as if there were none.
            Err(fault) if fault.is_forbidden() => Vec::new(),
            other => other?,
        };
        Ok(jobs.iter().filter_map(|job| Some(Leftover { id: id_of(job)?, object: job.name_any() })).collect())
    }

    /// Removes the Job and waits until its pod is gone too.
    pub(crate) async fn end_batch(&self, name: &str) -> Result<(), RolloutError> {
        if let Some(job) = self.cluster.get::<Job>(name).await? {
            self.end_job(&job).await?;
        }
        Ok(())
    }

    pub(super) async fn end_job(&self, job: &Job) -> Result<(), Fault> {
        apply::delete(&self.cluster, job, i64::MAX).await?;
        let deadline = Instant::now() + GRACE + GONE_WAIT;
        let mut looks = tokio::time::interval(LOOK_EVERY);
        while !pods_of(&self.cluster, &job.name_any()).await?.is_empty() && Instant::now() < deadline {
            looks.tick().await;
        }
        Ok(())
    }

    /// Makes the batch's Job unless it is there. One of that name for another batch is a leftover.
    async fn ensure_job(&self, batch: &Batch) -> Result<(), Halt> {
        if let Take::FollowJob(_) = batch.take {
            return Ok(());
        }
        let name = job::name(batch);
        if let Some(found) = self.cluster.get::<Job>(&name).await? {
            if id_of(&found) == Some(batch.id) {
                return self.release_job(batch, &found).await;
            }
            if !objects::is_ours(&found.metadata, &self.platform, &batch.of.app) {
                return Err(live::stranger("Job", &name, &self.cluster));
            }
            self.end_job(&found).await?;
        }
        if batch.take == Take::Follow {
            return Err(Halt::Failed(NOT_FOUND.to_owned()));
        }
        let run_as = live::run_as(&self.cluster).await?;
        let blueprint = Blueprint { platform: &self.platform, workload: &batch.of, run_as };
        for secret in blueprint.env_secret().iter().chain(&blueprint.pull_secret()) {
            self.cluster.apply(&secret.name_any(), secret).await?;
        }
        let jobs = self.cluster.api::<Job>();
        let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..Default::default() };
        let made = job::job(&self.platform, batch, run_as);
        match self.cluster.call(&doing::<Job>("making", &name), || jobs.create(&params, &made)).await {
            // The answer to an earlier try was lost.
            Err(fault) if fault.is_conflict() => match self.cluster.get::<Job>(&name).await? {
                Some(made) => self.release_job(batch, &made).await,
                None => Ok(()),
            },
            other => self.release_job(batch, &other?).await,
        }
    }

    /// Lets a run of cron begin that somebody has started by hand, once it has its entry's place.
    async fn release_job(&self, batch: &Batch, made: &Job) -> Result<(), Halt> {
        let waits = made.spec.as_ref().is_some_and(|spec| spec.suspend == Some(true));
        let Some(entry) = batch.entry().filter(|_| waits) else { return Ok(()) };
        if let Err(halt) = self.take_place((&batch.of.app, entry), made).await {
            self.end_job(made).await?;
            return Err(halt);
        }
        let (jobs, name) = (self.cluster.api::<Job>(), made.name_any());
        let patch = Patch::Merge(json!({ "spec": { "suspend": false } }));
        let params = PatchParams::default();
        let resume = || jobs.patch(&name, &params, &patch);
        Ok(self.cluster.call(&doing::<Job>("starting", &name), resume).await.map(drop)?)
    }
}

fn name_of(batch: &Batch) -> String {
    match &batch.take {
        Take::FollowJob(name) => name.clone(),
        Take::StartOrFollow | Take::Follow => job::name(batch),
    }
}

fn id_of(job: &Job) -> Option<BatchId> {
    objects::label(&job.metadata, objects::BATCH)?.parse().ok().map(BatchId)
}

pub(super) async fn pods_of(cluster: &Cluster, job: &str) -> Result<Vec<Pod>, Fault> {
    cluster.list::<Pod>(&format!("batch.kubernetes.io/job-name={job}")).await
}

/// A batch's Job so far.
struct Course<'a> {
    target: &'a KubernetesTarget,
    batch: &'a Batch,
    job: String,
    /// Bytes of output that were sent.
    sent: usize,
    since: Instant,
    /// Since when the pod has had this trouble.
    trouble: Option<(Kind, Instant)>,
}

impl<'a> Course<'a> {
    fn new(target: &'a KubernetesTarget, batch: &'a Batch) -> Self {
        Self { target, batch, job: name_of(batch), sent: 0, since: Instant::now(), trouble: None }
    }

    async fn follow(mut self, output: &mpsc::Sender<Bytes>) -> Result<Ended, Halt> {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        loop {
            looks.tick().await;
            if let Some(ended) = Box::pin(self.look(output)).await? {
                return Ok(ended);
            }
        }
    }

    /// Sends what there is; how the batch ended, if it has.
    async fn look(&mut self, output: &mpsc::Sender<Bytes>) -> Result<Option<Ended>, Halt> {
        let cluster = &self.target.cluster;
        let (job, pods) = tokio::try_join!(cluster.get::<Job>(&self.job), pods_of(cluster, &self.job))?;
        let Some(job) = job else {
            return Err(Halt::Failed(
                "its Job was deleted while it ran: somebody did that by hand, or the app was destroyed"
                    .to_owned(),
            ));
        };
        let ended = batch_pod::end_of_job(&job);
        let Some(pod) = pods.first() else {
            return match ended {
                Some(ended) => ended.map(Some).map_err(Halt::Failed),
                None => self.without_pod().await.map(|()| None),
            };
        };
        match batch_pod::stage(pod) {
            Stage::Waits => self.bear(pod).await.map(|()| None),
            Stage::Runs | Stage::Ended(_) if self.read(pod, output).await => Ok(None),
            // One that is being deleted was ended from outside, and its Job says why.
            Stage::Ended(ended) if pod.metadata.deletion_timestamp.is_none() => {
                ended.map(Some).map_err(Halt::Failed)
            }
            Stage::Runs | Stage::Ended(_) => ended.transpose().map_err(Halt::Failed),
        }
    }

    /// Reads the log to its end; whether something came.
    async fn read(&mut self, pod: &Pod, output: &mpsc::Sender<Bytes>) -> bool {
        let before = self.sent;
        self.sent = batch_pod::copy_log(&self.target.cluster, &pod.name_any(), before, output).await;
        self.sent > before
    }

    /// A pod that cannot start is borne for as long as that may pass by itself.
    async fn bear(&mut self, pod: &Pod) -> Result<(), Halt> {
        let Some(trouble) = super::trouble::of_pod(pod) else { return Ok(()) };
        let since = match self.trouble {
            Some((kind, since)) if kind == trouble.kind => since,
            _ => Instant::now(),
        };
        self.trouble = Some((trouble.kind, since));
        let patience = &self.target.patience;
        let borne = match trouble.kind {
            Kind::Unschedulable => patience.unschedulable,
            Kind::PullStalled => patience.pull,
            _ => CONFIG_GRACE,
        };
        if since.elapsed() < borne { Ok(()) } else { Err(self.give_up(&trouble).await) }
    }

    /// The Job's controller tells by events alone why it can make no pod.
    async fn without_pod(&mut self) -> Result<(), Halt> {
        if self.since.elapsed() < POD_WAIT {
            return Ok(());
        }
        let api = self.target.cluster.api::<Event>();
        let params = ListParams::default().fields(&format!(
            "involvedObject.kind=Job,involvedObject.name={},type=Warning,reason=FailedCreate",
            self.job
        ));
        let found = self.target.cluster.call(&doing::<Event>("listing", ""), || api.list(&params)).await?;
        let Some(message) = found.items.into_iter().rev().find_map(|event| event.message) else {
            return Ok(());
        };
        Err(self.give_up(&super::trouble::of_refusal(&message)).await)
    }

    async fn give_up(&self, trouble: &Trouble) -> Halt {
        let text = evidence::describe(&self.target.cluster, &self.batch.name, trouble).await;
        Halt::Failed(text)
    }
}
