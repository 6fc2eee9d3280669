//! Reads what all containers of the platform write into the apps' logs, and tells what happens to them.
//!
//! Invariant: a container's lines are read by one reader at a time, which goes on behind what is stored. A container that
//! has ended is removed only when its last line has been read, or has not come for [`LAST_LINES`].

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bollard::query_parameters::{EventsOptionsBuilder, ListContainersOptionsBuilder};
use futures::stream::BoxStream;
use futures::{StreamExt, future};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::happening::{Happening, Memory, Speaker, State};
use super::member::{Member, Standing};
use super::read::read;
use super::{DockerTarget, locked, spec};
use crate::journal::Journals;

/// For the last lines of a container that has ended.
const LAST_LINES: Duration = Duration::from_secs(2);
/// Between two looks at all containers: an event may have been missed.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// How long an event waits for the lines that were written before it.
const EVENT_WAITS: Duration = Duration::from_secs(2);
/// Before an engine that went away is asked again.
const PAUSE: Duration = Duration::from_secs(1);
/// How far back events are asked for when the server starts; the engine keeps the last few hundred.
const WHILE_AWAY: SignedDuration = SignedDuration::from_mins(10);
/// Containers that may wait to be read to their end.
const FINISHES: usize = 256;

/// What the rest of the target knows of the collector.
#[derive(Debug)]
pub(super) struct Listener {
    finish: mpsc::Sender<Finish>,
    /// `web.1` by the address that it is published on.
    names: Mutex<HashMap<SocketAddr, String>>,
}

/// A container is about to be removed.
#[derive(Debug)]
struct Finish {
    id: String,
    done: oneshot::Sender<()>,
}

impl DockerTarget {
    /// Reads on until `stop`.
    pub(crate) async fn collect(&self, journals: Journals, stop: CancellationToken) {
        let (finish, asked) = mpsc::channel(FINISHES);
        let listener = Listener { finish, names: Mutex::default() };
        *locked(&self.shared.listener) = Some(Arc::new(listener));
        let requests = self.collect_requests(&journals, &stop);
        let (journals, stop) = (journals.clone(), stop.clone());
        let containers = HashMap::new();
        let collector = Collector {
            target: self.clone(),
            journals,
            containers,
            readers: JoinSet::new(),
            stop,
            began: Timestamp::now(),
        };
        tokio::join!(collector.run(asked), requests);
    }

    /// Which process answers at this address, if it was ever seen: `web.1`.
    pub(super) fn process_at(&self, address: SocketAddr) -> Option<String> {
        locked(&self.listener()?.names).get(&address).cloned()
    }

    /// Returns when a container that has ended has been read to its end. At once if nobody reads, or if it runs on.
    pub(super) async fn read_out(&self, id: &str) {
        let Some(listener) = self.listener() else { return };
        let (done, read) = oneshot::channel();
        if listener.finish.try_send(Finish { id: id.to_owned(), done }).is_ok() {
            // An error or too long a wait: nothing more can be had.
            drop(tokio::time::timeout(LAST_LINES, read).await);
        }
    }

    fn listener(&self) -> Option<Arc<Listener>> {
        locked(&self.shared.listener).clone()
    }
}

pub(super) struct Collector {
    target: DockerTarget,
    pub(super) journals: Journals,
    pub(super) containers: HashMap<String, Container>,
    readers: JoinSet<String>,
    stop: CancellationToken,
    pub(super) began: Timestamp,
}

/// A container that is read, or was.
pub(super) struct Container {
    pub(super) speaker: Speaker,
    pub(super) command: String,
    pub(super) reading: Reading,
    pub(super) state: State,
    pub(super) standing: Standing,
    pub(super) started: Option<Timestamp>,
    pub(super) memory: Memory,
    /// What happened to it, to be told behind the lines that it wrote before.
    pub(super) untold: Vec<(Instant, Happening)>,
    waiting: Vec<oneshot::Sender<()>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// A reader is on it.
    Now,
    /// It has been read to the end of its last run.
    ToTheEnd,
}

impl Collector {
    async fn run(mut self, mut asked: mpsc::Receiver<Finish>) {
        let mut since = self.began.saturating_sub(WHILE_AWAY).unwrap_or(self.began);
        let mut ticks = tokio::time::interval(PAUSE);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let mut events = self.events(since);
            self.look().await;
            let mut looked = Instant::now();
            loop {
                tokio::select! {
                    () = self.stop.cancelled() => return self.end().await,
                    event = events.next() => match event {
                        Some(Some(event)) => {
                            since = event.at;
                            self.happened(event).await;
                        }
                        Some(None) => {}
                        None => break,
                    },
                    Some(ended) = self.readers.join_next() => self.ended(ended).await,
                    Some(finish) = asked.recv() => self.finish(finish).await,
                    _ = ticks.tick() => {
                        self.tell_what_waits(Some(EVENT_WAITS)).await;
                        self.settle().await;
                        if looked.elapsed() > LOOK_EVERY {
                            self.look().await;
                            looked = Instant::now();
                        }
                    }
                }
            }
            tokio::select! {
                () = self.stop.cancelled() => return self.end().await,
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }

    /// Readers stop between two batches, so that what is stored is all that was read.
    async fn end(mut self) {
        while self.readers.join_next().await.is_some() {}
        self.tell_what_waits(None).await;
    }

    /// `None` inside for events that are not told; the end when the engine goes away.
    fn events(&self, since: Timestamp) -> BoxStream<'static, Option<Happening>> {
        let label = format!("{}={}", spec::PLATFORM, self.target.settings.platform);
        let filters = HashMap::from([
            ("type".to_owned(), vec!["container".to_owned()]),
            (
                "event".to_owned(),
                ["start", "update", "die", "oom", "kill", "destroy"].map(str::to_owned).to_vec(),
            ),
            ("label".to_owned(), vec![label]),
        ]);
        let since = since.as_second().to_string();
        let options = EventsOptionsBuilder::default().filters(&filters).since(&since).build();
        let events = self.target.docker.events(Some(options));
        let whole = events.take_while(|event| future::ready(event.is_ok()));
        whole.map(|event| event.ok().and_then(Happening::read)).boxed()
    }

    /// Reads every container that nobody reads yet.
    async fn look(&mut self) {
        let label = format!("{}={}", spec::PLATFORM, self.target.settings.platform);
        let filters = HashMap::from([("label".to_owned(), vec![label])]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let listed = match self.target.docker.list_containers(Some(options)).await {
            Ok(listed) => listed,
            Err(error) => return tracing::debug!("The engine does not list its containers: {error}"),
        };
        for container in listed {
            let speaker = container.labels.as_ref().and_then(Speaker::of);
            if let (Some(id), Some(speaker)) = (container.id, speaker)
                && !self.containers.contains_key(&id)
            {
                self.meet(&id, &speaker).await;
                self.read(&id);
            }
        }
    }

    /// Learns what a container is; what it does is known from its events.
    pub(super) async fn meet(&mut self, id: &str, speaker: &Speaker) -> Option<Member> {
        let member = self.target.member(id).await.ok().flatten();
        let new = !self.containers.contains_key(id);
        let container = self.containers.entry(id.to_owned()).or_insert_with(|| Container {
            speaker: speaker.clone(),
            command: String::new(),
            reading: Reading::ToTheEnd,
            state: State::default(),
            standing: Standing::OnTrial,
            started: None,
            memory: Memory::default(),
            untold: Vec::new(),
            waiting: Vec::new(),
        });
        let member = member?;
        container.command.clone_from(&member.command);
        if new && member.standing == Standing::Released {
            container.standing = Standing::Released;
            container.state = if member.is_running() { State::Up } else { State::Crashed };
        }
        if let (Some(address), Some(listener)) = (member.address, self.target.listener()) {
            locked(&listener.names).insert(address, speaker.process.clone());
        }
        Some(member)
    }

    pub(super) fn read(&mut self, id: &str) {
        let Some(container) = self.containers.get_mut(id) else { return };
        if container.reading == Reading::Now {
            return;
        }
        container.reading = Reading::Now;
        let journal = self.journals.app(&container.speaker.app);
        self.readers.spawn(read(
            self.target.docker.clone(),
            journal,
            id.to_owned(),
            container.speaker.clone(),
            self.stop.clone(),
        ));
    }

    /// A reader has come to the end: of the container's run, or of the engine's patience.
    async fn ended(&mut self, ended: Result<String, tokio::task::JoinError>) {
        let id = match ended {
            Ok(id) => id,
            Err(panic) => return tracing::error!("The reader of a container broke: {panic}"),
        };
        let Some(container) = self.containers.get_mut(&id) else { return };
        container.reading = Reading::ToTheEnd;
        let waiting = std::mem::take(&mut container.waiting);
        self.tell(&id).await;
        for done in waiting {
            // Whoever waited may have lost patience.
            let _ = done.send(());
        }
        match self.target.member(&id).await {
            Ok(Some(member)) if member.is_running() => {
                if let (Some(container), Standing::Released) = (self.containers.get_mut(&id), member.standing)
                {
                    container.state = State::Up;
                }
                self.read(&id);
            }
            // Asked again by the next look.
            Err(_) => drop(self.containers.remove(&id)),
            Ok(_) => {}
        }
    }

    async fn finish(&mut self, Finish { id, done }: Finish) {
        let running = self.target.member(&id).await.ok().flatten().is_some_and(|member| member.is_running());
        match self.containers.get_mut(&id) {
            Some(container) if container.reading == Reading::Now && !running => container.waiting.push(done),
            // Read, unknown, or about to be killed: there is nothing to wait for.
            _ => {
                let _ = done.send(());
            }
        }
    }

    pub(super) fn forget(&mut self, id: &str) {
        if self.containers.get(id).is_some_and(|container| container.untold.is_empty()) {
            self.containers.remove(id);
        }
    }
}
