//! Processes that run and do nothing any more: those whose liveness check fails are started again.
//!
//! A cluster does this by itself; here it is a watch over the containers that carry a check in a label. The engine's own
//! HEALTHCHECK would need a program for it in every image, and starts nothing again. What the watch knows besides (how
//! often a check has failed) may be lost: it then counts anew.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::ContainerSummary;
use bollard::query_parameters::{ListContainersOptionsBuilder, RestartContainerOptions};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::DockerTarget;
use super::member::Member;
use super::probe::Asked;
use super::spec;
use crate::domain::health::Probe;

/// Between two looks at who is due.
const LOOK: Duration = Duration::from_secs(1);
/// The same where nobody has a check.
const IDLE: Duration = Duration::from_secs(5);
/// Questions at a time.
const AT_ONCE: usize = 16;
/// Between two restarts of one container, doubled each time up to the second figure: as a cluster does.
const BACK_OFF: Duration = Duration::from_secs(10);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(300);
/// Well for this long, and the restarts before are forgotten.
const FORGIVEN: Duration = Duration::from_secs(600);

/// What is known of one container.
#[derive(Debug)]
struct Course {
    next: Instant,
    failed: u32,
    restarts: u32,
    restarted: Option<Instant>,
}

/// A container with a check, by its labels.
#[derive(Debug, Clone)]
struct Watched {
    id: String,
    probe: Probe,
}

impl DockerTarget {
    /// Watches until the shutdown.
    pub(crate) async fn watch_liveness(&self, soft: CancellationToken) {
        let mut courses = HashMap::new();
        let watch = async {
            loop {
                let pause = match self.watched().await {
                    Ok(watched) if watched.is_empty() => IDLE,
                    Ok(watched) => {
                        self.look_after(&watched, &mut courses).await;
                        LOOK
                    }
                    Err(error) => {
                        debug!("The engine did not list what has a liveness check: {error}");
                        IDLE
                    }
                };
                tokio::time::sleep(pause).await;
            }
        };
        soft.run_until_cancelled(watch).await;
    }

    async fn watched(&self) -> Result<Vec<Watched>, bollard::errors::Error> {
        let labels =
            vec![format!("{}={}", spec::PLATFORM, self.settings.platform), spec::LIVENESS.to_owned()];
        let filters =
            HashMap::from([("label".to_owned(), labels), ("status".to_owned(), vec!["running".to_owned()])]);
        let options = ListContainersOptionsBuilder::default().filters(&filters).build();
        let listed = self.docker.list_containers(Some(options)).await?;
        Ok(listed.into_iter().filter_map(Watched::read).collect())
    }

    async fn look_after(&self, watched: &[Watched], courses: &mut HashMap<String, Course>) {
        courses.retain(|id, _| watched.iter().any(|one| one.id == *id));
        let now = Instant::now();
        let due = watched.iter().filter(|one| {
            let course = courses.entry(one.id.clone()).or_insert_with(|| Course::begun(now, &one.probe));
            course.next <= now
        });
        // Boxed: a stream that borrows in its closure is not `Send` for every lifetime, which a task needs.
        let asked: Vec<BoxFuture<'_, _>> =
            due.cloned().map(|one| self.ask_whether_it_lives(one).boxed()).collect();
        let answers: Vec<_> = stream::iter(asked).buffer_unordered(AT_ONCE).collect().await;
        for (one, member, answer) in answers.into_iter().flatten() {
            if let Some(course) = courses.get_mut(&one.id)
                && let Some(why) = course.take(&one.probe, answer, Instant::now())
            {
                self.start_again(&member, &one.probe, &why).await;
                // It starts anew, and so does the time that it has for that.
                course.next = Instant::now() + Course::first_delay(&one.probe);
            }
        }
    }

    /// `None` for a container that is not, or not yet, released: the gate looks after those.
    async fn ask_whether_it_lives(&self, one: Watched) -> Option<(Watched, Member, Result<(), String>)> {
        let member = self.member(&one.id).await.ok().flatten()?;
        if !member.is_running() || !member.is_released() {
            return None;
        }
        let asked = Asked { app: &member.app, id: &one.id, port: member.port, address: member.address };
        let answer = self.probe(asked, &one.probe).await;
        Some((one, member, answer))
    }

    async fn start_again(&self, member: &Member, probe: &Probe, why: &str) {
        warn!(
            app = %member.app, process = %member.slot,
            "Its liveness check ({}) failed {} times, so it is started again: {why}", probe.question(), probe.attempts
        );
        // A client's restart keeps the container's own grace before SIGKILL.
        match self.docker.restart_container(&member.id, None::<RestartContainerOptions>).await {
            Ok(()) => info!(app = %member.app, process = %member.slot, "Started again"),
            Err(error) => {
                warn!(app = %member.app, process = %member.slot, "It could not be started again: {error}")
            }
        }
    }
}

impl Watched {
    fn read(listed: ContainerSummary) -> Option<Self> {
        let probe = serde_json::from_str(listed.labels?.get(spec::LIVENESS)?).ok()?;
        Some(Self { id: listed.id?, probe })
    }
}

impl Course {
    fn begun(now: Instant, probe: &Probe) -> Self {
        Self { next: now + Self::first_delay(probe), failed: 0, restarts: 0, restarted: None }
    }

    fn first_delay(probe: &Probe) -> Duration {
        Duration::from_secs(probe.initial_delay.into())
    }

    /// Notes an answer; the reason if the container is to be started again now.
    fn take(&mut self, probe: &Probe, answer: Result<(), String>, now: Instant) -> Option<String> {
        self.next = now + Duration::from_secs(probe.wait.into());
        let Err(why) = answer else {
            self.failed = 0;
            if self.restarted.is_some_and(|at| now - at >= FORGIVEN) {
                (self.restarts, self.restarted) = (0, None);
            }
            return None;
        };
        self.failed += 1;
        let back_off = BACK_OFF * 2u32.pow(self.restarts.saturating_sub(1).min(10));
        let rested = self.restarted.is_none_or(|at| now - at >= back_off.min(LONGEST_BACK_OFF));
        if self.failed < probe.attempts || !rested {
            return None;
        }
        (self.failed, self.restarts, self.restarted) = (0, self.restarts + 1, Some(now));
        Some(why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::health::Ask;

    #[test]
    fn a_check_that_fails_often_enough_starts_again_with_growing_pauses() {
        let ask = Ask::Listening { port: None };
        let probe = Probe { ask, attempts: 2, timeout: 1, wait: 5, initial_delay: 0 };
        let mut now = Instant::now();
        let mut course = Course::begun(now, &probe);
        let fails = || Err("no answer".to_owned());
        assert_eq!(course.take(&probe, fails(), now), None);
        assert_eq!(course.take(&probe, Ok(()), now), None, "one success, and it counts anew");
        assert_eq!(course.take(&probe, fails(), now), None);
        assert!(course.take(&probe, fails(), now).is_some());
        // The first pause is ten seconds, the next twenty.
        for pause in [10, 20, 40] {
            assert_eq!(course.take(&probe, fails(), now), None);
            assert_eq!(course.take(&probe, fails(), now), None, "it has just been started");
            now += Duration::from_secs(pause);
            assert!(course.take(&probe, fails(), now).is_some(), "{pause}");
        }
    }
}
