//! Watches rollouts, all of them together, until each is done or one cannot succeed any more.
//!
//! It listens and it looks. What a Deployment changes to is told by the API server, and ends most rollouts; looks, a few
//! small requests now and then, find what is wrong with the pods, and whatever was not heard.

use std::pin::pin;
use std::time::Duration;

use futures::future::try_join_all;
use futures::stream::{self, Stream, StreamExt};
use tokio::time::Instant;

use super::changes;
use super::cluster::Cluster;
use super::course::{Course, Sight};
use super::halt::Halt;
use super::rule::Pin;
use super::trouble::Kind;
use crate::transcript::Transcript;

/// Pause before a look.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// An API server that takes long to answer has much to do, with rollouts of ours perhaps: so much longer than a look has
/// taken is the pause before the next, but no longer than this.
const PAUSE_PER_LOOK: u32 = 10;
const LONGEST_PAUSE: Duration = Duration::from_secs(3);
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
    let mut changes = changes::of(cluster, watched.iter().map(|one| one.deployment.as_str()));
    let mut looks = pin!(looks(cluster, watched, end));
    while !courses.iter().all(|course| course.done) {
        tokio::select! {
            Some((place, live)) = changes.next() => {
                if let Some(line) = courses[place].hear(cluster, &live)? {
                    transcript.detail(line).await;
                }
            }
            Some(sights) = looks.next() => {
                let late = Instant::now() >= end;
                for (course, sight) in courses.iter_mut().zip(sights?) {
                    if let Some(line) = course.see(cluster, sight, patience, late).await? {
                        transcript.detail(line).await;
                    }
                }
                if late && !courses.iter().all(|course| course.done) {
                    let limit = humantime::format_duration(patience.total);
                    return Err(Halt::Failed(format!(
                        "The rollout did not end within {limit}. Raise the rollout deadline, or let the processes start faster."
                    )));
                }
            }
        }
    }
    Ok(())
}

/// Looks at all of them, again and again; the last one when there is no time left.
fn looks<'a>(
    cluster: &'a Cluster,
    watched: &'a [Watched],
    end: Instant,
) -> impl Stream<Item = Result<Vec<Sight>, Halt>> + 'a {
    stream::unfold(LOOK_EVERY, move |pause| async move {
        tokio::time::sleep_until(end.min(Instant::now() + pause)).await;
        let began = Instant::now();
        let sights = try_join_all(watched.iter().map(|one| Sight::of(cluster, one))).await;
        let pause = (began.elapsed() * PAUSE_PER_LOOK).clamp(LOOK_EVERY, LONGEST_PAUSE);
        Some((sights, pause))
    })
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
    pub(super) fn grace(&self, kind: Kind, patience: &Patience) -> Option<Duration> {
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
