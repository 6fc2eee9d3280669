//! How one Deployment's rollout goes, as far as it was heard and seen.

use std::collections::HashMap;

use futures::future::try_join;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use tokio::time::Instant;

use super::cluster::{Cluster, Fault};
use super::evidence;
use super::fields::selector_text;
use super::halt::Halt;
use super::rule::{self, Progress, Verdict};
use super::trouble::{self, Kind, Trouble};
use super::watch::{Patience, Watched, paused};

/// What a look at one Deployment shows.
pub(super) struct Sight {
    began: Instant,
    live: Deployment,
    /// The ReplicaSet of its current revision and that one's pods: not looked at where the Deployment says that it is done.
    set: Option<ReplicaSet>,
    pods: Vec<Pod>,
}

impl Sight {
    pub(super) async fn of(cluster: &Cluster, watched: &Watched) -> Result<Self, Halt> {
        let (began, name) = (Instant::now(), &watched.deployment);
        let Some(live) = cluster.get::<Deployment>(name).await? else {
            return Err(Halt::Failed(format!(
                "Deployment {name} was deleted while it was rolled out. Push again."
            )));
        };
        // Which ReplicaSet is the current one matters only for what is not complete.
        if watched.settle.is_zero() && matches!(rule::judge(&live, None, &watched.pin), Verdict::Done(_)) {
            return Ok(Self { began, live, set: None, pods: Vec::new() });
        }
        let selector = selector_text(&live);
        let (sets, pods) =
            try_join(cluster.list::<ReplicaSet>(&selector), cluster.list::<Pod>(&selector)).await?;
        let set = rule::current_replica_set(&live, &sets).cloned();
        let pods = set.as_ref().map_or_else(Vec::new, |set| staying_pods(pods, set));
        Ok(Self { began, live, set, pods })
    }

    fn verdict(&self, watched: &Watched) -> Verdict {
        let set = self.set.as_ref().and_then(|set| set.metadata.name.as_deref());
        rule::judge(&self.live, set, &watched.pin)
    }

    fn troubles(&self) -> Vec<Trouble> {
        let of_set = self.set.as_ref().and_then(trouble::of_replica_set);
        of_set.into_iter().chain(self.pods.iter().filter_map(trouble::of_pod)).collect()
    }
}

/// The ReplicaSet's pods that are to stay: not those on their way out, nor what is left of evicted ones.
fn staying_pods(mut pods: Vec<Pod>, set: &ReplicaSet) -> Vec<Pod> {
    pods.retain(|pod| {
        let owners = pod.metadata.owner_references.iter().flatten();
        let owned = owners.into_iter().any(|owner| Some(&owner.uid) == set.metadata.uid.as_ref());
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        owned && pod.metadata.deletion_timestamp.is_none() && phase != Some("Failed")
    });
    pods
}

/// One Deployment's rollout so far.
pub(super) struct Course<'a> {
    watched: &'a Watched,
    pub(super) done: bool,
    /// When a change was last heard of.
    heard: Option<Instant>,
    told: Option<String>,
    complete_since: Option<Instant>,
    restarts: i32,
    /// Since when each trouble of each pod has been there.
    troubles: HashMap<(String, Kind), Instant>,
}

impl<'a> Course<'a> {
    pub(super) fn new(watched: &'a Watched) -> Self {
        Self {
            watched,
            done: false,
            heard: None,
            told: None,
            complete_since: None,
            restarts: 0,
            troubles: HashMap::new(),
        }
    }

    /// Takes in what the Deployment has changed to, which can end its course but tells nothing of troubles; a line for the
    /// transcript, where it is the last.
    pub(super) fn hear(&mut self, cluster: &Cluster, live: &Deployment) -> Result<Option<String>, Halt> {
        self.heard = Some(Instant::now());
        match rule::judge(live, None, &self.watched.pin) {
            Verdict::Done(progress) => {
                // Whether it has settled, its pods tell, from the first look on that finds it complete.
                self.done |= self.watched.settle.is_zero();
                Ok(self.done.then(|| self.news(&self.count(progress))).flatten())
            }
            Verdict::Waiting(_) => {
                (self.done, self.complete_since) = (false, None);
                Ok(None)
            }
            Verdict::Unobserved => {
                self.done = false;
                Ok(None)
            }
            // Only a look knows whose deadline it is.
            Verdict::DeadlineExceeded(_) => Ok(None),
            verdict => Err(self.foreign(cluster, verdict)),
        }
    }

    /// Takes in what was seen; a line for the transcript, where something changed. `late`: there is no time left.
    pub(super) async fn see(
        &mut self,
        cluster: &Cluster,
        sight: Sight,
        patience: &Patience,
        late: bool,
    ) -> Result<Option<String>, Halt> {
        if self.done && self.heard.is_some_and(|heard| heard >= sight.began) {
            // The end was heard while this was looked at, which may be older.
            return Ok(None);
        }
        let troubles = sight.troubles();
        let doomed = self.doomed(&troubles, sight.pods.len(), patience);
        self.done = false;
        match (sight.verdict(self.watched), doomed) {
            (Verdict::Done(progress), _) => {
                self.done = self.settled(&sight.pods);
                Ok(self.news(&self.count(progress)))
            }
            // Not while unobserved: the pods that are seen then may be those of the revision before.
            (Verdict::Waiting(_), Some(trouble)) => Err(Halt::Failed(self.describe(cluster, &trouble).await)),
            (Verdict::Waiting(_), None) if late && !troubles.is_empty() => {
                Err(Halt::Failed(self.describe(cluster, &troubles[0]).await))
            }
            (Verdict::Waiting(progress), None) => {
                self.complete_since = None;
                let line = bearable(&troubles).unwrap_or_else(|| self.count(progress));
                Ok(self.news(&line))
            }
            (Verdict::Unobserved, _) => Ok(None),
            (Verdict::DeadlineExceeded(sentence), _) => Err(Halt::Failed(match troubles.first() {
                Some(trouble) => self.describe(cluster, trouble).await,
                None => format!("{} did not become healthy in time: {sentence}", self.watched.label),
            })),
            (verdict, _) => Err(self.foreign(cluster, verdict)),
        }
    }

    /// The first trouble, if no new pod is without one that has lasted longer than it is borne.
    fn doomed(&mut self, troubles: &[Trouble], pods: usize, patience: &Patience) -> Option<Trouble> {
        let now = Instant::now();
        self.troubles.retain(|(pod, kind), _| {
            troubles.iter().any(|trouble| trouble.pod == *pod && trouble.kind == *kind)
        });
        let mut ripe = troubles.iter().filter(|trouble| {
            let since = *self.troubles.entry((trouble.pod.clone(), trouble.kind)).or_insert(now);
            self.watched.grace(trouble.kind, patience).is_some_and(|grace| now - since >= grace)
        });
        let first = ripe.next()?.clone();
        // A ReplicaSet that gets no (further) pods cannot become complete, however well its others do.
        let all = first.pod.is_empty() || ripe.count() + 1 >= pods;
        all.then_some(first)
    }

    /// Whether it has been complete for long enough, without a restart.
    fn settled(&mut self, pods: &[Pod]) -> bool {
        let statuses = pods.iter().filter_map(|pod| pod.status.as_ref()?.container_statuses.as_ref());
        let restarts = statuses.flatten().map(|status| status.restart_count).sum();
        if restarts != self.restarts {
            self.restarts = restarts;
            self.complete_since = None;
        }
        self.complete_since.get_or_insert_with(Instant::now).elapsed() >= self.watched.settle
    }

    fn count(&self, progress: Progress) -> String {
        let Progress { desired, updated, available, .. } = progress;
        format!(
            "{}: {updated} of {desired} updated, {} available",
            self.watched.label,
            available.min(updated)
        )
    }

    fn news(&mut self, line: &str) -> Option<String> {
        let line = if line.starts_with(&self.watched.label) {
            line.to_owned()
        } else {
            format!("{} {line}", self.watched.label)
        };
        (self.told.as_deref() != Some(&line)).then(|| self.told.insert(line).clone())
    }

    async fn describe(&self, cluster: &Cluster, trouble: &Trouble) -> String {
        let mut trouble = trouble.clone();
        if let (Kind::NotReady, Some(limit)) = (trouble.kind, self.watched.start_limit) {
            trouble.what =
                format!("ran for {} without answering its check", humantime::format_duration(limit));
        }
        evidence::describe(cluster, &self.watched.label, &trouble).await
    }

    fn foreign(&self, cluster: &Cluster, verdict: Verdict) -> Halt {
        let name = &self.watched.deployment;
        match verdict {
            Verdict::Newer => Halt::Fault(Fault::Newer),
            Verdict::Overwritten { container, image } => Halt::Failed(format!(
                "Somebody set the image of container {container} in Deployment {name} to {image} while it was rolled \
                 out. Find out who (`kubectl get deployment {name} -n {} -o yaml --show-managed-fields`) and push again.",
                cluster.namespace()
            )),
            _ => Halt::Failed(paused(cluster, name)),
        }
    }
}

/// A trouble that the reader should know of while it is waited for. A process that is not ready yet is no news.
fn bearable(troubles: &[Trouble]) -> Option<String> {
    troubles.iter().find(|trouble| trouble.kind != Kind::NotReady).map(|trouble| trouble.what.clone())
}
