//! Watches rollouts, all of them together, until each is done or one cannot succeed any more.
//!
//! It asks instead of listening: a few small requests twice a second for as long as a rollout takes, and nothing to
//! lose when a connection breaks.

use std::collections::HashMap;
use std::time::Duration;

use futures::future::try_join_all;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use tokio::time::Instant;

use super::cluster::{Cluster, Fault};
use super::evidence;
use super::fields::selector_text;
use super::halt::Halt;
use super::rule::{self, Pin, Progress, Verdict};
use super::trouble::{self, Kind, Trouble};
use crate::transcript::Transcript;

/// Pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(400);
/// A Secret that was written a moment ago may not have reached the kubelet.
const CONFIG_GRACE: Duration = Duration::from_secs(5);

/// How long troubles are borne that may pass by themselves.
#[derive(Debug, Clone)]
pub(crate) struct Patience {
    /// One rollout in all; after that it has failed.
    pub(crate) total: Duration,
    /// A pod without a node: autoscalers add one within minutes.
    pub(crate) unschedulable: Duration,
    /// A registry that does not answer the kubelet.
    pub(crate) pull: Duration,
    /// A quota that pods on their way out may still fill.
    pub(crate) quota: Duration,
    /// The way back to the previous release; past it the text says what is known.
    pub(crate) going_back: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            total: Duration::from_secs(30 * 60),
            unschedulable: Duration::from_secs(3 * 60),
            pull: Duration::from_secs(60),
            quota: Duration::from_secs(20),
            going_back: Duration::from_secs(60),
        }
    }
}

/// One Deployment that is watched.
#[derive(Debug, Clone)]
pub(super) struct Watched {
    /// What the transcript calls it: the process type, or an adopted Deployment's name.
    pub(super) label: String,
    pub(super) deployment: String,
    pub(super) pin: Pin,
    /// How long a container may run without being ready; `None` leaves that to the Deployment's own deadline.
    pub(super) start_limit: Option<Duration>,
    /// How long it has to stay complete before that is believed.
    pub(super) settle: Duration,
}

/// Returns once all are done.
pub(super) async fn until_done(
    cluster: &Cluster,
    watched: &[Watched],
    patience: &Patience,
    transcript: &Transcript,
) -> Result<(), Halt> {
    let end = Instant::now() + patience.total;
    let mut courses: Vec<_> = watched.iter().map(Course::new).collect();
    let mut looks = tokio::time::interval(LOOK_EVERY);
    loop {
        looks.tick().await;
        let late = Instant::now() >= end;
        let steps = courses.iter_mut().map(|course| course.look(cluster, patience, late));
        let seen = try_join_all(steps).await?;
        for line in seen.iter().filter_map(|seen| seen.line.as_ref()) {
            transcript.detail(line).await;
        }
        if seen.iter().all(|seen| seen.done) {
            return Ok(());
        }
        if late {
            let limit = humantime::format_duration(patience.total);
            return Err(Halt::Failed(format!(
                "The rollout did not end within {limit}. Raise the rollout deadline, or let the processes start faster."
            )));
        }
    }
}

/// What one look at one Deployment told.
struct Seen {
    done: bool,
    /// A line for the transcript, where something changed.
    line: Option<String>,
}

/// One Deployment's rollout so far.
struct Course<'a> {
    watched: &'a Watched,
    told: Option<String>,
    complete_since: Option<Instant>,
    restarts: i32,
    /// Since when each trouble of each pod has been there.
    troubles: HashMap<(String, Kind), Instant>,
}

impl<'a> Course<'a> {
    fn new(watched: &'a Watched) -> Self {
        Self { watched, told: None, complete_since: None, restarts: 0, troubles: HashMap::new() }
    }

    async fn look(&mut self, cluster: &Cluster, patience: &Patience, late: bool) -> Result<Seen, Halt> {
        let name = &self.watched.deployment;
        let Some(live) = cluster.get::<Deployment>(name).await? else {
            return Err(Halt::Failed(format!(
                "Deployment {name} was deleted while it was rolled out. Push again."
            )));
        };
        // Which ReplicaSet is the current one matters only for what is not complete.
        let quick = rule::judge(&live, None, &self.watched.pin);
        if let (Verdict::Done(progress), Duration::ZERO) = (&quick, self.watched.settle) {
            return Ok(Seen { done: true, line: self.news(&self.count(*progress)) });
        }
        let set = current_set(cluster, &live).await?;
        let pods = match &set {
            Some(set) => pods_of(cluster, &live, set).await?,
            None => Vec::new(),
        };
        let set_name = set.as_ref().and_then(|set| set.metadata.name.as_deref());
        let verdict = rule::judge(&live, set_name, &self.watched.pin);
        let troubles = find_troubles(set.as_ref(), &pods);
        let doomed = self.doomed(&troubles, pods.len(), patience);
        match (verdict, doomed) {
            (Verdict::Done(progress), _) => {
                let line = self.news(&self.count(progress));
                Ok(Seen { done: self.settled(&pods), line })
            }
            // Not while unobserved: the pods that are seen then may be those of the revision before.
            (Verdict::Waiting(_), Some(trouble)) => Err(Halt::Failed(self.describe(cluster, &trouble).await)),
            (Verdict::Waiting(_), None) if late && !troubles.is_empty() => {
                Err(Halt::Failed(self.describe(cluster, &troubles[0]).await))
            }
            (Verdict::Waiting(progress), None) => {
                self.complete_since = None;
                let line = bearable(&troubles).unwrap_or_else(|| self.count(progress));
                Ok(Seen { done: false, line: self.news(&line) })
            }
            (Verdict::Unobserved, _) => Ok(Seen { done: false, line: None }),
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

/// The sentence for a Deployment that somebody paused.
pub(super) fn paused(cluster: &Cluster, name: &str) -> String {
    format!(
        "Deployment {name} is paused, so nothing new starts. `kubectl rollout resume deployment/{name} -n {}`, then \
         push again.",
        cluster.namespace()
    )
}

impl Watched {
    /// How long such a trouble is borne; `None` for as long as the rollout may take.
    fn grace(&self, kind: Kind, patience: &Patience) -> Option<Duration> {
        match kind {
            Kind::NotReady => self.start_limit,
            Kind::Unschedulable => Some(patience.unschedulable),
            Kind::PullStalled => Some(patience.pull),
            Kind::Quota | Kind::Refused => Some(patience.quota),
            Kind::Config => Some(CONFIG_GRACE),
            _ => Some(Duration::ZERO),
        }
    }
}

/// A trouble that the reader should know of while it is waited for. A process that is not ready yet is no news.
fn bearable(troubles: &[Trouble]) -> Option<String> {
    troubles.iter().find(|trouble| trouble.kind != Kind::NotReady).map(|trouble| trouble.what.clone())
}

fn find_troubles(set: Option<&ReplicaSet>, pods: &[Pod]) -> Vec<Trouble> {
    set.and_then(trouble::of_replica_set).into_iter().chain(pods.iter().filter_map(trouble::of_pod)).collect()
}

async fn current_set(cluster: &Cluster, live: &Deployment) -> Result<Option<ReplicaSet>, Fault> {
    let sets: Vec<ReplicaSet> = cluster.list(&selector_text(live)).await?;
    Ok(rule::current_replica_set(live, &sets).cloned())
}

/// The ReplicaSet's pods that are to stay: not those on their way out, nor what is left of evicted ones.
async fn pods_of(cluster: &Cluster, live: &Deployment, set: &ReplicaSet) -> Result<Vec<Pod>, Fault> {
    let mut pods: Vec<Pod> = cluster.list(&selector_text(live)).await?;
    pods.retain(|pod| {
        let owners = pod.metadata.owner_references.iter().flatten();
        let owned = owners.into_iter().any(|owner| Some(&owner.uid) == set.metadata.uid.as_ref());
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        owned && pod.metadata.deletion_timestamp.is_none() && phase != Some("Failed")
    });
    Ok(pods)
}
