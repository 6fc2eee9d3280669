//! Tells what happens to containers, each thing behind the lines that were written before it.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use super::collect::{Collector, Reading};
use super::happening::{Happening, Memory, Speaker, State, What, words};
use super::member::Standing;

/// How long a process that was started again has to stay.
const SETTLED: SignedDuration = SignedDuration::from_secs(5);

impl Collector {
    pub(super) async fn happened(&mut self, event: Happening) {
        // Of an app that was destroyed while nobody listened.
        if event.at < self.began && !self.journals.knows(&event.speaker.app) {
            return;
        }
        let id = event.id.clone();
        if event.what == What::Removed {
            return self.forget(&id);
        }
        if !self.containers.contains_key(&id) || event.what == What::Started {
            let known = self.meet(&id, &event.speaker).await.is_some();
            // Its start was told by whoever saw it.
            if !known && event.what == What::Started {
                return;
            }
        }
        let Some(container) = self.containers.get_mut(&id) else { return };
        let started = event.what == What::Started;
        // An end is told behind the last lines, and what follows it behind that.
        let ends = matches!(event.what, What::Died(_)) || !container.untold.is_empty();
        let waits = ends && container.reading == Reading::Now;
        container.untold.push((Instant::now(), event));
        if started {
            self.read(&id);
        }
        if !waits {
            self.tell(&id).await;
        }
    }

    /// Says what happened to a container, in order.
    pub(super) async fn tell(&mut self, id: &str) {
        let Some(container) = self.containers.get_mut(id) else { return };
        for (_, event) in std::mem::take(&mut container.untold) {
            if event.what == What::OutOfMemory {
                container.memory = Memory::RanOut;
                continue;
            }
            let (said, state) = words(event.what, container.state, container.memory, &container.command);
            container.state = state;
            match event.what {
                What::Started => container.started = Some(event.at),
                What::Released => container.standing = Standing::Released,
                _ => {}
            }
            if matches!(event.what, What::Died(_)) {
                container.memory = Memory::Sufficed;
            }
            if said.is_empty() {
                continue;
            }
            let Speaker { app, process, kind } = &container.speaker;
            self.journals.note(app, event.at, (process, kind), &said).await;
        }
    }

    /// An event that waits for lines which do not come is told without them.
    pub(super) async fn tell_what_waits(&mut self, patience: Option<Duration>) {
        let late = |(since, _): &(Instant, Happening)| patience.is_none_or(|limit| since.elapsed() > limit);
        let waiting: Vec<String> = self
            .containers
            .iter()
            .filter(|(_, container)| container.untold.first().is_some_and(late))
            .map(|(id, _)| id.clone())
            .collect();
        for id in waiting {
            self.tell(&id).await;
        }
    }

    /// What was started again and stays is up: it has passed its check before.
    pub(super) async fn settle(&mut self) {
        let now = Timestamp::now();
        for container in self.containers.values_mut() {
            let settled = container.started.and_then(|started| started.checked_add(SETTLED).ok());
            let waits = container.state == State::Starting && container.standing == Standing::Released;
            if let Some(at) = settled.filter(|at| waits && *at <= now && container.untold.is_empty()) {
                container.state = State::Up;
                let Speaker { app, process, kind } = &container.speaker;
                let text = ["State changed from starting to up"];
                self.journals.note(app, at, (process, kind), &text).await;
            }
        }
    }
}
