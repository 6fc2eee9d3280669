//! Reads what one pod writes into its app's log, over restarts of its container, the kubelet and the apiserver.

use std::sync::Arc;
use std::time::Duration;

use futures::io::{AsyncBufRead, AsyncBufReadExt};
use futures::stream::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, LogParams};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::cluster::{Cluster, doing};
use super::lanes::Place;
use super::pod_state::PodState;
use crate::journal::{AppJournal, Entry, Resume, Source, clean};

/// Lines that are stored at a time, if so many are there.
const BATCH: usize = 512;
/// Lines that are read of a pod that nobody has read yet.
const FIRST_LINES: i64 = 10_000;
/// Before a stream that ended is taken up again: at first, and at most.
const PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long the stream of a pod that is gone may take to end.
const LAST_LINES: Duration = Duration::from_secs(5);

/// A pod and where its lines go.
#[derive(Clone)]
pub(super) struct Reader {
    pub(super) cluster: Cluster,
    pub(super) journal: Arc<AppJournal>,
    /// The pod's name and uid; the latter names the ring.
    pub(super) pod: String,
    pub(super) uid: String,
    pub(super) kind: String,
    pub(super) stop: CancellationToken,
}

/// Which run of a container is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Run {
    Present,
    /// The one before, to its end.
    Previous,
}

impl Reader {
    /// Reads until the pod is gone (its state is `None`) or `stop`.
    pub(super) async fn read(self, mut states: watch::Receiver<Option<PodState>>) {
        let (mut restarts, mut pause) = (0, PAUSE);
        loop {
            let state = states.borrow_and_update().clone();
            let Some(state) = state else { return self.journal.rest(&self.uid).await };
            let mut found = false;
            if state.has_run() {
                // On the heap, and only for as long as it takes: a log may stay silent for days.
                if state.restarts > restarts {
                    restarts = state.restarts;
                    Box::pin(self.read_previous(&state.container)).await;
                }
                found = self.follow(&state.container, &mut states).await;
            }
            pause = if found { PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
            let over = state.over && !found;
            tokio::select! {
                () = self.stop.cancelled() => return,
                changed = states.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(pause), if !over => {}
            }
        }
    }

    /// Stores what is new of a run that began and ended while nobody read.
    async fn read_previous(&self, container: &str) {
        let mut resume = self.journal.resume(&self.uid).await;
        let (api, params) = (self.cluster.api::<Pod>(), params(container, Run::Previous, &resume));
        let doing = doing::<Pod>("reading the log of", &self.pod);
        // The kubelet may have removed it; then nobody can tell what it wrote.
        let text = self.cluster.call(&doing, || api.logs(&self.pod, &params)).await.unwrap_or_default();
        let new = self.new_lines(text.lines(), &mut resume);
        self.journal.append(&self.uid, new).await;
    }

    /// Stores what is new until the stream ends; whether there was anything.
    async fn follow(&self, container: &str, states: &mut watch::Receiver<Option<PodState>>) -> bool {
        let mut resume = self.journal.resume(&self.uid).await;
        let params = params(container, Run::Present, &resume);
        let gone = gone(states);
        tokio::pin!(gone);
        // An API server answers with the first line, which may be long in coming.
        let opened = tokio::select! {
            () = self.stop.cancelled() => return false,
            () = &mut gone => return false,
            opened = Box::pin(self.open(&params)) => opened,
        };
        // An error, such as a container that does not run yet, is the end of the stream.
        let Some((reader, _place)) = opened else { return false };
        let mut chunks = reader.lines().ready_chunks(BATCH);
        let mut found = false;
        loop {
            let chunk = tokio::select! {
                () = self.stop.cancelled() => return found,
                () = &mut gone => return found,
                chunk = chunks.next() => chunk,
            };
            let Some(chunk) = chunk else { return found };
            let broken = chunk.iter().any(Result::is_err);
            let lines: Vec<String> = chunk.into_iter().filter_map(Result::ok).collect();
            let new = self.new_lines(lines.iter().map(String::as_str), &mut resume);
            found |= !new.is_empty();
            self.journal.append(&self.uid, new).await;
            if broken {
                return found;
            }
        }
    }

    /// The log as it is written, and its place on a connection.
    async fn open(&self, params: &LogParams) -> Option<(impl AsyncBufRead + Unpin + use<>, Place)> {
        let place = self.cluster.place_to_listen().await.ok()?;
        let api: Api<Pod> = Api::namespaced(place.client.clone(), self.cluster.namespace());
        let reader = api.log_stream(&self.pod, params).await.ok()?;
        Some((Box::pin(reader), place))
    }

    fn new_lines<'l>(&self, lines: impl Iterator<Item = &'l str>, resume: &mut Resume) -> Vec<Entry> {
        lines.filter_map(|line| self.entry(line)).filter(|entry| resume.is_new(entry)).collect()
    }

    /// `2026-01-01T00:00:00.000000001Z text`.
    fn entry(&self, line: &str) -> Option<Entry> {
        let (time, text) = line.split_once(' ').unwrap_or((line, ""));
        Some(Entry {
            at: time.parse::<Timestamp>().ok()?,
            source: Source::App,
            process: self.pod.clone(),
            kind: self.kind.clone(),
            cursor: String::new(),
            text: clean(text).into_owned(),
        })
    }
}

fn params(container: &str, run: Run, resume: &Resume) -> LogParams {
    LogParams {
        timestamps: true,
        follow: run == Run::Present,
        previous: run == Run::Previous,
        container: Some(container.to_owned()),
        since_time: resume.since,
        tail_lines: resume.since.is_none().then_some(FIRST_LINES),
        ..Default::default()
    }
}

/// Ends a while after the pod is gone.
async fn gone(states: &mut watch::Receiver<Option<PodState>>) {
    // An error is the end of the collector, which cancels as well.
    drop(states.wait_for(Option::is_none).await);
    tokio::time::sleep(LAST_LINES).await;
}
