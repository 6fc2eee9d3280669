//! Reads what all pods of the platform write into the apps' logs, and tells what happens to them.
//!
//! One watch for the pods of all owned apps; the pods of adopted Deployments, which bear no label of ours, are listed
//! now and then. Nothing of a pod is kept but a few words of its state.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::KubernetesTarget;
use super::cluster::Cluster;
use super::objects::{self, COMPONENT, INSTANCE, MANAGED_BY, MANAGER, PLATFORM};
use super::pod_reader::Reader;
use super::pod_state::PodState;
use crate::domain::names::AppName;
use crate::journal::Journals;
use crate::target::AdoptedApps;

/// Pods that are read at a time when the watch begins: all at once would be the largest thing in the server's memory.
const PAGE: u32 = 50;
/// How often the pods of adopted Deployments are listed.
const LOOK_EVERY: Duration = Duration::from_secs(3);

impl KubernetesTarget {
    /// Reads on until `stop`.
    pub(crate) async fn collect(&self, journals: Journals, adopted: AdoptedApps, stop: CancellationToken) {
        let selector = format!("{MANAGED_BY}={MANAGER},{PLATFORM}={}", self.platform);
        let config = watcher::Config::default().labels(&selector).page_size(PAGE);
        let events = watcher::watcher(self.cluster.api::<Pod>(), config).default_backoff();
        let mut events = std::pin::pin!(events);
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut collector =
            Collector { journals, pods: HashMap::new(), readers: JoinSet::new(), stop: stop.clone() };
        let mut listed = HashSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                event = events.next() => match event {
                    Some(Ok(Event::Apply(pod))) => collector.owned(&self.cluster, &pod).await,
                    Some(Ok(Event::InitApply(pod))) => {
                        listed.insert(pod.uid().unwrap_or_default());
                        collector.owned(&self.cluster, &pod).await;
                    }
                    Some(Ok(Event::Delete(pod))) => {
                        collector.owned(&self.cluster, &pod).await;
                        collector.gone(&pod.uid().unwrap_or_default());
                    }
                    Some(Ok(Event::Init)) => listed.clear(),
                    Some(Ok(Event::InitDone)) => collector.keep(Mode::Owned, &listed),
                    // Asked again with growing pauses.
                    Some(Err(error)) => tracing::debug!("The pods cannot be watched: {error}"),
                    None => break,
                },
                Some(_) = collector.readers.join_next() => {}
                _ = looks.tick() => self.look(&mut collector, &adopted).await,
            }
        }
        // Readers stop between two batches.
        collector.pods.clear();
        while collector.readers.join_next().await.is_some() {}
    }

    async fn look(&self, collector: &mut Collector, adopted: &AdoptedApps) {
        let mut seen = HashSet::new();
        for (app, adoption) in adopted().await {
            // Unreachable for now, or gone: what was known of it stays until the next look.
            let Ok((cluster, pods)) = self.pods(&app, Some(&adoption)).await else { return };
            for found in pods {
                seen.insert(found.pod.uid().unwrap_or_default());
                let origin =
                    Origin { app: app.clone(), kind: found.process_type.to_string(), mode: Mode::Adopted };
                collector.see(&cluster, &found.pod, origin).await;
            }
        }
        collector.keep(Mode::Adopted, &seen);
    }
}

/// Whose pod it is.
#[derive(Debug, Clone)]
struct Origin {
    app: AppName,
    kind: String,
    mode: Mode,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Owned,
    Adopted,
}

struct Collector {
    journals: Journals,
    /// By uid.
    pods: HashMap<String, Known>,
    readers: JoinSet<()>,
    stop: CancellationToken,
}

struct Known {
    mode: Mode,
    /// Told to its reader.
    state: watch::Sender<Option<PodState>>,
}

impl Drop for Known {
    fn drop(&mut self) {
        self.state.send_replace(None);
    }
}

impl Collector {
    async fn owned(&mut self, cluster: &Cluster, pod: &Pod) {
        let label = |name: &str| objects::label(&pod.metadata, name);
        let app = label(INSTANCE).and_then(|app| app.parse().ok());
        let (Some(app), Some(kind)) = (app, label(COMPONENT)) else { return };
        let origin = Origin { app, kind: kind.to_owned(), mode: Mode::Owned };
        self.see(cluster, pod, origin).await;
    }

    /// Tells what is new of a pod, and has it read.
    async fn see(&mut self, cluster: &Cluster, pod: &Pod, origin: Origin) {
        let Some(uid) = pod.uid() else { return };
        let state = PodState::of(pod);
        let known = self.pods.get(&uid).and_then(|known| known.state.borrow().clone());
        let news = state.news(&known.unwrap_or_default());
        for said in news {
            let process = (pod.name_any(), &origin.kind);
            self.journals.note(&origin.app, said.at, (&process.0, process.1), &said.texts).await;
        }
        if let Some(known) = self.pods.get(&uid) {
            known.state.send_if_modified(|before| {
                let changed = before.as_ref() != Some(&state);
                *before = Some(state);
                changed
            });
            return;
        }
        let (sender, states) = watch::channel(Some(state));
        let reader = Reader {
            cluster: cluster.clone(),
            journal: self.journals.app(&origin.app),
            pod: pod.name_any(),
            uid: uid.clone(),
            kind: origin.kind,
            stop: self.stop.clone(),
        };
        self.readers.spawn(reader.read(states));
        self.pods.insert(uid, Known { mode: origin.mode, state: sender });
    }

    fn gone(&mut self, uid: &str) {
        self.pods.remove(uid);
    }

    /// Pods of this mode that are not there any more are gone.
    fn keep(&mut self, mode: Mode, there: &HashSet<String>) {
        self.pods.retain(|uid, known| known.mode != mode || there.contains(uid));
    }
}
