//! Fresh pods for a release that runs.
//!
//! A restart is an annotation on the pod template, kubectl's own, written apart from what a release applies: so a
//! later apply leaves it as it is, and going back to a release goes back to the pods that ran.

use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::KubernetesTarget;
use super::apply;
use super::cluster::{FIELD_MANAGER, Fault, doing};
use super::halt::Halt;
use super::live::Live;
use super::objects;
use super::watch::{self, Patience, Watched};
use crate::domain::formation::Which;
use crate::target::{Process, ProcessStatus, RolloutError, Workload};
use crate::transcript::Transcript;

/// Times that one write is tried when the object changed between our look and our write.
const ATTEMPTS: usize = 8;
/// Between two looks at the pods beside one that was ended.
const LOOK_EVERY: Duration = Duration::from_millis(400);

/// A Deployment that was told to restart, and what it was told before.
struct Restarting {
    watched: Watched,
    before: Option<String>,
}

impl KubernetesTarget {
    /// Replaces the pods of these process types, or one pod by its name, and waits until the fresh ones are healthy.
    pub(crate) async fn restart(
        &self,
        running: &Workload,
        which: &Which,
        transcript: &Transcript,
        interrupt: &CancellationToken,
    ) -> Result<(), RolloutError> {
        let restart = async {
            match which {
                Which::Named(name) => self.replace_pod(running, name, transcript).await,
                Which::All | Which::Type(_) => self.restart_types(running, which, transcript).await,
            }
        };
        let ended = interrupt.run_until_cancelled(restart).await;
        ended.map_or(Err(RolloutError::Interrupted), |ended| Ok(ended?))
    }

    /// Moves to `next`, which has one process fewer: the pod of this name.
    pub(crate) async fn stop(
        &self,
        (next, previous): (&Workload, &Workload),
        pod: &str,
        transcript: &Transcript,
        interrupt: &CancellationToken,
    ) -> Result<(), RolloutError> {
        let first = json!({ "metadata": { "annotations": { objects::DELETION_COST: "-1000" } } });
        let pods = self.cluster.api::<Pod>();
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..Default::default() };
        let patch = Patch::Merge(&first);
        let marked =
            self.cluster.call(&doing::<Pod>("patching", pod), || pods.patch(pod, &params, &patch)).await;
        match marked {
            // It has ended by itself; the number is still to become what was asked for.
            Err(fault) if fault.is_missing() => {}
            other => drop(other?),
        }
        self.roll_out(next, Some(previous), transcript, interrupt).await
    }

    async fn restart_types(
        &self,
        running: &Workload,
        which: &Which,
        transcript: &Transcript,
    ) -> Result<(), Halt> {
        let live = Live::survey(&self.cluster, &self.platform, running, running.version).await?;
        let now = jiff::Timestamp::now().to_string();
        let chosen = running.processes.iter().filter(|process| which.covers(&process.name, ""));
        let told = chosen.map(|process| self.tell(running, &live, process, Some(&now)));
        let told: Vec<Restarting> = join_all(told)
            .await
            .into_iter()
            .collect::<Result<Vec<_>, Fault>>()?
            .into_iter()
            .flatten()
            .collect();
        let watched: Vec<Watched> = told.iter().map(|one| one.watched.clone()).collect();
        match watch::until_done(&self.cluster, &watched, &self.patience, transcript).await {
            Err(Halt::Failed(why)) => self.take_back(running, &live, (told, why), transcript).await,
            other => other,
        }
    }

    /// The templates as they were: what still runs of them goes on, and what was replaced comes back.
    async fn take_back(
        &self,
        running: &Workload,
        live: &Live,
        (told, why): (Vec<Restarting>, String),
        transcript: &Transcript,
    ) -> Result<(), Halt> {
        let mut watched = Vec::new();
        for one in told {
            let Some(process) =
                running.processes.iter().find(|process| process.name.as_str() == one.watched.label)
            else {
                continue;
            };
            let told = self.tell(running, live, process, one.before.as_deref()).await?;
            watched.extend(told.map(|one| one.watched));
        }
        let patience = Patience { total: self.patience.going_back, ..self.patience.clone() };
        let now = match watch::until_done(&self.cluster, &watched, &patience, transcript).await {
            Ok(()) => "The processes from before the restart run on.".to_owned(),
            Err(halt) => format!("The processes from before the restart are not all healthy either:\n{halt}"),
        };
        Err(Halt::Failed(format!("{why}\n{now}")))
    }

    /// Sets or removes the annotation, unless the Deployment is gone or of a newer release.
    async fn tell(
        &self,
        running: &Workload,
        live: &Live,
        process: &Process,
        at: Option<&str>,
    ) -> Result<Option<Restarting>, Fault> {
        let name = objects::deployment_name(&running.app, &process.name);
        let deployments = self.cluster.api::<Deployment>();
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..Default::default() };
        let mut attempt = 1;
        loop {
            let Some(found) = self.cluster.get::<Deployment>(&name).await? else { return Ok(None) };
            if objects::version_of(&found.metadata) > running.version {
                return Err(Fault::Newer);
            }
            let template = found.spec.as_ref().and_then(|spec| spec.template.metadata.as_ref());
            let before = template.and_then(|metadata| objects::annotation(metadata, objects::RESTARTED_AT));
            let patch = json!({
                "metadata": { "resourceVersion": found.resource_version() },
                "spec": { "template": { "metadata": { "annotations": { objects::RESTARTED_AT: at } } } },
            });
            let patch = Patch::Merge(&patch);
            let what = doing::<Deployment>("patching", &name);
            let patched = self.cluster.call(&what, || deployments.patch(&name, &params, &patch)).await;
            match patched {
                Err(fault) if fault.is_conflict() && attempt < ATTEMPTS => attempt += 1,
                Err(fault) => return Err(fault),
                Ok(written) => {
                    let blueprint = self.blueprint(running, live);
                    let watched = apply::watched(&blueprint, process, &written);
                    return Ok(Some(Restarting { watched, before: before.map(str::to_owned) }));
                }
            }
        }
    }

    /// Ends one pod, whose place the cluster fills. Where no other of its type is ready, the whole type is restarted
    /// instead, which starts the fresh one first.
    async fn replace_pod(&self, running: &Workload, name: &str, transcript: &Transcript) -> Result<(), Halt> {
        let before = self.pods_for(running).await?;
        let Some(leaving) = before.iter().find(|one| one.name == name) else { return Ok(()) };
        let ready_beside = |one: &&ProcessStatus| {
            one.name != name && one.process_type == leaving.process_type && one.state == "up"
        };
        if !before.iter().any(|one| ready_beside(&one)) {
            let which = Which::Type(leaving.process_type.clone());
            return self.restart_types(running, &which, transcript).await;
        }
        let (pods, params) = (self.cluster.api::<Pod>(), DeleteParams::default());
        let deleted = self.cluster.call(&doing::<Pod>("deleting", name), || pods.delete(name, &params)).await;
        match deleted {
            Err(fault) if fault.is_missing() => {}
            other => drop(other?),
        }
        let staying = |one: &&ProcessStatus| {
            one.name != name && one.process_type == leaving.process_type && one.state != "down"
        };
        let wanted = before.iter().filter(|one| staying(one)).count() + 1;
        let end = Instant::now() + self.patience.total;
        let mut looks = tokio::time::interval(LOOK_EVERY);
        loop {
            looks.tick().await;
            let now = self.pods_for(running).await?;
            let beside = now.iter().filter(|one| staying(one));
            if beside.clone().count() >= wanted && beside.clone().all(|one| one.state == "up") {
                return Ok(());
            }
            if Instant::now() >= end {
                return Err(Halt::Failed(format!(
                    "the process in the place of {name} is not healthy yet: `ps` and `logs` tell what it does"
                )));
            }
        }
    }

    async fn pods_for(&self, running: &Workload) -> Result<Vec<ProcessStatus>, Halt> {
        let (_, pods) = self.pods(&running.app, None).await?;
        Ok(pods.iter().map(super::processes::status).collect())
    }
}
